#include "common/kafka_instance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/support/mock_kafka.h"

enum { COUNT = 20, PROBES_MAX = 100, PROBE_MS = 100 };

static char topic[] = "watchpost.development.stripe";
static char missing[] = "watchpost.development.missing";

static struct kafka_instance *make(struct mock_kafka *mock, char *name, struct kafka_instance_sink sink)
{
	char *const topics[] = {name};
	struct err err;
	rd_kafka_conf_t *conf = kafka_conf_new(mock_kafka_config(mock), "test", &err);
	struct kafka_instance *instance;

	assert_non_null(conf);
	instance = kafka_instance_new(conf, topics, 1, sink, &err);
	rd_kafka_conf_destroy(conf);
	assert_non_null(instance);
	return instance;
}

static void send_some(struct kafka_instance *instance, struct kafka_ticket *tickets)
{
	const struct kafka_message message = {.topic = topic, .partition = 0, .value = bytes_of("v")};

	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(kafka_instance_send(instance, &message, &tickets[i]), KAFKA_SEND_QUEUED);
}

/* Why: whatever librdkafka does, no request may wait for ever. How: it is never asked for deliveries; all tickets come
 * back as FAILED in the order of the sends. */
static void test_abandon_gives_everything_back_in_order(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	struct kafka_ticket tickets[COUNT];
	struct kafka_ticket_list out = {0};
	struct kafka_instance *instance;
	size_t n = 0;

	(void)state;
	mock_kafka_topic(mock, topic, 1, 1);
	instance = make(mock, topic, (struct kafka_instance_sink){.take = NULL});
	mock_kafka_answer_after(mock, 1, 60000);
	send_some(instance, tickets);
	assert_int_equal(kafka_instance_waiting(instance), COUNT);
	kafka_instance_abandon(instance, "gone", &out);
	assert_int_equal(kafka_instance_waiting(instance), 0);
	assert_int_equal(out.failed, COUNT);
	for (struct kafka_ticket *t = out.head; t != NULL; t = t->next, n++) {
		assert_ptr_equal(t, &tickets[n]);
		assert_int_equal(t->delivery, KAFKA_DELIVERY_FAILED);
		assert_string_equal(t->failure, "gone");
	}
	assert_int_equal(n, COUNT);
	kafka_instance_unref(instance, 2000);
	kafka_instance_unref(NULL, 0);
	mock_kafka_stop(mock);
}

/* Why: after a fatal error the rebuild waits for what a purge gives back. How: purged, then served until all are back.
 */
static void test_purge_fails_everything_soon(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	struct kafka_ticket tickets[COUNT];
	struct kafka_ticket_list out = {0};
	struct kafka_instance_signs signs = {0};
	struct kafka_instance *instance;

	(void)state;
	mock_kafka_topic(mock, topic, 1, 1);
	instance = make(mock, topic, (struct kafka_instance_sink){.take = NULL});
	mock_kafka_answer_after(mock, 1, 60000);
	send_some(instance, tickets);
	kafka_instance_purge(instance);
	for (int i = 0; i < 20 && kafka_instance_waiting(instance) > 0; i++)
		kafka_instance_serve(instance, 100, &out, &signs);
	assert_int_equal(out.failed, COUNT);
	assert_int_equal(out.delivered, 0);
	kafka_instance_unref(instance, 2000);
	mock_kafka_stop(mock);
}

static size_t taken;
static size_t disorder;
static int64_t last_offset;

static void take(void *arg, struct kafka_ticket *ticket)
{
	assert_ptr_equal(arg, &taken);
	assert_int_equal(ticket->delivery, KAFKA_DELIVERY_DONE);
	disorder += ticket->offset != last_offset + 1;
	last_offset = ticket->offset;
	taken++;
}

/* Why: a sink must have the tickets of a partition in order; and librdkafka "acknowledges" a message that it refuses,
 * which the result of the send has said already. How: offsets rise by one; a partition that there is not. */
static void test_a_sink_has_order_and_no_refusals(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	const struct kafka_message nowhere = {.topic = topic, .partition = 7, .value = bytes_of("v")};
	struct kafka_ticket tickets[COUNT], refused;
	struct kafka_ticket_list out = {0};
	struct kafka_instance_signs signs = {0};
	struct kafka_instance *instance;

	(void)state;
	taken = disorder = 0;
	last_offset = -1;
	mock_kafka_topic(mock, topic, 1, 1);
	instance = make(mock, topic, (struct kafka_instance_sink){.take = take, .arg = &taken});
	send_some(instance, tickets);
	for (int i = 0; i < 100 && kafka_instance_waiting(instance) > 0; i++)
		kafka_instance_serve(instance, 20, &out, &signs);
	assert_int_equal(kafka_instance_send(instance, &nowhere, &refused), KAFKA_SEND_REFUSED);
	assert_int_equal(kafka_instance_waiting(instance), 0);
	kafka_instance_abandon(instance, "gone", &out); /* the last call of the sink has returned */
	assert_null(out.head);
	assert_int_equal(taken, COUNT);
	assert_int_equal(disorder, 0);
	kafka_instance_unref(instance, 2000);
	mock_kafka_stop(mock);
}

/* Why: tickets that were given up may be freed while librdkafka still has their messages: what it says of them later
 * must reach nobody. How: with a sink, delivered once; then a slow broker, given up, and the instance ends by
 * delivering or dropping the rest. The sanitizers watch. */
static void test_a_sink_gets_nothing_after_abandon(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	struct kafka_ticket *tickets = calloc(COUNT, sizeof(*tickets));
	struct kafka_ticket_list out = {0};
	struct kafka_instance_signs signs = {0};
	struct kafka_instance *instance;

	(void)state;
	taken = 0;
	assert_non_null(tickets);
	mock_kafka_topic(mock, topic, 1, 1);
	instance = make(mock, topic, (struct kafka_instance_sink){.take = take, .arg = &taken});
	send_some(instance, tickets);
	for (int i = 0; i < 100 && kafka_instance_waiting(instance) > 0; i++)
		kafka_instance_serve(instance, 20, &out, &signs);
	assert_null(out.head);
	mock_kafka_answer_after(mock, 1, 200);
	send_some(instance, tickets);
	kafka_instance_abandon(instance, "gone", &out);
	assert_int_equal(out.failed, COUNT);
	free(tickets);
	kafka_rest_ms(400);
	kafka_instance_unref(instance, 2000);
	assert_int_equal(taken, COUNT);
	mock_kafka_stop(mock);
}

/* Why: "up" means that messages can be written, not that a socket is open. How: a topic that is not there; then one
 * without any leader; then with one. */
static void test_probe_wants_topics_that_can_be_written(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	struct kafka_instance *instance;
	struct err err;
	bool up = false;

	(void)state;
	mock_kafka_topic(mock, missing, 2, 1);
	mock_kafka_topic_missing(mock, missing, true);
	instance = make(mock, missing, (struct kafka_instance_sink){.take = NULL});
	assert_false(kafka_instance_probe(instance, 2000, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	mock_kafka_topic_missing(mock, missing, false);
	mock_kafka_leader(mock, missing, 0, -1);
	mock_kafka_leader(mock, missing, 1, -1);
	assert_false(kafka_instance_probe(instance, 2000, &err));
	assert_int_equal(err.code, ERR_NOT_FOUND);
	mock_kafka_leader(mock, missing, 1, 1);
	for (int i = 0; i < PROBES_MAX && !up; i++)
		up = kafka_instance_probe(instance, PROBE_MS, &err);
	assert_true(up);
	kafka_instance_unref(instance, 2000);
	mock_kafka_stop(mock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_abandon_gives_everything_back_in_order),
		cmocka_unit_test(test_purge_fails_everything_soon),
		cmocka_unit_test(test_a_sink_has_order_and_no_refusals),
		cmocka_unit_test(test_a_sink_gets_nothing_after_abandon),
		cmocka_unit_test(test_probe_wants_topics_that_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
