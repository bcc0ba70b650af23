/*
 * Deadlines of a loop: order, restart, and durations beyond the lists that there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/timer.h"

static const int64_t MS = 1000000;
static struct timers timers;
static struct timer *fired[64];
static size_t fired_count;

static void on_fire(struct timer *timer)
{
	assert_false(timer_running(timer));
	assert_true(fired_count < ARRAY_LEN(fired));
	fired[fired_count++] = timer;
}

static int setup(void **state)
{
	(void)state;
	timers_init(&timers);
	fired_count = 0;
	return 0;
}

/* Why: a deadline that never fires holds a slot, one that fires early cuts a good client. How: one timer before, at
 * and after its time, then never again. */
static void fires_once_when_due(void **state)
{
	(void)state;
	struct timer t = {.fire = on_fire};

	assert_true(timers_next_ns(&timers) == INT64_MAX);
	timer_start(&timers, &t, 5 * MS, 10);
	assert_true(timers_next_ns(&timers) == 15 * MS);
	timers_run(&timers, 15 * MS - 1);
	assert_int_equal(fired_count, 0);
	timers_run(&timers, 15 * MS);
	assert_int_equal(fired_count, 1);
	timers_run(&timers, 1000 * MS);
	assert_int_equal(fired_count, 1);
	assert_true(timers_next_ns(&timers) == INT64_MAX);
}

/* Why: most deadlines are stopped or moved, from any place of their list. How: first, middle and last of three. */
static void stops_and_restarts_anywhere(void **state)
{
	(void)state;
	for (size_t victim = 0; victim < 3; victim++) {
		struct timer t[3] = {{.fire = on_fire}, {.fire = on_fire}, {.fire = on_fire}};
		setup(NULL);
		for (size_t i = 0; i < 3; i++)
			timer_start(&timers, &t[i], (int64_t)i * MS, 10);
		timer_stop(&t[victim]);
		timer_stop(&t[victim]);
		timers_run(&timers, 12 * MS);
		assert_int_equal(fired_count, 2);
		timer_start(&timers, &t[victim], 20 * MS, 10);
		timer_start(&timers, &t[victim], 25 * MS, 10);
		timers_run(&timers, 34 * MS);
		assert_int_equal(fired_count, 2);
		timers_run(&timers, 35 * MS);
		assert_int_equal(fired_count, 3);
		assert_ptr_equal(fired[2], &t[victim]);
	}
}

/* Why: a reload brings new durations, and there may be more of them than lists. How: three times as many durations as
 * lists, started in falling order: all fire, none early, and the next due time is right before each. */
static void more_durations_than_lists(void **state)
{
	(void)state;
	enum { COUNT = 3 * TIMER_DURATIONS_MAX };
	struct timer t[COUNT] = {0};

	for (int i = 0; i < COUNT; i++) {
		t[i].fire = on_fire;
		timer_start(&timers, &t[i], 0, COUNT - i);
	}
	for (int i = 1; i <= COUNT; i++) {
		assert_true(timers_next_ns(&timers) == i * MS);
		timers_run(&timers, i * MS);
		assert_int_equal(fired_count, i);
		assert_ptr_equal(fired[i - 1], &t[COUNT - i]);
	}
}

static struct timer chained;

static void on_fire_stop_other(struct timer *timer)
{
	on_fire(timer);
	timer_stop(&chained);
	timer_start(&timers, timer, 10 * MS, 10);
}

/* Why: a deadline that fires closes connections, whose own deadlines stop. How: the first stops the second, due at the
 * same time, and starts itself again. */
static void a_fired_timer_may_stop_and_start(void **state)
{
	(void)state;
	struct timer first = {.fire = on_fire_stop_other};

	chained = (struct timer){.fire = on_fire};
	timer_start(&timers, &first, 0, 10);
	timer_start(&timers, &chained, 0, 10);
	timers_run(&timers, 10 * MS);
	assert_int_equal(fired_count, 1);
	assert_true(timer_running(&first) && !timer_running(&chained));
	assert_true(timers_next_ns(&timers) == 20 * MS);
	timer_stop(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_once_when_due, setup),
		cmocka_unit_test_setup(stops_and_restarts_anywhere, setup),
		cmocka_unit_test_setup(more_durations_than_lists, setup),
		cmocka_unit_test_setup(a_fired_timer_may_stop_and_start, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
