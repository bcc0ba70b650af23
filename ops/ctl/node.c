/* `node list` and `node drain`. */
#include <assert.h>

#include "common/id.h"
#include "ops/ctl/commands.h"

bool node_list_run(struct ctl *ctl, struct err *err)
{
	static const struct table_column COLUMNS[] = {{"node_id", TABLE_TEXT},      {"name", TABLE_TEXT},
						      {"started_at", TABLE_TEXT},   {"applied_seq", TABLE_NUMBER},
						      {"last_poll_at", TABLE_TEXT}, {"drain", TABLE_BOOL},
						      {"behind", TABLE_NUMBER}};
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_result *rows =
		pg == NULL ? NULL
			   : pg_call(pg,
				     "select node_id, name, to_char(started_at at time zone 'UTC', "
				     "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), applied_seq, to_char(last_poll_at at time "
				     "zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), drain, behind from "
				     "api.node_list()",
				     NULL, err);
	if (rows == NULL)
		return false;
	struct table *table = table_new(COLUMNS, ARRAY_LEN(COLUMNS));
	table_result(table, rows);
	pg_result_free(rows);
	return ctl_print(ctl, table, TABLE_LIST, err);
}

bool node_drain_run(struct ctl *ctl, struct err *err)
{
	const char *id = ctl_argument(ctl, 0);
	assert(id != NULL);
	if (!id_valid(bytes_of(id), "node"))
		return err_set(err, ERR_INVALID, "a node's id is node_ and 26 characters, as `node list` shows it");
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_params *params = pg_params_new(1);
	bool done = false;
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the command");
	pg_params_text(params, id);
	if (pg != NULL)
		done = pg_run(pg, "select api.node_drain($1)", params, err);
	pg_params_free(params);
	if (done)
		ctl_note(ctl, "%s stops accepting at its next poll, answers what is under way, and ends", id);
	return done;
}
