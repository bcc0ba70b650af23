/* The producer: bounded, never blocking sends; the watcher that says up and down; the rebuild after a fatal error. */
#include "common/kafka_producer.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/kafka_instance.h"
#include "common/log.h"

enum {
	TICK_MS = 100,         /* how often the watcher looks whether deliveries stand still */
	PAUSE_MS = 20,         /* between two probes while down */
	DOWN_PROBE_MS = 250,   /* a probe returns as soon as a broker is there */
	LOST_PROBE_MS = 300,   /* time to connect anew before a lost connection means "away" */
	STALL_MS = 1000,       /* messages wait and none came back: ask */
	STALL_PROBE_MS = 1000, /* behind a full request; the answer may take as long as a delivery */
	RETIRED_MAX = 4,
	RETIRED_MS = 2000, /* a purge needs milliseconds */
	RETIRED_POLL_MS = 5,
	REPLACE_RETRY_MS = 1000,
	CLOSE_STEP_MS = 20,
	CLOSE_PURGE_MS = 300,
	DESTROY_MS = 2000,
	SEND_WAIT_STEP_MS = 10
};

/* An instance that failed and whose tickets are still coming back. */
struct retired {
	struct kafka_instance *instance;
	int64_t deadline_ms;
};

/* A ticket of send_wait; it outlives the call when that ran out of time. */
struct waiter {
	struct kafka_ticket ticket;
	struct waiter *next;
};

enum health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

struct kafka_producer {
	rd_kafka_conf_t *conf;
	char *topics[KAFKA_PRODUCER_TOPICS_MAX];
	size_t topic_count;
	size_t waiting_max;
	void (*on_settled)(struct kafka_ticket *ticket);
	struct kafka_instance_sink sink; /* of every instance: leads to on_settled, if there is one */

	/* Senders hold it for reading, so an instance is not exchanged while one of them uses it. */
	pthread_rwlock_t lock;
	struct kafka_instance *instance; /* NULL: making a new one failed, to be tried again */

	/* the owner thread's */
	struct retired retired[RETIRED_MAX];
	size_t retired_count;
	int64_t replace_at_ms;
	struct waiter *left_behind; /* tickets whose send_wait ran out of time */

	/* the watcher's */
	pthread_t watcher;
	pthread_mutex_t watch_mutex; /* guards the next three */
	pthread_cond_t watch_cond;
	bool suspected;
	bool stopping;
	enum health reported;

	atomic_bool up;
	atomic_size_t waiting;
	atomic_uint_fast64_t sent_total;
	atomic_uint_fast64_t delivered_total;
	atomic_uint_fast64_t failed_total;
	atomic_uint_fast64_t full_total;
	atomic_uint_fast64_t fatal_total;
};

static void count(atomic_uint_fast64_t *counter, uint64_t more)
{
	(void)atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static uint64_t counted(const atomic_uint_fast64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* --- up and down: the watcher ---------------------------------------------------------------------- */

/* The only place that says "up". A verdict on an instance that was replaced meanwhile is thrown away. */
static void set_up(struct kafka_producer *producer, const struct kafka_instance *judged, bool up, const struct err *why)
{
	enum health now = up ? HEALTH_UP : HEALTH_DOWN;

	(void)pthread_rwlock_rdlock(&producer->lock);
	if (judged == producer->instance)
		atomic_store_explicit(&producer->up, up, memory_order_release);
	else
		now = producer->reported;
	(void)pthread_rwlock_unlock(&producer->lock);
	if (now == producer->reported)
		return;
	producer->reported = now;
	if (up)
		LOG(INFO, "kafka_up", F_U64("topics", producer->topic_count));
	else
		LOG(WARN, "kafka_down", F_ERR(why));
}

static struct kafka_instance *current_instance(struct kafka_producer *producer)
{
	struct kafka_instance *instance;

	(void)pthread_rwlock_rdlock(&producer->lock);
	instance = producer->instance;
	if (instance != NULL)
		kafka_instance_ref(instance);
	(void)pthread_rwlock_unlock(&producer->lock);
	return instance;
}

static void check(struct kafka_producer *producer, int patience_ms)
{
	struct kafka_instance *instance = current_instance(producer);
	struct err err;

	err_clear(&err);
	if (instance == NULL)
		return;
	bool ok = kafka_instance_probe(instance, patience_ms, &err);
	set_up(producer, instance, ok, &err);
	kafka_instance_unref(instance, 0);
}

/* Waits for a suspicion, at most ms. false: stop. */
static bool watch_wait(struct kafka_producer *producer, int ms, bool *suspected)
{
	struct timespec until = kafka_after_ms(ms);
	bool go_on;

	(void)pthread_mutex_lock(&producer->watch_mutex);
	while (!producer->stopping && !producer->suspected &&
	       pthread_cond_timedwait(&producer->watch_cond, &producer->watch_mutex, &until) != ETIMEDOUT)
		;
	*suspected = producer->suspected;
	producer->suspected = false;
	go_on = !producer->stopping;
	(void)pthread_mutex_unlock(&producer->watch_mutex);
	return go_on;
}

static void watch_tell(struct kafka_producer *producer, bool *flag)
{
	(void)pthread_mutex_lock(&producer->watch_mutex);
	*flag = true;
	(void)pthread_cond_signal(&producer->watch_cond);
	(void)pthread_mutex_unlock(&producer->watch_mutex);
}

/* How long a probe may take now; 0: nothing is suspicious. */
static int patience_ms(const struct kafka_producer *producer, bool suspected, bool stalled)
{
	if (!kafka_producer_up(producer))
		return DOWN_PROBE_MS;
	if (suspected)
		return LOST_PROBE_MS;
	return stalled ? STALL_PROBE_MS : 0;
}

static void *watch_main(void *arg)
{
	struct kafka_producer *producer = arg;
	int64_t moved_ms = kafka_now_ms();
	uint64_t returned_before = 0;
	bool suspected;

	while (watch_wait(producer, kafka_producer_up(producer) ? TICK_MS : PAUSE_MS, &suspected)) {
		uint64_t returned = counted(&producer->delivered_total) + counted(&producer->failed_total);
		int64_t now_ms = kafka_now_ms();
		if (returned != returned_before || kafka_producer_waiting(producer) == 0)
			moved_ms = now_ms;
		returned_before = returned;
		int patience = patience_ms(producer, suspected, now_ms - moved_ms >= STALL_MS);
		if (patience == 0)
			continue;
		check(producer, patience);
		moved_ms = kafka_now_ms();
	}
	return NULL;
}

bool kafka_producer_up(const struct kafka_producer *producer)
{
	return atomic_load_explicit(&producer->up, memory_order_acquire);
}

size_t kafka_producer_waiting(const struct kafka_producer *producer)
{
	return atomic_load_explicit(&producer->waiting, memory_order_relaxed);
}

/* --- making ---------------------------------------------------------------------------------------- */

static rd_kafka_conf_t *make_conf(const struct kafka_producer_options *options, struct err *err)
{
	const struct kafka_property properties[] = {
		{"enable.idempotence", "true"},
		{"acks", "all"},
		/* Batches by itself: what comes while a request is under way goes with the next one. */
		{"max.in.flight.requests.per.connection", "1"},
		{"partitioner", "murmur2_random"},
		{"retry.backoff.ms", "50"},
	};
	const int64_t timeout_ms = options->delivery_timeout_ms;
	rd_kafka_conf_t *conf = kafka_conf_new(options->config, options->client_id, err);

	if (conf == NULL)
		return NULL;
	if (kafka_conf_set(conf, properties, ARRAY_LEN(properties), err) &&
	    kafka_conf_set_number(conf, "linger.ms", options->gather_ms, err) &&
	    kafka_conf_set_number(conf, "message.timeout.ms", timeout_ms, err) &&
	    kafka_conf_set_number(conf, "request.timeout.ms", timeout_ms, err) &&
	    kafka_conf_set_number(conf, "message.max.bytes", KAFKA_MESSAGE_BYTES_MAX, err) &&
	    kafka_conf_set_number(conf, "queue.buffering.max.messages", (int64_t)options->waiting_max + 1, err) &&
	    kafka_conf_set_number(conf, "queue.buffering.max.kbytes", KAFKA_QUEUE_KBYTES_MAX, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static bool copy_topics(struct kafka_producer *producer, const char *const *topics, struct err *err)
{
	for (; topics[producer->topic_count] != NULL; producer->topic_count++) {
		assert(producer->topic_count < KAFKA_PRODUCER_TOPICS_MAX);
		producer->topics[producer->topic_count] = strdup(topics[producer->topic_count]);
		if (producer->topics[producer->topic_count] == NULL)
			return err_set(err, ERR_FULL, "no memory for a Kafka producer");
	}
	return true;
}

static void init_locks(struct kafka_producer *producer)
{
	pthread_rwlockattr_t writer_first;
	pthread_condattr_t monotonic;

	(void)pthread_rwlockattr_init(&writer_first);
	(void)pthread_rwlockattr_setkind_np(&writer_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&producer->lock, &writer_first);
	(void)pthread_rwlockattr_destroy(&writer_first);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&producer->watch_cond, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	(void)pthread_mutex_init(&producer->watch_mutex, NULL);
}

static void free_producer(struct kafka_producer *producer)
{
	(void)pthread_rwlock_destroy(&producer->lock);
	(void)pthread_cond_destroy(&producer->watch_cond);
	(void)pthread_mutex_destroy(&producer->watch_mutex);
	if (producer->conf != NULL)
		rd_kafka_conf_destroy(producer->conf);
	for (size_t i = 0; i < producer->topic_count; i++)
		free(producer->topics[i]);
	free(producer);
}

static void settle(struct kafka_producer *producer, uint64_t delivered, uint64_t failed)
{
	uint64_t returned = delivered + failed;

	count(&producer->delivered_total, delivered);
	count(&producer->failed_total, failed);
	assert(atomic_load_explicit(&producer->waiting, memory_order_relaxed) >= returned);
	(void)atomic_fetch_sub_explicit(&producer->waiting, (size_t)returned, memory_order_relaxed);
}

/* On a thread of librdkafka's. */
static void take_settled(void *arg, struct kafka_ticket *ticket)
{
	struct kafka_producer *producer = arg;
	bool done = ticket->delivery == KAFKA_DELIVERY_DONE;

	settle(producer, done ? 1 : 0, done ? 0 : 1);
	producer->on_settled(ticket);
}

struct kafka_producer *kafka_producer_new(const struct kafka_producer_options *options, struct err *err)
{
	struct kafka_producer *producer = calloc(1, sizeof(*producer));

	assert(options->waiting_max > 0 && options->delivery_timeout_ms > 0 && options->topics != NULL);
	if (producer == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a Kafka producer");
		return NULL;
	}
	init_locks(producer);
	producer->waiting_max = options->waiting_max;
	producer->on_settled = options->on_settled;
	if (options->on_settled != NULL)
		producer->sink = (struct kafka_instance_sink){.take = take_settled, .arg = producer};
	producer->conf = make_conf(options, err);
	if (producer->conf == NULL || !copy_topics(producer, options->topics, err))
		goto fail;
	producer->instance =
		kafka_instance_new(producer->conf, producer->topics, producer->topic_count, producer->sink, err);
	if (producer->instance == NULL)
		goto fail;
	if (!kafka_thread_start(&producer->watcher, watch_main, producer, err))
		goto fail;
	return producer;

fail:
	kafka_instance_unref(producer->instance, DESTROY_MS);
	free_producer(producer);
	return NULL;
}

/* --- sending --------------------------------------------------------------------------------------- */

static bool too_large(const struct kafka_message *message)
{
	size_t bytes = KAFKA_RECORD_OVERHEAD_BYTES + message->key.len + message->value.len;

	for (size_t i = 0; i < message->header_count; i++)
		bytes += strlen(message->headers[i].name) + message->headers[i].value.len + 2 * sizeof(uint32_t);
	return bytes > KAFKA_MESSAGE_BYTES_MAX;
}

static bool take_place(struct kafka_producer *producer)
{
	if (atomic_fetch_add_explicit(&producer->waiting, 1, memory_order_relaxed) < producer->waiting_max)
		return true;
	(void)atomic_fetch_sub_explicit(&producer->waiting, 1, memory_order_relaxed);
	return false;
}

enum kafka_send_result kafka_producer_send(struct kafka_producer *producer, const struct kafka_message *message,
					   struct kafka_ticket *ticket)
{
	enum kafka_send_result result = KAFKA_SEND_DOWN;

	if (UNLIKELY(too_large(message)))
		return KAFKA_SEND_TOO_LARGE;
	if (UNLIKELY(!kafka_producer_up(producer)))
		return KAFKA_SEND_DOWN;
	if (UNLIKELY(!take_place(producer))) {
		count(&producer->full_total, 1);
		return KAFKA_SEND_FULL;
	}
	(void)pthread_rwlock_rdlock(&producer->lock);
	if (LIKELY(producer->instance != NULL))
		result = kafka_instance_send(producer->instance, message, ticket);
	(void)pthread_rwlock_unlock(&producer->lock);
	if (LIKELY(result == KAFKA_SEND_QUEUED)) {
		count(&producer->sent_total, 1);
		return result;
	}
	(void)atomic_fetch_sub_explicit(&producer->waiting, 1, memory_order_relaxed);
	if (result == KAFKA_SEND_FULL)
		count(&producer->full_total, 1);
	return result;
}

/* --- deliveries and the fatal rebuild -------------------------------------------------------------- */

static void retire(struct kafka_producer *producer, struct kafka_instance *instance, struct kafka_ticket_list *out)
{
	if (producer->retired_count == RETIRED_MAX) { /* four fatal errors in two seconds */
		kafka_instance_abandon(instance, "producer rebuilt", out);
		kafka_instance_unref(instance, 0);
		return;
	}
	kafka_instance_purge(instance);
	producer->retired[producer->retired_count++] = (struct retired){
		.instance = instance,
		.deadline_ms = kafka_now_ms() + RETIRED_MS,
	};
}

/* Takes what still comes from failed instances; lets go of those that have nothing left or take too long. */
static void serve_retired(struct kafka_producer *producer, struct kafka_ticket_list *out)
{
	size_t kept = 0;

	for (size_t i = 0; i < producer->retired_count; i++) {
		struct retired *retired = &producer->retired[i];
		struct kafka_instance_signs ignored = {0};

		kafka_instance_serve(retired->instance, 0, out, &ignored);
		if (kafka_instance_waiting(retired->instance) > 0 && kafka_remaining_ms(retired->deadline_ms) > 0) {
			producer->retired[kept++] = *retired;
			continue;
		}
		kafka_instance_abandon(retired->instance, "producer rebuilt", out);
		kafka_instance_unref(retired->instance, 0);
	}
	producer->retired_count = kept;
}

/* Idempotence is broken for good in the present instance: puts a new one in its place. */
static void replace(struct kafka_producer *producer, struct kafka_ticket_list *out)
{
	struct kafka_instance *old = producer->instance;
	struct kafka_instance *fresh;
	struct err err;

	if (kafka_remaining_ms(producer->replace_at_ms) > 0)
		return;
	fresh = kafka_instance_new(producer->conf, producer->topics, producer->topic_count, producer->sink, &err);
	if (fresh == NULL) {
		LOG(ERROR, "kafka_producer_rebuild_failed", F_ERR(&err));
		producer->replace_at_ms = kafka_now_ms() + REPLACE_RETRY_MS;
	}
	(void)pthread_rwlock_wrlock(&producer->lock);
	producer->instance = fresh;
	atomic_store_explicit(&producer->up, false, memory_order_release);
	(void)pthread_rwlock_unlock(&producer->lock);
	if (old == NULL)
		return;
	count(&producer->fatal_total, 1);
	retire(producer, old, out);
	LOG(WARN, "kafka_producer_rebuilt", F_BOOL("ready", fresh != NULL));
}

/* Tickets that their send_wait no longer waits for are taken out of the list and freed. */
static struct kafka_ticket *free_left_behind(struct kafka_producer *producer, struct kafka_ticket *list)
{
	for (struct waiter **at = &producer->left_behind; *at != NULL;) {
		struct waiter *waiter = *at;
		struct kafka_ticket **link = &list;

		while (*link != NULL && *link != &waiter->ticket)
			link = &(*link)->next;
		if (*link == NULL) {
			at = &waiter->next;
			continue;
		}
		*link = waiter->ticket.next;
		*at = waiter->next;
		free(waiter);
	}
	return list;
}

static void serve(struct kafka_producer *producer, int timeout_ms, struct kafka_ticket_list *out)
{
	struct kafka_instance_signs signs = {0};

	if (producer->retired_count > 0 && timeout_ms > RETIRED_POLL_MS)
		timeout_ms = RETIRED_POLL_MS;
	if (producer->instance != NULL)
		kafka_instance_serve(producer->instance, timeout_ms, out, &signs);
	else
		kafka_rest_ms(timeout_ms);
	serve_retired(producer, out);
	if (signs.connections_lost)
		watch_tell(producer, &producer->suspected);
	if (signs.fatal || producer->instance == NULL)
		replace(producer, out);
}

struct kafka_ticket *kafka_producer_poll(struct kafka_producer *producer, int timeout_ms)
{
	struct kafka_ticket_list list = {0};

	serve(producer, timeout_ms, &list);
	settle(producer, list.delivered, list.failed);
	return free_left_behind(producer, list.head);
}

void kafka_producer_stats(const struct kafka_producer *producer, struct kafka_producer_stats *out)
{
	*out = (struct kafka_producer_stats){
		.sent_total = counted(&producer->sent_total),
		.delivered_total = counted(&producer->delivered_total),
		.failed_total = counted(&producer->failed_total),
		.full_total = counted(&producer->full_total),
		.fatal_total = counted(&producer->fatal_total),
		.waiting = atomic_load_explicit(&producer->waiting, memory_order_relaxed),
		.up = kafka_producer_up(producer),
	};
}

/* --- closing --------------------------------------------------------------------------------------- */

static size_t all_waiting(const struct kafka_producer *producer)
{
	size_t waiting = producer->instance != NULL ? kafka_instance_waiting(producer->instance) : 0;

	for (size_t i = 0; i < producer->retired_count; i++)
		waiting += kafka_instance_waiting(producer->retired[i].instance);
	return waiting;
}

static void serve_until_empty(struct kafka_producer *producer, int timeout_ms, struct kafka_ticket_list *out)
{
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	int remaining_ms;

	while (all_waiting(producer) > 0 && (remaining_ms = kafka_remaining_ms(deadline_ms)) > 0)
		serve(producer, remaining_ms < CLOSE_STEP_MS ? remaining_ms : CLOSE_STEP_MS, out);
}

static void give_up(struct kafka_producer *producer, struct kafka_ticket_list *out)
{
	for (size_t i = 0; i < producer->retired_count; i++) {
		kafka_instance_abandon(producer->retired[i].instance, "producer closed", out);
		kafka_instance_unref(producer->retired[i].instance, 0);
	}
	producer->retired_count = 0;
	if (producer->instance == NULL)
		return;
	kafka_instance_abandon(producer->instance, "producer closed", out);
	kafka_instance_unref(producer->instance, DESTROY_MS);
	producer->instance = NULL;
}

struct kafka_ticket *kafka_producer_close(struct kafka_producer *producer, int timeout_ms)
{
	struct kafka_ticket_list list = {0};
	struct kafka_ticket *left;

	if (producer == NULL)
		return NULL;
	watch_tell(producer, &producer->stopping);
	serve_until_empty(producer, timeout_ms, &list);
	if (all_waiting(producer) > 0) {
		if (producer->instance != NULL)
			kafka_instance_purge(producer->instance);
		serve_until_empty(producer, CLOSE_PURGE_MS, &list);
	}
	(void)pthread_join(producer->watcher, NULL); /* before the last reference: its probe is bounded */
	give_up(producer, &list);
	settle(producer, list.delivered, list.failed);
	left = free_left_behind(producer, list.head);
	assert(producer->left_behind == NULL && atomic_load(&producer->waiting) == 0);
	free_producer(producer);
	return left;
}

/* --- one message, waited for ----------------------------------------------------------------------- */

static bool send_when_up(struct kafka_producer *producer, const struct kafka_message *message, int64_t deadline_ms,
			 struct kafka_ticket *ticket, struct err *err)
{
	for (;;) {
		enum kafka_send_result result = kafka_producer_send(producer, message, ticket);

		if (result == KAFKA_SEND_QUEUED)
			return true;
		if (result == KAFKA_SEND_TOO_LARGE)
			return err_set(err, ERR_TOO_LARGE, "the message for %s is too large", message->topic);
		if (result == KAFKA_SEND_REFUSED)
			return err_set(err, ERR_INVALID, "the message for %s was refused", message->topic);
		if (kafka_remaining_ms(deadline_ms) == 0)
			return err_set(err, result == KAFKA_SEND_FULL ? ERR_FULL : ERR_UNAVAILABLE,
				       "%s cannot be written to", message->topic);
		if (kafka_producer_poll(producer, SEND_WAIT_STEP_MS) != NULL)
			assert(!"send_wait on a producer that others send with");
	}
}

bool kafka_producer_send_wait(struct kafka_producer *producer, const struct kafka_message *message, int timeout_ms,
			      struct err *err)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));
	int64_t deadline_ms = kafka_now_ms() + timeout_ms;
	struct kafka_ticket *back = NULL;
	bool ok;

	if (waiter == NULL)
		return err_set(err, ERR_FULL, "no memory for a message");
	if (!send_when_up(producer, message, deadline_ms, &waiter->ticket, err)) {
		free(waiter);
		return false;
	}
	while (back == NULL && kafka_remaining_ms(deadline_ms) > 0)
		back = kafka_producer_poll(producer, kafka_remaining_ms(deadline_ms));
	if (back == NULL) {
		waiter->next = producer->left_behind;
		producer->left_behind = waiter;
		return err_set(err, ERR_TIMEOUT, "%s has not acknowledged a message in time", message->topic);
	}
	assert(back == &waiter->ticket && back->next == NULL);
	ok = back->delivery == KAFKA_DELIVERY_DONE ||
	     err_set(err, back->too_large ? ERR_TOO_LARGE : ERR_UNAVAILABLE, "%s did not take a message: %s",
		     message->topic, back->failure);
	free(waiter);
	return ok;
}

/* For tests, from the owner thread. */
void kafka_producer_test_fatal(struct kafka_producer *producer)
{
	kafka_instance_test_fatal(producer->instance);
}
