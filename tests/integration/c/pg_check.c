/* common/pg.h against a real server; run by tests/integration/test_pg.py. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/c/support.h"

static struct config *config;
static struct pg *pg, *other;
static struct pg_params *params;
static struct err err;

static int setup(void **state)
{
	(void)state;
	config = support_config(5000);
	pg = support_pg(config);
	other = support_pg(config);
	params = pg_params_new(8);
	err_clear(&err);
	return params == NULL;
}

static int teardown(void **state)
{
	(void)state;
	pg_params_free(params);
	pg_free(pg);
	pg_free(other);
	support_config_free(config);
	return 0;
}

static struct pg_result *call(const char *sql)
{
	struct pg_result *result = pg_call(pg, sql, params, &err);

	if (result == NULL)
		fail_msg("%s: %s", sql, err.text);
	return result;
}

/* Makes the server end the connection of `pg`, as an administrator or a restart would. */
static void terminate(void)
{
	pg_params_clear(params);
	int64_t backend = support_number(pg, "select pg_backend_pid()", NULL);

	pg_params_i64(params, backend);
	(void)support_number(other, "select pg_terminate_backend($1::int)::int", params);
	pg_params_clear(params);
	for (int tries = 0; tries < 500; tries++) {
		pg_params_clear(params);
		pg_params_i64(params, backend);
		if (support_number(other, "select count(*) from pg_stat_activity where pid = $1", params) == 0)
			break;
		support_sleep_ms(10);
	}
	pg_params_clear(params);
}

static void test_parameters_arrive_as_they_are(void **state)
{
	/* Every kind of parameter is encoded by hand here, so each goes to the server and back, with its edges. */
	static const uint8_t raw[] = {0, 1, 0xff, '\\', '\''};
	struct pg_result *result;
	uint8_t back[sizeof(raw)];
	int64_t number;

	(void)state;
	pg_params_text(params, "Bülow's \\ \"text\"");
	pg_params_i64(params, INT64_MIN);
	pg_params_bool(params, true);
	pg_params_bytea(params, bytes_make(raw, sizeof(raw)));
	pg_params_bytea(params, bytes_make(NULL, 0));
	pg_params_null(params);
	pg_params_text_view(params, bytes_make("", 0));
	pg_params_text(params, "42");
	result = call("select $1::text, $2, $3, $4, $5, $6::text, $7::text, $8::integer + 1");
	assert_string_equal(pg_get_text(result, 0, 0), "Bülow's \\ \"text\"");
	assert_true(pg_get_i64(result, 0, 1, &number));
	assert_true(number == INT64_MIN);
	assert_true(pg_get_bool(result, 0, 2));
	assert_true(pg_get_bytea(result, 0, 3, back, sizeof(back)));
	assert_memory_equal(back, raw, sizeof(raw));
	assert_false(pg_get_bytea(result, 0, 3, back, sizeof(back) - 1));
	assert_false(pg_is_null(result, 0, 4));
	assert_string_equal(pg_get_text(result, 0, 4), "\\x");
	assert_true(pg_is_null(result, 0, 5));
	assert_int_equal(pg_get(result, 0, 5).len, 0);
	assert_false(pg_is_null(result, 0, 6));
	assert_true(pg_get_i64(result, 0, 7, &number));
	assert_int_equal(number, 43);
	assert_false(pg_get_i64(result, 0, 5, &number));
	assert_false(pg_get_i64(result, 0, 0, &number));
	pg_result_free(result);
}

static void test_arrays_arrive_as_they_are(void **state)
{
	/* A batch is arrays in Postgres' binary form; a wrong length or flag there garbles rows without an error. The
	 * server prints each array in its own words. */
	struct pg_result *result;

	(void)state;
	pg_params_array_begin(params, PG_ARRAY_TEXT);
	pg_params_array_bytes(params, bytes_of("a,b"));
	pg_params_array_null(params);
	pg_params_array_bytes(params, bytes_of(""));
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_I64);
	pg_params_array_i64(params, INT64_MAX);
	pg_params_array_i64(params, -1);
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_I32);
	pg_params_array_i64(params, INT32_MIN);
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_BOOL);
	pg_params_array_i64(params, 1);
	pg_params_array_i64(params, 0);
	pg_params_array_null(params);
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_BYTEA);
	pg_params_array_bytes(params, bytes_make("\0x", 2));
	pg_params_array_end(params);
	pg_params_array_begin(params, PG_ARRAY_TEXT);
	pg_params_array_end(params);
	result = call("select $1::text, $2::text, $3::text, $4::text, $5::text, $6::text, cardinality($6)");
	assert_string_equal(pg_get_text(result, 0, 0), "{\"a,b\",NULL,\"\"}");
	assert_string_equal(pg_get_text(result, 0, 1), "{9223372036854775807,-1}");
	assert_string_equal(pg_get_text(result, 0, 2), "{-2147483648}");
	assert_string_equal(pg_get_text(result, 0, 3), "{t,f,NULL}");
	assert_string_equal(pg_get_text(result, 0, 4), "{\"\\\\x0078\"}");
	assert_string_equal(pg_get_text(result, 0, 5), "{}");
	assert_string_equal(pg_get_text(result, 0, 6), "0");
	pg_result_free(result);
}

static void test_a_large_batch_goes_through(void **state)
{
	/* More than the socket's buffers hold at once: sending has to go on while the socket is full. */
	enum { ROWS = 20000, BYTES = 500 };
	char text[BYTES];

	(void)state;
	memset(text, 'x', sizeof(text));
	pg_params_array_begin(params, PG_ARRAY_TEXT);
	for (int i = 0; i < ROWS; i++)
		pg_params_array_bytes(params, bytes_make(text, sizeof(text)));
	pg_params_array_end(params);
	assert_int_equal(support_number(pg, "select sum(length(t)) from unnest($1) t", params), ROWS * BYTES);
}

static void test_bad_parameters_are_the_items_fault(void **state)
{
	/* C6: a text that no server takes must look like any other class 22 error, so that the item goes to the
	 * dead letters instead of stopping the worker; and the builder is good again after a clear. */
	(void)state;
	pg_params_text_view(params, bytes_make("a\0b", 3));
	assert_false(pg_run(pg, "select $1::text", params, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_true(pg_failed_by_item(pg));
	pg_params_clear(params);
	pg_params_array_begin(params, PG_ARRAY_I32);
	pg_params_array_i64(params, INT64_C(1) << 31);
	pg_params_array_end(params);
	assert_false(pg_run(pg, "select $1::int[]", params, &err));
	assert_string_equal(pg_sqlstate(pg), "22003");
	pg_params_clear(params);
	for (int i = 0; i < 9; i++)
		pg_params_i64(params, i);
	assert_false(pg_run(pg, "select $1::bigint", params, &err));
	assert_int_equal(err.code, ERR_FULL);
	assert_false(pg_failed_by_item(pg));
	pg_params_clear(params);
	pg_params_i64(params, 7);
	assert_int_equal(support_number(pg, "select $1 + 1", params), 8);
}

static void raises(const char *sqlstate, enum err_code code, bool by_item)
{
	char script[200];

	assert_true(snprintf(script, sizeof(script), "do $$ begin raise exception 'told' using errcode = '%s'; end $$",
			     sqlstate) > 0);
	assert_false(pg_script(pg, script, &err));
	assert_string_equal(pg_sqlstate(pg), sqlstate);
	assert_int_equal(err.code, code);
	assert_true(pg_failed_by_item(pg) == by_item);
	assert_true(pg_connected(pg));
}

static void test_errors_by_class(void **state)
{
	/* C6 decides by SQLSTATE class what is retried, dead-lettered or fatal. */
	(void)state;
	raises("22023", ERR_INVALID, true);
	raises("23505", ERR_INVALID, true);
	raises("40001", ERR_UNAVAILABLE, false);
	raises("40P01", ERR_UNAVAILABLE, false);
	raises("57014", ERR_UNAVAILABLE, false);
	raises("08006", ERR_UNAVAILABLE, false);
	raises("55P03", ERR_CONFLICT, false);
	raises("WP400", ERR_INVALID, false);
	raises("WP403", ERR_DENIED, false);
	raises("WP404", ERR_NOT_FOUND, false);
	assert_string_equal(err.text, "told");
	raises("WP409", ERR_CONFLICT, false);
	raises("42501", ERR_INTERNAL, false);
	raises("XX000", ERR_INTERNAL, false);
	assert_int_equal(support_number(pg, "select 1", NULL), 1);
	assert_string_equal(pg_sqlstate(pg), "");
}

static void test_error_texts_hold_no_values(void **state)
{
	/* Promise 4: PostgreSQL quotes the bad value in messages of class 22; an error text goes to the log. */
	(void)state;
	pg_params_text(params, "wp_canary");
	assert_false(pg_run(pg, "select $1::integer", params, &err));
	assert_string_equal(pg_sqlstate(pg), "22P02");
	assert_null(strstr(err.text, "canary"));
	assert_non_null(strstr(err.text, "22P02"));
	assert_false(pg_run(pg, "select 'canary'::timestamptz", NULL, &err));
	assert_null(strstr(err.text, "canary"));
}

static void test_transaction(void **state)
{
	/* What is committed stays, what is rolled back goes, and a COMMIT of a failed transaction, which the server
	 * calls a success, is told as the failure it is. */
	(void)state;
	assert_true(pg_script(
		pg, "drop schema if exists t cascade; create schema t; create table t.n (n bigint unique)", &err));
	assert_true(pg_begin(pg, &err));
	assert_true(pg_in_transaction(pg));
	assert_true(pg_run(pg, "insert into t.n values (1), (2)", NULL, &err));
	assert_true(pg_commit(pg, &err));
	assert_false(pg_in_transaction(pg));
	assert_true(pg_begin(pg, &err));
	assert_true(pg_run(pg, "insert into t.n values (3)", NULL, &err));
	pg_rollback(pg);
	pg_rollback(pg);
	assert_true(pg_begin(pg, &err));
	assert_false(pg_run(pg, "insert into t.n values (1)", NULL, &err));
	assert_string_equal(pg_sqlstate(pg), "23505");
	assert_false(pg_run(pg, "select 1", NULL, &err));
	assert_false(pg_commit(pg, &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_int_equal(support_number(pg, "select count(*) from t.n", NULL), 2);
	struct pg_result *result = call("update t.n set n = n + 10");
	assert_int_equal(pg_affected(result), 2);
	assert_int_equal(pg_columns(result), 0);
	pg_result_free(result);
}

static void test_idle_connection_comes_back(void **state)
{
	/* A restart of the server between two calls costs nobody a failed call. */
	(void)state;
	int64_t before = support_number(pg, "select pg_backend_pid()", NULL);

	terminate();
	assert_true(support_number(pg, "select pg_backend_pid()", NULL) != before);
}

static void test_lost_transaction_stays_lost(void **state)
{
	/* C3: the offset row and the effect are one transaction. If the connection were made anew in the middle, the
	 * second half would be committed alone. */
	(void)state;
	assert_true(
		pg_script(pg, "drop schema if exists t cascade; create schema t; create table t.n (n bigint)", &err));
	assert_true(pg_begin(pg, &err));
	assert_true(pg_run(pg, "insert into t.n values (1)", NULL, &err));
	terminate();
	for (int i = 0; i < 2; i++) {
		assert_false(pg_run(pg, "insert into t.n values (2)", NULL, &err));
		assert_int_equal(err.code, ERR_UNAVAILABLE);
	}
	assert_false(pg_commit(pg, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_int_equal(support_number(pg, "select count(*) from t.n", NULL), 0);
}

static void test_nothing_is_compiled(void **state)
{
	/* Where the planner guesses high, as on tables that were not analyzed yet, compiling a statement takes hundreds
	 * of milliseconds: a poll of 100 ms (R2) would take longer than its interval. */
	(void)state;
	assert_int_equal(
		support_number(pg, "select count(*) from pg_settings where name = 'jit' and setting = 'off'", NULL), 1);
}

static void test_statement_timeout(void **state)
{
	/* The server ends what takes too long, and the connection goes on. */
	int64_t started_ms = support_now_ms();

	(void)state;
	pg_set_timeout_ms(pg, 200);
	assert_false(pg_run(pg, "select pg_sleep(30)", NULL, &err));
	assert_string_equal(pg_sqlstate(pg), "57014");
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_in_range(support_now_ms() - started_ms, 200, 5000);
	assert_true(pg_connected(pg));
}

static void test_silent_server(void **state)
{
	/* A server that is stopped, or behind a cut wire, cannot end anything: the wait is bounded on this side. The
	 * backend gets SIGSTOP, which looks the same from here. */
	int64_t backend, started_ms;

	(void)state;
	pg_set_timeout_ms(pg, 300);
	backend = support_number(pg, "select pg_backend_pid()", NULL);
	assert_int_equal(kill((pid_t)backend, SIGSTOP), 0);
	started_ms = support_now_ms();
	assert_false(pg_run(pg, "select 1", NULL, &err));
	assert_int_equal(kill((pid_t)backend, SIGCONT), 0);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_in_range(support_now_ms() - started_ms, 300, 300 + PG_GRACE_MS + 2000);
	assert_false(pg_connected(pg));
	assert_int_equal(support_number(pg, "select 1", NULL), 1);
}

static void test_other_environment_is_refused(void **state)
{
	/* A program whose configuration names another environment refuses to start. */
	(void)state;
	config->environment = ENVIRONMENT_PRODUCTION;
	assert_false(pg_connect(pg, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_false(pg_run(pg, "select 1", NULL, &err));
	config->environment = ENVIRONMENT_NONE;
	assert_null(pg_new(&(struct pg_options){.config = config, .program = "x"}, &err));
	assert_int_equal(err.code, ERR_INVALID);
}

static void test_unreachable_server(void **state)
{
	/* Nobody listens: at once, and to be tried again. The text names the address, never the password. */
	struct bytes password = secret_bytes(&config->postgres_password_file);
	char text[SECRET_BYTES_MAX + 1] = "";

	(void)state;
	memcpy(text, password.data, password.len);
	free(config->postgres_dsn);
	config->postgres_dsn = strdup("host=127.0.0.1 port=1 dbname=watchpost user=postgres");
	assert_false(pg_run(pg, "select 1", NULL, &err));
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	assert_null(strstr(err.text, text));
}

static void test_notify(void **state)
{
	/* Sleepers on NOTIFY wake at once, and not without one; so they do by their own descriptor, also without
	 * Postgres. */
	int64_t started_ms;
	uint64_t session;
	int ends[2];

	(void)state;
	assert_true(pg_run(pg, "listen wake", NULL, &err));
	assert_false(pg_wait_notify(pg, -1, 50));
	assert_true(pg_script(other, "notify wake; notify wake", &err));
	started_ms = support_now_ms();
	assert_true(pg_wait_notify(pg, -1, 5000));
	assert_in_range(support_now_ms() - started_ms, 0, 1000);
	assert_false(pg_wait_notify(pg, -1, 0));
	/* One that came while a call was answered is not lost. */
	assert_true(pg_script(other, "notify wake", &err));
	assert_true(pg_run(pg, "select pg_sleep(0.1)", NULL, &err));
	assert_true(pg_wait_notify(pg, -1, 0));
	assert_int_equal(pipe(ends), 0);
	assert_false(pg_wait_notify(pg, ends[0], 50));
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_true(pg_wait_notify(pg, ends[0], 5000));
	/* The session's end is seen, and that another one began. */
	session = pg_session(pg);
	assert_true(pg_script(other,
			      "select pg_terminate_backend(pid) from pg_stat_activity where query = "
			      "'select pg_sleep(0.1)' and pid <> pg_backend_pid()",
			      &err));
	started_ms = support_now_ms();
	while (pg_connected(pg) && support_now_ms() - started_ms < 5000)
		(void)pg_wait_notify(pg, -1, 50);
	assert_false(pg_connected(pg));
	assert_true(pg_wait_notify(pg, ends[0], 5000));
	assert_int_equal(read(ends[0], &(char){0}, 1), 1);
	assert_false(pg_wait_notify(pg, ends[0], 50));
	assert_true(pg_run(pg, "select 1", NULL, &err));
	assert_int_equal(pg_session(pg), session + 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_parameters_arrive_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arrays_arrive_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_large_batch_goes_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_parameters_are_the_items_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_by_class, setup, teardown),
		cmocka_unit_test_setup_teardown(test_error_texts_hold_no_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle_connection_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_transaction_stays_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_compiled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_statement_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_environment_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachable_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
