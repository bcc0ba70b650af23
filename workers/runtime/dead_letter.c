/*
 * What a worker sets aside (C6): the record as it was, with its value, key and headers, in the topic dead-letter, and a
 * row in wp.dead_letters. Headers of ours come first, so that a reader with a bound on headers sees them:
 *
 *   dl_topic dl_partition dl_offset dl_timestamp_ms   where the original stands, and its time
 *   dl_reason dl_class                                why; "decode" or the SQLSTATE class
 *   dl_attempts dl_failed_at dl_worker                tries, RFC 3339, name/version of the worker
 *
 * A record that does not fit into one message together with these goes without key, value and headers of its own, and
 * `dl_cut` says so: it must not stop its partition, and stays to be read where it is. `dl_redrives` is no header of
 * ours: `watchpostctl dead-letter redrive` puts it on what it sends again, and counts by it (its loop guard).
 *
 * The value may be kept: topics are secret-free by construction (promise 4).
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "workers/runtime/internal.h"

enum { OWN_HEADERS = 9, DELIVERY_TIMEOUT_MS = 10000, WAITING_MAX = 16 };

/* Text forms of the headers' values; lives until the message was sent. */
struct labels {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	char partition[16], offset[24], timestamp[24], attempts[16], failed_at[CLOCK_TEXT_BYTES], worker[96];
	struct event_header headers[OWN_HEADERS + EVENT_HEADERS_MAX];
	size_t count;
};

static void label(struct labels *labels, const char *name, const char *value)
{
	assert(labels->count < OWN_HEADERS);
	labels->headers[labels->count++] = (struct event_header){name, bytes_of(value)};
}

static void labels_fill(const struct worker *worker, const struct kafka_record *record,
			const struct dead_letter_cause *cause, struct labels *labels)
{
	(void)snprintf(labels->partition, sizeof(labels->partition), "%" PRId32, record->partition);
	(void)snprintf(labels->offset, sizeof(labels->offset), "%" PRId64, record->offset);
	(void)snprintf(labels->timestamp, sizeof(labels->timestamp), "%" PRId64, record->timestamp_ms);
	(void)snprintf(labels->attempts, sizeof(labels->attempts), "%u", cause->attempts);
	(void)snprintf(labels->worker, sizeof(labels->worker), "%s/%s", worker->spec->name, WATCHPOST_VERSION);
	clock_format_ms(clock_wall_ms(worker->clock), labels->failed_at);
	event_topic_name(EVENT_TOPIC_DEAD_LETTER, worker->config->environment, labels->topic);
	labels->count = 0;
	label(labels, "dl_topic", record->topic);
	label(labels, "dl_partition", labels->partition);
	label(labels, "dl_offset", labels->offset);
	label(labels, "dl_timestamp_ms", labels->timestamp);
	label(labels, "dl_reason", cause->reason);
	label(labels, "dl_class", cause->error_class);
	label(labels, "dl_attempts", labels->attempts);
	label(labels, "dl_failed_at", labels->failed_at);
	label(labels, "dl_worker", labels->worker);
	assert(labels->count == OWN_HEADERS);
	for (size_t i = 0; i < record->header_count; i++)
		labels->headers[labels->count++] = record->headers[i];
}

static bool producer_ready(struct worker *worker, struct err *err)
{
	if (worker->producer != NULL)
		return true;
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	event_topic_name(EVENT_TOPIC_DEAD_LETTER, worker->config->environment, topic);
	const char *const topics[] = {topic, NULL};
	const struct kafka_producer_options options = {.config = worker->boot_config,
						       .client_id = worker->client_id,
						       .topics = topics,
						       .waiting_max = WAITING_MAX,
						       .delivery_timeout_ms = DELIVERY_TIMEOUT_MS};
	worker->producer = kafka_producer_new(&options, err);
	return worker->producer != NULL;
}

static bool send(struct worker *worker, const struct labels *labels, struct bytes key, struct bytes value,
		 struct err *err)
{
	const struct kafka_message message = {.topic = labels->topic,
					      .partition = -1,
					      .key = key,
					      .value = value,
					      .headers = labels->headers,
					      .header_count = labels->count};
	return kafka_producer_send_wait(worker->producer, &message, DELIVERY_TIMEOUT_MS, err);
}

/* Whatever keeps Kafka from confirming is no fault of the item: it is tried again. */
static bool publish(struct worker *worker, const struct kafka_record *record, const struct dead_letter_cause *cause,
		    struct err *err)
{
	struct labels labels;
	labels_fill(worker, record, cause, &labels);
	if (producer_ready(worker, err)) {
		if (send(worker, &labels, record->key, record->value, err))
			return true;
		if (err->code == ERR_TOO_LARGE || err->code == ERR_INVALID) {
			labels.headers[OWN_HEADERS] = (struct event_header){"dl_cut", bytes_of("1")};
			labels.count = OWN_HEADERS + 1;
			if (send(worker, &labels, bytes_of(NULL), bytes_of(NULL), err))
				return true;
		}
	}
	err->code = ERR_UNAVAILABLE;
	return err_context(err, "while publishing a dead letter");
}

static bool row_write(struct worker *worker, const struct worker_batch *batch, const struct dead_letter_cause *cause,
		      struct err *err)
{
	const struct worker_item *item = &batch->items[0];
	pg_params_clear(worker->params);
	pg_params_text(worker->params, worker->spec->name);
	pg_params_text(worker->params, worker->cluster_id);
	pg_params_text(worker->params, batch->topic);
	pg_params_i64(worker->params, batch->partition);
	pg_params_i64(worker->params, item->record->offset);
	if (item->undecodable) {
		pg_params_null(worker->params);
		pg_params_null(worker->params);
	} else {
		pg_params_text_view(worker->params, item->head.id);
		pg_params_text_view(worker->params, item->head.type);
	}
	pg_params_text(worker->params, cause->reason);
	pg_params_text(worker->params, cause->error_class);
	pg_params_i64(worker->params, cause->attempts);
	return pg_run(
		worker->pg,
		"select api.worker_dead_letter($1, $2, $3, $4::integer, $5, $6::text, $7::text, $8, $9, $10::integer)",
		worker->params, err);
}

enum batch_result dead_letter(struct worker *worker, struct worker_partition *partition, struct worker_batch *batch,
			      const struct dead_letter_cause *cause, struct err *err)
{
	assert(batch->count == 1);
	const struct worker_item *item = &batch->items[0];
	if (!publish(worker, item->record, cause, err))
		return BATCH_AWAY;
	enum batch_result result = batch_open(worker, partition, batch, err);
	if (result == BATCH_DONE) {
		bool written = row_write(worker, batch, cause, err);
		result = batch_close(worker, partition, batch, written, err);
	}
	if (result == BATCH_DONE) {
		status_dead_letter(worker->status, cause->error_class);
		LOG(ERROR, "dead_letter", F_TEXT("topic", batch->topic), F_I64("partition", batch->partition),
		    F_I64("offset", item->record->offset), F_TEXT("class", cause->error_class),
		    F_TEXT("error", cause->reason));
	}
	/* A row of ours that does not fit is our fault, not the item's. */
	return result == BATCH_BY_ITEM ? BATCH_FATAL : result;
}
