/*
 * `dead-letter redrive`: sends records that were set aside to their own topic again, with their own key, headers and
 * id; readers that had them drop them by the id.
 *
 * The loop guard: a record that fails again is set aside again, at its new place and with a row of its own. So each
 * carries in the header REDRIVES_HEADER how often it was redriven before, and what its row counts comes on top.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/kafka_producer.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/dead_letter.h"
#include "ops/ctl/progress.h"
#include "ops/ctl/topic_reader.h"

enum { ASK_MS = 10000, SEND_MS = 10000, SEND_WAITING_MAX = 16, REDRIVES_MAX_DEFAULT = 3, REDRIVES_MAX_MOST = 100 };

static const char REDRIVES_HEADER[] = "dl_redrives";

struct redrive {
	struct ctl *ctl;
	struct pg *pg;
	struct kafka_admin *admin;
	struct topic_reader *reader;
	struct kafka_producer *producer; /* NULL in a dry run, and when there is nothing to send */
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	int64_t redrives_max, limit;
	uint64_t done, failed;
	uint64_t other_cluster, again; /* passed over: of another cluster; redriven before, without --again */
	struct table *table;
};

/* One row of Postgres. */
struct letter {
	struct redrive *redrive;
	const char *worker;
	struct topic_place place;
	int64_t redrives;
};

/* --- one record: read, checked, counted, sent --- */

/* Counts before it is sent: should this program end in between, a redrive too many is counted, never one too few. */
static bool count_redrive(const struct letter *letter, struct err *err)
{
	struct redrive *redrive = letter->redrive;
	struct pg_params *params = pg_params_new(6);
	struct pg_result *result;
	bool counted;

	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the redrive");
	pg_params_text(params, letter->worker);
	pg_params_text(params, redrive->cluster_id);
	pg_params_text(params, letter->place.topic);
	pg_params_i64(params, letter->place.partition);
	pg_params_i64(params, letter->place.offset);
	pg_params_i64(params, redrive->redrives_max);
	result = pg_call(redrive->pg, "select api.dead_letter_redriven($1, $2, $3, $4::integer, $5, $6::integer)",
			 params, err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	counted = pg_get_bool(result, 0, 0);
	pg_result_free(result);
	return counted || err_set(err, ERR_CONFLICT, "somebody else redrives it at this moment");
}

/* How often what became this record was redriven; a header of another form counts as too often. */
static int64_t redrives_before(const struct kafka_record *record)
{
	int64_t number = 0;

	for (size_t i = 0; i < record->header_count; i++) {
		struct bytes text = record->headers[i].value;

		if (strcmp(record->headers[i].name, REDRIVES_HEADER) != 0)
			continue;
		number = text.len == 0 || text.len > 3 ? REDRIVES_MAX_MOST : 0;
		for (size_t at = 0; number < REDRIVES_MAX_MOST && at < text.len; at++)
			number = text.data[at] >= '0' && text.data[at] <= '9' ? number * 10 + (text.data[at] - '0')
									      : REDRIVES_MAX_MOST;
	}
	return number;
}

/* The record's headers with the count in place of the one before. False: there is no room. */
static bool lay_out_headers(const struct kafka_record *record, const char *count,
			    struct event_header out[EVENT_HEADERS_MAX], size_t *used)
{
	*used = 0;
	for (size_t i = 0; i < record->header_count; i++)
		if (strcmp(record->headers[i].name, REDRIVES_HEADER) != 0)
			out[(*used)++] = record->headers[i];
	if (record->headers_cut || *used == EVENT_HEADERS_MAX)
		return false;
	out[(*used)++] = (struct event_header){.name = REDRIVES_HEADER, .value = bytes_of(count)};
	return true;
}

static bool send_again(void *owner, const struct kafka_record *record, struct err *err)
{
	struct letter *letter = owner;
	struct event_header headers[EVENT_HEADERS_MAX];
	struct kafka_message message = {.topic = record->topic,
					.partition = -1, /* by the key, as the first time */
					.key = record->key,
					.value = record->value,
					.headers = headers};
	int64_t redrives = redrives_before(record) + letter->redrives;
	char count[sizeof("-9223372036854775808")];

	if (redrives >= letter->redrive->redrives_max)
		return err_set(err, ERR_CONFLICT, "it was redriven %" PRId64 " times already (--redrives-max)",
			       redrives);
	(void)snprintf(count, sizeof(count), "%" PRId64, redrives + 1);
	if (!record->has_value)
		return err_set(err, ERR_INVALID, "it has no value: there is nothing to send again");
	if (!lay_out_headers(record, count, headers, &message.header_count))
		return err_set(err, ERR_TOO_LARGE, "it has more headers than can be sent again");
	if (letter->redrive->producer == NULL)
		return true;
	return count_redrive(letter, err) &&
	       kafka_producer_send_wait(letter->redrive->producer, &message, SEND_MS, err);
}

/* --- which of them --- */

/* The row, when it is one to be sent; false, counted, when not. */
static bool take_letter(struct redrive *redrive, const struct pg_result *rows, int i, struct letter *out)
{
	const char *type = ctl_value(redrive->ctl, "type");
	int64_t partition;

	*out = (struct letter){.redrive = redrive, .worker = pg_get_text(rows, i, DEAD_LETTER_WORKER)};
	(void)snprintf(out->place.topic, sizeof(out->place.topic), "%s", pg_get_text(rows, i, DEAD_LETTER_TOPIC));
	if (type != NULL && strcmp(type, pg_get_text(rows, i, DEAD_LETTER_TYPE)) != 0)
		return false;
	if (strcmp(redrive->cluster_id, pg_get_text(rows, i, DEAD_LETTER_CLUSTER)) != 0) {
		redrive->other_cluster++;
		return false;
	}
	if (!pg_get_i64(rows, i, DEAD_LETTER_PARTITION, &partition) ||
	    !pg_get_i64(rows, i, DEAD_LETTER_OFFSET, &out->place.offset) ||
	    !pg_get_i64(rows, i, DEAD_LETTER_REDRIVES, &out->redrives))
		return false; /* the columns are integers and not null */
	out->place.partition = (int32_t)partition;
	if (out->redrives > 0 && !ctl_switch(redrive->ctl, "again")) {
		redrive->again++;
		return false;
	}
	return true;
}

static void add_row(struct redrive *redrive, const struct letter *letter, const char *outcome)
{
	table_text(redrive->table, letter->worker);
	table_text(redrive->table, letter->place.topic);
	table_i64(redrive->table, letter->place.partition);
	table_i64(redrive->table, letter->place.offset);
	table_text(redrive->table, outcome);
}

/* False when the other side is away: the rest would wait for it as long, each in turn. */
static bool redrive_letter(struct redrive *redrive, struct letter *letter, struct err *err)
{
	struct err problem = {0};

	if (topic_reader_one(redrive->reader, redrive->admin, &letter->place, send_again, letter, &problem)) {
		redrive->done++;
		add_row(redrive, letter, redrive->producer == NULL ? "would be sent" : "sent");
		return true;
	}
	redrive->failed++;
	add_row(redrive, letter, problem.text);
	if (problem.code != ERR_UNAVAILABLE && problem.code != ERR_TIMEOUT && problem.code != ERR_FULL)
		return true;
	*err = problem;
	return err_context(err, "stopped at %s partition %d offset %lld", letter->place.topic,
			   (int)letter->place.partition, (long long)letter->place.offset);
}

static bool redrive_rows(struct redrive *redrive, const struct pg_result *rows, struct err *err)
{
	struct progress progress;
	bool good = true;

	progress_begin(&progress, "redriving");
	for (int i = 0; good && i < pg_rows(rows); i++) {
		struct letter letter;

		if ((int64_t)(redrive->done + redrive->failed) == redrive->limit)
			break;
		if (take_letter(redrive, rows, i, &letter))
			good = redrive_letter(redrive, &letter, err);
		progress_update(&progress, (uint64_t)i + 1, (uint64_t)pg_rows(rows));
	}
	progress_end(&progress);
	return good;
}

static void remark(const struct redrive *redrive, const struct pg_result *rows)
{
	if (redrive->again > 0)
		ctl_note(redrive->ctl, "%" PRIu64 " were redriven before; --again sends them once more",
			 redrive->again);
	if (redrive->other_cluster > 0)
		ctl_note(redrive->ctl, "%" PRIu64 " are of another Kafka cluster and cannot be sent",
			 redrive->other_cluster);
	if (pg_rows(rows) == DEAD_LETTER_ROWS_MAX)
		ctl_note(redrive->ctl, "only the first %d were looked at; --since a later time reaches the next",
			 DEAD_LETTER_ROWS_MAX);
}

/* --- opening --- */

/* Every topic that may be sent to: the producer refuses others. None: nothing is of this cluster. */
static bool list_topics(const struct redrive *redrive, const struct pg_result *rows,
			const char *topics[KAFKA_PRODUCER_TOPICS_MAX + 1], struct err *err)
{
	size_t count = 0;

	for (int i = 0; i < pg_rows(rows); i++) {
		const char *topic = pg_get_text(rows, i, DEAD_LETTER_TOPIC);
		bool known = strcmp(redrive->cluster_id, pg_get_text(rows, i, DEAD_LETTER_CLUSTER)) != 0;

		for (size_t t = 0; !known && t < count; t++)
			known = strcmp(topics[t], topic) == 0;
		if (known)
			continue;
		if (count == KAFKA_PRODUCER_TOPICS_MAX)
			return err_set(err, ERR_TOO_LARGE, "over %d topics at once; use --worker or --since",
				       KAFKA_PRODUCER_TOPICS_MAX);
		topics[count++] = topic;
	}
	topics[count] = NULL;
	return true;
}

static bool open_producer(struct redrive *redrive, const struct pg_result *rows, struct err *err)
{
	const char *topics[KAFKA_PRODUCER_TOPICS_MAX + 1];

	if (!list_topics(redrive, rows, topics, err))
		return false;
	if (topics[0] == NULL)
		return true;
	redrive->producer = kafka_producer_new(&(struct kafka_producer_options){.config = ctl_config(redrive->ctl),
										.client_id = "watchpostctl",
										.topics = topics,
										.waiting_max = SEND_WAITING_MAX,
										.delivery_timeout_ms = SEND_MS},
					       err);
	return redrive->producer != NULL;
}

static bool open_all(struct redrive *redrive, const struct pg_result *rows, struct err *err)
{
	redrive->pg = ctl_pg(redrive->ctl, err);
	if (redrive->pg == NULL)
		return false;
	redrive->admin = kafka_admin_new(ctl_config(redrive->ctl), "watchpostctl", err);
	if (redrive->admin == NULL || !kafka_admin_cluster_id(redrive->admin, ASK_MS, redrive->cluster_id, err))
		return false;
	redrive->reader = topic_reader_new(ctl_config(redrive->ctl), err);
	if (redrive->reader == NULL)
		return false;
	return ctl_switch(redrive->ctl, "dry-run") || open_producer(redrive, rows, err);
}

/* The rows are shown whatever happened: some may have been sent. */
static bool run(struct redrive *redrive, const struct pg_result *rows, struct err *err)
{
	static const struct table_column columns[] = {{"worker", TABLE_TEXT},
						      {"topic", TABLE_TEXT},
						      {"partition", TABLE_NUMBER},
						      {"record_offset", TABLE_NUMBER},
						      {"outcome", TABLE_TEXT}};
	struct err problem = {0};
	bool good;

	redrive->table = table_new(columns, ARRAY_LEN(columns));
	if (redrive->table == NULL)
		return err_set(err, ERR_FULL, "no memory for the table");
	good = redrive_rows(redrive, rows, &problem);
	if (!ctl_print(redrive->ctl, redrive->table, TABLE_LIST, err))
		return false;
	remark(redrive, rows);
	if (!good) {
		*err = problem;
		return false;
	}
	return redrive->failed == 0 || err_set(err, ERR_CONFLICT, "%" PRIu64 " of %" PRIu64 " %s", redrive->failed,
					       redrive->failed + redrive->done,
					       redrive->producer == NULL ? "would not be sent" : "were not sent");
}

bool dead_letter_redrive_run(struct ctl *ctl, struct err *err)
{
	struct redrive redrive = {.ctl = ctl, .redrives_max = REDRIVES_MAX_DEFAULT, .limit = DEAD_LETTER_ROWS_MAX};
	struct pg_result *rows;
	bool good;

	if (!ctl_value_i64(ctl, "redrives-max", 1, REDRIVES_MAX_MOST, &redrive.redrives_max, err) ||
	    !ctl_value_i64(ctl, "limit", 1, DEAD_LETTER_ROWS_MAX, &redrive.limit, err))
		return false;
	rows = dead_letter_rows(ctl, DEAD_LETTER_ROWS_MAX, err);
	if (rows == NULL)
		return false;
	good = open_all(&redrive, rows, err) && run(&redrive, rows, err);
	/* Every send was waited for: what was left behind by a time-out is freed with the producer. */
	(void)kafka_producer_close(redrive.producer, 0);
	topic_reader_free(redrive.reader);
	kafka_admin_free(redrive.admin);
	pg_result_free(rows);
	return good;
}
