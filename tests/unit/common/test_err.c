#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "tests/unit/support/temp_dir.h"

/* Why: callers write `return err_set(…)`. How: sets an error and looks at result, code and text. */
static void sets_code_and_text_and_returns_false(void **unused)
{
	struct err err;

	(void)unused;
	assert_false(err_set(&err, ERR_TIMEOUT, "waited %d ms", 3000));
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_string_equal(err.text, "waited 3000 ms");
}

/* Why: an error must never write past its bound, whatever a path's length. How: a text of three
 * times the bound, alone and as a context, ends inside with a NUL. */
static void cuts_at_the_bound(void **unused)
{
	char text[3 * ERR_TEXT_BYTES_MAX];
	struct err err;

	(void)unused;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&err, ERR_IO, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES_MAX - 1);
	err_context(&err, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES_MAX - 1);
	assert_int_equal(err.code, ERR_IO);
}

/* Why: the action that failed stands before the reason, and actions nest. How: two contexts. */
static void context_goes_before(void **unused)
{
	struct err err;

	(void)unused;
	err_set(&err, ERR_INVALID, "line 3: unknown");
	assert_false(err_context(&err, "while reading %s", "a.conf"));
	assert_false(err_context(&err, "start"));
	assert_string_equal(err.text, "start: while reading a.conf: line 3: unknown");
	assert_int_equal(err.code, ERR_INVALID);
}

/* Why: rewording an error passes its own text as argument; formatting in place would read what it
 * overwrites. How: sets an error from itself. */
static void may_be_set_from_its_own_text(void **unused)
{
	struct err err;

	(void)unused;
	err_set(&err, ERR_IO, "disk");
	err_set(&err, ERR_UNAVAILABLE, "again: %s, %s", err.text, err.text);
	assert_string_equal(err.text, "again: disk, disk");
}

/* Why: names stand in logs and in --json, statuses in scripts (docs/exit-codes.md). How: every code
 * has a name of its own; the statuses that the page lists. */
static void names_and_exit_statuses(void **unused)
{
	(void)unused;
	for (int a = 0; a < ERR_CODE_COUNT; a++) {
		assert_true(strlen(err_code_name((enum err_code)a)) > 1);
		for (int b = 0; b < a; b++)
			assert_string_not_equal(err_code_name((enum err_code)a), err_code_name((enum err_code)b));
	}
	assert_string_equal(err_code_name(ERR_TOO_LARGE), "too_large");
	assert_int_equal(err_exit_status(ERR_NONE), 0);
	assert_int_equal(err_exit_status(ERR_IO), 1);
	assert_int_equal(err_exit_status(ERR_INTERNAL), 1);
	assert_int_equal(err_exit_status(ERR_INVALID), 2);
	assert_int_equal(err_exit_status(ERR_TOO_LARGE), 2);
	assert_int_equal(err_exit_status(ERR_NOT_FOUND), 3);
	assert_int_equal(err_exit_status(ERR_CONFLICT), 4);
	assert_int_equal(err_exit_status(ERR_DENIED), 5);
	assert_int_equal(err_exit_status(ERR_TIMEOUT), 6);
	assert_int_equal(err_exit_status(ERR_UNAVAILABLE), 7);
	assert_int_equal(err_exit_status(ERR_FULL), 7);
}

/* Why: scripts are written from docs/exit-codes.md. How: each code stands in the row of its status (run
 * from the root of the repository). */
static void the_page_lists_every_status(void **unused)
{
	char *page = temp_read("docs/exit-codes.md", NULL);

	(void)unused;
	for (int code = 0; code < ERR_CODE_COUNT; code++) {
		char row[32], name[32];
		const char *found, *end;

		(void)snprintf(row, sizeof(row), "\n| %d | ", err_exit_status((enum err_code)code));
		(void)snprintf(name, sizeof(name), "`%s`", err_code_name((enum err_code)code));
		found = strstr(page, row);
		assert_non_null(found);
		end = strchr(found + 1, '\n');
		assert_non_null(end);
		assert_non_null(memmem(found, (size_t)(end - found), name, strlen(name)));
	}
	free(page);
}

/* Why: a cleared error reads as none. How: clears one that was set. */
static void clears(void **unused)
{
	struct err err;

	(void)unused;
	err_set(&err, ERR_IO, "disk");
	err_clear(&err);
	assert_int_equal(err.code, ERR_NONE);
	assert_string_equal(err.text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_code_and_text_and_returns_false),
		cmocka_unit_test(cuts_at_the_bound),
		cmocka_unit_test(context_goes_before),
		cmocka_unit_test(may_be_set_from_its_own_text),
		cmocka_unit_test(names_and_exit_statuses),
		cmocka_unit_test(the_page_lists_every_status),
		cmocka_unit_test(clears),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
