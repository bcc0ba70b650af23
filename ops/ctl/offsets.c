/* `offsets show` and `offsets reset`. */
#include "ops/ctl/offsets.h"

#include <stdlib.h>
#include <string.h>

#include "ops/ctl/commands.h"
#include "ops/ctl/rows.h"

enum { ASK_MS = 10000 };

static const char rows_sql[] = "select worker, cluster_id, topic, partition, next_offset, " ROWS_TIME(
	"updated_at") " from api.offset_list($1, null)";

static void take_text(const struct pg_result *result, int row, int column, char *out, size_t cap)
{
	(void)snprintf(out, cap, "%s", pg_get_text(result, row, column));
}

static bool take_row(const struct pg_result *result, int i, struct offset_row *row)
{
	int64_t partition;
	*row = (struct offset_row){.unknown = true, .log_start = -1, .log_end = -1};
	take_text(result, i, 0, row->worker, sizeof(row->worker));
	take_text(result, i, 1, row->cluster_id, sizeof(row->cluster_id));
	take_text(result, i, 2, row->topic, sizeof(row->topic));
	take_text(result, i, 5, row->updated_at, sizeof(row->updated_at));
	if (!pg_get_i64(result, i, 3, &partition) || !pg_get_i64(result, i, 4, &row->next_offset))
		return false;
	row->partition = (int32_t)partition;
	return true;
}

bool offset_row_ask(struct kafka_admin *admin, int timeout_ms, struct offset_row *row, struct err *err)
{
	row->unknown = false;
	if (row->other_cluster ||
	    kafka_admin_watermarks(admin, row->topic, row->partition, timeout_ms, &row->log_start, &row->log_end, err))
		return true;
	row->log_start = row->log_end = -1;
	row->unknown = err->code != ERR_NOT_FOUND;
	return !row->unknown;
}

bool offset_rows_take(struct pg *pg, const char *worker, const char *present_cluster_id, struct offset_rows *out,
		      struct err *err)
{
	struct pg_params *params = pg_params_new(1);
	struct pg_result *result = NULL;
	*out = (struct offset_rows){0};
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the offsets");
	pg_params_text(params, worker);
	result = pg_call(pg, rows_sql, params, err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	size_t count = (size_t)pg_rows(result);
	bool good = true;
	out->items = calloc(count + 1, sizeof(*out->items));
	if (out->items == NULL)
		good = err_set(err, ERR_FULL, "no memory for the offsets");
	for (; good && out->count < count; out->count++) {
		struct offset_row *row = &out->items[out->count];
		good = take_row(result, (int)out->count, row) ||
		       err_set(err, ERR_INVALID, "the database answered with a row of another form");
		row->other_cluster = strcmp(row->cluster_id, present_cluster_id) != 0;
	}
	pg_result_free(result);
	if (!good)
		offset_rows_free(out);
	return good;
}

void offset_rows_free(struct offset_rows *rows)
{
	free(rows->items);
	*rows = (struct offset_rows){0};
}

int64_t offset_row_lag(const struct offset_row *row)
{
	if (row->log_end < 0)
		return -1;
	return row->log_end > row->next_offset ? row->log_end - row->next_offset : 0;
}

bool offset_row_stuck(const struct offset_row *row)
{
	return !row->other_cluster && !row->unknown &&
	       (row->next_offset < row->log_start || row->next_offset > row->log_end);
}

const char *offset_row_state(const struct offset_row *row)
{
	if (row->other_cluster)
		return "other cluster";
	if (row->unknown)
		return "unknown";
	if (row->log_end < 0)
		return "no topic";
	if (offset_row_stuck(row))
		return "out of range";
	return row->next_offset == row->log_end ? "current" : "behind";
}

static bool open_admin(struct ctl *ctl, struct kafka_admin **admin, char cluster_id[KAFKA_CLUSTER_ID_BYTES],
		       struct err *err)
{
	*admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	return *admin != NULL && kafka_admin_cluster_id(*admin, ASK_MS, cluster_id, err);
}

static const struct table_column show_columns[] = {
	{"worker", TABLE_TEXT},        {"topic", TABLE_TEXT},       {"partition", TABLE_NUMBER},
	{"next_offset", TABLE_NUMBER}, {"log_start", TABLE_NUMBER}, {"log_end", TABLE_NUMBER},
	{"lag", TABLE_NUMBER},         {"state", TABLE_TEXT},       {"updated_at", TABLE_TEXT},
	{"cluster_id", TABLE_TEXT},
};

static void number_or_null(struct table *table, int64_t value)
{
	if (value < 0)
		table_null(table);
	else
		table_i64(table, value);
}

static void show_row(struct table *table, const struct offset_row *row)
{
	table_text(table, row->worker);
	table_text(table, row->topic);
	table_i64(table, row->partition);
	table_i64(table, row->next_offset);
	number_or_null(table, row->log_start);
	number_or_null(table, row->log_end);
	number_or_null(table, offset_row_lag(row));
	table_text(table, offset_row_state(row));
	table_text(table, row->updated_at);
	table_text(table, row->cluster_id);
}

bool offsets_show_run(struct ctl *ctl, struct err *err)
{
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct kafka_admin *admin = NULL;
	struct offset_rows rows = {0};
	struct pg *pg = ctl_pg(ctl, err);
	bool good = pg != NULL && open_admin(ctl, &admin, cluster_id, err) &&
		    offset_rows_take(pg, ctl_value(ctl, "worker"), cluster_id, &rows, err);
	if (good) {
		struct table *table = table_new(show_columns, ARRAY_LEN(show_columns));
		for (size_t i = 0; i < rows.count; i++) {
			struct err problem;
			if (!offset_row_ask(admin, ASK_MS, &rows.items[i], &problem))
				ctl_note(ctl, "%s/%d: %s", rows.items[i].topic, (int)rows.items[i].partition,
					 problem.text);
			show_row(table, &rows.items[i]);
		}
		good = ctl_print(ctl, table, TABLE_LIST, err);
	}
	offset_rows_free(&rows);
	kafka_admin_free(admin);
	return good;
}

/* --- reset --- */

static struct offset_row *find_row(const struct ctl *ctl, const struct offset_rows *rows, int64_t partition,
				   const char *cluster_id)
{
	const char *topic = ctl_value(ctl, "topic");
	for (size_t i = 0; i < rows->count; i++) {
		struct offset_row *row = &rows->items[i];
		const char *short_name = strrchr(row->topic, '.');
		bool named =
			strcmp(topic, row->topic) == 0 || (short_name != NULL && strcmp(topic, short_name + 1) == 0);
		if (named && row->partition == partition && strcmp(row->cluster_id, cluster_id) == 0)
			return row;
	}
	return NULL;
}

static bool take_target(const struct ctl *ctl, const struct offset_row *row, int64_t *to, struct err *err)
{
	const char *given = ctl_value(ctl, "to");
	if (row->log_end < 0)
		return err_set(err, ERR_NOT_FOUND, "Kafka has no partition %d of %s", (int)row->partition, row->topic);
	if (strcmp(given, "earliest") == 0)
		*to = row->log_start;
	else if (strcmp(given, "latest") == 0)
		*to = row->log_end;
	else if (!ctl_value_i64(ctl, "to", 0, INT64_MAX, to, err))
		return err_set(err, ERR_INVALID, "--to: earliest, latest or an offset");
	if (*to >= row->log_start && *to <= row->log_end)
		return true;
	return err_set(err, ERR_INVALID, "--to %lld: the log has offsets from %lld to %lld", (long long)*to,
		       (long long)row->log_start, (long long)row->log_end);
}

static bool apply_reset(struct pg *pg, const struct offset_row *row, int64_t to, struct err *err)
{
	struct pg_params *params = pg_params_new(6);
	struct pg_result *result = NULL;
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the reset");
	pg_params_text(params, row->worker);
	pg_params_text(params, row->cluster_id);
	pg_params_text(params, row->topic);
	pg_params_i64(params, row->partition);
	pg_params_i64(params, row->next_offset);
	pg_params_i64(params, to);
	result = pg_call(pg, "select api.offset_reset($1, $2, $3, $4::integer, $5, $6)", params, err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	bool moved = pg_get_bool(result, 0, 0);
	pg_result_free(result);
	return moved ||
	       err_set(err, ERR_CONFLICT, "the worker moved the offset meanwhile; look again with `offsets show`");
}

/* A dry run is the real thing, taken back: whatever would refuse the reset refuses it now. */
static bool try_reset(struct pg *pg, const struct offset_row *row, int64_t to, struct err *err)
{
	if (!pg_begin(pg, err))
		return false;
	bool good = apply_reset(pg, row, to, err);
	pg_rollback(pg);
	return good;
}

static bool print_reset(struct ctl *ctl, const struct offset_row *row, int64_t to, bool applied, struct err *err)
{
	static const struct table_column columns[] = {
		{"worker", TABLE_TEXT}, {"topic", TABLE_TEXT}, {"partition", TABLE_NUMBER},
		{"from", TABLE_NUMBER}, {"to", TABLE_NUMBER},  {"applied", TABLE_BOOL},
	};
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	table_text(table, row->worker);
	table_text(table, row->topic);
	table_i64(table, row->partition);
	table_i64(table, row->next_offset);
	table_i64(table, to);
	table_bool(table, applied);
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

static bool reset(struct ctl *ctl, struct pg *pg, struct kafka_admin *admin, const char *cluster_id, struct err *err)
{
	struct offset_rows rows;
	int64_t partition = 0, to = 0;
	bool dry_run = ctl_switch(ctl, "dry-run");
	if (!ctl_value_i64(ctl, "partition", 0, INT32_MAX, &partition, err) ||
	    !offset_rows_take(pg, ctl_value(ctl, "worker"), cluster_id, &rows, err))
		return false;
	struct offset_row *row = find_row(ctl, &rows, partition, cluster_id);
	bool good =
		row != NULL || err_set(err, ERR_NOT_FOUND, "there is no such offset row; `offsets show` lists them");
	good = good && offset_row_ask(admin, ASK_MS, row, err) && take_target(ctl, row, &to, err) &&
	       (dry_run ? try_reset : apply_reset)(pg, row, to, err) && print_reset(ctl, row, to, !dry_run, err);
	offset_rows_free(&rows);
	return good;
}

bool offsets_reset_run(struct ctl *ctl, struct err *err)
{
	static const char *const needed[] = {"worker", "topic", "partition", "to"};
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct kafka_admin *admin = NULL;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (ctl_value(ctl, needed[i]) == NULL)
			return err_set(err, ERR_INVALID, "--%s is missing", needed[i]);
	struct pg *pg = ctl_pg(ctl, err);
	bool good = pg != NULL && open_admin(ctl, &admin, cluster_id, err) && reset(ctl, pg, admin, cluster_id, err);
	kafka_admin_free(admin);
	return good;
}
