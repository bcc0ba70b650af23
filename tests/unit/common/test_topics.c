#include "common/topics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/support/mock_kafka.h"

/* Why: an audit topic with a short retention loses the record that nobody can replace. How: the table, line by line;
 * that Kafka takes it so is shown in tests/integration/test_kafka_wrappers.py. */
static void test_table(void **state)
{
	const int64_t day_ms = INT64_C(24) * 3600 * 1000;

	(void)state;
	for (enum event_topic topic = 0; topic < EVENT_TOPIC_COUNT; topic++) {
		const struct topic_spec *spec = &topics_table()[topic];

		assert_int_equal(spec->topic, topic);
		assert_int_equal(spec->retention_ms, topic == EVENT_TOPIC_ACCESS_CHANGES ? 3600 * 1000 : 400 * day_ms);
		assert_true(spec->segment_ms > 0 && spec->segment_ms < spec->retention_ms);
	}
}

/* Why: the embedded broker knows no admin requests, and `topics create` runs against it all the same. How: topics that
 * exist are left alone; one that is missing is an error there, not a hang. */
static void test_existing_topics_need_no_admin_request(void **state)
{
	struct mock_kafka *mock = mock_kafka_start(1);
	struct topics_options options = {
		.environment = ENVIRONMENT_DEVELOPMENT,
		.partitions = TOPICS_PARTITIONS_DEFAULT,
		.replication = -1,
		.timeout_ms = 3000,
	};
	struct kafka_admin *admin;
	size_t created = 1;
	struct err err;

	(void)state;
	for (enum event_topic topic = 0; topic < EVENT_TOPIC_COUNT; topic++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];

		event_topic_name(topic, options.environment, name);
		mock_kafka_topic(mock, name, options.partitions, 1);
	}
	admin = kafka_admin_new(mock_kafka_config(mock), "test", &err);
	assert_non_null(admin);
	assert_true(topics_create(admin, &options, &created, &err));
	assert_int_equal(created, 0);
	mock_kafka_topic_missing(mock, "watchpost.development.spend", true);
	assert_false(topics_create(admin, &options, &created, &err));
	kafka_admin_free(admin);
	kafka_admin_free(NULL);
	mock_kafka_stop(mock);
}

/* Why: programs without settings must say so, not connect to nowhere. */
static void test_brokers_are_needed(void **state)
{
	char empty[] = "";
	struct config config = {.kafka_brokers = empty};
	struct err err;

	(void)state;
	assert_null(kafka_admin_new(&config, "test", &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "kafka_brokers"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_existing_topics_need_no_admin_request),
		cmocka_unit_test(test_brokers_are_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
