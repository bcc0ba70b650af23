/* One librdkafka producer: sending, deliveries, probing, and the list of tickets under way. */
#include "common/kafka_instance.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/log.h"

enum {
	EVENTS_PER_SERVE_MAX = 64, /* so that tickets do not wait for an endless stream of events */
	MESSAGES_PER_LOCK = 128,   /* a batch of 10,000 must not keep senders from the list */
	/* topic, partition, value, key, opaque, headers, flags */
	PRODUCE_PARTS_MAX = 7
};

struct kafka_instance {
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;
	rd_kafka_topic_t *topics[KAFKA_PRODUCER_TOPICS_MAX];
	size_t topic_count;
	atomic_int references;
	struct kafka_instance_sink sink;
	atomic_int acknowledging; /* calls of on_acknowledgement under way */
	pthread_mutex_t mutex;    /* guards what follows */
	struct kafka_ticket *under_way;
	size_t waiting;
	bool abandoned;
};

/* The ticket that this thread is handing to librdkafka. */
static _Thread_local const struct kafka_ticket *being_sent;

static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t *rk, rd_kafka_message_t *message, void *arg);

/* Acknowledgements are seen where librdkafka has them first, on a broker's thread: a delivery report would go through
 * a queue and a thread of ours, which costs a switch of threads for each answer of a broker's. */
static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *text, size_t cap)
{
	(void)conf;
	(void)text;
	(void)cap;
	return rd_kafka_interceptor_add_on_acknowledgement(rk, "tickets", on_acknowledgement, arg);
}

static rd_kafka_t *client_new(struct kafka_instance *instance, const rd_kafka_conf_t *conf, struct err *err)
{
	rd_kafka_conf_t *own = rd_kafka_conf_dup(conf);

	rd_kafka_conf_set_events(own, RD_KAFKA_EVENT_ERROR | (instance->sink.take == NULL ? RD_KAFKA_EVENT_DR : 0));
	if (instance->sink.take != NULL) {
		rd_kafka_resp_err_t code = rd_kafka_conf_interceptor_add_on_new(own, "tickets", on_new, instance);
		assert(code == RD_KAFKA_RESP_ERR_NO_ERROR); /* only a second one of that name is refused */
		(void)code;
	}
	return kafka_client_new(RD_KAFKA_PRODUCER, own, err);
}

struct kafka_instance *kafka_instance_new(const rd_kafka_conf_t *conf, char *const *topics, size_t topic_count,
					  struct kafka_instance_sink sink, struct err *err)
{
	struct kafka_instance *instance = calloc(1, sizeof(*instance));

	assert(topic_count <= KAFKA_PRODUCER_TOPICS_MAX);
	if (instance == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a Kafka producer");
		return NULL;
	}
	atomic_init(&instance->references, 1);
	(void)pthread_mutex_init(&instance->mutex, NULL);
	instance->sink = sink;
	instance->rk = client_new(instance, conf, err);
	if (instance->rk == NULL)
		goto fail;
	instance->queue = rd_kafka_queue_get_main(instance->rk);
	for (size_t i = 0; i < topic_count; i++) {
		instance->topics[i] = rd_kafka_topic_new(instance->rk, topics[i], NULL);
		if (instance->topics[i] == NULL) {
			(void)kafka_err_set(err, rd_kafka_last_error(), "topic %s", topics[i]);
			goto fail;
		}
		instance->topic_count++;
	}
	return instance;

fail:
	kafka_instance_unref(instance, 0);
	return NULL;
}

void kafka_instance_ref(struct kafka_instance *instance)
{
	int before = atomic_fetch_add_explicit(&instance->references, 1, memory_order_relaxed);

	assert(before > 0);
	(void)before;
}

static void free_instance(void *arg)
{
	struct kafka_instance *instance = arg;

	(void)pthread_mutex_destroy(&instance->mutex);
	free(instance);
}

void kafka_instance_unref(struct kafka_instance *instance, int timeout_ms)
{
	if (instance == NULL || atomic_fetch_sub_explicit(&instance->references, 1, memory_order_acq_rel) > 1)
		return;
	assert(instance->waiting == 0);
	for (size_t i = 0; i < instance->topic_count; i++)
		rd_kafka_topic_destroy(instance->topics[i]);
	if (instance->queue != NULL)
		rd_kafka_queue_destroy(instance->queue);
	if (instance->rk != NULL)
		kafka_client_destroy_then(instance->rk, timeout_ms, free_instance, instance);
	else
		free_instance(instance);
}

/* --- sending --------------------------------------------------------------------------------------- */

static rd_kafka_topic_t *find_topic(const struct kafka_instance *instance, const char *name)
{
	for (size_t i = 0; i < instance->topic_count; i++) {
		if (strcmp(rd_kafka_topic_name(instance->topics[i]), name) == 0)
			return instance->topics[i];
	}
	return NULL;
}

static rd_kafka_headers_t *make_headers(const struct kafka_message *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);

	for (size_t i = 0; i < message->header_count; i++) {
		const struct event_header *header = &message->headers[i];
		rd_kafka_resp_err_t code = rd_kafka_header_add(
			headers, header->name, -1, header->value.len > 0 ? header->value.data : (const uint8_t *)"",
			(ssize_t)header->value.len);
		assert(code == RD_KAFKA_RESP_ERR_NO_ERROR); /* only a read-only list refuses */
		(void)code;
	}
	return headers;
}

static void list_add(struct kafka_instance *instance, struct kafka_ticket *ticket)
{
	(void)pthread_mutex_lock(&instance->mutex);
	ticket->prev = NULL;
	ticket->next = instance->under_way;
	if (ticket->next != NULL)
		ticket->next->prev = ticket;
	instance->under_way = ticket;
	instance->waiting++;
	(void)pthread_mutex_unlock(&instance->mutex);
}

/* The mutex is held. */
static void list_remove(struct kafka_instance *instance, struct kafka_ticket *ticket)
{
	assert(instance->waiting > 0);
	if (ticket->prev != NULL)
		ticket->prev->next = ticket->next;
	else
		instance->under_way = ticket->next;
	if (ticket->next != NULL)
		ticket->next->prev = ticket->prev;
	ticket->next = NULL;
	ticket->prev = NULL;
	instance->waiting--;
}

static enum kafka_send_result refusal(rd_kafka_error_t *error, const struct kafka_message *message)
{
	enum kafka_send_result result;

	if (rd_kafka_error_is_fatal(error)) {
		result = KAFKA_SEND_DOWN; /* the owner thread is about to replace this instance */
	} else if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		result = KAFKA_SEND_FULL;
	} else if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
		result = KAFKA_SEND_TOO_LARGE;
	} else {
		LOG(ERROR, "kafka_send_refused", F_TEXT("topic", message->topic),
		    F_TEXT("error", rd_kafka_error_string(error)));
		result = KAFKA_SEND_REFUSED;
	}
	rd_kafka_error_destroy(error);
	return result;
}

/* Headers go in as one list that stays ours on failure: single headers are freed twice by 2.0.2's error path. */
static rd_kafka_error_t *produce(struct kafka_instance *instance, rd_kafka_topic_t *topic,
				 const struct kafka_message *message, struct kafka_ticket *ticket)
{
	rd_kafka_headers_t *headers = make_headers(message);
	rd_kafka_vu_t parts[PRODUCE_PARTS_MAX] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = message->partition},
		{.vtype = RD_KAFKA_VTYPE_VALUE,
		 .u.mem = {.ptr = (void *)(uintptr_t)message->value.data, .size = message->value.len}},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = ticket},
		{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
	};
	size_t count = PRODUCE_PARTS_MAX - 1;
	rd_kafka_error_t *error;

	if (message->key.len > 0)
		parts[count++] = (rd_kafka_vu_t){
			.vtype = RD_KAFKA_VTYPE_KEY,
			.u.mem = {.ptr = (void *)(uintptr_t)message->key.data, .size = message->key.len},
		};
	error = rd_kafka_produceva(instance->rk, parts, count);
	if (error != NULL)
		rd_kafka_headers_destroy(headers);
	return error;
}

enum kafka_send_result kafka_instance_send(struct kafka_instance *instance, const struct kafka_message *message,
					   struct kafka_ticket *ticket)
{
	rd_kafka_topic_t *topic = find_topic(instance, message->topic);
	rd_kafka_error_t *error;

	if (UNLIKELY(topic == NULL)) {
		LOG(ERROR, "kafka_send_refused", F_TEXT("topic", message->topic),
		    F_TEXT("error", "not a topic of this producer"));
		return KAFKA_SEND_REFUSED;
	}
	ticket->delivery = KAFKA_DELIVERY_WAITING;
	ticket->partition = -1;
	ticket->offset = -1;
	ticket->failure = NULL;
	ticket->too_large = false;
	list_add(instance, ticket); /* before: the delivery may be reported before produce has returned */
	being_sent = ticket;
	error = produce(instance, topic, message, ticket);
	being_sent = NULL;
	if (LIKELY(error == NULL))
		return KAFKA_SEND_QUEUED;
	(void)pthread_mutex_lock(&instance->mutex);
	list_remove(instance, ticket);
	(void)pthread_mutex_unlock(&instance->mutex);
	return refusal(error, message);
}

/* --- deliveries ------------------------------------------------------------------------------------ */

static void list_append(struct kafka_ticket_list *out, struct kafka_ticket *ticket)
{
	ticket->next = NULL;
	ticket->prev = NULL;
	if (out->tail != NULL)
		out->tail->next = ticket;
	else
		out->head = ticket;
	out->tail = ticket;
	if (ticket->delivery == KAFKA_DELIVERY_DONE)
		out->delivered++;
	else
		out->failed++;
}

/* The mutex is held. */
static struct kafka_ticket *take_delivery(struct kafka_instance *instance, const rd_kafka_message_t *message)
{
	struct kafka_ticket *ticket = message->_private;

	assert(ticket != NULL && ticket->delivery == KAFKA_DELIVERY_WAITING);
	list_remove(instance, ticket);
	ticket->partition = message->partition;
	ticket->offset = message->offset;
	if (LIKELY(message->err == RD_KAFKA_RESP_ERR_NO_ERROR)) {
		ticket->delivery = KAFKA_DELIVERY_DONE;
	} else {
		ticket->delivery = KAFKA_DELIVERY_FAILED;
		ticket->failure = rd_kafka_err2name(message->err);
		ticket->too_large = message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
				    message->err == RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE;
	}
	return ticket;
}

/* What librdkafka still says after kafka_instance_abandon is about tickets that are gone. A message that was refused is
 * "acknowledged" within its send, which gives its ticket back by its result. */
static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t *rk, rd_kafka_message_t *message, void *arg)
{
	struct kafka_instance *instance = arg;
	struct kafka_ticket *ticket = NULL;

	(void)rk;
	if (message->_private == being_sent)
		return RD_KAFKA_RESP_ERR_NO_ERROR;
	(void)atomic_fetch_add_explicit(&instance->acknowledging, 1, memory_order_acq_rel);
	(void)pthread_mutex_lock(&instance->mutex);
	if (!instance->abandoned)
		ticket = take_delivery(instance, message);
	(void)pthread_mutex_unlock(&instance->mutex);
	if (ticket != NULL)
		instance->sink.take(instance->sink.arg, ticket);
	(void)atomic_fetch_sub_explicit(&instance->acknowledging, 1, memory_order_release);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void take_deliveries(struct kafka_instance *instance, rd_kafka_event_t *event, struct kafka_ticket_list *out)
{
	const rd_kafka_message_t *messages[MESSAGES_PER_LOCK];
	size_t count;

	while ((count = rd_kafka_event_message_array(event, messages, MESSAGES_PER_LOCK)) > 0) {
		(void)pthread_mutex_lock(&instance->mutex);
		for (size_t i = 0; i < count; i++)
			list_append(out, take_delivery(instance, messages[i]));
		(void)pthread_mutex_unlock(&instance->mutex);
	}
}

static void take_error(struct kafka_instance *instance, rd_kafka_event_t *event, struct kafka_instance_signs *signs)
{
	char text[ERR_TEXT_BYTES_MAX];
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(instance->rk, text, sizeof(text));

	if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR && !signs->fatal) {
		signs->fatal = true;
		LOG(ERROR, "kafka_producer_fatal", F_TEXT("reason", rd_kafka_err2name(fatal)), F_TEXT("error", text));
	} else if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		signs->connections_lost = true;
	} else {
		/* The library's own line says the same, and not too often. */
		TRACE(KAFKA, "kafka_producer_error", F_TEXT("reason", rd_kafka_err2name(rd_kafka_event_error(event))),
		      F_TEXT("error", rd_kafka_event_error_string(event)));
	}
}

void kafka_instance_serve(struct kafka_instance *instance, int timeout_ms, struct kafka_ticket_list *out,
			  struct kafka_instance_signs *signs)
{
	for (int i = 0; i < EVENTS_PER_SERVE_MAX; i++) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(instance->queue, i == 0 ? timeout_ms : 0);

		if (event == NULL)
			return;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			take_deliveries(instance, event, out);
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			take_error(instance, event, signs);
		rd_kafka_event_destroy(event);
	}
}

void kafka_instance_purge(struct kafka_instance *instance)
{
	rd_kafka_resp_err_t code = rd_kafka_purge(instance->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
									RD_KAFKA_PURGE_F_NON_BLOCKING);

	assert(code == RD_KAFKA_RESP_ERR_NO_ERROR); /* refused for consumers and unknown flags alone */
	(void)code;
}

void kafka_instance_abandon(struct kafka_instance *instance, const char *failure, struct kafka_ticket_list *out)
{
	struct kafka_ticket *ticket;

	(void)pthread_mutex_lock(&instance->mutex);
	ticket = instance->under_way;
	while (ticket != NULL && ticket->next != NULL)
		ticket = ticket->next; /* the oldest stands last */
	while (ticket != NULL) {
		struct kafka_ticket *newer = ticket->prev;

		list_remove(instance, ticket);
		ticket->delivery = KAFKA_DELIVERY_FAILED;
		ticket->failure = failure;
		list_append(out, ticket);
		ticket = newer;
	}
	assert(instance->waiting == 0);
	instance->abandoned = true;
	(void)pthread_mutex_unlock(&instance->mutex);
	/* Who took a ticket before hands it to the sink now; that is a matter of microseconds. */
	while (atomic_load_explicit(&instance->acknowledging, memory_order_acquire) > 0)
		kafka_rest_ms(1);
}

size_t kafka_instance_waiting(struct kafka_instance *instance)
{
	size_t waiting;

	(void)pthread_mutex_lock(&instance->mutex);
	waiting = instance->waiting;
	(void)pthread_mutex_unlock(&instance->mutex);
	return waiting;
}

/* --- probing --------------------------------------------------------------------------------------- */

static bool topic_writable(const struct rd_kafka_metadata_topic *topic)
{
	if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	for (int i = 0; i < topic->partition_cnt; i++) {
		if (topic->partitions[i].leader >= 0)
			return true;
	}
	return false;
}

/* With all_topics 0 and no topic the library asks for those that it has handles of: ours. Their partitions are
 * known afterwards, without which 2.0.2 keeps the first message to a topic for up to a second. */
bool kafka_instance_probe(struct kafka_instance *instance, int timeout_ms, struct err *err)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t code = rd_kafka_metadata(instance->rk, 0, NULL, &metadata, timeout_ms);
	bool ok = true;

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while asking the Kafka cluster for its topics");
	for (int i = 0; i < metadata->topic_cnt && ok; i++) {
		const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];

		if (!topic_writable(topic))
			ok = err_set(err, ERR_NOT_FOUND, "topic %s cannot be written: %s", topic->topic,
				     topic->err != RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_err2str(topic->err)
									      : "no partition has a leader");
	}
	rd_kafka_metadata_destroy(metadata);
	return ok;
}

void kafka_instance_test_fatal(struct kafka_instance *instance)
{
	(void)rd_kafka_test_fatal_error(instance->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "test");
}
