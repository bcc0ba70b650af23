/* `dead-letter list|show|redrive`: what workers set aside (C6), and sending it again. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/kafka_producer.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/progress.h"
#include "ops/ctl/record_json.h"
#include "ops/ctl/topic_reader.h"

enum { ASK_MS = 10000, SEND_MS = 10000, LIST_ROWS_MAX = 10000, REDRIVES_MAX_DEFAULT = 3 };

#define DEAD_LETTER_COLUMNS                                                                                            \
	"worker, topic, partition, record_offset, event_type, event_id, reason, error_class, attempts, "               \
	"to_char(failed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), redrives, cluster_id"

enum {
	AT_WORKER,
	AT_TOPIC,
	AT_PARTITION,
	AT_OFFSET,
	AT_TYPE,
	AT_ID,
	AT_REASON,
	AT_CLASS,
	AT_ATTEMPTS,
	AT_FAILED_AT,
	AT_REDRIVES,
	AT_CLUSTER
};

static const struct table_column list_columns[] = {
	{"worker", TABLE_TEXT},          {"topic", TABLE_TEXT},       {"partition", TABLE_NUMBER},
	{"record_offset", TABLE_NUMBER}, {"event_type", TABLE_TEXT},  {"event_id", TABLE_TEXT},
	{"reason", TABLE_TEXT},          {"error_class", TABLE_TEXT}, {"attempts", TABLE_NUMBER},
	{"failed_at", TABLE_TEXT},       {"redrives", TABLE_NUMBER},  {"cluster_id", TABLE_TEXT},
};

/* The rows that --worker, --since and --limit ask for. */
static struct pg_result *select_rows(struct ctl *ctl, struct err *err)
{
	int64_t since_ms = 0, limit = LIST_ROWS_MAX;
	const char *since = ctl_value(ctl, "since");
	struct pg_result *result = NULL;
	if (since != NULL && !clock_parse_ms(since, &since_ms)) {
		(void)err_set(err, ERR_INVALID, "--since: a time as 2026-11-23T15:00:00Z, or a date");
		return NULL;
	}
	if (!ctl_value_i64(ctl, "limit", 1, LIST_ROWS_MAX, &limit, err))
		return NULL;
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_params *params = pg_params_new(3);
	if (pg != NULL && params != NULL) {
		pg_params_text(params, ctl_value(ctl, "worker"));
		pg_params_i64(params, since_ms);
		pg_params_i64(params, limit);
		result = pg_call(pg, "select " DEAD_LETTER_COLUMNS " from api.dead_letter_list($1, $2, $3::integer)",
				 params, err);
	} else if (params == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the list");
	}
	pg_params_free(params);
	return result;
}

bool dead_letter_list_run(struct ctl *ctl, struct err *err)
{
	struct pg_result *result = select_rows(ctl, err);
	if (result == NULL)
		return false;
	struct table *table = table_new(list_columns, ARRAY_LEN(list_columns));
	table_result(table, result);
	pg_result_free(result);
	return ctl_print(ctl, table, TABLE_LIST, err);
}

/* --- one record, where it stands --- */

struct place {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t offset;
};

struct found {
	bool (*use)(void *owner, const struct kafka_record *record, struct err *err);
	void *owner;
	bool seen;
};

static bool on_record(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct found *found = owner;
	(void)slice;
	found->seen = true;
	return found->use(found->owner, record, err);
}

/* Reads the one record and calls `use` with it. */
static bool with_record(struct ctl *ctl, struct kafka_admin *admin, const struct place *place,
			bool (*use)(void *owner, const struct kafka_record *record, struct err *err), void *owner,
			struct err *err)
{
	struct topic_slice slice = {.partition = place->partition, .begin = place->offset, .end = place->offset + 1};
	struct topic_slices slices = {.items = &slice, .count = 1};
	struct found found = {.use = use, .owner = owner};
	int64_t end;
	(void)snprintf(slice.topic, sizeof(slice.topic), "%s", place->topic);
	if (!kafka_admin_watermarks(admin, place->topic, place->partition, ASK_MS, &slice.log_start, &end, err))
		return false;
	if (place->offset < slice.log_start || place->offset >= end)
		return err_set(err, ERR_NOT_FOUND, "offset %lld is not in the log, which has %lld to %lld",
			       (long long)place->offset, (long long)slice.log_start, (long long)end - 1);
	return topic_slices_read(ctl_config(ctl), &slices, "reading", on_record, &found, err) &&
	       (found.seen ||
		err_set(err, ERR_NOT_FOUND, "there is no record at offset %lld", (long long)place->offset));
}

static bool print_one(void *owner, const struct kafka_record *record, struct err *err)
{
	struct ctl *ctl = owner;
	json_t *json = record_json(record);
	bool good = json != NULL &&
		    json_dumpf(json, ctl_out(ctl), ctl_json(ctl) ? JSON_COMPACT : JSON_INDENT(2)) == 0 &&
		    fputc('\n', ctl_out(ctl)) != EOF;
	json_decref(json);
	return good || err_set(err, ERR_IO, "the output cannot be written: %m");
}

static bool take_number(const char *text, int64_t max, int64_t *out)
{
	char *end;
	long long number = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || number < 0 || number > max)
		return false;
	*out = number;
	return true;
}

bool dead_letter_show_run(struct ctl *ctl, struct err *err)
{
	struct place place;
	int64_t partition;
	(void)snprintf(place.topic, sizeof(place.topic), "%s", ctl_argument(ctl, 0));
	if (!take_number(ctl_argument(ctl, 1), INT32_MAX, &partition) ||
	    !take_number(ctl_argument(ctl, 2), INT64_MAX - 1, &place.offset))
		return err_set(err, ERR_INVALID, "TOPIC PARTITION OFFSET, as `dead-letter list` shows them");
	place.partition = (int32_t)partition;
	struct kafka_admin *admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	bool good = admin != NULL && with_record(ctl, admin, &place, print_one, ctl, err);
	kafka_admin_free(admin);
	return good;
}

/* --- redrive --- */

struct redrive {
	struct ctl *ctl;
	struct pg *pg;
	struct kafka_admin *admin;
	struct kafka_producer *producer; /* NULL in a dry run */
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	int64_t redrives_max;
	uint64_t sent, refused;
	struct table *table;
};

/* To its own topic, with its own key, headers and id: readers that had it drop it by its id. */
static bool send_again(void *owner, const struct kafka_record *record, struct err *err)
{
	struct redrive *redrive = owner;
	const struct kafka_message message = {.topic = record->topic,
					      .partition = -1,
					      .key = record->key,
					      .value = record->value,
					      .headers = record->headers,
					      .header_count = record->header_count};
	if (record->headers_cut)
		return err_set(err, ERR_TOO_LARGE, "it has more headers than can be sent again");
	return kafka_producer_send_wait(redrive->producer, &message, SEND_MS, err);
}

/* Counts the redrive before it is sent, so that a crash in between never loops (the guard). */
static bool count_redrive(struct redrive *redrive, const char *worker, const struct place *place, struct err *err)
{
	struct pg_params *params = pg_params_new(6);
	struct pg_result *result = NULL;
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the redrive");
	pg_params_text(params, worker);
	pg_params_text(params, redrive->cluster_id);
	pg_params_text(params, place->topic);
	pg_params_i64(params, place->partition);
	pg_params_i64(params, place->offset);
	pg_params_i64(params, redrive->redrives_max);
	result = pg_call(redrive->pg, "select api.dead_letter_redriven($1, $2, $3, $4::integer, $5, $6::integer)",
			 params, err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	bool counted = pg_get_bool(result, 0, 0);
	pg_result_free(result);
	return counted || err_set(err, ERR_CONFLICT, "it was redriven %lld times already (--redrives-max)",
				  (long long)redrive->redrives_max);
}

static bool redrive_record(struct redrive *redrive, const char *worker, const char *cluster_id,
			   const struct place *place, struct err *err)
{
	if (strcmp(cluster_id, redrive->cluster_id) != 0)
		return err_set(err, ERR_CONFLICT, "it is of another Kafka cluster");
	if (redrive->producer == NULL)
		return true;
	return count_redrive(redrive, worker, place, err) &&
	       with_record(redrive->ctl, redrive->admin, place, send_again, redrive, err);
}

static void redrive_row(struct redrive *redrive, const struct pg_result *rows, int i)
{
	struct place place;
	struct err problem = {0};
	int64_t partition = 0, redrives = 0;
	const char *type = ctl_value(redrive->ctl, "type");
	if (type != NULL && strcmp(type, pg_get_text(rows, i, AT_TYPE)) != 0)
		return;
	(void)snprintf(place.topic, sizeof(place.topic), "%s", pg_get_text(rows, i, AT_TOPIC));
	bool good = pg_get_i64(rows, i, AT_PARTITION, &partition) && pg_get_i64(rows, i, AT_OFFSET, &place.offset) &&
		    pg_get_i64(rows, i, AT_REDRIVES, &redrives);
	place.partition = (int32_t)partition;
	if (redrives > 0 && !ctl_switch(redrive->ctl, "again"))
		return;
	good = good && redrive_record(redrive, pg_get_text(rows, i, AT_WORKER), pg_get_text(rows, i, AT_CLUSTER),
				      &place, &problem);
	redrive->sent += good;
	redrive->refused += !good;
	table_text(redrive->table, pg_get_text(rows, i, AT_WORKER));
	table_text(redrive->table, place.topic);
	table_i64(redrive->table, partition);
	table_i64(redrive->table, place.offset);
	table_text(redrive->table, !good ? problem.text : redrive->producer == NULL ? "would be sent" : "sent");
}

static struct kafka_producer *open_producer(struct ctl *ctl, const struct pg_result *rows, struct err *err)
{
	const char *const topics[] = {pg_get_text(rows, 0, AT_TOPIC), NULL};
	return kafka_producer_new(&(struct kafka_producer_options){.config = ctl_config(ctl),
								   .client_id = "watchpostctl",
								   .topics = topics,
								   .waiting_max = 16,
								   .delivery_timeout_ms = SEND_MS},
				  err);
}

static bool redrive_rows(struct redrive *redrive, const struct pg_result *rows, struct err *err)
{
	static const struct table_column columns[] = {{"worker", TABLE_TEXT},
						      {"topic", TABLE_TEXT},
						      {"partition", TABLE_NUMBER},
						      {"record_offset", TABLE_NUMBER},
						      {"outcome", TABLE_TEXT}};
	struct progress progress;
	redrive->table = table_new(columns, ARRAY_LEN(columns));
	progress_begin(&progress, "redriving");
	for (int i = 0; i < pg_rows(rows); i++) {
		redrive_row(redrive, rows, i);
		progress_update(&progress, (uint64_t)i + 1, (uint64_t)pg_rows(rows));
	}
	progress_end(&progress);
	if (!ctl_print(redrive->ctl, redrive->table, TABLE_LIST, err))
		return false;
	return redrive->refused == 0 ||
	       err_set(err, ERR_CONFLICT, "%llu of %llu were not sent", (unsigned long long)redrive->refused,
		       (unsigned long long)(redrive->refused + redrive->sent));
}

bool dead_letter_redrive_run(struct ctl *ctl, struct err *err)
{
	struct redrive redrive = {.ctl = ctl, .redrives_max = REDRIVES_MAX_DEFAULT};
	bool dry_run = ctl_switch(ctl, "dry-run");
	if (!ctl_value_i64(ctl, "redrives-max", 1, 100, &redrive.redrives_max, err))
		return false;
	struct pg_result *rows = select_rows(ctl, err);
	if (rows == NULL)
		return false;
	redrive.pg = ctl_pg(ctl, err);
	redrive.admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	bool good = redrive.pg != NULL && redrive.admin != NULL &&
		    kafka_admin_cluster_id(redrive.admin, ASK_MS, redrive.cluster_id, err);
	if (good && !dry_run && pg_rows(rows) > 0) {
		redrive.producer = open_producer(ctl, rows, err);
		good = redrive.producer != NULL;
	}
	good = good && redrive_rows(&redrive, rows, err);
	/* Every send was waited for: nothing can come back. */
	(void)kafka_producer_close(redrive.producer, 0);
	kafka_admin_free(redrive.admin);
	pg_result_free(rows);
	return good;
}
