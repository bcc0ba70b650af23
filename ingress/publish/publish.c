#include "ingress/publish/publish.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "ingress/ingress.h"
#include "ingress/loop.h"

enum {
	POLL_MS = 100,                  /* how late the thread sees that it should stop */
	DELIVERY_TIMEOUT_MS_MIN = 1000, /* librdkafka looks for messages out of time once a second */
	GATHER_MS = 1,
	GATHER_FROM = 36, /* messages that wait */
	GATHER_UNTIL = 6
};

/* Two ways to Kafka. With few requests at a time a message that waits for company waits in vain; with many, it makes
 * produce requests twice as large, and these are what costs Kafka and us time (docs/performance.md). What one client
 * sends one after the other keeps its order: it has the answer to the first before it sends the second. (After a 503 it
 * has none: what it sent may still land, behind what it sends next.) */
enum lane_kind { LANE_DIRECT, LANE_GATHER, LANES };

struct lane {
	struct publisher *publisher;
	struct kafka_producer *producer;
	pthread_t thread;
	bool started;
};

struct publisher {
	struct lane lanes[LANES];
	atomic_bool gathering;
	atomic_bool stopping;
	int close_timeout_ms; /* written before stopping is set */
};

/* The messages of one request. The last one to drop its reference, a ticket or the sender, hands the request's own
 * ticket back; so the loop sees one ticket per request. */
struct batch {
	struct request *req; /* NULL: it was refused, nobody waits */
	atomic_size_t references;
	atomic_bool failed;
	struct kafka_ticket tickets[];
};

static void batch_drop(struct batch *batch, size_t references)
{
	if (atomic_fetch_sub_explicit(&batch->references, references, memory_order_acq_rel) > references)
		return;
	if (batch->req != NULL) {
		struct kafka_ticket *ticket = request_ticket(batch->req);
		bool failed = atomic_load_explicit(&batch->failed, memory_order_relaxed);
		ticket->delivery = failed ? KAFKA_DELIVERY_FAILED : KAFKA_DELIVERY_DONE;
		ticket->failure = failed ? "a message of the batch was not kept" : NULL;
		loop_post_ticket(request_loop(batch->req), ticket);
	}
	free(batch);
}

/* On the thread that has the broker's answer: the loop is the first that waits for it. */
static void hand_back(struct kafka_ticket *ticket)
{
	struct batch *batch = ticket->group;

	if (batch != NULL) {
		if (ticket->delivery != KAFKA_DELIVERY_DONE)
			atomic_store_explicit(&batch->failed, true, memory_order_relaxed);
		batch_drop(batch, 1);
		return;
	}
	loop_post_ticket(request_loop(request_of_ticket(ticket)), ticket);
}

/* What was given up; the others come one by one. */
static void hand_out(struct kafka_ticket *list)
{
	while (list != NULL) {
		struct kafka_ticket *next = list->next;
		hand_back(list);
		list = next;
	}
}

/* Owns the lane's producer: sees to errors and the rebuild, and hands back what was given up. */
static void *lane_run(void *cookie)
{
	struct lane *lane = cookie;
	struct publisher *publisher = lane->publisher;

	while (!atomic_load_explicit(&publisher->stopping, memory_order_acquire))
		hand_out(kafka_producer_poll(lane->producer, POLL_MS));
	hand_out(kafka_producer_close(lane->producer, publisher->close_timeout_ms));
	return NULL;
}

static struct kafka_producer *producer_open(const struct config *config, enum lane_kind kind, struct err *err)
{
	char stripe[KAFKA_TOPIC_BYTES_MAX + 1], agent[KAFKA_TOPIC_BYTES_MAX + 1];
	int timeout_ms = (int)config->publish_timeout_ms;

	event_topic_name(EVENT_TOPIC_STRIPE, config->environment, stripe);
	event_topic_name(EVENT_TOPIC_AGENT, config->environment, agent);
	/* A node without agents does not wait for their topic. */
	const char *const topics[] = {stripe, config->agents ? agent : NULL, NULL};
	return kafka_producer_new(
		&(struct kafka_producer_options){
			.config = config,
			.client_id = "watchpost-ingress",
			.topics = topics,
			.waiting_max = (size_t)config->publish_waiting_max,
			/* After our own deadline nobody waits for it any more. */
			.delivery_timeout_ms =
				timeout_ms < DELIVERY_TIMEOUT_MS_MIN ? DELIVERY_TIMEOUT_MS_MIN : timeout_ms,
			.gather_ms = kind == LANE_GATHER ? GATHER_MS : 0,
			.on_settled = hand_back,
		},
		err);
}

static bool lane_start(struct publisher *publisher, enum lane_kind kind, const struct config *config, struct err *err)
{
	struct lane *lane = &publisher->lanes[kind];

	lane->publisher = publisher;
	lane->producer = producer_open(config, kind, err);
	if (lane->producer == NULL)
		return false;
	lane->started = pthread_create(&lane->thread, NULL, lane_run, lane) == 0;
	if (!lane->started) {
		/* Nothing was sent yet: no ticket can come back. */
		(void)kafka_producer_close(lane->producer, 0);
		return err_set(err, ERR_IO, "could not start the publisher's thread");
	}
	return true;
}

struct publisher *publisher_start(const struct config *config, struct err *err)
{
	struct publisher *publisher = calloc(1, sizeof(*publisher));

	if (publisher == NULL) {
		err_set(err, ERR_FULL, "no memory for the publisher");
		return NULL;
	}
	for (enum lane_kind kind = 0; kind < LANES; kind++) {
		if (!lane_start(publisher, kind, config, err)) {
			publisher_stop(publisher, 0);
			return NULL;
		}
	}
	return publisher;
}

void publisher_stop(struct publisher *publisher, int timeout_ms)
{
	if (publisher == NULL)
		return;
	publisher->close_timeout_ms = timeout_ms;
	atomic_store_explicit(&publisher->stopping, true, memory_order_release);
	for (size_t i = 0; i < LANES; i++)
		if (publisher->lanes[i].started)
			(void)pthread_join(publisher->lanes[i].thread, NULL);
	free(publisher);
}

/* The producer for what is sent now. Any loop's thread; it does not matter when two see different things. */
static struct kafka_producer *producer_now(struct publisher *publisher)
{
	size_t waiting = 0;
	bool gathering = atomic_load_explicit(&publisher->gathering, memory_order_relaxed);

	for (size_t i = 0; i < LANES; i++)
		waiting += kafka_producer_waiting(publisher->lanes[i].producer);
	if (gathering ? waiting < GATHER_UNTIL : waiting >= GATHER_FROM) {
		gathering = !gathering;
		atomic_store_explicit(&publisher->gathering, gathering, memory_order_relaxed);
	}
	/* One that is being rebuilt holds nobody up. */
	struct kafka_producer *chosen = publisher->lanes[gathering ? LANE_GATHER : LANE_DIRECT].producer;
	struct kafka_producer *other = publisher->lanes[gathering ? LANE_DIRECT : LANE_GATHER].producer;
	return kafka_producer_up(chosen) || !kafka_producer_up(other) ? chosen : other;
}

/* W8 for a message that Kafka's client would not take: at once, nobody waits. */
static void refuse(struct request *req, enum kafka_send_result result)
{
	assert(result != KAFKA_SEND_QUEUED);
	switch (result) {
	case KAFKA_SEND_QUEUED:
	case KAFKA_SEND_REFUSED:
		request_unavailable(req, "kafka_refused");
		break;
	case KAFKA_SEND_FULL:
		request_unavailable(req, "queue_full");
		break;
	case KAFKA_SEND_DOWN:
		request_unavailable(req, "kafka_down");
		break;
	case KAFKA_SEND_TOO_LARGE:
		request_fail(req,
			     &(struct problem){.status = 413, .code = "body_too_large", .reason = "kafka_too_large"});
		break;
	}
}

void publish_request(struct publisher *publisher, struct request *req, const struct kafka_message *message,
		     void (*done)(struct request *req, const struct kafka_ticket *ticket))
{
	request_on_ticket(req, done);
	enum kafka_send_result result = kafka_producer_send(producer_now(publisher), message, request_ticket(req));
	if (result != KAFKA_SEND_QUEUED) {
		refuse(req, result);
		return;
	}
	/* The ticket may be on its way back already; it comes through this thread's queue, hence after we returned. */
	request_wait(req, (int)loop_settings(request_loop(req))->config->publish_timeout_ms, "deadline_passed");
}

static struct batch *batch_new(struct request *req, size_t count)
{
	struct batch *batch = calloc(1, sizeof(*batch) + count * sizeof(batch->tickets[0]));

	if (batch == NULL)
		return NULL;
	batch->req = req;
	atomic_init(&batch->references, count + 1);
	for (size_t i = 0; i < count; i++)
		batch->tickets[i].group = batch;
	return batch;
}

void publish_batch(struct publisher *publisher, struct request *req, const struct kafka_message *messages, size_t count,
		   void (*done)(struct request *req, const struct kafka_ticket *ticket))
{
	assert(count > 0 && count <= PUBLISH_BATCH_MAX);
	struct batch *batch = batch_new(req, count);

	if (batch == NULL) {
		request_unavailable(req, "memory");
		return;
	}
	request_on_ticket(req, done);
	struct kafka_producer *producer = producer_now(publisher); /* one for all, so that they keep their order */
	for (size_t i = 0; i < count; i++) {
		enum kafka_send_result result = kafka_producer_send(producer, &messages[i], &batch->tickets[i]);
		if (result == KAFKA_SEND_QUEUED)
			continue;
		batch->req = NULL; /* before the reference goes: whoever is last sees it */
		refuse(req, result);
		batch_drop(batch, count - i + 1);
		return;
	}
	request_wait(req, (int)loop_settings(request_loop(req))->config->publish_timeout_ms, "deadline_passed");
	batch_drop(batch, 1);
}

bool publisher_up(const struct publisher *publisher)
{
	return kafka_producer_up(publisher->lanes[LANE_DIRECT].producer) &&
	       kafka_producer_up(publisher->lanes[LANE_GATHER].producer);
}

void publisher_stats(const struct publisher *publisher, struct kafka_producer_stats *out)
{
	*out = (struct kafka_producer_stats){.up = true};
	for (size_t i = 0; i < LANES; i++) {
		struct kafka_producer_stats one;
		kafka_producer_stats(publisher->lanes[i].producer, &one);
		out->sent_total += one.sent_total;
		out->delivered_total += one.delivered_total;
		out->failed_total += one.failed_total;
		out->full_total += one.full_total;
		out->fatal_total += one.fatal_total;
		out->waiting += one.waiting;
		out->up = out->up && one.up;
	}
}
