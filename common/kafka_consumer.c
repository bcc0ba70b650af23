/* The consumer: librdkafka polled message by message, with offsets from its owner and a close that ends in time. */
#include "common/kafka_consumer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/kafka_assignment.h"
#include "common/kafka_commit.h"
#include "common/kafka_internal.h"
#include "common/log.h"

enum {
	WATERMARKS_MS = 2000, /* polling goes on afterwards, asked or not */
	SEEK_MS = 5000,
	SEEK_PAUSE_MS = 10,
	CLOSE_STEP_MS = 50,
	DESTROY_MS_MIN = 200 /* even when leaving the group took all the time that there was */
};

struct kafka_consumer {
	rd_kafka_t *rk;
	struct kafka_consumer_events events;
	bool grouped;

	struct kafka_assignment assignment;
	bool ask_again; /* on_assign could not say yet where to begin */
	struct kafka_commits commits;

	rd_kafka_message_t *held[BATCH_ITEMS_MAX];
	size_t held_count;

	bool broken; /* with the reason in `failure` */
	struct err failure;
};

/* --- partitions ------------------------------------------------------------------------------------ */

static void fail(struct kafka_consumer *consumer, enum err_code code, const char *text)
{
	if (consumer->broken)
		return;
	consumer->broken = true;
	(void)err_set(&consumer->failure, code, "%s", text);
}

static rd_kafka_topic_partition_list_t *make_list(const struct kafka_partition *partitions, size_t count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);

	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, partitions[i].topic, partitions[i].partition)->offset =
			partitions[i].offset;
	return list;
}

/* Tells librdkafka what to read: what is assigned, or nothing at all. There a partition that was paused stays paused
 * when it is assigned again. */
static bool assign_list(struct kafka_consumer *consumer, size_t count, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = make_list(consumer->assignment.items, count);
	rd_kafka_resp_err_t code = rd_kafka_assign(consumer->rk, list);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count > 0)
		code = rd_kafka_resume_partitions(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while taking over %zu partitions", count);
	return true;
}

/* --- rebalance ------------------------------------------------------------------------------------- */

static void drop_held(struct kafka_consumer *consumer)
{
	while (consumer->held_count > 0)
		rd_kafka_message_destroy(consumer->held[--consumer->held_count]);
}

/* C1: asks the owner where to start. Until it can say, nothing is read and it is asked again. */
static void begin(struct kafka_consumer *consumer)
{
	struct err err;
	bool ready = consumer->events.on_assign(consumer->events.owner, consumer->assignment.items,
						consumer->assignment.count);

	consumer->ask_again = !ready;
	if (!assign_list(consumer, ready ? consumer->assignment.count : 0, &err))
		fail(consumer, err.code, err.text);
	/* Whoever had them before may have died between its batch and its commit, and there may be no other batch. */
	for (size_t i = 0; ready && i < consumer->assignment.count; i++)
		if (consumer->assignment.items[i].offset >= 0)
			kafka_commits_note(&consumer->assignment, &consumer->assignment.items[i]);
}

static void take_over(struct kafka_consumer *consumer, const rd_kafka_topic_partition_list_t *partitions)
{
	kafka_assignment_clear(&consumer->assignment);
	for (int i = 0; i < partitions->cnt; i++) {
		const rd_kafka_topic_partition_t *given = &partitions->elems[i];

		if (kafka_assignment_add(&consumer->assignment, given->topic, given->partition, KAFKA_OFFSET_BEGINNING))
			continue;
		fail(consumer, ERR_TOO_LARGE, "more topics or partitions were assigned than this process takes");
		kafka_assignment_clear(&consumer->assignment);
		(void)rd_kafka_assign(consumer->rk, NULL);
		return;
	}
	LOG(INFO, "kafka_assigned", F_U64("partitions", consumer->assignment.count));
	begin(consumer);
}

/* What was read of them and not given out yet is dropped: the next owner reads it again (C1). */
static void hand_over(struct kafka_consumer *consumer)
{
	if (consumer->assignment.count > 0 && !consumer->ask_again)
		consumer->events.on_revoke(consumer->events.owner, consumer->assignment.items,
					   consumer->assignment.count);
	LOG(INFO, "kafka_revoked", F_U64("partitions", consumer->assignment.count));
	drop_held(consumer);
	kafka_assignment_clear(&consumer->assignment);
	consumer->ask_again = false;
}

/* The "range" assignor is eager: all partitions go, then all come. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
			 void *opaque)
{
	struct kafka_consumer *consumer = opaque;

	assert(rk == consumer->rk && consumer->grouped);
	if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
		take_over(consumer, partitions);
		return;
	}
	if (code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
		LOG(WARN, "kafka_rebalance_failed", F_TEXT("reason", rd_kafka_err2name(code)));
	hand_over(consumer);
	(void)rd_kafka_assign(rk, NULL);
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *offsets, void *opaque)
{
	struct kafka_consumer *consumer = opaque;

	(void)rk;
	kafka_commits_done(&consumer->commits, &consumer->assignment, offsets, code);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR__NO_OFFSET)
		LOG(WARN, "kafka_commit_failed", F_TEXT("reason", rd_kafka_err2name(code)));
}

/* --- making ---------------------------------------------------------------------------------------- */

static bool set_group(rd_kafka_conf_t *conf, const struct kafka_consumer_options *options, struct err *err)
{
	/* The library's consumer wants a name even when no group is ever joined. */
	const struct kafka_property group = {
		"group.id",
		options->group != NULL ? options->group : "watchpost.no-group",
	};
	const struct kafka_property instance = {"group.instance.id", options->group_instance};

	if (!kafka_conf_set(conf, &group, 1, err))
		return false;
	return options->group_instance == NULL || kafka_conf_set(conf, &instance, 1, err);
}

static rd_kafka_conf_t *make_conf(const struct kafka_consumer_options *options, void *consumer, struct err *err)
{
	static const struct kafka_property properties[] = {
		{"enable.auto.commit", "false"},
		{"enable.auto.offset.store", "false"},
		{"auto.offset.reset", "error"},
		/* Eager, which side-steps the cooperative bugs of 2.0.2. */
		{"partition.assignment.strategy", "range"},
		{"session.timeout.ms", "10000"},
		{"heartbeat.interval.ms", "2000"},
		{"fetch.error.backoff.ms", "100"},
		/* A topic that was not there at the start is found in 5 s, not in the library's 5 minutes. */
		{"topic.metadata.refresh.interval.ms", "5000"},
	};
	const struct kafka_property end = {"enable.partition.eof", options->events.on_end != NULL ? "true" : "false"};
	rd_kafka_conf_t *conf = kafka_conf_new(options->config, options->client_id, err);

	if (conf == NULL)
		return NULL;
	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
	if (kafka_conf_set(conf, properties, ARRAY_LEN(properties), err) && kafka_conf_set(conf, &end, 1, err) &&
	    kafka_conf_set_number(conf, "queued.max.messages.kbytes", KAFKA_PREFETCH_KBYTES_MAX, err) &&
	    set_group(conf, options, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static void free_consumer(struct kafka_consumer *consumer)
{
	kafka_assignment_free(&consumer->assignment);
	free(consumer);
}

struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_options *options, struct err *err)
{
	struct kafka_consumer *consumer = calloc(1, sizeof(*consumer));
	rd_kafka_conf_t *conf;

	assert(options->group == NULL || (options->events.on_assign != NULL && options->events.on_revoke != NULL));
	if (consumer == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a Kafka consumer");
		return NULL;
	}
	consumer->events = options->events;
	consumer->grouped = options->group != NULL;
	conf = make_conf(options, consumer, err);
	if (conf == NULL)
		goto fail;
	consumer->rk = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
	if (consumer->rk == NULL)
		goto fail;
	if (rd_kafka_poll_set_consumer(consumer->rk) != RD_KAFKA_RESP_ERR_NO_ERROR)
		assert(!"a consumer with a group id has a consumer queue");
	return consumer;

fail:
	free_consumer(consumer);
	return NULL;
}

bool kafka_consumer_subscribe(struct kafka_consumer *consumer, const char *const *topics, size_t count, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
	rd_kafka_resp_err_t code;

	assert(consumer->grouped && count > 0);
	for (size_t i = 0; i < count; i++)
		(void)rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
	code = rd_kafka_subscribe(consumer->rk, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while subscribing to %zu topics", count);
	return true;
}

bool kafka_consumer_assign(struct kafka_consumer *consumer, const struct kafka_partition *partitions, size_t count,
			   struct err *err)
{
	assert(!consumer->grouped && consumer->held_count == 0);
	kafka_assignment_clear(&consumer->assignment);
	for (size_t i = 0; i < count; i++) {
		if (!kafka_assignment_add(&consumer->assignment, partitions[i].topic, partitions[i].partition,
					  partitions[i].offset))
			return err_set(err, ERR_TOO_LARGE, "%zu partitions are more than this process reads", count);
	}
	return assign_list(consumer, count, err);
}

/* --- reading --------------------------------------------------------------------------------------- */

static void ask_watermarks(struct kafka_consumer *consumer, const struct kafka_partition *at, int64_t *low,
			   int64_t *high)
{
	struct err err;

	*low = -1;
	*high = -1;
	if (!kafka_query_offset(consumer->rk, at->topic, at->partition, KAFKA_OFFSET_BEGINNING, WATERMARKS_MS, low,
				&err) ||
	    !kafka_query_offset(consumer->rk, at->topic, at->partition, KAFKA_OFFSET_END, WATERMARKS_MS, high, &err))
		LOG(WARN, "kafka_watermarks_unknown", F_TEXT("topic", at->topic), F_I64("partition", at->partition),
		    F_ERR(&err));
}

/* C8: the partition stands still; its owner learns what the log has instead. */
static void out_of_range(struct kafka_consumer *consumer, const rd_kafka_message_t *message)
{
	struct kafka_partition at;
	int64_t low, high;
	size_t i;

	if (!kafka_assignment_find(&consumer->assignment, rd_kafka_topic_name(message->rkt), message->partition, &i))
		return;
	consumer->assignment.state[i].stopped = true;
	at = consumer->assignment.items[i];
	if (message->offset >= 0)
		at.offset = message->offset;
	ask_watermarks(consumer, &at, &low, &high);
	LOG(ERROR, "kafka_out_of_range", F_TEXT("topic", at.topic), F_I64("partition", at.partition),
	    F_I64("offset", at.offset), F_I64("low", low), F_I64("high", high));
	if (consumer->events.on_out_of_range != NULL)
		consumer->events.on_out_of_range(consumer->events.owner, &at, low, high);
}

static void reached_end(struct kafka_consumer *consumer, const rd_kafka_message_t *message)
{
	struct kafka_partition at;
	size_t i;

	if (consumer->events.on_end == NULL ||
	    !kafka_assignment_find(&consumer->assignment, rd_kafka_topic_name(message->rkt), message->partition, &i))
		return;
	at = consumer->assignment.items[i];
	at.offset = message->offset;
	consumer->events.on_end(consumer->events.owner, &at);
}

static void take_error(struct kafka_consumer *consumer, const rd_kafka_message_t *message)
{
	char text[ERR_TEXT_BYTES_MAX];

	switch (message->err) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		out_of_range(consumer, message);
		return;
	case RD_KAFKA_RESP_ERR__PARTITION_EOF:
		reached_end(consumer, message);
		return;
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		return; /* the library's own lines say what happens to connections */
	default:
		break;
	}
	if (rd_kafka_fatal_error(consumer->rk, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail(consumer, ERR_CONFLICT, text);
	LOG(WARN, "kafka_consumer_error", F_TEXT("reason", rd_kafka_err2name(message->err)),
	    F_TEXT("error", rd_kafka_message_errstr(message)));
}

static void take_headers(const rd_kafka_message_t *message, struct kafka_record *record)
{
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size;

	record->header_count = 0;
	record->headers_cut = false;
	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
	     i++) {
		if (i == EVENT_HEADERS_MAX) {
			record->headers_cut = true;
			return;
		}
		record->headers[i].name = name;
		record->headers[i].value = bytes_make(value, value != NULL ? size : 0);
		record->header_count++;
	}
}

static void fill_record(const rd_kafka_message_t *message, struct kafka_record *record)
{
	record->topic = rd_kafka_topic_name(message->rkt);
	record->partition = message->partition;
	record->offset = message->offset;
	record->timestamp_ms = rd_kafka_message_timestamp(message, NULL);
	record->has_key = message->key != NULL;
	record->key = bytes_make(message->key, message->key != NULL ? message->key_len : 0);
	record->has_value = message->payload != NULL;
	record->value = bytes_make(message->payload, message->payload != NULL ? message->len : 0);
	take_headers(message, record);
}

static void passed(struct kafka_consumer *consumer, const struct kafka_record *record)
{
	size_t i;

	if (kafka_assignment_find(&consumer->assignment, record->topic, record->partition, &i))
		consumer->assignment.items[i].offset = record->offset + 1;
}

/* Gathers messages one by one (batches of 2.0.2 skip offsets). A rebalance within empties what was gathered. */
static void gather(struct kafka_consumer *consumer, int timeout_ms, size_t max)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;

	while (consumer->held_count < max && !consumer->broken) {
		int wait_ms = consumer->held_count == 0 ? kafka_remaining_ms(deadline_ms) : 0;
		rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->rk, wait_ms);

		if (message == NULL)
			return;
		if (LIKELY(message->err == RD_KAFKA_RESP_ERR_NO_ERROR)) {
			consumer->held[consumer->held_count++] = message;
			continue;
		}
		take_error(consumer, message);
		rd_kafka_message_destroy(message);
	}
}

static void send_commits(struct kafka_consumer *consumer, bool last)
{
	rd_kafka_topic_partition_list_t *list =
		kafka_commits_take(&consumer->commits, &consumer->assignment, kafka_now_ms(), last);
	rd_kafka_resp_err_t code;

	if (list == NULL)
		return;
	code = rd_kafka_commit(consumer->rk, list, 1);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
		kafka_commits_done(&consumer->commits, &consumer->assignment, list, code);
		LOG(WARN, "kafka_commit_failed", F_TEXT("reason", rd_kafka_err2name(code)));
	}
	rd_kafka_topic_partition_list_destroy(list);
}

bool kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms, struct kafka_record *records, size_t max,
			 size_t *count, struct err *err)
{
	assert(consumer->held_count == 0 && max > 0);
	*count = 0;
	if (consumer->ask_again)
		begin(consumer);
	if (consumer->grouped)
		send_commits(consumer, false);
	gather(consumer, timeout_ms, max < BATCH_ITEMS_MAX ? max : BATCH_ITEMS_MAX);
	if (consumer->broken) {
		drop_held(consumer);
		*err = consumer->failure;
		return false;
	}
	for (size_t i = 0; i < consumer->held_count; i++) {
		fill_record(consumer->held[i], &records[i]);
		passed(consumer, &records[i]);
	}
	*count = consumer->held_count;
	return true;
}

void kafka_records_release(struct kafka_consumer *consumer)
{
	drop_held(consumer);
}

/* --- moving ---------------------------------------------------------------------------------------- */

static bool pause_one(struct kafka_consumer *consumer, const struct kafka_partition *partition, bool paused,
		      struct err *err)
{
	rd_kafka_topic_partition_list_t *list = make_list(partition, 1);
	rd_kafka_resp_err_t code =
		paused ? rd_kafka_pause_partitions(consumer->rk, list) : rd_kafka_resume_partitions(consumer->rk, list);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = list->elems[0].err;
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while %s %s [%" PRId32 "]", paused ? "pausing" : "resuming",
				     partition->topic, partition->partition);
	return true;
}

/* A partition that was out of range has no reader in the library any more and cannot be sought. All are assigned anew,
 * each where it stands. */
static bool restart(struct kafka_consumer *consumer, struct err *err)
{
	if (!assign_list(consumer, consumer->assignment.count, err))
		return false;
	for (size_t i = 0; i < consumer->assignment.count; i++) {
		consumer->assignment.state[i].stopped = false;
		if (consumer->assignment.state[i].paused &&
		    !pause_one(consumer, &consumer->assignment.items[i], true, err))
			return false;
	}
	return true;
}

/* Right after an assignment the library is not ready to seek for some milliseconds and says "erroneous state".
 * rd_kafka_seek_partitions is not used: its time-out is a thousand times too short in 2.0.2. */
static rd_kafka_resp_err_t seek_one(struct kafka_consumer *consumer, const struct kafka_partition *to)
{
	int64_t deadline_ms = kafka_now_ms() + SEEK_MS;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer->rk, to->topic, NULL);
	rd_kafka_resp_err_t code;

	if (topic == NULL)
		return rd_kafka_last_error();
	while ((code = rd_kafka_seek(topic, to->partition, to->offset, SEEK_MS)) == RD_KAFKA_RESP_ERR__STATE &&
	       kafka_remaining_ms(deadline_ms) > 0)
		kafka_rest_ms(SEEK_PAUSE_MS);
	rd_kafka_topic_destroy(topic);
	return code;
}

bool kafka_consumer_seek(struct kafka_consumer *consumer, const struct kafka_partition *to, struct err *err)
{
	size_t i;

	if (!kafka_assignment_find(&consumer->assignment, to->topic, to->partition, &i))
		return err_set(err, ERR_CONFLICT, "%s [%" PRId32 "] is not assigned", to->topic, to->partition);
	consumer->assignment.items[i].offset = to->offset;
	if (consumer->ask_again)
		return true; /* nothing is read yet; on_assign decides */
	if (consumer->assignment.state[i].stopped)
		return restart(consumer, err);
	rd_kafka_resp_err_t code = seek_one(consumer, to);
	/* For so long it is in no state to seek only where it was out of range and a pause swallowed the word of it. */
	if (code == RD_KAFKA_RESP_ERR__STATE)
		return restart(consumer, err);
	return code == RD_KAFKA_RESP_ERR_NO_ERROR ||
	       kafka_err_set(err, code, "while going to offset %" PRId64 " of %s [%" PRId32 "]", to->offset, to->topic,
			     to->partition);
}

bool kafka_consumer_pause(struct kafka_consumer *consumer, const struct kafka_partition *partition, bool paused,
			  struct err *err)
{
	size_t i;

	if (!kafka_assignment_find(&consumer->assignment, partition->topic, partition->partition, &i))
		return err_set(err, ERR_CONFLICT, "%s [%" PRId32 "] is not assigned", partition->topic,
			       partition->partition);
	consumer->assignment.state[i].paused = paused;
	return pause_one(consumer, partition, paused, err);
}

int64_t kafka_consumer_high(struct kafka_consumer *consumer, const struct kafka_partition *partition)
{
	int64_t low = -1, high = -1;

	if (rd_kafka_get_watermark_offsets(consumer->rk, partition->topic, partition->partition, &low, &high) !=
	    RD_KAFKA_RESP_ERR_NO_ERROR)
		return -1;
	return high >= 0 ? high : -1;
}

void kafka_consumer_commit(struct kafka_consumer *consumer, const struct kafka_partition *next)
{
	assert(consumer->grouped);
	kafka_commits_note(&consumer->assignment, next);
}

/* --- closing --------------------------------------------------------------------------------------- */

/* Like rd_kafka_consumer_close, which has no time-out and hangs in some versions. */
static void leave(struct kafka_consumer *consumer, int timeout_ms)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer->rk);
	rd_kafka_error_t *error = rd_kafka_consumer_close_queue(consumer->rk, queue);

	if (error != NULL) {
		LOG(WARN, "kafka_close_failed", F_TEXT("error", rd_kafka_error_string(error)));
		rd_kafka_error_destroy(error);
		goto out;
	}
	while (!rd_kafka_consumer_closed(consumer->rk) && kafka_remaining_ms(deadline_ms) > 0) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(queue, CLOSE_STEP_MS);

		if (event == NULL)
			continue;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
			on_rebalance(consumer->rk, rd_kafka_event_error(event),
				     rd_kafka_event_topic_partition_list(event), consumer);
		rd_kafka_event_destroy(event);
	}
	if (!rd_kafka_consumer_closed(consumer->rk))
		LOG(WARN, "kafka_close_failed", F_TEXT("error", "the group was not left in time"));
out:
	rd_kafka_queue_destroy(queue);
}

void kafka_consumer_close(struct kafka_consumer *consumer, int timeout_ms)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	int remaining_ms;

	if (consumer == NULL)
		return;
	drop_held(consumer);
	if (consumer->grouped)
		send_commits(consumer, true);
	leave(consumer, timeout_ms);
	if (consumer->grouped && consumer->assignment.count > 0)
		hand_over(consumer);
	remaining_ms = kafka_remaining_ms(deadline_ms);
	kafka_client_destroy(consumer->rk, remaining_ms > DESTROY_MS_MIN ? remaining_ms : DESTROY_MS_MIN);
	free_consumer(consumer);
}
