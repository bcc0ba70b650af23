/*
 * W1: how many connections there may be, in all and of one client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/net/admission.h"

static struct net_address numbered(unsigned n)
{
	struct net_address a;
	uint8_t octets[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	net_address_of_v4(octets, &a);
	return a;
}

static struct admission *make(size_t connections_max)
{
	struct err err;
	struct admission *a = admission_new(connections_max, &err);

	assert_non_null(a);
	return a;
}

/* Why: memory is bounded by the connections there may be. How: up to the limit, over it, and again after one went. */
static void connections_in_all_are_bounded(void **state)
{
	(void)state;
	struct admission *a = make(2);

	assert_true(admission_add(a));
	assert_true(admission_add(a));
	assert_false(admission_add(a));
	assert_int_equal(admission_count(a), 2);
	admission_remove(a);
	assert_true(admission_add(a));
	admission_free(a);
}

/* Why: one client must not take every slot. How: up to its limit and over, while another still gets in; 0 is no
 * limit. */
static void connections_of_one_client_are_bounded(void **state)
{
	(void)state;
	struct admission *a = make(16);
	struct net_address one = numbered(1);
	struct net_address two = numbered(2);

	assert_true(admission_add_address(a, &one, 2));
	assert_true(admission_add_address(a, &one, 2));
	assert_false(admission_add_address(a, &one, 2));
	assert_true(admission_add_address(a, &two, 2));
	admission_remove_address(a, &one);
	assert_true(admission_add_address(a, &one, 2));
	assert_true(admission_add_address(a, &one, 0));
	admission_free(a);
}

/* Why: the table closes its gaps when a client goes; a wrong move would lose or double a client. How: random adds and
 * removes over few slots, so that runs collide, against plain counts. */
static void the_table_counts_like_plain_counters(void **state)
{
	(void)state;
	enum { CLIENTS = 300, CONNECTIONS = 64, STEPS = 200000, LIMIT = 3 };
	struct admission *a = make(CONNECTIONS);
	static unsigned count[CLIENTS];
	unsigned open = 0;
	uint64_t random = 88172645463325252u;

	for (size_t step = 0; step < STEPS; step++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		unsigned n = (unsigned)(random % CLIENTS);
		struct net_address client = numbered(n * 7919);
		if ((random >> 40) % 2 == 0 && open < CONNECTIONS) {
			bool added = admission_add_address(a, &client, LIMIT);
			assert_int_equal(added, count[n] < LIMIT);
			count[n] += added;
			open += added;
		} else if (count[n] > 0) {
			admission_remove_address(a, &client);
			count[n]--;
			open--;
		}
	}
	assert_true(open > 0);
	admission_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_in_all_are_bounded),
		cmocka_unit_test(connections_of_one_client_are_bounded),
		cmocka_unit_test(the_table_counts_like_plain_counters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
