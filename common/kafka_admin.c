/* Questions to and orders for a Kafka cluster, each with a deadline of its own. */
#include "common/kafka_admin.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/kafka_internal.h"
#include "common/log.h"

enum {
	TOPICS_PER_CALL_MAX = 64,
	ERROR_BYTES = 256,
	DESTROY_MS = 2000,
	SOCKET_TIMEOUT_MS = 10000,
	TRY_MS = 2000,
	STEP_MS = 100 /* between two tries of what the cluster answers with "not yet" */
};

struct kafka_admin {
	rd_kafka_t *rk;
};

struct kafka_admin *kafka_admin_new(const struct config *config, const char *client_id, struct err *err)
{
	struct kafka_admin *admin = calloc(1, sizeof(*admin));
	rd_kafka_conf_t *conf;

	if (admin == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a Kafka client");
		return NULL;
	}
	conf = kafka_conf_new(config, client_id, err);
	if (conf == NULL)
		goto fail;
	if (!kafka_conf_set_number(conf, "socket.timeout.ms", SOCKET_TIMEOUT_MS, err)) {
		rd_kafka_conf_destroy(conf);
		goto fail;
	}
	admin->rk = kafka_client_new(RD_KAFKA_PRODUCER, conf, err);
	if (admin->rk == NULL)
		goto fail;
	return admin;

fail:
	free(admin);
	return NULL;
}

void kafka_admin_free(struct kafka_admin *admin)
{
	if (admin == NULL)
		return;
	kafka_client_destroy(admin->rk, DESTROY_MS);
	free(admin);
}

bool kafka_admin_cluster_id(struct kafka_admin *admin, int timeout_ms, char out[KAFKA_CLUSTER_ID_BYTES],
			    struct err *err)
{
	char *id = rd_kafka_clusterid(admin->rk, timeout_ms);
	int length;

	if (id == NULL)
		return err_set(err, ERR_UNAVAILABLE, "while asking for the Kafka cluster's id: no broker answers");
	length = snprintf(out, KAFKA_CLUSTER_ID_BYTES, "%s", id);
	rd_kafka_mem_free(admin->rk, id);
	if (length < 0 || length >= KAFKA_CLUSTER_ID_BYTES)
		return err_set(err, ERR_TOO_LARGE, "the Kafka cluster's id is longer than %d characters",
			       KAFKA_CLUSTER_ID_BYTES - 1);
	return true;
}

/* --- topics ---------------------------------------------------------------------------------------- */

static rd_kafka_NewTopic_t *new_topic(const struct kafka_topic_spec *spec, struct err *err)
{
	char text[ERROR_BYTES];
	rd_kafka_NewTopic_t *topic =
		rd_kafka_NewTopic_new(spec->name, spec->partitions, spec->replication, text, sizeof(text));

	if (topic == NULL) {
		(void)err_set(err, ERR_INVALID, "topic %s: %s", spec->name, text);
		return NULL;
	}
	for (const char *const *pair = spec->configs; pair != NULL && pair[0] != NULL; pair += 2) {
		rd_kafka_resp_err_t code;

		assert(pair[1] != NULL);
		code = rd_kafka_NewTopic_set_config(topic, pair[0], pair[1]);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		(void)kafka_err_set(err, code, "topic %s: %s", spec->name, pair[0]);
		rd_kafka_NewTopic_destroy(topic);
		return NULL;
	}
	return topic;
}

/* Waits for the answer to the one request whose answers go to `queue`, and ends the queue: an answer that comes
 * later meets nobody. NULL: *err says why. */
static rd_kafka_event_t *await(rd_kafka_queue_t *queue, int timeout_ms, struct err *err)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + STEP_MS);
	rd_kafka_resp_err_t code;

	rd_kafka_queue_destroy(queue);
	if (event == NULL) {
		(void)err_set(err, ERR_TIMEOUT, "the Kafka cluster did not answer in %d ms", timeout_ms);
		return NULL;
	}
	code = rd_kafka_event_error(event);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return event;
	(void)kafka_err_set(err, code, "while waiting for the Kafka cluster's answer");
	rd_kafka_event_destroy(event);
	return NULL;
}

static rd_kafka_AdminOptions_t *options_for(struct kafka_admin *admin, rd_kafka_admin_op_t op, int timeout_ms)
{
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(admin->rk, op);
	char text[ERROR_BYTES];

	(void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof(text));
	return options;
}

static bool read_created(rd_kafka_event_t *event, size_t *created, struct err *err)
{
	size_t count;
	const rd_kafka_topic_result_t **results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);

	for (size_t i = 0; i < count; i++) {
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);

		if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
			(*created)++;
		} else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
			const char *why = rd_kafka_topic_result_error_string(results[i]);

			(void)kafka_err_set(err, code, "while creating topic %s",
					    rd_kafka_topic_result_name(results[i]));
			return why != NULL ? err_context(err, "%s", why) : false;
		}
	}
	return true;
}

/* A topic is usable a moment after it was created: until then its first readers meet "unknown topic". */
static bool await_topics(struct kafka_admin *admin, const struct kafka_topic_spec *specs, size_t count,
			 int64_t deadline_ms, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int32_t partitions = 0;

		while (!kafka_admin_partitions(admin, specs[i].name, kafka_remaining_ms(deadline_ms), &partitions,
					       err)) {
			if (err->code != ERR_NOT_FOUND && err->code != ERR_UNAVAILABLE)
				return false;
			if (kafka_remaining_ms(deadline_ms) == 0)
				return err_set(err, ERR_TIMEOUT, "topic %s is not ready in time", specs[i].name);
			kafka_rest_ms(STEP_MS);
		}
	}
	return true;
}

/* Copies those that the cluster does not have. */
static bool find_missing(struct kafka_admin *admin, const struct kafka_topic_spec *specs, size_t count,
			 int64_t deadline_ms, struct kafka_topic_spec *missing, size_t *missing_count, struct err *err)
{
	*missing_count = 0;
	for (size_t i = 0; i < count; i++) {
		int32_t partitions;

		if (kafka_admin_partitions(admin, specs[i].name, kafka_remaining_ms(deadline_ms), &partitions, err))
			continue;
		if (err->code != ERR_NOT_FOUND)
			return false;
		missing[(*missing_count)++] = specs[i];
	}
	return true;
}

static bool request_topics(struct kafka_admin *admin, const struct kafka_topic_spec *specs, size_t count,
			   int timeout_ms, size_t *created, struct err *err)
{
	rd_kafka_NewTopic_t *topics[TOPICS_PER_CALL_MAX];
	rd_kafka_AdminOptions_t *options;
	rd_kafka_queue_t *queue;
	rd_kafka_event_t *event;
	size_t made = 0;
	bool ok = false;

	for (; made < count; made++) {
		topics[made] = new_topic(&specs[made], err);
		if (topics[made] == NULL)
			goto out;
	}
	options = options_for(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
	queue = rd_kafka_queue_new(admin->rk);
	rd_kafka_CreateTopics(admin->rk, topics, count, options, queue);
	rd_kafka_AdminOptions_destroy(options);
	event = await(queue, timeout_ms, err);
	if (event == NULL)
		goto out;
	ok = read_created(event, created, err);
	rd_kafka_event_destroy(event);
out:
	rd_kafka_NewTopic_destroy_array(topics, made);
	return ok;
}

/* Existing topics are found by asking, not by trying: that needs no right to create, and works with the embedded
 * broker, which knows no admin requests. */
bool kafka_admin_create_topics(struct kafka_admin *admin, const struct kafka_topic_spec *specs, size_t count,
			       int timeout_ms, size_t *created, struct err *err)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	struct kafka_topic_spec missing[TOPICS_PER_CALL_MAX];
	size_t missing_count;

	assert(count > 0 && count <= TOPICS_PER_CALL_MAX);
	*created = 0;
	if (!find_missing(admin, specs, count, deadline_ms, missing, &missing_count, err))
		return false;
	if (missing_count == 0)
		return true;
	return request_topics(admin, missing, missing_count, kafka_remaining_ms(deadline_ms), created, err) &&
	       await_topics(admin, missing, missing_count, deadline_ms, err);
}

bool kafka_admin_partitions(struct kafka_admin *admin, const char *topic, int timeout_ms, int32_t *count,
			    struct err *err)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *handle = rd_kafka_topic_new(admin->rk, topic, NULL);
	rd_kafka_resp_err_t code;

	if (handle == NULL)
		return kafka_err_set(err, rd_kafka_last_error(), "topic %s", topic);
	code = rd_kafka_metadata(admin->rk, 0, handle, &metadata, timeout_ms);
	rd_kafka_topic_destroy(handle);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while asking for topic %s", topic);
	code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		*count = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "topic %s", topic);
	return true;
}

/* --- offsets --------------------------------------------------------------------------------------- */

/* Right after a leader was lost the library goes on asking it. So no try may take all the time, and before the next
 * one the library is made to learn who leads. */
static bool query_until(struct kafka_admin *admin, const struct kafka_partition *at, int64_t deadline_ms,
			int64_t *offset, struct err *err)
{
	for (;;) {
		int remaining_ms = kafka_remaining_ms(deadline_ms);
		struct err ignored;
		int32_t partitions;

		if (kafka_query_offset(admin->rk, at->topic, at->partition, at->offset,
				       remaining_ms < TRY_MS ? remaining_ms : TRY_MS, offset, err))
			return true;
		if ((err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) || kafka_remaining_ms(deadline_ms) == 0)
			return false;
		kafka_rest_ms(STEP_MS);
		remaining_ms = kafka_remaining_ms(deadline_ms);
		(void)!kafka_admin_partitions(admin, at->topic, remaining_ms < TRY_MS ? remaining_ms : TRY_MS,
					      &partitions, &ignored);
	}
}

bool kafka_admin_watermarks(struct kafka_admin *admin, const char *topic, int32_t partition, int timeout_ms,
			    int64_t *low, int64_t *high, struct err *err)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	struct kafka_partition at = {.topic = topic, .partition = partition, .offset = KAFKA_OFFSET_BEGINNING};

	if (!query_until(admin, &at, deadline_ms, low, err))
		return false;
	at.offset = KAFKA_OFFSET_END;
	return query_until(admin, &at, deadline_ms, high, err);
}

bool kafka_admin_offset_for_time(struct kafka_admin *admin, const char *topic, int32_t partition, int64_t time_ms,
				 int timeout_ms, int64_t *offset, struct err *err)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	struct kafka_partition at = {.topic = topic, .partition = partition, .offset = time_ms < 0 ? 0 : time_ms};

	if (!query_until(admin, &at, deadline_ms, offset, err))
		return false;
	if (*offset >= 0)
		return true;
	at.offset = KAFKA_OFFSET_END;
	return query_until(admin, &at, deadline_ms, offset, err);
}

static bool read_group_offset(rd_kafka_event_t *event, int64_t *offset, struct err *err)
{
	size_t count;
	const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
		rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
	const rd_kafka_topic_partition_list_t *partitions;
	const rd_kafka_error_t *error;

	assert(count == 1);
	error = rd_kafka_group_result_error(groups[0]);
	if (error != NULL)
		return kafka_err_set(err, rd_kafka_error_code(error), "while asking for a group's offset");
	partitions = rd_kafka_group_result_partitions(groups[0]);
	assert(partitions != NULL && partitions->cnt == 1);
	if (partitions->elems[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, partitions->elems[0].err, "while asking for a group's offset");
	*offset = partitions->elems[0].offset >= 0 ? partitions->elems[0].offset : -1;
	return true;
}

bool kafka_admin_group_offset(struct kafka_admin *admin, const char *group, const char *topic, int32_t partition,
			      int timeout_ms, int64_t *offset, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->rk);
	rd_kafka_AdminOptions_t *options = options_for(admin, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, timeout_ms);
	rd_kafka_ListConsumerGroupOffsets_t *request;
	rd_kafka_event_t *event;
	bool ok = false;

	(void)rd_kafka_topic_partition_list_add(list, topic, partition);
	request = rd_kafka_ListConsumerGroupOffsets_new(group, list);
	rd_kafka_ListConsumerGroupOffsets(admin->rk, &request, 1, options, queue);
	event = await(queue, timeout_ms, err);
	if (event != NULL) {
		ok = read_group_offset(event, offset, err);
		rd_kafka_event_destroy(event);
	}
	rd_kafka_ListConsumerGroupOffsets_destroy(request);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_topic_partition_list_destroy(list);
	return ok;
}
