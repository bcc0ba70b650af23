#include "ops/ctl/in_force.h"

#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/free_text.h"
#include "common/limits.h"

enum { TRIES = 10, PAUSE_MS = 200, LOOK_MS = 2, REASON_CHARS_MAX = 200, NS_PER_MS = 1000000 };

static int64_t now_ns(void)
{
	return clock_mono_ns(clock_system());
}

static void nap(int ms)
{
	const struct timespec pause = {.tv_nsec = (long)ms * NS_PER_MS};
	(void)nanosleep(&pause, NULL);
}

static bool passes(const struct err *err)
{
	return err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE;
}

/* R5: an unknown outcome is never answered; the function says the same number again. */
static struct pg_result *call_until_known(struct ctl *ctl, const char *sql, const struct pg_params *params,
					  struct err *err)
{
	bool sent = false;
	for (int try = 1; try <= TRIES; try++) {
		struct pg *pg = ctl_pg(ctl, err);
		struct pg_result *row = pg != NULL ? pg_call(pg, sql, params, err) : NULL;
		sent = sent || pg != NULL;
		if (row != NULL || !passes(err))
			return row;
		nap(PAUSE_MS);
	}
	if (sent)
		(void)err_context(err, "the outcome is unknown, run it again");
	return NULL;
}

/* How many nodes there are, and how many show the number. False: Postgres did not say. */
static bool look(struct ctl *ctl, struct pg_params *params, struct in_force *out)
{
	struct err err;
	struct pg *pg = ctl_pg(ctl, &err);
	pg_params_clear(params);
	pg_params_i64(params, out->number);
	struct pg_result *row =
		pg != NULL ? pg_call(pg, "select nodes, in_force from api.access_in_force($1)", params, &err) : NULL;
	bool said = row != NULL && pg_get_i64(row, 0, 0, &out->nodes) && pg_get_i64(row, 0, 1, &out->shown);
	pg_result_free(row);
	return said;
}

static void wait_for_nodes(struct ctl *ctl, struct pg_params *params, int64_t committed_ns, struct in_force *out)
{
	for (;;) {
		bool all = look(ctl, params, out) && out->shown == out->nodes;
		out->after_ms = (now_ns() - committed_ns) / NS_PER_MS;
		/* Without Postgres' word the time alone is enough: no lease outlives it. */
		if (all || out->after_ms >= ACCESS_WAIT_MS)
			return;
		nap(LOOK_MS);
	}
}

bool in_force_change(struct ctl *ctl, const char *sql, const struct pg_params *params, struct in_force *out,
		     struct err *err)
{
	struct pg_params *own = pg_params_new(1);
	struct pg_result *row = NULL;
	bool known = false;
	*out = (struct in_force){0};
	if (own == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the command");
		goto out;
	}
	row = call_until_known(ctl, sql, params, err);
	if (row == NULL)
		goto out;
	int64_t committed_ns = now_ns();
	known = pg_rows(row) == 1 && pg_get_i64(row, 0, 0, &out->number) && pg_get_i64(row, 0, 1, &out->changed);
	if (!known)
		(void)err_set(err, ERR_INTERNAL, "the database answers otherwise than promised");
	else
		wait_for_nodes(ctl, own, committed_ns, out);
out:
	pg_result_free(row);
	pg_params_free(own);
	return known;
}

bool in_force_change_and_show(struct ctl *ctl, const char *sql, const struct pg_params *params, const char *what,
			      const char *id, struct err *err)
{
	static const struct table_column COLUMNS[] = {{"change", TABLE_TEXT},     {"id", TABLE_TEXT},
						      {"changed", TABLE_NUMBER},  {"number", TABLE_NUMBER},
						      {"in_force", TABLE_NUMBER}, {"nodes", TABLE_NUMBER},
						      {"after_ms", TABLE_NUMBER}};
	struct in_force done;
	if (!in_force_change(ctl, sql, params, &done, err))
		return false;
	struct table *table = table_new(COLUMNS, ARRAY_LEN(COLUMNS));
	table_text(table, what);
	table_text(table, id);
	table_i64(table, done.changed);
	table_i64(table, done.number);
	table_i64(table, done.shown);
	table_i64(table, done.nodes);
	table_i64(table, done.after_ms);
	ctl_note(ctl, "in force on %lld of %lld nodes after %lld ms%s", (long long)done.shown, (long long)done.nodes,
		 (long long)done.after_ms, done.shown < done.nodes ? "; the leases of the others have run out" : "");
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

bool in_force_reason(const struct ctl *ctl, const char **out, struct err *err)
{
	*out = ctl_value(ctl, "reason");
	if (*out == NULL)
		return true;
	if (**out == '\0' || strlen(*out) > 4 * REASON_CHARS_MAX)
		return err_set(err, ERR_INVALID, "--reason: 1 to %d characters", REASON_CHARS_MAX);
	switch (free_text_check(bytes_of(*out))) {
	case FREE_TEXT_FINE:
		return true;
	case FREE_TEXT_SECRET:
		return err_set(err, ERR_INVALID, "--reason holds what looks like a token or another secret");
	case FREE_TEXT_CARD:
		return err_set(err, ERR_INVALID, "--reason holds what looks like a card number");
	case FREE_TEXT_TOO_LONG:
		break;
	}
	return err_set(err, ERR_INVALID, "--reason: 1 to %d characters", REASON_CHARS_MAX);
}
