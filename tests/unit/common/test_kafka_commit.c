/* common/kafka_commit.c: C5 costs one request at a time, however many batches there are. */
#include "common/kafka_commit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const char topic[] = "watchpost.development.stripe";

struct fixture {
	struct kafka_assignment assignment;
	struct kafka_commits commits;
};

/* Partitions 0 and 1 are assigned. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_true(kafka_assignment_add(&f->assignment, topic, 0, 0));
	assert_true(kafka_assignment_add(&f->assignment, topic, 1, 0));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	kafka_assignment_free(&f->assignment);
	free(f);
	return 0;
}

static void note(struct fixture *f, int32_t partition, int64_t offset)
{
	kafka_commits_note(&f->assignment, &(struct kafka_partition){topic, partition, offset});
}

/* What is sent at that time: `count` partitions, the first with `offset`; 0: nothing. */
static rd_kafka_topic_partition_list_t *expect(struct fixture *f, int64_t now_ms, int count, int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = kafka_commits_take(&f->commits, &f->assignment, now_ms, false);

	if (count == 0) {
		assert_null(list);
		return NULL;
	}
	assert_non_null(list);
	assert_int_equal(list->cnt, count);
	assert_int_equal(list->elems[0].offset, offset);
	return list;
}

static void answer(struct fixture *f, rd_kafka_topic_partition_list_t *list, rd_kafka_resp_err_t code)
{
	kafka_commits_done(&f->commits, &f->assignment, list, code);
	rd_kafka_topic_partition_list_destroy(list);
}

/* Why: thousands of commits under way kept heartbeats and joins waiting until the group took a busy worker for dead.
 * How: a thousand batches while the first commit is under way make one more commit, of the newest offset. */
static void test_one_at_a_time(void **state)
{
	struct fixture *f = *state;
	rd_kafka_topic_partition_list_t *first;
	int64_t later = 10000;

	(void)expect(f, 0, 0, 0);
	note(f, 0, 25);
	first = expect(f, KAFKA_COMMIT_PAUSE_MS, 1, 25);
	for (int batch = 2; batch <= 1000; batch++) {
		note(f, batch % 2, batch * 25);
		(void)expect(f, later, 0, 0);
	}
	answer(f, first, RD_KAFKA_RESP_ERR_NO_ERROR);
	answer(f, expect(f, later, 2, 25000), RD_KAFKA_RESP_ERR_NO_ERROR);
	(void)expect(f, later + KAFKA_COMMIT_PAUSE_MS, 0, 0);
}

/* Why: a broker that answers at once must not be asked at once again. How: nothing within the pause, then the rest; at
 * the end all, whatever is under way. */
static void test_pause(void **state)
{
	struct fixture *f = *state;

	note(f, 0, 1);
	answer(f, expect(f, 1000, 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	note(f, 0, 2);
	(void)expect(f, 1000 + KAFKA_COMMIT_PAUSE_MS - 1, 0, 0);
	rd_kafka_topic_partition_list_t *sent = expect(f, 1000 + KAFKA_COMMIT_PAUSE_MS, 1, 2);
	note(f, 1, 3);
	rd_kafka_topic_partition_list_t *last = kafka_commits_take(&f->commits, &f->assignment, 0, true);
	assert_non_null(last);
	assert_int_equal(last->cnt, 2);
	answer(f, sent, RD_KAFKA_RESP_ERR_NO_ERROR);
	answer(f, last, RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* Why: exporters would see lag for ever if the last commit of a quiet partition failed. How: a failure as a whole and
 * of one partition; what Kafka does not have is said again, and nothing of a partition that is gone. */
static void test_failures_are_repeated(void **state)
{
	struct fixture *f = *state;
	rd_kafka_topic_partition_list_t *list;

	note(f, 0, 7);
	note(f, 1, 8);
	answer(f, expect(f, 1000, 2, 7), RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
	list = expect(f, 2000, 2, 7);
	list->elems[0].err = RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
	answer(f, list, RD_KAFKA_RESP_ERR_NO_ERROR);
	list = expect(f, 3000, 1, 7);
	kafka_assignment_clear(&f->assignment);
	answer(f, list, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
	note(f, 0, 9);
	(void)expect(f, 4000, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures_are_repeated, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
