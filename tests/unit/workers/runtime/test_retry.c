/* workers/runtime/retry.c: pauses under a fake clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"
#include "workers/runtime/retry.h"

/* Why: C6; a database that is away must neither be hammered nor be forgotten. How: failures in a row double the pause
 * up to the bound, however many; success begins anew. */
static void test_pauses_double_up_to_the_bound(void **state)
{
	(void)state;
	static const int64_t want_ms[] = {20, 40, 80, 160, 320, 500, 500, 500};
	struct retry retry = {0};
	for (size_t i = 0; i < sizeof(want_ms) / sizeof(want_ms[0]); i++)
		assert_int_equal(retry_failed(&retry, 0, 500), want_ms[i]);
	for (int i = 0; i < 100; i++)
		assert_int_equal(retry_failed(&retry, 0, 500), 500);
	retry_succeeded(&retry);
	assert_false(retry_pending(&retry));
	assert_int_equal(retry_failed(&retry, 0, 500), 20);
	assert_int_equal(retry_failed(&retry, 0, 10), 10);
}

/* Why: C6; what fails again right after each recovery must not be tried every 20 ms for ever. How: pauses go on growing
 * over resumptions, during which nothing is pending, until work went well. */
static void test_a_resumption_is_no_success(void **state)
{
	(void)state;
	struct retry retry = {0};
	assert_int_equal(retry_failed(&retry, 0, 500), 20);
	retry_resumed(&retry);
	assert_false(retry_pending(&retry));
	assert_false(retry_waiting(&retry, 0));
	assert_int_equal(retry_left_ms(&retry, 0), 0);
	assert_int_equal(retry_failed(&retry, 0, 500), 40);
	assert_true(retry_pending(&retry));
	retry_succeeded(&retry);
	assert_int_equal(retry_failed(&retry, 0, 500), 20);
}

/* Why: the loop polls with what is left of the pause. How: the clock moves through one pause: waiting until it is due,
 * then pending and not waiting, and milliseconds left are rounded up, so that the loop never spins. */
static void test_waiting_ends_when_due(void **state)
{
	(void)state;
	struct clock_fake fake;
	struct retry retry = {0};
	clock_fake_init(&fake, INT64_C(5000000000), 0);
	assert_false(retry_waiting(&retry, clock_mono_ns(&fake.clock)));
	assert_int_equal(retry_left_ms(&retry, clock_mono_ns(&fake.clock)), 0);
	(void)retry_failed(&retry, clock_mono_ns(&fake.clock), 1000);
	assert_int_equal(retry_left_ms(&retry, clock_mono_ns(&fake.clock)), 20);
	assert_int_equal(retry_left_ms(&retry, clock_mono_ns(&fake.clock) + 19500000), 1);
	clock_fake_advance_ms(&fake, 19);
	assert_true(retry_waiting(&retry, clock_mono_ns(&fake.clock)));
	clock_fake_advance_ms(&fake, 1);
	assert_false(retry_waiting(&retry, clock_mono_ns(&fake.clock)));
	assert_true(retry_pending(&retry));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pauses_double_up_to_the_bound),
		cmocka_unit_test(test_a_resumption_is_no_success),
		cmocka_unit_test(test_waiting_ends_when_due),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
