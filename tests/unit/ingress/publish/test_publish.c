/*
 * One publisher for all loops (W7), with producers, requests and loops that the test plays itself: the functions that
 * publish.c calls are defined here, so the linker takes none of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <pthread.h>

#include <cmocka.h>

#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/publish/publish.h"

enum { REQUESTS_MAX = 64, LOOPS = 3, POSTS_MAX = 64 };

struct loop {
	int number;
};

struct request {
	struct kafka_ticket ticket;
	struct loop *loop;
	void (*done)(struct request *req, const struct kafka_ticket *ticket);
	int waits;
	int deadline_ms;
	int fails;
	struct problem problem;
};

static struct loop loops[LOOPS];
static struct request requests[REQUESTS_MAX];

/* Guards what the publisher's thread and the test both touch. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kafka_ticket *to_deliver;
static struct kafka_ticket *to_fail_at_close;
static enum kafka_send_result send_result;
static struct kafka_ticket *batch_tickets[PUBLISH_BATCH_MAX]; /* of a batch, as they were sent */
static int refuse_from;                                       /* the send from which on send_result counts */
static int sends, closes, close_timeout_ms;
static int refuse_new; /* the producer that cannot be made, from 1; 0: none */
static int made;
static size_t waiting[2];
static struct kafka_producer *sent_with, *down;
static struct kafka_producer_options seen_options[2];

struct post {
	struct loop *loop;
	struct kafka_ticket *ticket;
};
static struct post posts[POSTS_MAX];
static size_t post_count;

static void nap(void)
{
	const struct timespec millisecond = {.tv_nsec = 1000000};

	(void)nanosleep(&millisecond, NULL);
}

/* --- what publish.c calls ------------------------------------------------------------------------- */

/* That waits for nothing, and that gathers. */
static struct kafka_producer *const DIRECT = (struct kafka_producer *)(void *)&waiting[0];
static struct kafka_producer *const GATHER = (struct kafka_producer *)(void *)&waiting[1];

struct kafka_producer *kafka_producer_new(const struct kafka_producer_options *options, struct err *err)
{
	assert_in_range(made, 0, 1);
	seen_options[made++] = *options;
	assert_string_equal(options->topics[0], "watchpost.development.stripe");
	assert_null(options->topics[1]);
	if (refuse_new == made) {
		err_set(err, ERR_UNAVAILABLE, "no");
		return NULL;
	}
	return made == 1 ? DIRECT : GATHER;
}

enum kafka_send_result kafka_producer_send(struct kafka_producer *producer, const struct kafka_message *message,
					   struct kafka_ticket *ticket)
{
	assert_true(producer == DIRECT || producer == GATHER);
	assert_non_null(message);
	assert_int_equal(closes, 0);
	sent_with = producer;
	sends++;
	if (ticket->group != NULL) {
		assert_in_range(sends, 1, PUBLISH_BATCH_MAX);
		batch_tickets[sends - 1] = ticket;
		assert_non_null(requests[0].done);
		return sends >= refuse_from ? send_result : KAFKA_SEND_QUEUED;
	}
	/* Who goes on must be known before the ticket can come back. */
	assert_non_null(request_of_ticket(ticket)->done);
	return send_result;
}

struct kafka_ticket *kafka_producer_poll(struct kafka_producer *producer, int timeout_ms)
{
	assert_true(producer == DIRECT || producer == GATHER);
	assert_true(timeout_ms > 0);
	pthread_mutex_lock(&lock);
	struct kafka_ticket *list = to_deliver;
	to_deliver = NULL;
	pthread_mutex_unlock(&lock);
	if (list == NULL)
		nap();
	return list;
}

struct kafka_ticket *kafka_producer_close(struct kafka_producer *producer, int timeout_ms)
{
	assert_true(producer == DIRECT || producer == GATHER);
	pthread_mutex_lock(&lock);
	struct kafka_ticket *list = to_fail_at_close;
	to_fail_at_close = NULL;
	closes++;
	close_timeout_ms = timeout_ms;
	pthread_mutex_unlock(&lock);
	return list;
}

bool kafka_producer_up(const struct kafka_producer *producer)
{
	return producer != down;
}

size_t kafka_producer_waiting(const struct kafka_producer *producer)
{
	return *(const size_t *)(const void *)producer;
}

void kafka_producer_stats(const struct kafka_producer *producer, struct kafka_producer_stats *out)
{
	*out = (struct kafka_producer_stats){
		.sent_total = 1, .delivered_total = 2, .failed_total = 3, .full_total = 4, .fatal_total = 5};
	out->waiting = kafka_producer_waiting(producer);
	out->up = kafka_producer_up(producer);
}

struct kafka_ticket *request_ticket(struct request *req)
{
	return &req->ticket;
}

struct request *request_of_ticket(struct kafka_ticket *ticket)
{
	return CONTAINER_OF(ticket, struct request, ticket);
}

struct loop *request_loop(const struct request *req)
{
	return req->loop;
}

void request_on_ticket(struct request *req, void (*done)(struct request *req, const struct kafka_ticket *ticket))
{
	req->done = done;
}

void request_wait(struct request *req, int deadline_ms, const char *deadline_code)
{
	assert_string_equal(deadline_code, "deadline_passed");
	req->waits++;
	req->deadline_ms = deadline_ms;
}

void request_fail(struct request *req, const struct problem *problem)
{
	req->fails++;
	req->problem = *problem;
}

const struct settings *loop_settings(const struct loop *loop)
{
	static struct config config = {.publish_timeout_ms = 1234};
	static struct settings settings = {.config = &config};

	assert_non_null(loop);
	return &settings;
}

void loop_post_ticket(struct loop *loop, struct kafka_ticket *ticket)
{
	pthread_mutex_lock(&lock);
	posts[post_count++] = (struct post){.loop = loop, .ticket = ticket};
	/* The loop links it into a list of its own. */
	ticket->next = (struct kafka_ticket *)(void *)&posts;
	pthread_mutex_unlock(&lock);
}

/* --- the tests ------------------------------------------------------------------------------------ */

static void done(struct request *req, const struct kafka_ticket *ticket)
{
	(void)req;
	(void)ticket;
}

static int reset(void **state)
{
	(void)state;
	memset(requests, 0, sizeof(requests));
	memset(posts, 0, sizeof(posts));
	post_count = 0;
	to_deliver = to_fail_at_close = NULL;
	send_result = KAFKA_SEND_QUEUED;
	sends = closes = close_timeout_ms = refuse_from = 0;
	memset(batch_tickets, 0, sizeof(batch_tickets));
	refuse_new = 0;
	waiting[0] = waiting[1] = 0;
	sent_with = down = NULL;
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		requests[i].loop = &loops[i % LOOPS];
	return 0;
}

static struct publisher *start(int publish_timeout_ms)
{
	struct config config = {.environment = ENVIRONMENT_DEVELOPMENT,
				.publish_timeout_ms = publish_timeout_ms,
				.publish_waiting_max = 99};
	struct err err;
	made = 0;
	struct publisher *publisher = publisher_start(&config, &err);

	assert_non_null(publisher);
	assert_int_equal(made, 2);
	return publisher;
}

static struct kafka_ticket *linked(size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		requests[i].ticket.delivery = KAFKA_DELIVERY_DONE;
		requests[i].ticket.next = i + 1 < first + count ? &requests[i + 1].ticket : NULL;
	}
	return &requests[first].ticket;
}

static size_t posts_wait(size_t wanted)
{
	size_t seen = 0;

	for (int tries = 0; tries < 5000 && seen < wanted; tries++) {
		pthread_mutex_lock(&lock);
		seen = post_count;
		pthread_mutex_unlock(&lock);
		nap();
	}
	return seen;
}

static void assert_posted(size_t count)
{
	assert_int_equal(post_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(posts[i].ticket, &requests[i].ticket);
		assert_ptr_equal(posts[i].loop, requests[i].loop);
	}
}

/* Why: a settled ticket goes to its loop by the thread that has the news, without the publisher's. How: requests of
 * three loops in turn, told as the producer tells. */
static void settled_tickets_go_straight_to_their_loop(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	for (size_t i = 0; i < 31; i++)
		seen_options[0].on_settled(&requests[i].ticket);
	assert_posted(31);
	publisher_stop(publisher, 0);
}

/* Why: tickets that a rebuild gave up come by the poll; none may be lost. How: a list of requests of three loops. */
static void given_up_tickets_are_handed_out(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	pthread_mutex_lock(&lock);
	to_deliver = linked(0, 31);
	pthread_mutex_unlock(&lock);
	assert_int_equal(posts_wait(31), 31);
	publisher_stop(publisher, 0);
	assert_posted(31);
}

/* Why: a request that Kafka's client took waits, under the deadline that is in force now. How: one send. */
static void queued_requests_wait(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	publish_request(publisher, &requests[0], &(struct kafka_message){.partition = -1}, done);
	assert_int_equal(sends, 1);
	assert_int_equal(requests[0].waits, 1);
	assert_int_equal(requests[0].deadline_ms, 1234);
	assert_int_equal(requests[0].fails, 0);
	publisher_stop(publisher, 0);
}

/* Why: what is said of Kafka is true for both producers. How: the sums; one of them down. */
static void both_producers_count(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);
	struct kafka_producer_stats stats;

	waiting[0] = 3;
	waiting[1] = 4;
	publisher_stats(publisher, &stats);
	assert_int_equal(stats.waiting, 7);
	assert_int_equal(stats.sent_total, 2);
	assert_int_equal(stats.delivered_total, 4);
	assert_int_equal(stats.failed_total, 6);
	assert_int_equal(stats.full_total, 8);
	assert_int_equal(stats.fatal_total, 10);
	assert_true(stats.up && publisher_up(publisher));
	for (int i = 0; i < 2; i++) {
		down = i == 0 ? DIRECT : GATHER;
		publisher_stats(publisher, &stats);
		assert_false(stats.up || publisher_up(publisher));
	}
	publisher_stop(publisher, 0);
}

/* Why: few requests wait for nothing, many make large batches, and it does not change with each. How: how many wait
 * goes up and down; a batch stays with the producer that it began with. */
static void many_requests_are_gathered(void **state)
{
	(void)state;
	static const struct {
		size_t direct, gather;
		bool gathers;
	} steps[] = {
		{0, 0, false}, {35, 0, false},  {36, 0, true}, {10, 20, true}, {0, 6, true},
		{0, 5, false}, {20, 15, false}, {0, 36, true}, {0, 0, false},
	};
	struct publisher *publisher = start(3000);

	assert_int_equal(seen_options[0].gather_ms, 0);
	assert_int_equal(seen_options[1].gather_ms, 1);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		(void)reset(NULL);
		waiting[0] = steps[i].direct;
		waiting[1] = steps[i].gather;
		publish_request(publisher, &requests[0], &(struct kafka_message){.partition = -1}, done);
		assert_ptr_equal(sent_with, steps[i].gathers ? GATHER : DIRECT);
	}
	/* One that is down is passed over. */
	down = DIRECT;
	publish_request(publisher, &requests[1], &(struct kafka_message){.partition = -1}, done);
	assert_ptr_equal(sent_with, GATHER);
	publisher_stop(publisher, 0);
}

/* Why: what is refused is answered at once and must say so honestly; nothing waits. How: each refusal. */
static void refused_sends_are_answered_at_once(void **state)
{
	(void)state;
	static const struct {
		enum kafka_send_result result;
		int status;
		const char *code, *reason;
		int retry_after_s;
	} cases[] = {
		{KAFKA_SEND_FULL, 503, "unavailable", "queue_full", 1},
		{KAFKA_SEND_DOWN, 503, "unavailable", "kafka_down", 1},
		{KAFKA_SEND_REFUSED, 503, "unavailable", "kafka_refused", 1},
		{KAFKA_SEND_TOO_LARGE, 413, "body_too_large", "kafka_too_large", 0},
	};
	struct publisher *publisher = start(3000);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		send_result = cases[i].result;
		publish_request(publisher, &requests[i], &(struct kafka_message){.partition = -1}, done);
		assert_int_equal(requests[i].fails, 1);
		assert_int_equal(requests[i].waits, 0);
		assert_int_equal(requests[i].problem.status, cases[i].status);
		assert_string_equal(requests[i].problem.code, cases[i].code);
		assert_string_equal(requests[i].problem.reason, cases[i].reason);
		assert_int_equal(requests[i].problem.retry_after_s, cases[i].retry_after_s);
	}
	publisher_stop(publisher, 0);
}

static void send_batch(struct publisher *publisher, size_t count)
{
	static struct kafka_message messages[PUBLISH_BATCH_MAX];
	for (size_t i = 0; i < count; i++)
		messages[i].partition = -1;
	publish_batch(publisher, &requests[0], messages, count, done);
}

static void settle(size_t first, size_t count, enum kafka_delivery delivery)
{
	for (size_t i = first; i < first + count; i++) {
		batch_tickets[i]->delivery = delivery;
		seen_options[0].on_settled(batch_tickets[i]);
	}
}

/* Why: a 202 says that all of a batch is kept, so one answer goes back, after the last report. How: all kept; the first
 * and the last of them not kept; the largest batch and one of one. */
static void a_batch_is_one_ticket(void **state)
{
	(void)state;
	static const struct {
		size_t count, failed_at;
	} cases[] = {{1, 9999}, {3, 9999}, {3, 0}, {3, 2}, {PUBLISH_BATCH_MAX, 9999}, {PUBLISH_BATCH_MAX, 50}};
	struct publisher *publisher = start(3000);

	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		size_t count = cases[c].count;
		(void)reset(NULL);
		send_batch(publisher, count);
		assert_int_equal(sends, count);
		assert_int_equal(requests[0].waits, 1);
		assert_int_equal(requests[0].deadline_ms, 1234);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(post_count, 0);
			settle(i, 1, i == cases[c].failed_at ? KAFKA_DELIVERY_FAILED : KAFKA_DELIVERY_DONE);
		}
		assert_posted(1);
		assert_int_equal(requests[0].ticket.delivery,
				 cases[c].failed_at < count ? KAFKA_DELIVERY_FAILED : KAFKA_DELIVERY_DONE);
	}
	publisher_stop(publisher, 0);
}

/* Why: a batch that Kafka's client takes in part is refused as a whole and at once, and what it took comes back to
 * nobody. How: the first, a middle and the last message refused, then the reports of the others; the leak checker
 * watches. */
static void a_batch_taken_in_part_is_refused(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	for (int refused = 1; refused <= 5; refused += 2) {
		(void)reset(NULL);
		send_result = KAFKA_SEND_FULL;
		refuse_from = refused;
		send_batch(publisher, 5);
		assert_int_equal(sends, refused);
		assert_int_equal(requests[0].fails, 1);
		assert_int_equal(requests[0].waits, 0);
		assert_int_equal(requests[0].problem.status, 503);
		assert_string_equal(requests[0].problem.reason, "queue_full");
		settle(0, (size_t)refused - 1, KAFKA_DELIVERY_DONE);
		assert_int_equal(post_count, 0);
	}
	publisher_stop(publisher, 0);
}

static void *settle_half(void *first)
{
	settle(*(size_t *)first, PUBLISH_BATCH_MAX / 2, KAFKA_DELIVERY_DONE);
	return NULL;
}

/* Why: reports come on threads of the library's while the loop goes on. How: two threads settle the halves of a batch;
 * exactly one ticket comes back. */
static void a_batch_settles_once_on_any_threads(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	for (int round = 0; round < 200; round++) {
		size_t halves[2] = {0, PUBLISH_BATCH_MAX / 2};
		pthread_t threads[2];
		(void)reset(NULL);
		send_batch(publisher, PUBLISH_BATCH_MAX);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, settle_half, &halves[i]), 0);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_posted(1);
		assert_int_equal(requests[0].ticket.delivery, KAFKA_DELIVERY_DONE);
	}
	publisher_stop(publisher, 0);
}

/* Why: at the end no ticket may stay behind. How: tickets that the producer gives back when it is closed. */
static void stopping_hands_back_what_is_left(void **state)
{
	(void)state;
	struct publisher *publisher = start(3000);

	to_fail_at_close = linked(0, 4);
	publisher_stop(publisher, 77);
	assert_int_equal(closes, 2);
	assert_int_equal(close_timeout_ms, 77);
	assert_posted(4);
	publisher_stop(NULL, 0);
}

/* Why: librdkafka must give a message up about when our own deadline does, and not before it can look. How: the option
 * for a usual and for a very short deadline. */
static void delivery_time_follows_the_deadline(void **state)
{
	(void)state;
	publisher_stop(start(3000), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(seen_options[i].delivery_timeout_ms, 3000);
		assert_int_equal(seen_options[i].waiting_max, 99);
	}
	closes = 0;
	publisher_stop(start(10), 0);
	assert_int_equal(seen_options[0].delivery_timeout_ms, 1000);
}

/* Why: a start that fails leaves nothing behind. How: either producer cannot be made; the leak checker
 * watches. */
static void failed_start_is_clean(void **state)
{
	(void)state;
	struct config config = {.environment = ENVIRONMENT_DEVELOPMENT, .publish_timeout_ms = 3000};
	struct err err;

	for (int i = 1; i <= 2; i++) {
		made = closes = 0;
		refuse_new = i;
		assert_null(publisher_start(&config, &err));
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		assert_int_equal(closes, i - 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(settled_tickets_go_straight_to_their_loop, reset),
		cmocka_unit_test_setup(given_up_tickets_are_handed_out, reset),
		cmocka_unit_test_setup(queued_requests_wait, reset),
		cmocka_unit_test_setup(both_producers_count, reset),
		cmocka_unit_test_setup(many_requests_are_gathered, reset),
		cmocka_unit_test_setup(refused_sends_are_answered_at_once, reset),
		cmocka_unit_test_setup(a_batch_is_one_ticket, reset),
		cmocka_unit_test_setup(a_batch_taken_in_part_is_refused, reset),
		cmocka_unit_test_setup(a_batch_settles_once_on_any_threads, reset),
		cmocka_unit_test_setup(stopping_hands_back_what_is_left, reset),
		cmocka_unit_test_setup(delivery_time_follows_the_deadline, reset),
		cmocka_unit_test_setup(failed_start_is_clean, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
