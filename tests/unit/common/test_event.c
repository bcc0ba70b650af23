/* common/event.c: CloudEvents attributes as record headers, and the names of topics and sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/event.h"

static struct event_head sample(void)
{
	return (struct event_head){
		.id = bytes_of("evt_1"),
		.type = bytes_of("watchpost.stripe.subscription"),
		.source = bytes_of("//watchpost.systems/development/ingress"),
		.dataschema = bytes_of("urn:watchpost:schema:watchpost.stripe.subscription:1"),
		.time_ms = 1686089970123,
	};
}

/* Why: analysts' tools find the attributes by these names (CloudEvents Kafka binding, binary mode). How: the seven
 * headers of one event, in order, as texts. */
static void test_write(void **state)
{
	(void)state;
	static const char *const want[][2] = {
		{"ce_specversion", "1.0"},
		{"ce_id", "evt_1"},
		{"ce_type", "watchpost.stripe.subscription"},
		{"ce_source", "//watchpost.systems/development/ingress"},
		{"ce_time", "2023-06-06T22:19:30.123Z"},
		{"ce_dataschema", "urn:watchpost:schema:watchpost.stripe.subscription:1"},
		{"content-type", "application/msgpack"},
	};
	struct event_head head = sample();
	struct event_headers headers;
	event_headers_write(&head, &headers);
	assert_int_equal(headers.count, ARRAY_LEN(want));
	for (size_t i = 0; i < headers.count; i++) {
		assert_string_equal(headers.items[i].name, want[i][0]);
		assert_true(bytes_equal_text(headers.items[i].value, want[i][1]));
	}
}

/* Why: what is written is what is read, whatever order a tool keeps headers in. How: the written headers backwards,
 * with a foreign one among them. */
static void test_read_back(void **state)
{
	(void)state;
	struct event_head before = sample();
	struct event_head after;
	struct event_headers headers;
	struct event_header shuffled[EVENT_HEADERS_MAX];
	struct err err;
	event_headers_write(&before, &headers);
	for (size_t i = 0; i < headers.count; i++)
		shuffled[headers.count - 1 - i] = headers.items[i];
	shuffled[headers.count] = (struct event_header){.name = "traceparent", .value = bytes_of("00-1-2-3")};
	assert_true(event_head_read(shuffled, headers.count + 1, &after, &err));
	assert_true(bytes_equal(after.id, before.id));
	assert_true(bytes_equal(after.type, before.type));
	assert_true(bytes_equal(after.source, before.source));
	assert_true(bytes_equal(after.dataschema, before.dataschema));
	assert_int_equal(after.time_ms, before.time_ms);
	assert_int_equal(after.sequence, 0);
}

/* Why: readers of access events drop what is not the next number, so the number is there exactly as it was given, and
 * events without one have no header. How: the smallest and the largest are written and read back, and nothing else
 * about the record changes; then every form that is not the one form of a number. */
static void test_sequence(void **state)
{
	(void)state;
	static const char *const bad[] = {"",
					  " 1",
					  "+1",
					  "-1",
					  "01",
					  "00",
					  "1.0",
					  "1 ",
					  "0x1",
					  "1e3",
					  "a",
					  "9223372036854775808",
					  "18446744073709551617"};
	struct event_head before = sample();
	struct event_head after;
	struct event_headers headers;
	struct err err;
	for (int64_t number = 1;; number = INT64_MAX) {
		before.sequence = number;
		event_headers_write(&before, &headers);
		assert_int_equal(headers.count, 8);
		assert_string_equal(headers.items[7].name, "ce_sequence");
		assert_true(bytes_equal_text(headers.items[7].value, number == 1 ? "1" : "9223372036854775807"));
		assert_true(event_head_read(headers.items, headers.count, &after, &err));
		assert_int_equal(after.sequence, number);
		assert_int_equal(after.time_ms, before.time_ms);
		if (number == INT64_MAX)
			break;
	}
	headers.items[7].value = bytes_of("0");
	assert_true(event_head_read(headers.items, headers.count, &after, &err));
	assert_int_equal(after.sequence, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		headers.items[7].value = bytes_of(bad[i]);
		assert_false(event_head_read(headers.items, headers.count, &after, &err));
		assert_non_null(strstr(err.text, "header ce_sequence: "));
	}
}

/* Reads the sample with one header's value replaced; returns the error's text, "" when it was taken. */
static const char *read_with(size_t which, struct bytes value)
{
	static struct err err;
	struct event_head head = sample();
	struct event_headers headers;
	err_clear(&err);
	event_headers_write(&head, &headers);
	headers.items[which].value = value;
	return event_head_read(headers.items, headers.count, &head, &err) ? "" : err.text;
}

/* Why: a record that is not ours, or not whole, is a dead letter whose reason names the header (C2). How: each header
 * left out, then each with values that break its rule. */
static void test_read_refuses(void **state)
{
	(void)state;
	struct event_head head = sample();
	struct event_headers headers;
	struct err err;
	char longest[300];
	memset(longest, 'a', sizeof(longest));

	for (size_t gone = 0; gone < 7; gone++) {
		event_headers_write(&head, &headers);
		char want[64];
		int len = snprintf(want, sizeof(want), "header %s: missing", headers.items[gone].name);
		assert_true(len > 0 && (size_t)len < sizeof(want));
		headers.items[gone] = headers.items[--headers.count];
		assert_false(event_head_read(headers.items, headers.count, &head, &err));
		assert_string_equal(err.text, want);
	}
	event_headers_write(&head, &headers);
	headers.items[headers.count++] = headers.items[1];
	assert_false(event_head_read(headers.items, headers.count, &head, &err));
	assert_string_equal(err.text, "header ce_id: given twice");
	assert_false(event_head_read(NULL, 0, &head, &err));

	assert_string_equal(read_with(0, bytes_of("0.3")), "header ce_specversion: not 1.0");
	assert_string_equal(read_with(1, bytes_make("", 0)), "header ce_id: empty");
	assert_string_equal(read_with(1, bytes_make(longest, 255)), "");
	assert_string_equal(read_with(1, bytes_make(longest, 256)), "header ce_id: too long");
	assert_string_equal(read_with(1, bytes_make("a\0b", 3)), "header ce_id: not UTF-8 text");
	assert_string_equal(read_with(1, bytes_make("\xFF", 1)), "header ce_id: not UTF-8 text");
	assert_string_equal(read_with(2, bytes_make(longest, EVENT_TYPE_BYTES_MAX)), "");
	assert_string_equal(read_with(2, bytes_make(longest, EVENT_TYPE_BYTES_MAX + 1)), "header ce_type: too long");
	assert_string_equal(read_with(4, bytes_of("yesterday")), "header ce_time: not an RFC 3339 time");
	assert_string_equal(read_with(4, bytes_make(longest, 255)), "header ce_time: not an RFC 3339 time");
	assert_string_equal(read_with(6, bytes_of("application/json")), "header content-type: not application/msgpack");
}

/* Why: environments share nothing; topic and source carry their name. How: all names of one environment. */
static void test_names(void **state)
{
	(void)state;
	static const char *const want[] = {
		"watchpost.staging.stripe", "watchpost.staging.agent",          "watchpost.staging.spend",
		"watchpost.staging.access", "watchpost.staging.access-changes", "watchpost.staging.dead-letter",
	};
	char name[KAFKA_TOPIC_BYTES_MAX + 1];
	assert_int_equal(ARRAY_LEN(want), EVENT_TOPIC_COUNT);
	for (int topic = 0; topic < EVENT_TOPIC_COUNT; topic++) {
		event_topic_name((enum event_topic)topic, ENVIRONMENT_STAGING, name);
		assert_string_equal(name, want[topic]);
	}
	event_source_name(ENVIRONMENT_PRODUCTION, "ingress", name, sizeof(name));
	assert_string_equal(name, "//watchpost.systems/production/ingress");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),        cmocka_unit_test(test_read_back), cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_read_refuses), cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
