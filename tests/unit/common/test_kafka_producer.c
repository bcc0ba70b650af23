#include "common/kafka_producer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/support/mock_kafka.h"

enum { PARTITIONS = 4, WAITING_MAX = 2000, DELIVERY_MS = 3000, RECOVERY_MS_MAX = 500, PATIENCE_MS = 10000 };

static const char topic[] = "watchpost.development.stripe";
static const char *const topics[] = {topic, NULL};

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void (*on_settled)(struct kafka_ticket *ticket); /* of the producers that are made */
static atomic_size_t settled;

static void count_settled(struct kafka_ticket *ticket)
{
	assert_int_not_equal(ticket->delivery, KAFKA_DELIVERY_WAITING);
	(void)atomic_fetch_add(&settled, 1);
}

static struct kafka_producer *producer_make(const struct mock_kafka *mock, size_t waiting_max)
{
	struct err err;
	struct kafka_producer *producer = kafka_producer_new(
		&(struct kafka_producer_options){
			.config = mock_kafka_config(mock),
			.client_id = "test",
			.topics = topics,
			.waiting_max = waiting_max,
			.delivery_timeout_ms = DELIVERY_MS,
			.on_settled = on_settled,
		},
		&err);

	assert_non_null(producer);
	return producer;
}

static void wait_up(struct kafka_producer *producer, bool up)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (kafka_producer_up(producer) != up) {
		assert_true(now_ms() < deadline);
		assert_null(kafka_producer_poll(producer, 1));
	}
}

static enum kafka_send_result send_to(struct kafka_producer *producer, int32_t partition, const char *key,
				      struct kafka_ticket *ticket)
{
	const struct kafka_message message = {
		.topic = topic,
		.partition = partition,
		.key = bytes_of(key),
		.value = bytes_of("value"),
	};

	return kafka_producer_send(producer, &message, ticket);
}

static enum kafka_send_result send_one(struct kafka_producer *producer, struct kafka_ticket *ticket)
{
	return send_to(producer, -1, "key", ticket);
}

static size_t count_list(const struct kafka_ticket *list, enum kafka_delivery delivery)
{
	size_t n = 0;

	for (; list != NULL; list = list->next) {
		assert_int_equal(list->delivery, delivery);
		assert_true((list->failure != NULL) == (delivery == KAFKA_DELIVERY_FAILED));
		n++;
	}
	return n;
}

static void wait_tickets(struct kafka_producer *producer, size_t want, enum kafka_delivery delivery)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	for (size_t got = 0; got < want;) {
		got += count_list(kafka_producer_poll(producer, 20), delivery);
		assert_true(got <= want);
		assert_true(now_ms() < deadline);
	}
}

struct fixture {
	struct mock_kafka *mock;
	struct kafka_producer *producer;
};

static struct fixture start(int brokers, size_t waiting_max)
{
	struct fixture f = {.mock = mock_kafka_start(brokers)};

	mock_kafka_topic(f.mock, topic, PARTITIONS, brokers);
	f.producer = producer_make(f.mock, waiting_max);
	wait_up(f.producer, true);
	return f;
}

static void stop(struct fixture *f)
{
	assert_null(kafka_producer_close(f->producer, 5000));
	mock_kafka_stop(f->mock);
}

/* Why: readers and Java tools must find a key in the same partition. How: keys whose murmur2 is known from Apache
 * Kafka's own test (UtilsTest.testMurmur2). */
static void test_delivers_to_the_partition_of_java(void **state)
{
	static const struct {
		const char *key;
		int32_t hash;
	} known[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	};
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket tickets[ARRAY_LEN(known)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		assert_int_equal(send_to(f.producer, -1, known[i].key, &tickets[i]), KAFKA_SEND_QUEUED);
		wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
		assert_int_equal(tickets[i].partition, (known[i].hash & 0x7fffffff) % PARTITIONS);
		assert_true(tickets[i].offset >= 0);
	}
	stop(&f);
}

/* Why: a customer's events must stay in order, and the loops count on tickets in order. How: one key, many messages;
 * tickets come back in the order of the sends with rising offsets. */
static void test_tickets_come_back_in_order(void **state)
{
	enum { COUNT = 1000 };
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket *tickets = calloc(COUNT, sizeof(*tickets));
	size_t next = 0;

	(void)state;
	assert_non_null(tickets);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	while (next < COUNT) {
		for (struct kafka_ticket *t = kafka_producer_poll(f.producer, 100); t != NULL; t = t->next) {
			assert_ptr_equal(t, &tickets[next]);
			assert_int_equal(t->offset, next);
			next++;
		}
	}
	free(tickets);
	stop(&f);
}

/* Why: how many requests wait for Kafka is bounded, and the next one learns it at once. How: a slow broker, a bound of
 * five; the sixth is refused without waiting; after the deliveries there is room again. */
static void test_full_is_said_at_once(void **state)
{
	enum { BOUND = 5 };
	struct fixture f = start(1, BOUND);
	struct kafka_ticket tickets[BOUND], extra;
	struct kafka_producer_stats stats;
	int64_t before;

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 300);
	for (size_t i = 0; i < BOUND; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	before = now_ms();
	assert_int_equal(send_one(f.producer, &extra), KAFKA_SEND_FULL);
	assert_true(now_ms() - before < 20);
	kafka_producer_stats(f.producer, &stats);
	assert_int_equal(stats.waiting, BOUND);
	assert_int_equal(stats.full_total, 1);
	wait_tickets(f.producer, BOUND, KAFKA_DELIVERY_DONE);
	assert_int_equal(send_one(f.producer, &extra), KAFKA_SEND_QUEUED);
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	kafka_producer_stats(f.producer, &stats);
	assert_int_equal(stats.waiting, 0);
	assert_int_equal(stats.delivered_total, BOUND + 1);
	stop(&f);
}

/* Why: a message over the broker's bound can never be delivered (413). How: one byte over and the largest that fits. */
static void test_too_large_is_said_at_once(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	const struct event_header header = {"name", bytes_of("value")};
	struct kafka_message message = {.topic = topic, .partition = -1, .headers = &header, .header_count = 1};
	const size_t fits = KAFKA_MESSAGE_BYTES_MAX - KAFKA_RECORD_OVERHEAD_BYTES - strlen("namevalue") - 8;
	char *value = calloc(1, fits + 1);
	struct kafka_ticket ticket;

	(void)state;
	assert_non_null(value);
	message.value = bytes_make(value, fits + 1);
	assert_int_equal(kafka_producer_send(f.producer, &message, &ticket), KAFKA_SEND_TOO_LARGE);
	message.value = bytes_make(value, fits);
	assert_int_equal(kafka_producer_send(f.producer, &message, &ticket), KAFKA_SEND_QUEUED);
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	free(value);
	stop(&f);
}

/* Why: a topic that "up" did not wait for could hold a message back for long. How: send to one not named before. */
static void test_refuses_a_topic_not_named(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	const struct kafka_message message = {.topic = "elsewhere", .partition = -1, .value = bytes_of("v")};
	struct kafka_ticket ticket;

	(void)state;
	assert_int_equal(kafka_producer_send(f.producer, &message, &ticket), KAFKA_SEND_REFUSED);
	stop(&f);
}

/* Why: W7, while the broker is known to be away the answer is 503 at once; after its return the first 2xx comes within
 * 0.5 s. How: the only broker goes; sends are DOWN soon and cost nothing; it returns; time to the first delivery, five
 * times with different lengths of absence, so that reconnects meet the return in different phases. */
static void test_down_at_once_and_quick_recovery(void **state)
{
	struct fixture f = start(1, WAITING_MAX);

	(void)state;
	for (int round = 0; round < 5; round++) {
		struct kafka_ticket ticket;
		int64_t before = now_ms();

		mock_kafka_broker_down(f.mock, 1);
		wait_up(f.producer, false);
		assert_true(now_ms() - before < 600);
		before = now_ms();
		assert_int_equal(send_one(f.producer, &ticket), KAFKA_SEND_DOWN);
		assert_true(now_ms() - before < 5);
		before = now_ms();
		while (now_ms() - before < 700 + 330 * round)
			assert_null(kafka_producer_poll(f.producer, 10));
		mock_kafka_broker_up(f.mock, 1);
		before = now_ms();
		while (send_one(f.producer, &ticket) == KAFKA_SEND_DOWN)
			assert_null(kafka_producer_poll(f.producer, 1));
		wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
		print_message("first delivery %d ms after the broker's return\n", (int)(now_ms() - before));
		assert_true(now_ms() - before < RECOVERY_MS_MAX);
	}
	stop(&f);
}

/* Why: what was queued when the broker went must end one way or the other. How: sent, then the broker goes for good:
 * the tickets come back as FAILED within the delivery timeout and the library's scan interval. */
static void test_queued_messages_fail_in_time(void **state)
{
	enum { COUNT = 10 };
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket tickets[COUNT];
	int64_t before;

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 5000);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	mock_kafka_broker_down(f.mock, 1);
	before = now_ms();
	wait_tickets(f.producer, COUNT, KAFKA_DELIVERY_FAILED);
	assert_true(now_ms() - before < DELIVERY_MS + 1500);
	stop(&f);
}

/* Why: brokers close idle connections; that is not an outage. How: all connections break and the broker takes new ones
 * at once; "up" is watched for a second and never falls. */
static void test_broken_connections_do_not_flap(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket ticket;
	int64_t before = now_ms();

	(void)state;
	mock_kafka_broker_down(f.mock, 1);
	mock_kafka_broker_up(f.mock, 1);
	while (now_ms() - before < 1000) {
		assert_null(kafka_producer_poll(f.producer, 1));
		assert_true(kafka_producer_up(f.producer));
	}
	assert_int_equal(send_one(f.producer, &ticket), KAFKA_SEND_QUEUED);
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	stop(&f);
}

/* Why: one broker of three may go without an outage. How: partition 0 is led by the one that goes; the others are
 * written all the time, "up" never falls; partition 0 is written again when another broker leads it. */
static void test_one_of_three_lost(void **state)
{
	struct fixture f = start(3, WAITING_MAX);
	struct kafka_ticket ticket;
	int64_t before;

	(void)state;
	for (int32_t p = 0; p < PARTITIONS; p++)
		mock_kafka_leader(f.mock, topic, p, p == 0 ? 1 : 2);
	mock_kafka_broker_down(f.mock, 1);
	before = now_ms();
	while (now_ms() - before < 2500) {
		assert_true(kafka_producer_up(f.producer));
		assert_int_equal(send_to(f.producer, 1 + (int32_t)(now_ms() % 3), "key", &ticket), KAFKA_SEND_QUEUED);
		wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	}
	assert_int_equal(send_to(f.producer, 0, "key", &ticket), KAFKA_SEND_QUEUED);
	mock_kafka_leader(f.mock, topic, 0, 3);
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	assert_true(kafka_producer_up(f.producer));
	stop(&f);
}

/* Why: a broker can hang with its connections open. How: answers take longer than anybody waits; a message stands
 * still, so the producer asks and says "down"; when answers come again it is up. */
static void test_hanging_broker_is_noticed(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket ticket, *list = NULL;
	int64_t before;

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 60000);
	assert_int_equal(send_one(f.producer, &ticket), KAFKA_SEND_QUEUED);
	before = now_ms();
	while (kafka_producer_up(f.producer)) {
		if (list == NULL)
			list = kafka_producer_poll(f.producer, 1);
		assert_true(now_ms() - before < 2500);
	}
	mock_kafka_answer_after(f.mock, 1, 0);
	while (!kafka_producer_up(f.producer)) {
		if (list == NULL)
			list = kafka_producer_poll(f.producer, 1);
		assert_true(now_ms() - before < 15000);
	}
	while (list == NULL)
		list = kafka_producer_poll(f.producer, 1);
	assert_ptr_equal(list, &ticket);
	stop(&f);
}

/* Why: nodes start in any order. How: the broker is away when the producer is made, which neither fails nor waits. */
static void test_broker_comes_after_the_producer(void **state)
{
	struct fixture f = {.mock = mock_kafka_start(1)};
	struct kafka_ticket ticket;
	int64_t before;

	(void)state;
	mock_kafka_topic(f.mock, topic, PARTITIONS, 1);
	mock_kafka_broker_down(f.mock, 1);
	before = now_ms();
	f.producer = producer_make(f.mock, WAITING_MAX);
	assert_true(now_ms() - before < 200);
	assert_int_equal(send_one(f.producer, &ticket), KAFKA_SEND_DOWN);
	while (now_ms() - before < 1200)
		assert_null(kafka_producer_poll(f.producer, 10));
	mock_kafka_broker_up(f.mock, 1);
	before = now_ms();
	while (send_one(f.producer, &ticket) == KAFKA_SEND_DOWN)
		assert_null(kafka_producer_poll(f.producer, 1));
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	print_message("first delivery %d ms after the broker came\n", (int)(now_ms() - before));
	assert_true(now_ms() - before < RECOVERY_MS_MAX);
	stop(&f);
}

/* Why: librdkafka's idempotence can break for good; a node must not die of it. How: messages wait, the instance fails:
 * each ticket comes back once as FAILED, sends meet SEND_DOWN until the new instance is up, then it delivers. */
static void test_fatal_error_rebuilds(void **state)
{
	enum { COUNT = 50 };
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket tickets[COUNT], after;
	struct kafka_producer_stats stats;

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 1000);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	kafka_producer_test_fatal(f.producer);
	wait_tickets(f.producer, COUNT, KAFKA_DELIVERY_FAILED);
	mock_kafka_answer_after(f.mock, 1, 0);
	assert_int_equal(send_one(f.producer, &after), KAFKA_SEND_DOWN);
	wait_up(f.producer, true);
	assert_int_equal(send_one(f.producer, &after), KAFKA_SEND_QUEUED);
	wait_tickets(f.producer, 1, KAFKA_DELIVERY_DONE);
	kafka_producer_stats(f.producer, &stats);
	assert_int_equal(stats.fatal_total, 1);
	assert_int_equal(stats.waiting, 0);
	stop(&f);
}

enum { SENDERS = 3, PER_SENDER = 3000 };

struct sender {
	struct kafka_producer *producer;
	struct kafka_ticket tickets[PER_SENDER];
	size_t queued;
};

static void *sender_main(void *arg)
{
	struct sender *sender = arg;

	for (size_t i = 0; i < PER_SENDER; i++) {
		if (send_one(sender->producer, &sender->tickets[sender->queued]) == KAFKA_SEND_QUEUED)
			sender->queued++;
		if (i % 50 == 0)
			(void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return NULL;
}

/* Why: loops go on sending while the owner thread exchanges the instance. How: three threads send all the time, the
 * instance fails again and again; every queued ticket comes back exactly once. Run under the sanitizers too. */
static void test_every_ticket_comes_back_once(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	struct sender *senders = calloc(SENDERS, sizeof(*senders));
	pthread_t threads[SENDERS];
	size_t back = 0, queued = 0;
	int64_t before = now_ms();

	(void)state;
	assert_non_null(senders);
	for (size_t i = 0; i < SENDERS; i++) {
		senders[i].producer = f.producer;
		assert_int_equal(pthread_create(&threads[i], NULL, sender_main, &senders[i]), 0);
	}
	for (int round = 0; now_ms() - before < 1500;) {
		for (struct kafka_ticket *t = kafka_producer_poll(f.producer, 5); t != NULL; t = t->next)
			back++;
		if (round < 5 && now_ms() - before > 100 + 120 * round) {
			kafka_producer_test_fatal(f.producer);
			round++;
		}
	}
	for (size_t i = 0; i < SENDERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		queued += senders[i].queued;
	}
	for (struct kafka_ticket *t = kafka_producer_close(f.producer, 5000); t != NULL; t = t->next)
		back++;
	print_message("%zu of %d messages queued\n", queued, SENDERS * PER_SENDER);
	assert_true(queued > 0);
	assert_int_equal(back + atomic_load(&settled), queued);
	for (size_t i = 0; i < SENDERS; i++) {
		for (size_t k = 0; k < senders[i].queued; k++)
			assert_int_not_equal(senders[i].tickets[k].delivery, KAFKA_DELIVERY_WAITING);
	}
	free(senders);
	mock_kafka_stop(f.mock);
}

/* Why: the same where tickets come from librdkafka's own threads: a rebuild takes them from these. How: as above, with
 * on_settled; nothing is delivered by poll except what was given up. */
static void test_every_ticket_is_settled_once(void **state)
{
	on_settled = count_settled;
	test_every_ticket_comes_back_once(state);
	assert_true(atomic_load(&settled) > 0);
}

static int reset(void **state)
{
	(void)state;
	on_settled = NULL;
	atomic_store(&settled, 0);
	return 0;
}

/* Why: at shutdown no request may be left without an answer, and no hang may keep the process. How: messages that
 * cannot be delivered; close comes back in time and gives all of them back, in order. */
static void test_close_gives_everything_back(void **state)
{
	enum { COUNT = 100 };
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket tickets[COUNT], *list;
	int64_t before;

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 60000);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	before = now_ms();
	list = kafka_producer_close(f.producer, 200);
	assert_true(now_ms() - before < 3500);
	for (size_t i = 0; i < COUNT; i++, list = list->next) {
		assert_ptr_equal(list, &tickets[i]);
		assert_int_equal(list->delivery, KAFKA_DELIVERY_FAILED);
	}
	assert_null(list);
	assert_null(kafka_producer_close(NULL, 0));
	mock_kafka_stop(f.mock);
}

/* Why: close delivers what it can. How: messages under way at a broker that answers; all are DONE. */
static void test_close_flushes(void **state)
{
	enum { COUNT = 100 };
	struct fixture f = start(1, WAITING_MAX);
	struct kafka_ticket tickets[COUNT];

	(void)state;
	mock_kafka_answer_after(f.mock, 1, 50);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(send_one(f.producer, &tickets[i]), KAFKA_SEND_QUEUED);
	assert_int_equal(count_list(kafka_producer_close(f.producer, 5000), KAFKA_DELIVERY_DONE), COUNT);
	mock_kafka_stop(f.mock);
}

/* Why: workers send dead letters one at a time and must know the outcome before the offset moves (C6). How: delivered;
 * then the broker hangs: time-out, and the ticket that comes later harms nobody; then it takes no message of this size;
 * then it is away. */
static void test_send_wait(void **state)
{
	struct fixture f = start(1, WAITING_MAX);
	const struct kafka_message message = {.topic = topic, .partition = -1, .value = bytes_of("v")};
	struct err err;

	(void)state;
	assert_true(kafka_producer_send_wait(f.producer, &message, 2000, &err));
	mock_kafka_answer_after(f.mock, 1, 600);
	assert_false(kafka_producer_send_wait(f.producer, &message, 100, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
	mock_kafka_answer_after(f.mock, 1, 0);
	assert_true(kafka_producer_send_wait(f.producer, &message, 5000, &err));
	mock_kafka_refuse_size(f.mock); /* never to be had by trying again */
	assert_false(kafka_producer_send_wait(f.producer, &message, 5000, &err));
	assert_int_equal(err.code, ERR_TOO_LARGE);
	mock_kafka_broker_down(f.mock, 1);
	wait_up(f.producer, false);
	assert_false(kafka_producer_send_wait(f.producer, &message, 100, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivers_to_the_partition_of_java),
		cmocka_unit_test(test_tickets_come_back_in_order),
		cmocka_unit_test(test_full_is_said_at_once),
		cmocka_unit_test(test_too_large_is_said_at_once),
		cmocka_unit_test(test_refuses_a_topic_not_named),
		cmocka_unit_test(test_down_at_once_and_quick_recovery),
		cmocka_unit_test(test_queued_messages_fail_in_time),
		cmocka_unit_test(test_broken_connections_do_not_flap),
		cmocka_unit_test(test_one_of_three_lost),
		cmocka_unit_test(test_hanging_broker_is_noticed),
		cmocka_unit_test(test_broker_comes_after_the_producer),
		cmocka_unit_test(test_fatal_error_rebuilds),
		cmocka_unit_test_setup(test_every_ticket_comes_back_once, reset),
		cmocka_unit_test_setup_teardown(test_every_ticket_is_settled_once, reset, reset),
		cmocka_unit_test(test_close_gives_everything_back),
		cmocka_unit_test(test_close_flushes),
		cmocka_unit_test(test_send_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
