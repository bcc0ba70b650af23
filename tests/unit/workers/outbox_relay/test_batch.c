/*
 * Which outbox rows may be deleted after mixed outcomes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "workers/outbox_relay/batch.h"

enum { ROWS_MAX = 16 };

/* "a+": key a, kept; - failed, ! broken, . unsent. Ids count from 1. */
static size_t make(const char *text, struct outbox_row rows[ROWS_MAX])
{
	size_t count = 0;
	for (; *text != '\0'; text += 2, count++) {
		rows[count] = (struct outbox_row){.id = (int64_t)count + 1,
						  .key = bytes_make(text, 1),
						  .topic = bytes_of("access"),
						  .fate = text[1] == '+'   ? ROW_KEPT
							  : text[1] == '-' ? ROW_FAILED
							  : text[1] == '!' ? ROW_BROKEN
									   : ROW_UNSENT};
	}
	return count;
}

static void check(const char *text, const char *deleted)
{
	struct outbox_row rows[ROWS_MAX];
	int64_t ids[ROWS_MAX];
	char found[ROWS_MAX + 1] = {0};
	size_t count = make(text, rows);
	size_t n = batch_deletable(rows, count, ids);
	for (size_t i = 0; i < n; i++)
		found[i] = (char)('0' + ids[i]);
	assert_string_equal(found, deleted);
}

/* Why: behind a failure of its key nothing counts as sent, or readers would miss a number. How: mixes. */
static void what_stands_before_the_first_failure_of_its_key_goes(void **state)
{
	(void)state;
	check("", "");
	check("a+b+a+", "123");
	check("a-a+a+", "");
	check("a+a-a+", "1");
	check("a+b-a+b+c+", "135");
	check("a!b+a.b+", "24");
	check("a.b.", "");
}

/* Why: a key is stopped at once, not only afterwards. How: a row behind a broken one of its key, and of another. */
static void a_broken_row_stops_its_key(void **state)
{
	struct outbox_row rows[ROWS_MAX];
	(void)state;
	assert_int_equal(make("a!a.b.", rows), 3);
	assert_false(batch_key_stopped(rows, 0));
	assert_true(batch_key_stopped(rows, 1));
	assert_false(batch_key_stopped(rows, 2));
	rows[0].topic = bytes_of("spend");
	assert_false(batch_key_stopped(rows, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_stands_before_the_first_failure_of_its_key_goes),
		cmocka_unit_test(a_broken_row_stops_its_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
