/* `node list` and `node drain`. */
#include <assert.h>

#include "common/id.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/rows.h"

bool node_list_run(struct ctl *ctl, struct err *err)
{
	static const struct table_column COLUMNS[] = {{"node_id", TABLE_TEXT},      {"name", TABLE_TEXT},
						      {"started_at", TABLE_TEXT},   {"applied_seq", TABLE_NUMBER},
						      {"last_poll_at", TABLE_TEXT}, {"drain", TABLE_BOOL},
						      {"behind", TABLE_NUMBER}};
	static const struct rows NODES = {COLUMNS, ARRAY_LEN(COLUMNS)};
	return rows_show_all(ctl, &NODES,
			     "select node_id, name, " ROWS_TIME("started_at") ", applied_seq, " ROWS_TIME(
				     "last_poll_at") ", drain, behind from api.node_list()",
			     NULL, err);
}

bool node_drain_run(struct ctl *ctl, struct err *err)
{
	const char *id = ctl_argument(ctl, 0);
	assert(id != NULL);
	if (!id_valid(bytes_of(id), "node"))
		return err_set(err, ERR_INVALID, "a node's id is node_ and 26 characters, as `node list` shows it");
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_params *params = pg != NULL ? rows_params(1, err) : NULL;
	if (params == NULL)
		return false;
	pg_params_text(params, id);
	bool done = pg_run(pg, "select api.node_drain($1)", params, err);
	pg_params_free(params);
	if (done)
		ctl_note(ctl, "%s stops accepting at its next poll, answers what is under way, and ends", id);
	return done;
}
