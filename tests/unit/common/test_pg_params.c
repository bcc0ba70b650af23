#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/pg_internal.h"

static struct pg_params *params;
static struct pg_arguments arguments;
static char sqlstate[PG_SQLSTATE_BYTES];
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	params = pg_params_new(4);
	memset(&arguments, 0, sizeof(arguments));
	sqlstate[0] = '\0';
	err_clear(&err);
	return params == NULL;
}

static int teardown(void **unused)
{
	(void)unused;
	pg_params_free(params);
	return 0;
}

static void take(void)
{
	assert_true(pg_params_arguments(params, &arguments, sqlstate, &err));
}

static void assert_bytes(int place, const char *expected, size_t len)
{
	assert_int_equal(arguments.lengths[place], len);
	assert_int_equal(arguments.formats[place], 1);
	assert_memory_equal(arguments.values[place], expected, len);
}

/* Why: a text is sent as a C string, everything else as bytes of a declared type; a mix-up is read by the server as
 * another value. How: one of each kind, compared with the forms that PostgreSQL's manual and sources give. */
static void scalars_have_their_wire_forms(void **unused)
{
	(void)unused;
	pg_params_text(params, "a");
	pg_params_i64(params, -2);
	pg_params_bool(params, true);
	pg_params_bytea(params, bytes_make("\0\1", 2));
	take();
	assert_int_equal(arguments.count, 4);
	assert_string_equal(arguments.values[0], "a");
	assert_int_equal(arguments.formats[0], 0);
	assert_int_equal(arguments.types[0], 0);
	assert_bytes(1, "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
	assert_int_equal(arguments.types[1], 20);
	assert_bytes(2, "\1", 1);
	assert_int_equal(arguments.types[2], 16);
	assert_bytes(3, "\0\1", 2);
	assert_int_equal(arguments.types[3], 17);
}

/* Why: SQL null is a NULL pointer, an empty value is not; confusing them turns "" into null. How: both kinds of empty
 * beside both ways to say null. */
static void null_and_empty_differ(void **unused)
{
	(void)unused;
	pg_params_bytea(params, bytes_make(NULL, 0));
	take();
	assert_non_null(arguments.values[0]);
	pg_params_text_view(params, bytes_make(NULL, 0));
	pg_params_null(params);
	pg_params_text(params, NULL);
	take();
	assert_non_null(arguments.values[0]);
	assert_int_equal(arguments.lengths[0], 0);
	assert_string_equal(arguments.values[1], "");
	assert_null(arguments.values[2]);
	assert_null(arguments.values[3]);
}

/* Why: the head of a binary array holds a count and a flag that are known only at the end. How: an array with a null
 * is compared byte for byte with array_send's form. */
static void array_has_its_wire_form(void **unused)
{
	(void)unused;
	pg_params_array_begin(params, PG_ARRAY_TEXT);
	pg_params_array_bytes(params, bytes_of("ab"));
	pg_params_array_null(params);
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_I32);
	pg_params_array_i64(params, 7);
	pg_params_array_end(params);
	take();
	assert_bytes(0,
		     "\0\0\0\1"   /* dimensions */
		     "\0\0\0\1"   /* has nulls */
		     "\0\0\0\x19" /* text */
		     "\0\0\0\2"   /* elements */
		     "\0\0\0\1"   /* lower bound */
		     "\0\0\0\2"
		     "ab"
		     "\xff\xff\xff\xff",
		     30);
	assert_int_equal(arguments.types[0], 1009);
	assert_bytes(1, "\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\7", 28);
	assert_int_equal(arguments.types[1], 1007);
}

/* Why: an array without elements has no dimension; with one of length 0 the server refuses it. How: its bytes. */
static void empty_array_has_no_dimension(void **unused)
{
	(void)unused;
	pg_params_array_begin(params, PG_ARRAY_I64);
	pg_params_array_end(params);
	take();
	assert_bytes(0, "\0\0\0\0\0\0\0\0\0\0\0\x14", 12);
}

/* Why: values are pointers into an arena that moves while it grows. How: a first value, then one far larger. */
static void values_survive_growth(void **unused)
{
	enum { LARGE = 1 << 20 };
	char *large = calloc(1, LARGE);

	(void)unused;
	assert_non_null(large);
	pg_params_text(params, "first");
	pg_params_bytea(params, bytes_make(large, LARGE));
	pg_params_text(params, "last");
	take();
	assert_string_equal(arguments.values[0], "first");
	assert_string_equal(arguments.values[2], "last");
	free(large);
}

/* Why: a builder is filled by many calls without a check each; the first failure must be the one that is told, and
 * must go away with clear. How: three kinds of failure, each followed by good calls, then clear. */
static void failures_are_remembered(void **unused)
{
	(void)unused;
	pg_params_text_view(params, bytes_make("a\0", 2));
	pg_params_array_begin(params, PG_ARRAY_I32);
	pg_params_array_i64(params, INT64_MAX);
	pg_params_array_end(params);
	for (int i = 0; i < 5; i++)
		pg_params_i64(params, 1);
	assert_false(pg_params_arguments(params, &arguments, sqlstate, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(sqlstate, "22021");
	pg_params_clear(params);
	for (int i = 0; i < 5; i++)
		pg_params_bool(params, false);
	assert_false(pg_params_arguments(params, &arguments, sqlstate, &err));
	assert_int_equal(err.code, ERR_FULL);
	assert_string_equal(sqlstate, "");
	pg_params_clear(params);
	pg_params_array_begin(params, PG_ARRAY_I32);
	pg_params_array_i64(params, (int64_t)INT32_MIN - 1);
	pg_params_array_end(params);
	assert_false(pg_params_arguments(params, &arguments, sqlstate, &err));
	assert_string_equal(sqlstate, "22003");
	pg_params_clear(params);
	pg_params_bool(params, false);
	take();
	assert_int_equal(arguments.count, 1);
}

/* Why: calls without parameters are common. How: NULL for the builder. */
static void no_builder_means_no_parameters(void **unused)
{
	(void)unused;
	assert_true(pg_params_arguments(NULL, &arguments, sqlstate, &err));
	assert_int_equal(arguments.count, 0);
	pg_params_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(scalars_have_their_wire_forms, setup, teardown),
		cmocka_unit_test_setup_teardown(null_and_empty_differ, setup, teardown),
		cmocka_unit_test_setup_teardown(array_has_its_wire_form, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_array_has_no_dimension, setup, teardown),
		cmocka_unit_test_setup_teardown(values_survive_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_are_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(no_builder_means_no_parameters, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
