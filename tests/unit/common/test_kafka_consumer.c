#include "common/kafka_consumer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "common/kafka_admin.h"
#include "common/kafka_producer.h"
#include "tests/unit/support/mock_kafka.h"

enum { PARTITIONS = 4, MANY = 500, PATIENCE_MS = 20000 };

static const char topic[] = "watchpost.development.stripe";

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct mock_kafka *cluster(void)
{
	struct mock_kafka *mock = mock_kafka_start(1);

	mock_kafka_topic(mock, topic, PARTITIONS, 1);
	return mock;
}

/* Writes `count` messages "0", "1" … to a partition, with the headers given. */
static void write_some(struct mock_kafka *mock, int32_t partition, int count, const struct event_header *headers,
		       size_t header_count)
{
	const char *const topics[] = {topic, NULL};
	struct kafka_ticket *tickets = calloc((size_t)count, sizeof(*tickets));
	struct err err;
	struct kafka_producer *producer =
		kafka_producer_new(&(struct kafka_producer_options){.config = mock_kafka_config(mock),
								    .client_id = "test",
								    .topics = topics,
								    .waiting_max = (size_t)count,
								    .delivery_timeout_ms = PATIENCE_MS},
				   &err);

	assert_non_null(producer);
	assert_non_null(tickets);
	while (!kafka_producer_up(producer))
		assert_null(kafka_producer_poll(producer, 1));
	for (int i = 0; i < count; i++) {
		char value[16];
		const struct kafka_message message = {
			.topic = topic,
			.partition = partition,
			.key = bytes_of(i % 2 == 0 ? "key" : ""),
			.value = bytes_make(value, (size_t)snprintf(value, sizeof(value), "%d", i)),
			.headers = headers,
			.header_count = header_count,
		};
		assert_int_equal(kafka_producer_send(producer, &message, &tickets[i]), KAFKA_SEND_QUEUED);
	}
	for (struct kafka_ticket *t = kafka_producer_close(producer, PATIENCE_MS); t != NULL; t = t->next)
		assert_int_equal(t->delivery, KAFKA_DELIVERY_DONE);
	free(tickets);
}

/* A consumer's owner that notes what it is told. */
struct owner {
	struct kafka_consumer *consumer;
	int asked;     /* calls of on_assign */
	int not_ready; /* so many of them are answered with false */
	int64_t start; /* the offset that on_assign gives */
	size_t assigned, revoked;
	int out_of_range;
	struct kafka_partition bad;
	int64_t low, high;
	int64_t end;
	size_t records;
};

static bool on_assign(void *arg, struct kafka_partition *partitions, size_t count)
{
	struct owner *owner = arg;

	if (++owner->asked <= owner->not_ready)
		return false;
	for (size_t i = 0; i < count; i++)
		partitions[i].offset = owner->start;
	owner->assigned += count;
	return true;
}

static void on_revoke(void *arg, const struct kafka_partition *partitions, size_t count)
{
	struct owner *owner = arg;

	assert_non_null(partitions);
	owner->revoked += count;
}

static void on_out_of_range(void *arg, const struct kafka_partition *partition, int64_t low, int64_t high)
{
	struct owner *owner = arg;

	owner->out_of_range++;
	owner->bad = *partition;
	owner->low = low;
	owner->high = high;
}

static void open_consumer(struct mock_kafka *mock, const char *group, struct owner *owner)
{
	struct err err;

	owner->consumer = kafka_consumer_new(
		&(struct kafka_consumer_options){
			.config = mock_kafka_config(mock),
			.client_id = "test",
			.group = group,
			.events = {.on_assign = on_assign,
				   .on_revoke = on_revoke,
				   .on_out_of_range = on_out_of_range,
				   .owner = owner},
		},
		&err);
	assert_non_null(owner->consumer);
	if (group != NULL) {
		const char *const topics[] = {topic};
		assert_true(kafka_consumer_subscribe(owner->consumer, topics, 1, &err));
	}
}

static void assign_one(struct owner *owner, int32_t partition, int64_t offset)
{
	const struct kafka_partition at = {topic, partition, offset};
	struct err err;

	assert_true(kafka_consumer_assign(owner->consumer, &at, 1, &err));
}

static size_t held(const struct owner *owner)
{
	assert_true(owner->revoked <= owner->assigned);
	return owner->assigned - owner->revoked;
}

/* One poll; returns the offset of the last record or -1. */
static int64_t poll_once(struct owner *owner, int timeout_ms)
{
	static struct kafka_record records[BATCH_ITEMS_MAX];
	struct err err;
	size_t count;
	int64_t last = -1;

	assert_true(kafka_consumer_poll(owner->consumer, timeout_ms, records, ARRAY_LEN(records), &count, &err));
	owner->records += count;
	if (count > 0)
		last = records[count - 1].offset;
	kafka_records_release(owner->consumer);
	return last;
}

static void poll_until_records(struct owner *owner, size_t want)
{
	int64_t deadline = now_ms() + PATIENCE_MS;

	while (owner->records < want) {
		(void)poll_once(owner, 50);
		assert_true(now_ms() < deadline);
	}
	assert_int_equal(owner->records, want);
}

/* Why: replay and audit-log depend on each record as Kafka has it, in order. How: written with headers and with and
 * without key, read from an offset in the middle, all fields compared. */
static void test_reads_records_as_they_are(void **state)
{
	enum { COUNT = 100, FROM = 40 };
	struct mock_kafka *mock = cluster();
	const struct event_header headers[] = {{"ce_id", bytes_of("evt_1")}, {"empty", bytes_of("")}};
	struct owner owner = {0};
	struct kafka_record records[7];
	int64_t next = FROM;

	(void)state;
	write_some(mock, 2, COUNT, headers, ARRAY_LEN(headers));
	open_consumer(mock, NULL, &owner);
	assign_one(&owner, 2, FROM);
	while (next < COUNT) {
		struct err err;
		size_t count;

		assert_true(kafka_consumer_poll(owner.consumer, 1000, records, ARRAY_LEN(records), &count, &err));
		for (size_t i = 0; i < count; i++, next++) {
			const struct kafka_record *r = &records[i];
			char value[16];

			(void)snprintf(value, sizeof(value), "%d", (int)next);
			assert_string_equal(r->topic, topic);
			assert_int_equal(r->partition, 2);
			assert_int_equal(r->offset, next);
			assert_true(r->has_value && bytes_equal_text(r->value, value));
			assert_int_equal(r->has_key, next % 2 == 0);
			assert_true(bytes_equal_text(r->key, next % 2 == 0 ? "key" : ""));
			assert_true(r->timestamp_ms > INT64_C(1500000000000));
			assert_int_equal(r->header_count, 2);
			assert_false(r->headers_cut);
			assert_string_equal(r->headers[0].name, "ce_id");
			assert_true(bytes_equal_text(r->headers[0].value, "evt_1"));
			assert_int_equal(r->headers[1].value.len, 0);
		}
		kafka_records_release(owner.consumer);
	}
	kafka_consumer_close(owner.consumer, 2000);
	mock_kafka_stop(mock);
}

/* Why: anybody with access can write records with any number of headers. How: one more than we keep. */
static void test_too_many_headers_are_cut(void **state)
{
	struct mock_kafka *mock = cluster();
	struct event_header headers[EVENT_HEADERS_MAX + 1];
	struct owner owner = {0};
	struct kafka_record record;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		headers[i] = (struct event_header){"h", bytes_of("v")};
	write_some(mock, 0, 1, headers, ARRAY_LEN(headers));
	open_consumer(mock, NULL, &owner);
	assign_one(&owner, 0, KAFKA_OFFSET_BEGINNING);
	while (count == 0) {
		struct err err;
		assert_true(kafka_consumer_poll(owner.consumer, 1000, &record, 1, &count, &err));
	}
	assert_int_equal(record.header_count, EVENT_HEADERS_MAX);
	assert_true(record.headers_cut);
	kafka_consumer_close(owner.consumer, 2000);
	mock_kafka_stop(mock);
}

/* Why: C1, offsets come from Postgres, not from Kafka. How: on_assign is not ready twice, then says 100: nothing is
 * read before, and reading begins there in each partition. Closing revokes (C7). */
static void test_group_starts_where_the_owner_says(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner owner = {.start = 100, .not_ready = 2};

	(void)state;
	for (int32_t p = 0; p < PARTITIONS; p++)
		write_some(mock, p, 150, NULL, 0);
	open_consumer(mock, "group", &owner);
	poll_until_records(&owner, PARTITIONS * 50);
	assert_int_equal(owner.asked, 3);
	assert_int_equal(owner.assigned, PARTITIONS);
	kafka_consumer_close(owner.consumer, 5000);
	assert_int_equal(owner.revoked, PARTITIONS);
	mock_kafka_stop(mock);
}

/* Why: scaling a worker is starting another one. How: a second member joins, both hold two partitions; it leaves and
 * the first has all again. No partition is ever taken twice. */
static void test_members_share_and_hand_back(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner first = {0}, second = {0};
	int64_t deadline = now_ms() + 3 * PATIENCE_MS;

	(void)state;
	open_consumer(mock, "group", &first);
	while (held(&first) < PARTITIONS) {
		(void)poll_once(&first, 20);
		assert_true(now_ms() < deadline);
	}
	open_consumer(mock, "group", &second);
	while (held(&second) != PARTITIONS / 2 || held(&first) != PARTITIONS / 2) {
		(void)poll_once(&first, 20);
		(void)poll_once(&second, 20);
		assert_true(now_ms() < deadline);
	}
	kafka_consumer_close(second.consumer, 5000);
	assert_int_equal(held(&second), 0);
	while (held(&first) < PARTITIONS) {
		(void)poll_once(&first, 20);
		assert_true(now_ms() < deadline);
	}
	kafka_consumer_close(first.consumer, 5000);
	assert_int_equal(held(&first), 0);
	mock_kafka_stop(mock);
}

/* Why: C8, retention may overtake a worker, or the cluster is a new one; nothing may be skipped silently. How: an
 * offset past the end in partition 0, a good one in 1: 0 stands still and is reported with its watermarks, 1 is read
 * on; after a seek 0 is read too. */
static void test_out_of_range_stops_that_partition_alone(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner owner = {0};
	const struct kafka_partition at[] = {{topic, 0, 9999}, {topic, 1, 0}};
	const struct kafka_partition back = {topic, 0, 10};
	struct err err;
	int64_t before;

	(void)state;
	write_some(mock, 0, 30, NULL, 0);
	write_some(mock, 1, 30, NULL, 0);
	open_consumer(mock, NULL, &owner);
	assert_true(kafka_consumer_assign(owner.consumer, at, 2, &err));
	poll_until_records(&owner, 30);
	before = now_ms();
	while (owner.out_of_range == 0 || now_ms() - before < 500) {
		assert_int_equal(poll_once(&owner, 20), -1);
		assert_true(now_ms() - before < PATIENCE_MS);
	}
	assert_int_equal(owner.out_of_range, 1);
	assert_int_equal(owner.bad.partition, 0);
	assert_int_equal(owner.bad.offset, 9999);
	assert_int_equal(owner.low, 0);
	assert_int_equal(owner.high, 30);
	assert_true(kafka_consumer_seek(owner.consumer, &back, &err));
	poll_until_records(&owner, 50);
	kafka_consumer_close(owner.consumer, 2000);
	mock_kafka_stop(mock);
}

/* Why: C3 and C6 seek back after a failed batch and pause while Postgres is away. How: read, pause, nothing comes; seek
 * back while paused, resume: exactly the records from there on come, none twice, none left out. */
static void test_pause_seek_resume(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner owner = {0};
	const struct kafka_partition at = {topic, 0, 200};
	struct kafka_record records[50];
	struct err err;
	size_t count = 0;

	(void)state;
	write_some(mock, 0, MANY, NULL, 0);
	open_consumer(mock, NULL, &owner);
	assign_one(&owner, 0, 0);
	while (count == 0)
		assert_true(kafka_consumer_poll(owner.consumer, 100, records, ARRAY_LEN(records), &count, &err));
	kafka_records_release(owner.consumer);
	assert_true(kafka_consumer_pause(owner.consumer, &at, true, &err));
	for (int i = 0; i < 10; i++)
		assert_int_equal(poll_once(&owner, 30), -1);
	assert_true(kafka_consumer_seek(owner.consumer, &at, &err));
	assert_int_equal(poll_once(&owner, 100), -1);
	assert_true(kafka_consumer_pause(owner.consumer, &at, false, &err));
	poll_until_records(&owner, MANY - 200);
	assert_int_equal(poll_once(&owner, 300), -1);
	kafka_consumer_close(owner.consumer, 2000);
	mock_kafka_stop(mock);
}

static void on_end(void *arg, const struct kafka_partition *partition)
{
	struct owner *owner = arg;

	owner->end = partition->offset;
}

/* Why: replay ends where the log ended when it began, also when the last offsets hold no record. How: the end of a
 * partition with records and of one that is empty. */
static void test_end_is_reported(void **state)
{
	enum { COUNT = 30 };
	struct mock_kafka *mock = cluster();
	struct err err;

	(void)state;
	write_some(mock, 0, COUNT, NULL, 0);
	for (int32_t partition = 0; partition < 2; partition++) {
		struct owner owner = {.end = -1};
		int64_t deadline = now_ms() + PATIENCE_MS;

		owner.consumer = kafka_consumer_new(
			&(struct kafka_consumer_options){
				.config = mock_kafka_config(mock),
				.client_id = "test",
				.events = {.on_end = on_end, .owner = &owner},
			},
			&err);
		assert_non_null(owner.consumer);
		assign_one(&owner, partition, 0);
		while (owner.end < 0) {
			(void)poll_once(&owner, 50);
			assert_true(now_ms() < deadline);
		}
		assert_int_equal(owner.end, partition == 0 ? COUNT : 0);
		assert_int_equal(owner.records, owner.end);
		kafka_consumer_close(owner.consumer, 2000);
	}
	mock_kafka_stop(mock);
}

/* Why: a fenced worker seeks in a partition that it may have lost; that must be an answer, not a crash. */
static void test_seek_of_what_is_not_assigned(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner owner = {0};
	const struct kafka_partition at = {topic, 3, 0};
	struct err err;

	(void)state;
	open_consumer(mock, NULL, &owner);
	assign_one(&owner, 0, 0);
	assert_false(kafka_consumer_seek(owner.consumer, &at, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	kafka_consumer_close(owner.consumer, 2000);
	mock_kafka_stop(mock);
}

static void poll_until_committed(struct owner *owner, struct kafka_admin *admin, int64_t expected)
{
	int64_t offset = -1, deadline = now_ms() + PATIENCE_MS;
	struct err err;

	while (offset != expected) {
		(void)poll_once(owner, 20);
		assert_true(kafka_admin_group_offset(admin, "group", topic, 1, 5000, &offset, &err));
		assert_true(now_ms() < deadline);
	}
}

/* Why: C5, lag exporters read the group's offsets, of quiet partitions too. How: where it starts, then a thousand
 * commits, then one right before the end; the admin client reads the newest of each. */
static void test_commit_is_seen_by_others(void **state)
{
	struct mock_kafka *mock = cluster();
	struct owner owner = {.start = 5};
	struct err err;
	struct kafka_admin *admin = kafka_admin_new(mock_kafka_config(mock), "test", &err);
	int64_t offset = 0;

	(void)state;
	assert_non_null(admin);
	open_consumer(mock, "group", &owner);
	assert_true(kafka_admin_group_offset(admin, "group", topic, 1, 5000, &offset, &err));
	assert_int_equal(offset, -1);
	poll_until_committed(&owner, admin, 5);
	for (int64_t at = 6; at <= 1006; at++)
		kafka_consumer_commit(owner.consumer, &(struct kafka_partition){topic, 1, at});
	poll_until_committed(&owner, admin, 1006);
	kafka_consumer_commit(owner.consumer, &(struct kafka_partition){topic, 1, 1007});
	kafka_consumer_close(owner.consumer, 5000);
	assert_true(kafka_admin_group_offset(admin, "group", topic, 1, 5000, &offset, &err));
	assert_int_equal(offset, 1007);
	kafka_admin_free(admin);
	mock_kafka_stop(mock);
}

/* Why: C7, SIGTERM must end a worker whatever Kafka does. How: the only broker hangs, then goes; close comes back in
 * time and the owner is told that its partitions are gone. */
static void test_close_does_not_hang(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		struct mock_kafka *mock = cluster();
		struct owner owner = {0};
		int64_t before;

		write_some(mock, 0, 10, NULL, 0);
		open_consumer(mock, "group", &owner);
		poll_until_records(&owner, 10);
		if (round == 0)
			mock_kafka_answer_after(mock, 1, 60000);
		else
			mock_kafka_broker_down(mock, 1);
		before = now_ms();
		kafka_consumer_close(owner.consumer, 1000);
		print_message("closed after %d ms\n", (int)(now_ms() - before));
		assert_true(now_ms() - before < 2000);
		assert_int_equal(owner.revoked, owner.assigned);
		mock_kafka_stop(mock);
	}
	kafka_consumer_close(NULL, 0);
}

/* Why: watermarks bound a replay and show lag; the library's own call for them has no time-out in 2.0.2. How: of a
 * written and an empty partition; then with a hanging broker, where the answer is "no" in time. */
static void test_watermarks(void **state)
{
	struct mock_kafka *mock = cluster();
	struct err err;
	struct kafka_admin *admin = kafka_admin_new(mock_kafka_config(mock), "test", &err);
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	int64_t low = -1, high = -1, before;
	int32_t partitions = 0;

	(void)state;
	assert_non_null(admin);
	write_some(mock, 1, 25, NULL, 0);
	assert_true(kafka_admin_watermarks(admin, topic, 1, 5000, &low, &high, &err));
	assert_int_equal(low, 0);
	assert_int_equal(high, 25);
	assert_true(kafka_admin_watermarks(admin, topic, 2, 5000, &low, &high, &err));
	assert_int_equal(high, 0);
	assert_true(kafka_admin_partitions(admin, topic, 5000, &partitions, &err));
	assert_int_equal(partitions, PARTITIONS);
	assert_true(kafka_admin_cluster_id(admin, 5000, cluster_id, &err));
	assert_true(strlen(cluster_id) > 0);
	mock_kafka_answer_after(mock, 1, 60000);
	before = now_ms();
	assert_false(kafka_admin_watermarks(admin, topic, 1, 500, &low, &high, &err));
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_true(now_ms() - before < 1500);
	kafka_admin_free(admin);
	mock_kafka_stop(mock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_records_as_they_are),
		cmocka_unit_test(test_too_many_headers_are_cut),
		cmocka_unit_test(test_group_starts_where_the_owner_says),
		cmocka_unit_test(test_members_share_and_hand_back),
		cmocka_unit_test(test_out_of_range_stops_that_partition_alone),
		cmocka_unit_test(test_pause_seek_resume),
		cmocka_unit_test(test_end_is_reported),
		cmocka_unit_test(test_seek_of_what_is_not_assigned),
		cmocka_unit_test(test_commit_is_seen_by_others),
		cmocka_unit_test(test_close_does_not_hang),
		cmocka_unit_test(test_watermarks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
