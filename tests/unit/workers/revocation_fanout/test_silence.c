/*
 * R1: nodes are forgotten after ten waits of silence, by a clock of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "workers/revocation_fanout/silence.h"

static const int64_t MS = 1000000;

static bool look(struct silence *silence, const char *id, int64_t polls, int64_t now_ms)
{
	bool gone;
	silence_begin(silence);
	gone = silence_seen(silence, bytes_of(id), polls, now_ms * MS);
	silence_end(silence);
	return gone;
}

/* Why: a row that is taken too early ends a live node's trust, one too late delays revokes. How: a count that stands,
 * one that moves, one that comes back after it was gone. */
static void a_node_is_gone_when_its_count_stands_still(void **state)
{
	static struct silence silence;
	(void)state;
	assert_false(look(&silence, "node_a", 5, 1000));
	assert_false(look(&silence, "node_a", 5, 1000 + NODE_FORGET_MS - 1));
	assert_true(look(&silence, "node_a", 5, 1000 + NODE_FORGET_MS));
	assert_false(look(&silence, "node_a", 6, 1001 + NODE_FORGET_MS));
	assert_false(look(&silence, "node_a", 6, 1000 + 2 * NODE_FORGET_MS));
	/* Not listed any more: seen anew later, its time begins anew. */
	assert_false(look(&silence, "node_b", 1, 5000 + 2 * NODE_FORGET_MS));
	assert_int_equal(silence.count, 1);
	assert_false(look(&silence, "node_a", 6, 9000 + 9 * NODE_FORGET_MS));
}

/* Why: the table is bounded. How: one node more than it holds: that one is left alone. */
static void more_nodes_than_it_holds_are_left_alone(void **state)
{
	static struct silence silence;
	char id[ID_TEXT_BYTES];
	(void)state;
	for (int round = 0; round < 2; round++) {
		size_t gone = 0;
		silence_begin(&silence);
		for (int n = 0; n <= NODES_MAX; n++) {
			(void)snprintf(id, sizeof(id), "node_%d", n);
			gone += silence_seen(&silence, bytes_of(id), 1, (1 + round * NODE_FORGET_MS) * MS);
		}
		silence_end(&silence);
		assert_int_equal(gone, round == 0 ? 0 : NODES_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_gone_when_its_count_stands_still),
		cmocka_unit_test(more_nodes_than_it_holds_are_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
