#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ctl/progress.h"

/* Why: a loop reports every item; writing each would cost more than the work. How: a clock that is moved by hand, many
 * updates within a tenth of a second, and the line wiped once at the end. */
static void is_written_at_a_bounded_rate(void **unused)
{
	struct clock_fake clock;
	struct progress progress;
	char *printed;
	size_t len;
	FILE *to = open_memstream(&printed, &len);

	(void)unused;
	assert_non_null(to);
	clock_fake_init(&clock, 1, 1);
	progress_begin_on(&progress, to, "reading", &clock.clock);
	for (uint64_t i = 1; i <= 1000; i++)
		progress_update(&progress, i, 0);
	assert_string_equal(printed, "\r\033[Kreading  1");
	clock_fake_advance_ms(&clock, 1000 / PROGRESS_PER_S);
	progress_update(&progress, 2000, 5000);
	assert_string_equal(printed, "\r\033[Kreading  1\r\033[Kreading  2000 of 5000");
	progress_end(&progress);
	progress_end(&progress);
	assert_string_equal(printed, "\r\033[Kreading  1\r\033[Kreading  2000 of 5000\r\033[K");
	assert_int_equal(fclose(to), 0);
	free(printed);
}

/* Why: a log file full of progress is noise. How: no terminal, no byte; standard error is not one in a test run under a
 * pipe, so begin_on with NULL stands for it. */
static void is_silent_without_a_terminal(void **unused)
{
	struct clock_fake clock;
	struct progress progress;

	(void)unused;
	clock_fake_init(&clock, 1, 1);
	progress_begin_on(&progress, NULL, "reading", &clock.clock);
	progress_update(&progress, 1, 2);
	assert_false(progress.shown);
	progress_end(&progress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_written_at_a_bounded_rate),
		cmocka_unit_test(is_silent_without_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
