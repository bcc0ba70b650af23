#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/pg_internal.h"

/* Why: C6 decides by class what is retried, what goes to the dead letters and what stops a worker. How: every class
 * that a rule names, and neighbours that it does not. */
static void codes_by_class(void **unused)
{
	static const struct {
		const char *sqlstate;
		enum err_code code;
		bool by_item;
	} cases[] = {
		{"22P02", ERR_INVALID, true},      {"23514", ERR_INVALID, true},      {"40001", ERR_UNAVAILABLE, false},
		{"40P01", ERR_UNAVAILABLE, false}, {"57P01", ERR_UNAVAILABLE, false}, {"57014", ERR_UNAVAILABLE, false},
		{"08006", ERR_UNAVAILABLE, false}, {"55P03", ERR_CONFLICT, false},    {"55006", ERR_INTERNAL, false},
		{"42883", ERR_INTERNAL, false},    {"53100", ERR_INTERNAL, false},    {"25P02", ERR_INTERNAL, false},
		{"P0001", ERR_INTERNAL, false},    {"WP400", ERR_INVALID, false},     {"WP403", ERR_DENIED, false},
		{"WP404", ERR_NOT_FOUND, false},   {"WP409", ERR_CONFLICT, false},    {"WP999", ERR_INTERNAL, false},
		{"", ERR_INTERNAL, false},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(pg_error_code(cases[i].sqlstate), cases[i].code);
		assert_true(pg_error_by_item(cases[i].sqlstate) == cases[i].by_item);
	}
}

/* Why: a result without SQLSTATE is libpq's own word for a broken connection. How: an empty failed result. */
static void no_sqlstate_is_a_lost_connection(void **unused)
{
	PGresult *raw = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
	char sqlstate[PG_SQLSTATE_BYTES] = "22P02";
	struct err err;

	(void)unused;
	assert_non_null(raw);
	assert_false(pg_error_from_result(NULL, raw, sqlstate, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_string_equal(sqlstate, "");
	PQclear(raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_by_class),
		cmocka_unit_test(no_sqlstate_is_a_lost_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
