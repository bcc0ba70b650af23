/*
 * Metrics: what is counted is what is printed, in the text format that Prometheus reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "common/limits.h"
#include "common/metrics.h"

static const char *const ROUTES[] = {"a", "b"};
static const char *const CODES[] = {"200", "400", "503"};
static const int64_t BOUNDS_US[] = {1000, 2500, 1000000};
enum { PLAIN, LABELLED, LEVEL, SECONDS };
static const struct metric_def DEFS[] = {
	[PLAIN] = {.name = "t_plain_total", .help = "Plain.", .kind = METRIC_COUNTER},
	[LABELLED] = {.name = "t_requests_total",
		      .help = "By route and code.",
		      .kind = METRIC_COUNTER,
		      .labels = {{"route", ROUTES, 2}, {"code", CODES, 3}}},
	[LEVEL] = {.name = "t_level", .help = "A level.", .kind = METRIC_GAUGE},
	[SECONDS] = {.name = "t_seconds",
		     .help = "A time.",
		     .kind = METRIC_HISTOGRAM,
		     .labels = {{"route", ROUTES, 2}},
		     .bounds_us = BOUNDS_US,
		     .bound_count = 3},
};

static struct metrics *make(void)
{
	struct err err;
	struct metrics *m = metrics_new(DEFS, sizeof(DEFS) / sizeof(DEFS[0]), &err);

	assert_non_null(m);
	return m;
}

/* Why: dashboards and alerts read this text. How: every kind with known values, compared whole. */
static void prints_the_text_format(void **state)
{
	(void)state;
	struct metrics *m = make();
	struct buf out;

	metrics_add(m, PLAIN, 0, 3);
	metrics_add(m, LABELLED, 1 * 3 + 2, 7);
	metrics_set(m, LEVEL, 0, -4);
	metrics_observe_us(m, SECONDS, 0, 1000);
	metrics_observe_us(m, SECONDS, 0, 1001);
	metrics_observe_us(m, SECONDS, 0, 3000000);
	metrics_observe_us(m, SECONDS, 0, -1);
	buf_init(&out, 65536);
	assert_true(metrics_print(m, &out));
	assert_string_equal(buf_text(&out), "# HELP t_plain_total Plain.\n"
					    "# TYPE t_plain_total counter\n"
					    "t_plain_total 3\n"
					    "# HELP t_requests_total By route and code.\n"
					    "# TYPE t_requests_total counter\n"
					    "t_requests_total{route=\"b\",code=\"503\"} 7\n"
					    "# HELP t_level A level.\n"
					    "# TYPE t_level gauge\n"
					    "t_level -4\n"
					    "# HELP t_seconds A time.\n"
					    "# TYPE t_seconds histogram\n"
					    "t_seconds_bucket{route=\"a\",le=\"0.001\"} 2\n"
					    "t_seconds_bucket{route=\"a\",le=\"0.0025\"} 3\n"
					    "t_seconds_bucket{route=\"a\",le=\"1\"} 3\n"
					    "t_seconds_bucket{route=\"a\",le=\"+Inf\"} 4\n"
					    "t_seconds_sum{route=\"a\"} 3.002001\n"
					    "t_seconds_count{route=\"a\"} 4\n");
	buf_free(&out);
	metrics_free(m);
}

/* Why: a label value from outside must not break out of its quotes. How: each byte that is escaped. */
static void label_values_are_escaped(void **state)
{
	(void)state;
	struct buf out;

	buf_init(&out, 256);
	assert_true(metrics_print_label(&out, "topic", bytes_of("a\"b\\c\nd")));
	assert_string_equal(buf_text(&out), "topic=\"a\\\"b\\\\c\\nd\"");
	buf_clear(&out);
	assert_true(metrics_print_sample(&out, "t_lag", "topic=\"x\"", 5));
	assert_string_equal(buf_text(&out), "t_lag{topic=\"x\"} 5\n");
	buf_free(&out);
}

/* Why: a bound that refuses must be told, not cut. How: a buffer that is too small by less and less. */
static void a_full_buffer_is_told(void **state)
{
	(void)state;
	struct metrics *m = make();
	struct buf out;

	buf_init(&out, 4096);
	assert_true(metrics_print(m, &out));
	size_t len = out.len;
	buf_free(&out);
	for (size_t max = 1; max < len; max += 7) {
		buf_init(&out, max);
		assert_false(metrics_print(m, &out));
		buf_free(&out);
	}
	metrics_free(m);
}

enum { THREADS = 2 * METRIC_SHARDS, ADDS = 400000 };
static pthread_barrier_t barrier;

static void *add_many(void *cookie)
{
	struct metrics *m = cookie;

	(void)pthread_barrier_wait(&barrier);
	for (int i = 0; i < ADDS; i++) {
		metrics_add(m, LABELLED, (size_t)i % 6, 1);
		metrics_observe_us(m, SECONDS, 1, 1);
	}
	return NULL;
}

/* Why: loops count at the same time, also more of them than shards, and no count may be lost. How: threads that add,
 * then the sums. */
static void no_count_is_lost_between_threads(void **state)
{
	(void)state;
	struct metrics *m = make();
	pthread_t threads[THREADS];
	uint64_t sum = 0;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, m), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (size_t series = 0; series < 6; series++)
		sum += metrics_value(m, LABELLED, series);
	assert_int_equal(sum, THREADS * ADDS);
	assert_int_equal(metrics_value(m, SECONDS, 1), THREADS * ADDS);
	(void)pthread_barrier_destroy(&barrier);
	metrics_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_the_text_format),
		cmocka_unit_test(label_values_are_escaped),
		cmocka_unit_test(a_full_buffer_is_told),
		cmocka_unit_test(no_count_is_lost_between_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
