/* workers/runtime/status.c: readiness with reasons, and the metrics' names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "workers/runtime/status.h"

static struct status *make(struct buf *text)
{
	struct err err;
	struct status *status = status_new("audit-log", &err);
	assert_non_null(status);
	buf_init(text, 65536);
	return status;
}

/* Why: operators act on the reasons. How: each state that keeps a worker from being ready gives its line, and goes
 * again. */
static void test_ready_with_reasons(void **state)
{
	(void)state;
	struct buf text;
	struct status *status = make(&text);
	assert_false(status_ready(status, &text));
	assert_string_equal(buf_text(&text), "starting\n");
	status_started(status);
	buf_clear(&text);
	assert_false(status_ready(status, &text));
	assert_string_equal(buf_text(&text),
			    "no partitions assigned yet: the group is forming, or its topics are not there\n");
	status_assigned(status);
	buf_clear(&text);
	assert_true(status_ready(status, &text));
	status_away(status, true);
	const struct status_partition stands = {"watchpost.development.stripe", 3, 41, 100, true};
	status_partitions(status, &stands, 1);
	assert_false(status_ready(status, &text));
	assert_non_null(strstr(buf_text(&text), "paused\n"));
	assert_non_null(strstr(buf_text(&text), "watchpost.development.stripe/3: offset 41 "));
	status_away(status, false);
	status_partitions(status, NULL, 0);
	buf_clear(&text);
	assert_true(status_ready(status, &text));
	buf_free(&text);
	status_free(status);
}

/* Why: a loop that hangs must be restarted, one that waits must not. How: beats and times around the minute. */
static void test_alive_while_the_loop_turns(void **state)
{
	(void)state;
	struct buf text;
	struct status *status = make(&text);
	assert_true(status_alive(status, INT64_C(1) << 50));
	status_beat(status, 1);
	assert_true(status_alive(status, INT64_C(59000000000)));
	assert_false(status_alive(status, INT64_C(61000000000)));
	buf_free(&text);
	status_free(status);
}

/* Why: dashboards know these names. How: one of each is counted and found in the text; an event of an unknown type is
 * "other", lag is never negative. */
static void test_metrics(void **state)
{
	(void)state;
	static const char *const want[] = {
		"watchpost_events_total{worker=\"audit-log\",type=\"watchpost.stripe.other\",outcome=\"applied\"} 2\n",
		"watchpost_events_total{worker=\"audit-log\",type=\"other\",outcome=\"stale\"} 1\n",
		"watchpost_events_total{worker=\"audit-log\",type=\"undecodable\",outcome=\"applied\"} 1\n",
		"watchpost_dlq_total{reason=\"23\"} 1\n",
		"watchpost_consumer_lag{topic=\"t\",partition=\"0\"} 7\n",
		"watchpost_consumer_lag{topic=\"t\",partition=\"1\"} 0\n",
		"watchpost_worker_records_total 3\n",
		"watchpost_worker_fenced_total 1\n",
		"watchpost_event_age_seconds_count 4\n",
	};
	struct buf text;
	struct status *status = make(&text);
	status_event(status, bytes_of("watchpost.stripe.other"), "applied", 1000);
	status_event(status, bytes_of("watchpost.stripe.other"), "applied", -5);
	status_event(status, bytes_of("watchpost.of.the.future"), "stale", 1);
	status_event(status, bytes_of("undecodable"), "applied", 1);
	status_dead_letter(status, "23");
	status_batch(status, 3, 1000000);
	status_fenced(status);
	const struct status_partition partitions[] = {
		{"t", 0, 3, 10, false}, {"t", 1, 3, 2, false}, {"t", 2, 3, -1, false}};
	status_partitions(status, partitions, 3);
	assert_true(status_metrics(status, &text));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (strstr(buf_text(&text), want[i]) == NULL)
			fail_msg("%s is not in\n%s", want[i], buf_text(&text));
	assert_null(strstr(buf_text(&text), "partition=\"2\""));
	buf_free(&text);
	status_free(status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ready_with_reasons),
		cmocka_unit_test(test_alive_while_the_loop_turns),
		cmocka_unit_test(test_metrics),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
