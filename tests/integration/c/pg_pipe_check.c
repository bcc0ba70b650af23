/* common/pg_pipe.h against a real server; run by tests/integration/test_pg.py. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/pg_pipe.h"
#include "tests/integration/c/support.h"

enum { CALLS_MAX = 200, WAITING_MAX = 100, TIMEOUT_MS = 800, WAIT_MS = 20000, SLACK_MS = 4000 };

enum statement { ECHO_NUMBER, DIVIDE, SLEEP_MS, BACKEND, ECHO_BYTES, BEGIN, COMMIT, INSERT, COUNT, STATEMENT_COUNT };

static const struct pg_statement statements[STATEMENT_COUNT] = {
	[ECHO_NUMBER] = {"echo_number", "select $1::bigint"},
	[DIVIDE] = {"divide", "select 10 / $1::bigint"},
	[SLEEP_MS] = {"sleep_ms", "select pg_sleep($1::bigint / 1000.0)"},
	[BACKEND] = {"backend", "select pg_backend_pid()"},
	[ECHO_BYTES] = {"echo_bytes", "select $1::bytea"},
	[BEGIN] = {"begin", "begin"},
	[COMMIT] = {"commit", "commit"},
	[INSERT] = {"insert", "insert into t.n values ($1::bigint) returning n"},
	[COUNT] = {"count", "select count(*) from t.n"},
};

static struct config *config;
static struct pg_pipe *pipe_;
static struct pg *other;
static struct pg_params *params;
static struct err err;
static struct pg_ticket tickets[CALLS_MAX];
static struct pg_ticket *finished[CALLS_MAX]; /* in the order they came back */
static size_t finished_count;

static void open_pipe(struct pg_pipe_options options)
{
	options.config = config;
	options.program = "pipe";
	options.clock = clock_system();
	options.statements = statements;
	options.statement_count = STATEMENT_COUNT;
	options.waiting_max = WAITING_MAX;
	if (options.timeout_ms == 0)
		options.timeout_ms = TIMEOUT_MS;
	pipe_ = pg_pipe_open(&options, &err);
	assert_non_null(pipe_);
}

static int setup(void **state)
{
	(void)state;
	config = support_config(5000);
	other = support_pg(config);
	params = pg_params_new(4);
	memset(tickets, 0, sizeof(tickets));
	finished_count = 0;
	pipe_ = NULL;
	return pg_script(other, "drop schema if exists t cascade; create schema t; create table t.n (n bigint unique)",
			 &err)
		       ? 0
		       : 1;
}

static void gather(struct pg_ticket *list)
{
	while (list != NULL) {
		struct pg_ticket *next = list->next;

		assert_true(finished_count < CALLS_MAX);
		assert_int_not_equal(list->outcome, PG_WAITING);
		finished[finished_count++] = list;
		list = next;
	}
}

static int teardown(void **state)
{
	(void)state;
	gather(pg_pipe_close(pipe_));
	for (size_t i = 0; i < CALLS_MAX; i++)
		pg_result_free(tickets[i].result);
	pg_params_free(params);
	pg_free(other);
	support_config_free(config);
	return 0;
}

/* One round of what an event loop does. */
static void turn(void)
{
	struct pg_watch watch;
	struct pollfd fd;
	int64_t left_ms;

	pg_pipe_watch(pipe_, &watch);
	left_ms = watch.wake_ns == INT64_MAX ? 100 : (watch.wake_ns / 1000000) - support_now_ms();
	left_ms = left_ms < 0 ? 0 : left_ms > 100 ? 100 : left_ms + 1;
	fd = (struct pollfd){.fd = watch.fd};
	if ((watch.interest & PG_PIPE_READ) != 0)
		fd.events |= POLLIN;
	if ((watch.interest & PG_PIPE_WRITE) != 0)
		fd.events |= POLLOUT;
	assert_true(poll(&fd, 1, (int)left_ms) >= 0);
	gather(pg_pipe_turn(pipe_, ((fd.revents & ~POLLOUT) != 0 ? PG_PIPE_READ : 0u) |
					   ((fd.revents & POLLOUT) != 0 ? PG_PIPE_WRITE : 0u)));
}

static void wait_up(void)
{
	int64_t deadline_ms = support_now_ms() + WAIT_MS;

	while (!pg_pipe_up(pipe_)) {
		if (support_now_ms() > deadline_ms)
			fail_msg("the pipe does not come up: %s", pg_pipe_down_reason(pipe_));
		turn();
	}
	assert_string_equal(pg_pipe_down_reason(pipe_), "");
}

static void wait_finished(size_t count)
{
	int64_t deadline_ms = support_now_ms() + WAIT_MS;

	while (finished_count < count) {
		assert_true(support_now_ms() < deadline_ms);
		turn();
	}
	assert_int_equal(finished_count, count);
}

static void wait_ms(int64_t ms)
{
	int64_t deadline_ms = support_now_ms() + ms;

	while (support_now_ms() < deadline_ms)
		turn();
}

static enum pg_send_result send_number(enum statement statement, int64_t number, struct pg_ticket *ticket)
{
	pg_params_clear(params);
	pg_params_i64(params, number);
	return pg_pipe_send(pipe_, statement, params, ticket);
}

static int64_t number_of(const struct pg_ticket *ticket)
{
	int64_t number = 0;

	assert_int_equal(ticket->outcome, PG_DONE);
	assert_true(pg_get_i64(ticket->result, 0, 0, &number));
	return number;
}

static int64_t backend(void)
{
	size_t before = finished_count;

	assert_int_equal(pg_pipe_send(pipe_, BACKEND, NULL, &tickets[CALLS_MAX - 1]), PG_SEND_QUEUED);
	wait_finished(before + 1);
	finished_count = before;
	int64_t number = number_of(&tickets[CALLS_MAX - 1]);
	pg_result_free(tickets[CALLS_MAX - 1].result);
	tickets[CALLS_MAX - 1].result = NULL;
	return number;
}

static void assert_failed(const struct pg_ticket *ticket, enum err_code code)
{
	assert_int_equal(ticket->outcome, PG_FAILED);
	assert_int_equal(ticket->code, code);
	assert_non_null(ticket->failure);
	assert_null(ticket->result);
}

static void test_many_calls_come_back_in_order(void **state)
{
	/* The reason to exist: many calls under way at once, each with its own answer, in the order they were sent. */
	(void)state;
	open_pipe((struct pg_pipe_options){0});
	assert_false(pg_pipe_up(pipe_));
	assert_int_equal(send_number(ECHO_NUMBER, 1, &tickets[0]), PG_SEND_DOWN);
	assert_string_not_equal(pg_pipe_down_reason(pipe_), "");
	wait_up();
	for (int i = 0; i < WAITING_MAX; i++)
		assert_int_equal(send_number(ECHO_NUMBER, 1000 + i, &tickets[i]), PG_SEND_QUEUED);
	assert_int_equal(pg_pipe_waiting(pipe_), WAITING_MAX);
	assert_int_equal(send_number(ECHO_NUMBER, 1, &tickets[WAITING_MAX]), PG_SEND_FULL);
	wait_finished(WAITING_MAX);
	for (int i = 0; i < WAITING_MAX; i++) {
		assert_ptr_equal(finished[i], &tickets[i]);
		assert_int_equal(number_of(finished[i]), 1000 + i);
	}
	assert_int_equal(pg_pipe_waiting(pipe_), 0);
}

static void test_one_failure_stays_alone(void **state)
{
	/* Each call has its own Sync, so a division by zero in the middle takes no neighbour with it. */
	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	for (int i = 0; i < 5; i++)
		assert_int_equal(send_number(DIVIDE, i == 2 ? 0 : 1, &tickets[i]), PG_SEND_QUEUED);
	wait_finished(5);
	for (int i = 0; i < 5; i++)
		if (i != 2)
			assert_int_equal(number_of(&tickets[i]), 10);
	assert_failed(&tickets[2], ERR_INVALID);
	assert_string_equal(tickets[2].sqlstate, "22012");
}

static void test_bad_parameters_are_refused_before_sending(void **state)
{
	/* Nothing half sent: the pipe stays good. */
	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	pg_params_text_view(params, bytes_make("\0", 1));
	assert_int_equal(pg_pipe_send(pipe_, ECHO_NUMBER, params, &tickets[0]), PG_SEND_REFUSED);
	assert_int_equal(tickets[0].code, ERR_INVALID);
	assert_string_equal(tickets[0].sqlstate, "22021");
	assert_int_equal(send_number(ECHO_NUMBER, 5, &tickets[1]), PG_SEND_QUEUED);
	wait_finished(1);
	assert_int_equal(number_of(&tickets[1]), 5);
}

static void test_large_calls_do_not_block(void **state)
{
	/* Several megabytes fill the socket: the send returns at once, the rest goes when the socket takes it. */
	enum { BYTES = 4 * 1024 * 1024 };
	uint8_t *data = calloc(1, BYTES);
	int64_t started_ms;

	(void)state;
	assert_non_null(data);
	open_pipe((struct pg_pipe_options){.timeout_ms = WAIT_MS});
	wait_up();
	pg_params_bytea(params, bytes_make(data, BYTES));
	started_ms = support_now_ms();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pg_pipe_send(pipe_, ECHO_BYTES, params, &tickets[i]), PG_SEND_QUEUED);
	assert_in_range(support_now_ms() - started_ms, 0, SLACK_MS);
	wait_finished(4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(tickets[i].outcome, PG_DONE);
		assert_int_equal(pg_get(tickets[i].result, 0, 0).len, 2 + 2 * (size_t)BYTES);
	}
	free(data);
}

static void test_deadline(void **state)
{
	/* A call that takes too long comes back in its time as failed, and so do those that wait behind it; the server
	 * ends it by itself, late answers are dropped, and the connection stays. */
	int64_t before, started_ms;

	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	before = backend();
	started_ms = support_now_ms();
	assert_int_equal(send_number(SLEEP_MS, 20000, &tickets[0]), PG_SEND_QUEUED);
	assert_int_equal(send_number(ECHO_NUMBER, 1, &tickets[1]), PG_SEND_QUEUED);
	wait_finished(2);
	assert_in_range(support_now_ms() - started_ms, TIMEOUT_MS - 1, TIMEOUT_MS + SLACK_MS);
	assert_ptr_equal(finished[0], &tickets[0]);
	/* The server's own end and ours come at the same moment; either is a failure in time. */
	assert_int_equal(tickets[0].outcome, PG_FAILED);
	assert_true(tickets[0].code == ERR_TIMEOUT || strcmp(tickets[0].sqlstate, "57014") == 0);
	assert_int_equal(send_number(ECHO_NUMBER, 7, &tickets[2]), PG_SEND_QUEUED);
	wait_finished(3);
	assert_int_equal(number_of(&tickets[2]), 7);
	assert_int_equal(backend(), before);
}

static void test_lost_connection(void **state)
{
	/* Waiting calls come back at once as failed, outcome unknown, in order; the pipe comes back by itself. */
	struct pg_watch before, after;
	int64_t pid;

	(void)state;
	open_pipe((struct pg_pipe_options){.timeout_ms = 5000});
	wait_up();
	pid = backend();
	pg_pipe_watch(pipe_, &before);
	assert_int_equal(send_number(SLEEP_MS, 4000, &tickets[0]), PG_SEND_QUEUED);
	for (int i = 1; i < 10; i++)
		assert_int_equal(send_number(ECHO_NUMBER, i, &tickets[i]), PG_SEND_QUEUED);
	wait_ms(50);
	pg_params_clear(params);
	pg_params_i64(params, pid);
	(void)support_number(other, "select pg_terminate_backend($1::int)::int", params);
	wait_finished(10);
	for (int i = 0; i < 10; i++) {
		assert_ptr_equal(finished[i], &tickets[i]);
		assert_failed(finished[i], ERR_UNAVAILABLE);
	}
	assert_false(pg_pipe_up(pipe_));
	wait_up();
	pg_pipe_watch(pipe_, &after);
	assert_true(after.serial != before.serial);
	assert_true(backend() != pid);
}

static void test_connection_lost_while_sending(void **state)
{
	/* A send that finds the connection broken leaves no socket to wait for: the next turn must be due at once, or
	 * it never comes. Seen failing: it was due in the year 2318. */
	struct pg_watch watch;
	int64_t pid;
	int queued = 0;

	(void)state;
	open_pipe((struct pg_pipe_options){.timeout_ms = 5000});
	wait_up();
	pid = backend();
	pg_params_clear(params);
	pg_params_i64(params, pid);
	(void)support_number(other, "select pg_terminate_backend($1::int)::int", params);
	support_sleep_ms(200); /* the farewell is there, and no turn has seen it */
	while (queued < 10 && send_number(ECHO_NUMBER, queued, &tickets[queued]) == PG_SEND_QUEUED)
		queued++;
	assert_in_range(queued, 1, 9);
	pg_pipe_watch(pipe_, &watch);
	assert_in_range(watch.wake_ns, 0, support_now_ms() * 1000000);
	wait_finished((size_t)queued);
	for (int i = 0; i < queued; i++)
		assert_failed(finished[i], ERR_UNAVAILABLE);
	wait_up();
	assert_true(backend() != pid);
}

static void test_silent_server(void **state)
{
	/* A server that stands still (SIGSTOP) ends nothing: the calls come back in time, and the connection is given
	 * up after the grace, so that a new one, to a server that lives, is made. */
	int64_t pid, started_ms = 0;

	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	pid = backend();
	assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
	started_ms = support_now_ms();
	assert_int_equal(send_number(ECHO_NUMBER, 1, &tickets[0]), PG_SEND_QUEUED);
	wait_finished(1);
	assert_failed(&tickets[0], ERR_TIMEOUT);
	assert_in_range(support_now_ms() - started_ms, TIMEOUT_MS - 1, TIMEOUT_MS + SLACK_MS);
	assert_true(pg_pipe_up(pipe_));
	while (pg_pipe_up(pipe_) && support_now_ms() - started_ms < WAIT_MS)
		turn();
	assert_in_range(support_now_ms() - started_ms, TIMEOUT_MS + PG_GRACE_MS - 1,
			TIMEOUT_MS + PG_GRACE_MS + SLACK_MS);
	wait_up();
	assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
	assert_true(backend() != pid);
}

static void test_unreachable_server(void **state)
{
	/* Tries go on, with pauses that grow and stay bounded, and the reason is there for /readyz. */
	struct pg_watch watch;
	uint64_t first;

	(void)state;
	free(config->postgres_dsn);
	config->postgres_dsn = strdup("host=127.0.0.1 port=1 dbname=watchpost user=postgres");
	open_pipe((struct pg_pipe_options){0});
	wait_ms(1500);
	pg_pipe_watch(pipe_, &watch);
	first = watch.serial; /* two steps of state a try */
	assert_in_range(first, 4, 30);
	assert_non_null(strstr(pg_pipe_down_reason(pipe_), "127.0.0.1"));
	wait_ms(1500);
	pg_pipe_watch(pipe_, &watch);
	assert_in_range(watch.serial - first, 1, 8);
}

static void test_other_environment_stays_down(void **state)
{
	/* The environment is checked at every connect, not only at the start of a program. */
	int64_t deadline_ms = support_now_ms() + WAIT_MS;

	(void)state;
	config->environment = ENVIRONMENT_STAGING;
	open_pipe((struct pg_pipe_options){0});
	while (strstr(pg_pipe_down_reason(pipe_), "staging") == NULL) {
		assert_true(support_now_ms() < deadline_ms);
		turn();
	}
	assert_false(pg_pipe_up(pipe_));
	config->environment = ENVIRONMENT_DEVELOPMENT;
	assert_true(pg_pipe_set_config(pipe_, config, &err));
	wait_up();
}

/* { begin, insert } or { insert, commit } */
static void send_pair(enum statement first, enum statement second, int64_t number, struct pg_ticket *ticket)
{
	pg_params_clear(params);
	pg_params_i64(params, number);
	struct pg_step steps[] = {{first, first == INSERT ? params : NULL}, {second, second == INSERT ? params : NULL}};

	assert_int_equal(pg_pipe_send_steps(pipe_, steps, 2, ticket), PG_SEND_QUEUED);
}

static int64_t count_rows(void)
{
	return support_number(other, "select count(*) from t.n", NULL);
}

static void test_pair_in_one_transaction(void **state)
{
	/* D7: call 1 in one round trip with BEGIN, call 2 with COMMIT; both or none. */
	(void)state;
	open_pipe((struct pg_pipe_options){.idle_in_transaction_timeout_ms = 5000});
	wait_up();
	send_pair(BEGIN, INSERT, 1, &tickets[0]);
	wait_finished(1);
	assert_int_equal(number_of(&tickets[0]), 1);
	assert_int_equal(count_rows(), 0);
	send_pair(INSERT, COMMIT, 2, &tickets[1]);
	wait_finished(2);
	assert_int_equal(number_of(&tickets[1]), 2);
	assert_int_equal(count_rows(), 2);
}

static void test_failing_second_half_undoes_the_first(void **state)
{
	/* A write that the database refuses (the guard of D7) takes all of it back, and the next pair is not touched.
	 */
	int64_t pid;

	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	pid = backend();
	send_pair(BEGIN, INSERT, 1, &tickets[0]);
	wait_finished(1);
	send_pair(INSERT, COMMIT, 1, &tickets[1]); /* the same number again */
	wait_finished(2);
	assert_failed(&tickets[1], ERR_INVALID);
	assert_string_equal(tickets[1].sqlstate, "23505");
	assert_int_equal(count_rows(), 0);
	send_pair(BEGIN, INSERT, 5, &tickets[2]);
	wait_finished(3);
	send_pair(INSERT, COMMIT, 6, &tickets[3]);
	wait_finished(4);
	assert_int_equal(number_of(&tickets[3]), 6);
	assert_int_equal(count_rows(), 2);
	assert_int_equal(backend(), pid);
}

static void test_commit_after_a_failure_is_a_failure(void **state)
{
	/* COMMIT of a failed transaction is a success to the server; an answer "approve" must never rest on it. */
	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	assert_true(pg_script(other, "insert into t.n values (1)", &err));
	send_pair(BEGIN, INSERT, 1, &tickets[0]);
	assert_int_equal(pg_pipe_send(pipe_, COMMIT, NULL, &tickets[1]), PG_SEND_QUEUED);
	wait_finished(2);
	assert_failed(&tickets[0], ERR_INVALID);
	assert_failed(&tickets[1], ERR_INTERNAL);
}

static void test_transaction_whose_time_is_over_is_given_up(void **state)
{
	/* A first half that is answered too late has opened a transaction that nobody will end; were it left open, the
	 * next pair would run inside it, and its COMMIT would keep both. The backend stands still (SIGSTOP) past the
	 * deadline and goes on before the grace is over. */
	int64_t pid;

	(void)state;
	open_pipe((struct pg_pipe_options){0});
	wait_up();
	pid = backend();
	assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
	send_pair(BEGIN, INSERT, 1, &tickets[0]);
	wait_finished(1);
	assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
	assert_failed(&tickets[0], ERR_TIMEOUT);
	wait_up();
	assert_true(backend() != pid);
	send_pair(BEGIN, INSERT, 2, &tickets[1]);
	wait_finished(2);
	send_pair(INSERT, COMMIT, 3, &tickets[2]);
	wait_finished(3);
	assert_int_equal(number_of(&tickets[2]), 3);
	assert_int_equal(count_rows(), 2);
}

static void test_second_half_that_never_comes(void **state)
{
	/* A loop that dies or forgets between the halves must not hold locks: the server ends the transaction. */
	(void)state;
	open_pipe((struct pg_pipe_options){.idle_in_transaction_timeout_ms = 100});
	wait_up();
	send_pair(BEGIN, INSERT, 1, &tickets[0]);
	wait_finished(1);
	wait_ms(400);
	wait_up();
	assert_true(pg_script(other, "insert into t.n values (1)", &err)); /* no lock is left */
}

static void test_lock_timeout(void **state)
{
	/* `lock_timeout` turns a wait for a lock into an answer (409) long before the deadline. */
	(void)state;
	open_pipe((struct pg_pipe_options){.timeout_ms = 5000, .lock_timeout_ms = 100});
	wait_up();
	assert_true(pg_begin(other, &err));
	assert_true(pg_run(other, "insert into t.n values (1)", NULL, &err));
	assert_int_equal(send_number(INSERT, 1, &tickets[0]), PG_SEND_QUEUED);
	wait_finished(1);
	pg_rollback(other);
	assert_failed(&tickets[0], ERR_CONFLICT);
	assert_string_equal(tickets[0].sqlstate, "55P03");
}

static void test_close_gives_everything_back(void **state)
{
	/* Shutting down loses no ticket: every waiting request gets its answer. Also while still connecting. */
	(void)state;
	open_pipe((struct pg_pipe_options){.timeout_ms = 5000});
	wait_up();
	assert_int_equal(send_number(SLEEP_MS, 3000, &tickets[0]), PG_SEND_QUEUED);
	assert_int_equal(send_number(ECHO_NUMBER, 1, &tickets[1]), PG_SEND_QUEUED);
	gather(pg_pipe_close(pipe_));
	assert_int_equal(finished_count, 2);
	assert_failed(finished[0], ERR_UNAVAILABLE);
	assert_failed(finished[1], ERR_UNAVAILABLE);
	open_pipe((struct pg_pipe_options){0});
	gather(pg_pipe_turn(pipe_, 0));
	assert_null(pg_pipe_close(pipe_));
	pipe_ = NULL;
	assert_null(pg_pipe_close(NULL));
	support_sleep_ms(300); /* the abandoned connector ends by itself */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_many_calls_come_back_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_failure_stays_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_parameters_are_refused_before_sending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_calls_do_not_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_lost_while_sending, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unreachable_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_environment_stays_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pair_in_one_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failing_second_half_undoes_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commit_after_a_failure_is_a_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transaction_whose_time_is_over_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_half_that_never_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_gives_everything_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
