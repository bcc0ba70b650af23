/*
 * Requests per second of one client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/limits.h"
#include "ingress/net/address.h"
#include "ingress/rate.h"

static const int64_t SECOND = 1000000000;

static struct net_address numbered(unsigned n)
{
	struct net_address a;
	uint8_t octets[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	net_address_of_v4(octets, &a);
	return a;
}

static bool take(struct rate_table *table, const struct net_address *address, int64_t rate_per_s, int64_t now_ns,
		 int *retry_after_s)
{
	const struct net_address client = net_address_client(address);

	return rate_take(table, client.bytes, rate_per_s, now_ns, retry_after_s);
}

static struct rate_table *make(void)
{
	struct err err;
	struct rate_table *table = rate_table_new(&err);

	assert_non_null(table);
	return table;
}

/* Why: the limit must be what the setting says: a second's worth at once, then the rate. How: a burst at one instant,
 * then steps of a second's part; another client is not touched by it. */
static void a_bucket_holds_one_second(void **state)
{
	(void)state;
	struct rate_table *table = make();
	struct net_address one = numbered(1);
	struct net_address two = numbered(2);
	int retry_after_s = -1;

	for (int i = 0; i < 10; i++)
		assert_true(take(table, &one, 10, SECOND, &retry_after_s));
	assert_int_equal(retry_after_s, 0);
	assert_false(take(table, &one, 10, SECOND, &retry_after_s));
	assert_int_equal(retry_after_s, 1);
	assert_true(take(table, &two, 10, SECOND, &retry_after_s));
	assert_false(take(table, &one, 10, SECOND + SECOND / 10 - 1, &retry_after_s));
	assert_true(take(table, &one, 10, SECOND + SECOND / 10, &retry_after_s));
	assert_false(take(table, &one, 10, SECOND + SECOND / 10, &retry_after_s));
	for (int i = 0; i < 10; i++)
		assert_true(take(table, &one, 10, 9 * SECOND, &retry_after_s));
	assert_false(take(table, &one, 10, 9 * SECOND, &retry_after_s));
	rate_table_free(table);
}

/* Why: what was taken ahead and turned out not to be due must not count. How: an empty bucket gets one back. */
static void one_is_given_back(void **state)
{
	(void)state;
	struct rate_table *table = make();
	struct net_address one = numbered(1);
	int retry_after_s = -1;

	assert_true(take(table, &one, 1, SECOND, &retry_after_s));
	assert_false(take(table, &one, 1, SECOND, &retry_after_s));
	rate_give(table, net_address_client(&one).bytes, 1);
	assert_true(take(table, &one, 1, SECOND, &retry_after_s));
	assert_false(take(table, &one, 1, SECOND, &retry_after_s));
	rate_give(table, net_address_client(&one).bytes, 0);
	assert_false(take(table, &one, 1, SECOND, &retry_after_s));
	rate_table_free(table);
}

/* Why: 0 turns the limit off, and nothing is kept then. How: many at once. */
static void zero_is_no_limit(void **state)
{
	(void)state;
	struct rate_table *table = make();
	struct net_address one = numbered(1);
	int retry_after_s;

	for (int i = 0; i < 1000; i++)
		assert_true(take(table, &one, 0, SECOND, &retry_after_s));
	rate_table_free(table);
}

/* Why: memory is bounded whatever the number of addresses. How: far more clients than buckets, each of whom still gets
 * its first token; a client that goes on asking all the while keeps its bucket. */
static void many_clients_share_the_table(void **state)
{
	(void)state;
	struct rate_table *table = make();
	struct net_address busy = numbered(0);
	int retry_after_s;

	assert_true(take(table, &busy, 1, SECOND, &retry_after_s));
	for (unsigned i = 1; i < 4 * RATE_CLIENTS_MAX; i++) {
		struct net_address client = numbered(i);
		assert_true(take(table, &client, 1, SECOND + i, &retry_after_s));
		assert_false(take(table, &busy, 1, SECOND + i, &retry_after_s));
	}
	rate_table_free(table);
}

/* Why: who has many addresses of one network must not get around the limit by having them push each other out of one
 * set. How: neighbours, one after the other, each twice; all second tries are refused. Seen failing with a mix whose
 * low bits did not depend on the last octets. */
static void neighbours_keep_their_buckets(void **state)
{
	static const unsigned STEPS[] = {1, 1u << 8, 1u << 16}; /* by the last octet, the third, the second */
	(void)state;
	int retry_after_s;

	for (size_t step = 0; step < ARRAY_LEN(STEPS); step++) {
		struct rate_table *table = make();
		for (unsigned i = 0; i < 256; i++) {
			struct net_address client = numbered(i * STEPS[step]);
			assert_true(take(table, &client, 1, SECOND, &retry_after_s));
		}
		for (unsigned i = 0; i < 256; i++) {
			struct net_address client = numbered(i * STEPS[step]);
			assert_false(take(table, &client, 1, SECOND + 1, &retry_after_s));
		}
		rate_table_free(table);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_holds_one_second),
		cmocka_unit_test(one_is_given_back),
		cmocka_unit_test(zero_is_no_limit),
		cmocka_unit_test(many_clients_share_the_table),
		cmocka_unit_test(neighbours_keep_their_buckets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
