/* common/chain.c: the canonical form and the links that docs/events.md gives as vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/chain.h"

static const char CLUSTER[] = "4L6g3nShT-eMCtK--X86sw";
static const char TOPIC[] = "watchpost.development.stripe";

static struct kafka_record record_plain(void)
{
	return (struct kafka_record){
		.topic = TOPIC,
		.partition = 2,
		.offset = 41,
		.timestamp_ms = 1700000000123,
		.has_key = true,
		.key = bytes_of("cus_123"),
		.has_value = true,
		.value = bytes_make("\x81\xa2id\xa5"
				    "evt_1",
				    10),
		.headers = {{"ce_type", bytes_of("watchpost.stripe.other")}, {"ce_id", bytes_of("evt_1")}},
		.header_count = 2,
	};
}

static struct kafka_record record_bare(void)
{
	return (struct kafka_record){.topic = TOPIC, .partition = 2, .offset = 42, .timestamp_ms = -1};
}

static void link_hex(uint8_t head[CHAIN_LINK_BYTES], const struct kafka_record *record, char hex[SHA256_HEX_BYTES])
{
	struct buf scratch;
	struct err err;
	buf_init(&scratch, CHAIN_SCRATCH_BYTES_MAX);
	assert_true(chain_advance(head, record, &scratch, &err));
	hex_encode(head, CHAIN_LINK_BYTES, hex);
	buf_free(&scratch);
}

/* Why: people verify exports with their own programs; the form may never drift. How: the vectors of docs/events.md,
 * which tests/integration/test_chain_vectors.py computes a second time in Python. */
static void test_vectors(void **state)
{
	(void)state;
	static const char *const want[] = {
		"e161128c2c78e8044b2d6559aef42b648bcaa12b527ab229e307be7cce9fd16d",
		"e31c6cf19130bebc292b9d904fc0f12fef9fc407191cb67c1d354b4097e40d42",
		"40f7496f67740df725f006da61babbcf68ace20c3a93a1c80dee4f328b99da2c",
	};
	uint8_t head[CHAIN_LINK_BYTES];
	char hex[SHA256_HEX_BYTES];
	struct err err;
	assert_true(chain_genesis(CLUSTER, TOPIC, 2, head, &err));
	hex_encode(head, sizeof(head), hex);
	assert_string_equal(hex, want[0]);
	struct kafka_record plain = record_plain(), bare = record_bare();
	link_hex(head, &plain, hex);
	assert_string_equal(hex, want[1]);
	link_hex(head, &bare, hex);
	assert_string_equal(hex, want[2]);
}

static size_t canonical(const struct kafka_record *record, uint8_t *out, size_t cap)
{
	struct buf b;
	struct err err;
	buf_init(&b, cap);
	assert_true(chain_canonical(record, &b, &err));
	size_t len = b.len;
	memcpy(out, b.data, len);
	buf_free(&b);
	return len;
}

/* Why: Kafka clients may hand headers over in another order. How: both orders, and equal names with two values, give
 * one form. */
static void test_headers_are_sorted(void **state)
{
	(void)state;
	struct kafka_record a = record_plain(), b = a;
	b.headers[0] = a.headers[1];
	b.headers[1] = a.headers[0];
	a.headers[2] = (struct event_header){"ce_id", bytes_of("evt_0")};
	a.header_count = 3;
	b.headers[2] = b.headers[1];
	b.headers[1] = (struct event_header){"ce_id", bytes_of("evt_0")};
	b.header_count = 3;
	uint8_t x[1024], y[1024];
	size_t xn = canonical(&a, x, sizeof(x)), yn = canonical(&b, y, sizeof(y));
	assert_int_equal(xn, yn);
	assert_memory_equal(x, y, xn);
}

/* Why: two records that differ must never share a form. How: pairs that a careless form confuses: bytes moved between
 * fields, absent against empty, a header more, the cut flag, each number. */
static void test_different_records_differ(void **state)
{
	(void)state;
	struct kafka_record variants[12];
	for (size_t i = 0; i < ARRAY_LEN(variants); i++)
		variants[i] = record_plain();
	variants[1].key = bytes_of("cus_12");
	variants[2].has_key = false;
	variants[3].key = bytes_of("");
	variants[4].has_value = false;
	variants[5].value = bytes_of("");
	variants[6].partition = 3;
	variants[7].offset = 42;
	variants[8].timestamp_ms++;
	variants[9].headers[0].value = bytes_of("watchpost.stripe.othe");
	variants[10].header_count = 1;
	variants[11].headers_cut = true;
	uint8_t forms[ARRAY_LEN(variants)][512];
	size_t lens[ARRAY_LEN(variants)];
	for (size_t i = 0; i < ARRAY_LEN(variants); i++)
		lens[i] = canonical(&variants[i], forms[i], sizeof(forms[i]));
	for (size_t i = 0; i < ARRAY_LEN(variants); i++)
		for (size_t j = 0; j < i; j++)
			assert_false(lens[i] == lens[j] && memcmp(forms[i], forms[j], lens[i]) == 0);
}

/* Why: a chain that ignored what came before would not be one. How: the same record after two heads gives two links,
 * and no link is made when the form does not fit. */
static void test_links_depend_on_the_past(void **state)
{
	(void)state;
	uint8_t one[CHAIN_LINK_BYTES], two[CHAIN_LINK_BYTES], before[CHAIN_LINK_BYTES];
	char hex[SHA256_HEX_BYTES];
	struct err err;
	assert_true(chain_genesis(CLUSTER, TOPIC, 2, one, &err));
	assert_true(chain_genesis(CLUSTER, TOPIC, 3, two, &err));
	struct kafka_record plain = record_plain();
	link_hex(one, &plain, hex);
	link_hex(two, &plain, hex);
	assert_memory_not_equal(one, two, sizeof(one));
	struct buf small;
	buf_init(&small, 16);
	memcpy(before, one, sizeof(one));
	assert_false(chain_advance(one, &plain, &small, &err));
	assert_memory_equal(before, one, sizeof(one));
	buf_free(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_headers_are_sorted),
		cmocka_unit_test(test_different_records_differ),
		cmocka_unit_test(test_links_depend_on_the_past),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
