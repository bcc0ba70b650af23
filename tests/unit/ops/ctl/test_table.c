#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/ctl/table.h"

static const struct table_column columns[] = {{"name", TABLE_TEXT}, {"count", TABLE_NUMBER}, {"open", TABLE_BOOL}};
static struct table *table;
static char *printed;
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	table = table_new(columns, ARRAY_LEN(columns));
	printed = NULL;
	return table == NULL;
}

static int teardown(void **unused)
{
	(void)unused;
	table_free(table);
	free(printed);
	return 0;
}

static const char *print(enum table_style style, enum table_shape shape)
{
	size_t len;
	FILE *to = open_memstream(&printed, &len);

	assert_non_null(to);
	assert_true(table_print(table, to, style, shape, &err));
	assert_int_equal(fclose(to), 0);
	return printed;
}

static void add(const char *name, int64_t count, bool open)
{
	table_text(table, name);
	table_i64(table, count);
	table_bool(table, open);
}

/* Why: a person reads down the columns. How: values of different widths, a name with letters of two bytes, a number to
 * the right, no blanks at the ends of lines. */
static void human_columns_are_aligned(void **unused)
{
	(void)unused;
	add("Bülow", 7, true);
	add("A", 12345, false);
	assert_string_equal(print(TABLE_HUMAN, TABLE_LIST), "name   count  open\n"
							    "Bülow      7  yes\n"
							    "A      12345  no\n");
}

/* Why: one thing with many fields is read from top to bottom. How: one row as a record. */
static void human_record_is_a_list_of_names(void **unused)
{
	(void)unused;
	table_text(table, "A");
	table_null(table);
	table_bool(table, true);
	assert_string_equal(print(TABLE_HUMAN, TABLE_RECORD), "name   A\ncount  \nopen   yes\n");
}

/* Why: cut and awk want one separator, and never a second tab or newline inside a value. How: such a value. */
static void plain_has_one_tab_between(void **unused)
{
	(void)unused;
	add("a\tb\n", 1, false);
	assert_string_equal(print(TABLE_PLAIN, TABLE_LIST), "name\tcount\topen\na\\x09b\\x0a\t1\tno\n");
}

/* Why: account names come from outside; ESC and the C1 controls would let one rewrite an operator's screen. How: both
 * in a value, in both styles for people; a two-byte letter that begins with the same byte stays. */
static void controls_are_shown_not_obeyed(void **unused)
{
	(void)unused;
	add("\033[2J\xc2\x9b\x7f©", 1, false);
	assert_non_null(strstr(print(TABLE_HUMAN, TABLE_LIST), "\\x1b[2J\\xc2\\x9b\\x7f©  "));
	free(printed);
	assert_null(strpbrk(print(TABLE_PLAIN, TABLE_LIST), "\033\x7f"));
	free(printed);
	assert_null(strpbrk(print(TABLE_HUMAN, TABLE_RECORD), "\033\x7f"));
}

/* Why: scripts read types, not words. How: text, number, truth and null as JSON has them, in both shapes. */
static void json_has_types(void **unused)
{
	(void)unused;
	table_text(table, "q\"\n");
	table_i64(table, INT64_MIN);
	table_bool(table, true);
	assert_string_equal(print(TABLE_JSON, TABLE_RECORD),
			    "{\n  \"name\": \"q\\\"\\n\",\n"
			    "  \"count\": -9223372036854775808,\n  \"open\": true\n}\n");
	free(printed);
	table_text(table, NULL);
	table_null(table);
	table_null(table);
	assert_non_null(
		strstr(print(TABLE_JSON, TABLE_LIST), "\"name\": null,\n    \"count\": null,\n    \"open\": null"));
}

/* Why: an empty list is an answer, too: a line of names for people, [] for scripts. How: no rows. */
static void empty_list(void **unused)
{
	(void)unused;
	assert_string_equal(print(TABLE_PLAIN, TABLE_LIST), "name\tcount\topen\n");
	free(printed);
	assert_string_equal(print(TABLE_JSON, TABLE_LIST), "[]\n");
	assert_int_equal(table_rows(table), 0);
}

/* Why: commands add cells without a check each. How: a table that never came to be fails when it is printed. */
static void missing_table_fails_when_printed(void **unused)
{
	(void)unused;
	table_text(NULL, "x");
	table_null(NULL);
	assert_false(table_print(NULL, stdout, TABLE_PLAIN, TABLE_LIST, &err));
	assert_int_equal(err.code, ERR_FULL);
	table_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(human_columns_are_aligned, setup, teardown),
		cmocka_unit_test_setup_teardown(human_record_is_a_list_of_names, setup, teardown),
		cmocka_unit_test_setup_teardown(plain_has_one_tab_between, setup, teardown),
		cmocka_unit_test_setup_teardown(controls_are_shown_not_obeyed, setup, teardown),
		cmocka_unit_test_setup_teardown(json_has_types, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_list, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_table_fails_when_printed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
