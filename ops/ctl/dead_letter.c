/* `dead-letter list` and `dead-letter show`. */
#include "ops/ctl/dead_letter.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/record_json.h"
#include "ops/ctl/rows.h"
#include "ops/ctl/topic_reader.h"

static const struct table_column list_columns[] = {
	[DEAD_LETTER_WORKER] = {"worker", TABLE_TEXT},         [DEAD_LETTER_TOPIC] = {"topic", TABLE_TEXT},
	[DEAD_LETTER_PARTITION] = {"partition", TABLE_NUMBER}, [DEAD_LETTER_OFFSET] = {"record_offset", TABLE_NUMBER},
	[DEAD_LETTER_TYPE] = {"event_type", TABLE_TEXT},       [DEAD_LETTER_ID] = {"event_id", TABLE_TEXT},
	[DEAD_LETTER_REASON] = {"reason", TABLE_TEXT},         [DEAD_LETTER_CLASS] = {"error_class", TABLE_TEXT},
	[DEAD_LETTER_ATTEMPTS] = {"attempts", TABLE_NUMBER},   [DEAD_LETTER_FAILED_AT] = {"failed_at", TABLE_TEXT},
	[DEAD_LETTER_REDRIVES] = {"redrives", TABLE_NUMBER},   [DEAD_LETTER_CLUSTER] = {"cluster_id", TABLE_TEXT},
};
_Static_assert(ARRAY_LEN(list_columns) == DEAD_LETTER_COLUMNS, "one for each column of a row");

static const char rows_sql[] =
	"select worker, topic, partition, record_offset, event_type, event_id, reason, "
	"error_class, attempts, " ROWS_TIME("failed_at") ", redrives, cluster_id "
							 "from api.dead_letter_list($1, $2, $3::integer)";

struct pg_result *dead_letter_rows(struct ctl *ctl, int64_t limit, struct err *err)
{
	int64_t since_ms = 0;
	const char *since = ctl_value(ctl, "since");
	struct pg_params *params;
	struct pg_result *result;
	struct pg *pg;

	if (since != NULL && !clock_parse_ms(since, &since_ms)) {
		(void)err_set(err, ERR_INVALID, "--since: a time as 2026-11-23T15:00:00Z, or a date");
		return NULL;
	}
	pg = ctl_pg(ctl, err);
	if (pg == NULL)
		return NULL;
	params = pg_params_new(3);
	if (params == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the list");
		return NULL;
	}
	pg_params_text(params, ctl_value(ctl, "worker"));
	pg_params_i64(params, since_ms);
	pg_params_i64(params, limit);
	result = pg_call(pg, rows_sql, params, err);
	pg_params_free(params);
	return result;
}

bool dead_letter_list_run(struct ctl *ctl, struct err *err)
{
	int64_t limit = DEAD_LETTER_ROWS_MAX;
	struct pg_result *rows;
	struct table *table;

	if (!ctl_value_i64(ctl, "limit", 1, DEAD_LETTER_ROWS_MAX, &limit, err))
		return false;
	rows = dead_letter_rows(ctl, limit, err);
	if (rows == NULL)
		return false;
	if (pg_rows(rows) == limit)
		ctl_note(ctl, "these are the first %d; --since the last one's time shows the next", pg_rows(rows));
	table = table_new(list_columns, ARRAY_LEN(list_columns));
	table_result(table, rows);
	pg_result_free(rows);
	return ctl_print(ctl, table, TABLE_LIST, err);
}

/* --- one record, where it stands --- */

static bool print_one(void *owner, const struct kafka_record *record, struct err *err)
{
	struct ctl *ctl = owner;
	json_t *json = record_json(record);
	bool good = json != NULL &&
		    json_dumpf(json, ctl_out(ctl), ctl_json(ctl) ? JSON_COMPACT : JSON_INDENT(2)) == 0 &&
		    fputc('\n', ctl_out(ctl)) != EOF;

	json_decref(json);
	return good || err_set(err, ERR_IO, "the output cannot be written: %s", strerror(errno));
}

static bool take_number(const char *text, int64_t max, int64_t *out)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || number < 0 || number > max)
		return false;
	*out = number;
	return true;
}

/* The topic by its full name, or by its short one ("stripe"). */
static bool take_topic(const struct ctl *ctl, const char *given, char out[KAFKA_TOPIC_BYTES_MAX + 1], struct err *err)
{
	for (int i = 0; i < EVENT_TOPIC_COUNT; i++) {
		event_topic_name((enum event_topic)i, ctl_config(ctl)->environment, out);
		if (strcmp(given, out) == 0 || strcmp(given, strrchr(out, '.') + 1) == 0)
			return true;
	}
	return err_set(err, ERR_INVALID, "TOPIC is one of ours, as `dead-letter list` shows it");
}

static bool take_place(const struct ctl *ctl, struct topic_place *out, struct err *err)
{
	int64_t partition;

	if (!take_topic(ctl, ctl_argument(ctl, 0), out->topic, err))
		return false;
	if (!take_number(ctl_argument(ctl, 1), INT32_MAX, &partition) ||
	    !take_number(ctl_argument(ctl, 2), INT64_MAX - 1, &out->offset))
		return err_set(err, ERR_INVALID, "PARTITION and OFFSET are numbers, as `dead-letter list` shows them");
	out->partition = (int32_t)partition;
	return true;
}

bool dead_letter_show_run(struct ctl *ctl, struct err *err)
{
	struct topic_place place;
	struct topic_reader *reader = NULL;
	struct kafka_admin *admin = NULL;
	bool good = take_place(ctl, &place, err) &&
		    (admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err)) != NULL &&
		    (reader = topic_reader_new(ctl_config(ctl), err)) != NULL &&
		    topic_reader_one(reader, admin, &place, print_one, ctl, err);

	topic_reader_free(reader);
	kafka_admin_free(admin);
	return good;
}
