/*
 * R6: states under access numbers, whatever comes in whichever order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/auth/numbered.h"

enum { ACTIVE, REVOKED };

static void key_of(unsigned n, uint8_t key[NUMBERED_KEY_BYTES])
{
	memset(key, 0, NUMBERED_KEY_BYTES);
	memcpy(key, &n, sizeof(n));
}

static struct numbered *make(size_t entries_max)
{
	struct err err;
	struct numbered *table = numbered_new(entries_max, sizeof(unsigned), &err);
	assert_non_null(table);
	return table;
}

static bool change(struct numbered *table, unsigned n, int64_t number, uint8_t state)
{
	uint8_t key[NUMBERED_KEY_BYTES];
	key_of(n, key);
	return numbered_change(table, key, &(struct numbered_entry){state, number, &n});
}

static bool fill(struct numbered *table, unsigned n, int64_t number, uint8_t state)
{
	uint8_t key[NUMBERED_KEY_BYTES];
	key_of(n, key);
	return numbered_fill(table, key, &(struct numbered_entry){state, number, &n}, numbered_generation(table));
}

/* The state, or -1; checks that the value is the key's own. */
static int look(struct numbered *table, unsigned n)
{
	uint8_t key[NUMBERED_KEY_BYTES];
	uint8_t state = 0;
	unsigned value = 0;
	key_of(n, key);
	if (!numbered_find(table, key, 0, &state, &value, NULL))
		return -1;
	assert_int_equal(value, n);
	return state;
}

/* Why: a fill that was under way during a revoke must not bring back what the revoke took. How: the fill's snapshot is
 * older, the same, newer; with and without an entry before. */
static void an_entry_is_overwritten_only_by_a_higher_number(void **state)
{
	struct numbered *table = make(1000);
	(void)state;
	assert_true(fill(table, 1, 5, ACTIVE));
	assert_true(change(table, 1, 6, REVOKED));
	assert_true(fill(table, 1, 5, ACTIVE));
	assert_int_equal(look(table, 1), REVOKED);
	assert_true(change(table, 1, 4, ACTIVE));
	assert_int_equal(look(table, 1), REVOKED);
	assert_true(change(table, 2, 7, REVOKED)); /* nothing was there */
	assert_true(fill(table, 2, 6, ACTIVE));
	assert_int_equal(look(table, 2), REVOKED);
	assert_true(fill(table, 2, 8, ACTIVE));
	assert_int_equal(look(table, 2), ACTIVE);
	assert_int_equal(look(table, 3), -1);
	numbered_free(table);
}

/* Why: a tombstone that gave way no longer stands against an older fill, so its number does. How: a small table, one
 * change, then fills until it is gone; fills of that shard that are older are thrown away, the same and newer ones
 * not. */
static void a_fill_older_than_what_gave_way_is_thrown_away(void **state)
{
	struct numbered *table = make(64);
	unsigned n = 1;
	(void)state;
	assert_true(change(table, 0, 100, REVOKED));
	while (look(table, 0) == REVOKED && n < 100000) {
		/* Looking keeps it, so it is looked at only now and then. */
		for (int i = 0; i < 200; i++)
			(void)fill(table, n++, 200, ACTIVE);
	}
	assert_int_equal(look(table, 0), -1);
	assert_false(fill(table, 0, 99, ACTIVE));
	assert_int_equal(look(table, 0), -1);
	assert_true(fill(table, 0, 100, REVOKED));
	numbered_free(table);
}

/* Why: the table must stay within its bound and still find what is in it. How: ten times as many keys; then every key
 * that it says it has is right. */
static void it_stays_within_its_bound(void **state)
{
	enum { MOST = 1024 };
	struct numbered *table = make(MOST);
	size_t there = 0;
	(void)state;
	for (unsigned n = 0; n < 10 * MOST; n++)
		assert_true(fill(table, n, 1, (uint8_t)(n % 7)));
	for (unsigned n = 0; n < 10 * MOST; n++) {
		int found = look(table, n);
		there += found >= 0;
		assert_true(found == -1 || found == (int)(n % 7));
	}
	assert_int_equal(there, numbered_count(table));
	assert_true(there <= MOST && there > MOST * 9 / 10);
	numbered_free(table);
}

/* Why: names that differ only near their ends, as ids of accounts do, must spread over the shards, or a few of them
 * push each other out of an empty table. How: three quarters of the table's room in such names, all found again. */
static void names_that_resemble_each_other_all_fit(void **state)
{
	enum { MOST = 65536 };
	struct numbered *table = make(MOST);
	uint8_t key[NUMBERED_KEY_BYTES];
	uint8_t found;
	unsigned value;
	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned n = 0; n < MOST * 3 / 4; n++) {
			char name[NUMBERED_KEY_BYTES + 1];
			(void)snprintf(name, sizeof(name), "acct_%026u", n);
			memset(key, 0, sizeof(key));
			memcpy(key, name, strlen(name));
			if (pass == 0)
				assert_true(numbered_fill(table, key, &(struct numbered_entry){ACTIVE, 1, &n},
							  numbered_generation(table)));
			else
				assert_true(numbered_find(table, key, 0, &found, &value, NULL) && value == n);
		}
	}
	numbered_free(table);
}

/* Why: R2, another epoch: nothing of the old history may come back. How: empty it; fills of the old generation and of
 * old numbers are thrown away. */
static void emptying_begins_a_new_generation(void **state)
{
	struct numbered *table = make(1000);
	uint8_t key[NUMBERED_KEY_BYTES];
	unsigned n = 1;
	(void)state;
	uint64_t before = numbered_generation(table);
	for (unsigned i = 0; i < 500; i++)
		assert_true(fill(table, i, 10, ACTIVE));
	numbered_empty(table, 20);
	assert_int_equal(numbered_count(table), 0);
	assert_int_equal(look(table, 1), -1);
	key_of(n, key);
	assert_false(numbered_fill(table, key, &(struct numbered_entry){ACTIVE, 30, &n}, before));
	assert_false(fill(table, 1, 19, ACTIVE));
	assert_true(fill(table, 1, 20, ACTIVE));
	assert_int_equal(look(table, 1), ACTIVE);
	numbered_free(table);
}

/* Why: last_used_at is written about once a minute, not once a request. How: two finds in a period, one in the next. */
static void the_first_use_of_a_period_is_told(void **state)
{
	struct numbered *table = make(10);
	uint8_t key[NUMBERED_KEY_BYTES];
	uint8_t found;
	unsigned value;
	bool first = false;
	(void)state;
	assert_true(fill(table, 1, 1, ACTIVE));
	key_of(1, key);
	assert_true(numbered_find(table, key, 7, &found, &value, &first) && first);
	assert_true(numbered_find(table, key, 7, &found, &value, &first) && !first);
	assert_true(numbered_find(table, key, 8, &found, &value, &first) && first);
	numbered_free(table);
}

/* Why: a random mix shows what no example does. How: a model of the rules beside a table without evictions, 100,000
 * steps. */
static void a_random_mix_does_as_the_rules_say(void **state)
{
	enum { KEYS = 50 };
	struct numbered *table = make(100000);
	int64_t number[KEYS] = {0};
	int shown[KEYS];
	unsigned seed = 12345;
	(void)state;
	memset(shown, -1, sizeof(shown));
	for (int step = 0; step < 100000; step++) {
		unsigned n = (seed = seed * 1664525u + 1013904223u) >> 8;
		unsigned at = n % KEYS;
		int64_t with = 1 + n / KEYS % 1000;
		uint8_t what = (uint8_t)(n / 50000 % 3);
		assert_true(n % 2 == 0 ? change(table, at, with, what) : fill(table, at, with, what));
		if (with > number[at]) {
			number[at] = with;
			shown[at] = what;
		}
		assert_int_equal(look(table, at), shown[at]);
	}
	numbered_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_overwritten_only_by_a_higher_number),
		cmocka_unit_test(a_fill_older_than_what_gave_way_is_thrown_away),
		cmocka_unit_test(it_stays_within_its_bound),
		cmocka_unit_test(names_that_resemble_each_other_all_fit),
		cmocka_unit_test(emptying_begins_a_new_generation),
		cmocka_unit_test(the_first_use_of_a_period_is_told),
		cmocka_unit_test(a_random_mix_does_as_the_rules_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
