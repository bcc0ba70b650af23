/*
 * R4 and R5 (ingress/access/in_force.c) with a store, a request and a clock that the test plays itself: the functions
 * that it calls are defined here, so the linker takes none of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/access/in_force.h"
#include "ingress/ingress.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"

struct pg_result {
	int rows;
	int64_t columns[2];
	bool freed;
};

static struct clock_fake now;
static struct ingress ingress;
static struct loop loop;
static struct request req;

static struct store_ticket *asked; /* under way; NULL: nothing */
static enum store_call asked_call;
static int asks, fails, dones;
static bool down; /* nothing can be sent */
static struct problem problem;
static struct in_force result;

/* --- what in_force.c calls --------------------------------------------------------------------------- */

const struct clock *loop_clock(const struct loop *of)
{
	return of->ingress->clock;
}

int64_t loop_now_ns(struct loop *of)
{
	return clock_mono_ns(loop_clock(of));
}

bool store_send(struct store *store, enum store_call call, const struct pg_params *params, struct store_ticket *ticket)
{
	(void)store;
	assert_non_null(params);
	if (down)
		return false;
	assert_null(asked);
	asked = ticket;
	asked_call = call;
	asks++;
	return true;
}

void request_set_state(struct request *of, enum request_state state)
{
	of->state = state;
}

void request_keep(struct request *of, struct request_kept *kept)
{
	of->kept = kept;
}

static void end(void)
{
	req.state = REQUEST_ANSWERED;
	if (req.kept != NULL)
		req.kept->release(req.kept);
	req.kept = NULL;
}

void request_fail(struct request *of, const struct problem *with)
{
	assert_ptr_equal(of, &req);
	fails++;
	problem = *with;
	end();
}

int pg_rows(const struct pg_result *of)
{
	return of->rows;
}

bool pg_get_i64(const struct pg_result *of, int row, int column, int64_t *out)
{
	assert_int_equal(row, 0);
	assert_in_range(column, 0, 1);
	*out = of->columns[column];
	return true;
}

void pg_result_free(struct pg_result *of)
{
	if (of != NULL)
		of->freed = true;
}

/* --- the play ---------------------------------------------------------------------------------------- */

static void done(struct request *of, const struct in_force *with)
{
	assert_ptr_equal(of, &req);
	assert_int_equal(of->state, REQUEST_HANDLING);
	dones++;
	result = *with;
	end();
}

static int reset(void **state)
{
	(void)state;
	clock_fake_init(&now, INT64_C(1000000000000), 0);
	ingress = (struct ingress){.clock = &now.clock};
	memset(&loop, 0, sizeof(loop));
	loop.ingress = &ingress;
	loop.store = (struct store *)(void *)&asks;
	timers_init(&loop.timers);
	memset(&req, 0, sizeof(req));
	req.loop = &loop;
	req.state = REQUEST_HANDLING;
	asked = NULL;
	asks = fails = dones = 0;
	down = false;
	memset(&result, 0, sizeof(result));
	return 0;
}

static void begin(void)
{
	in_force_make(&req, STORE_AGENT_DISCONNECT, pg_params_new(1), done);
}

static void advance_ms(int64_t ms)
{
	while (ms-- > 0) {
		clock_fake_advance_ms(&now, 1);
		timers_run(&loop.timers, now.now_mono_ns);
	}
}

static void answer(int64_t first, int64_t second)
{
	struct pg_result row = {.rows = 1, .columns = {first, second}};
	struct store_ticket *ticket = asked;
	assert_non_null(ticket);
	asked = NULL;
	ticket->pg = (struct pg_ticket){.outcome = PG_DONE, .result = &row};
	ticket->done(ticket);
	assert_true(row.freed);
}

static void fail_with(enum err_code code, const char *sqlstate)
{
	struct store_ticket *ticket = asked;
	assert_non_null(ticket);
	asked = NULL;
	ticket->pg = (struct pg_ticket){.outcome = PG_FAILED, .code = code};
	memcpy(ticket->pg.sqlstate, sqlstate, strlen(sqlstate) + 1);
	ticket->done(ticket);
}

/* Why: R5: the answer is withheld until every node shows the number. How: none, two and three of three, with time in
 * between; then done once, with what was counted, and nothing left to be asked. */
static void waits_for_every_node(void **state)
{
	(void)state;
	begin();
	assert_int_equal(asked_call, STORE_AGENT_DISCONNECT);
	assert_int_equal(req.state, REQUEST_WAITING);
	answer(7, 0);
	for (int64_t nodes = 0; nodes < 3; nodes += 2) {
		assert_int_equal(asked_call, STORE_ACCESS_IN_FORCE);
		answer(3, nodes);
		assert_int_equal(dones, 0);
		advance_ms(IN_FORCE_POLL_MS);
	}
	answer(3, 3);
	assert_int_equal(dones, 1);
	assert_false(result.refused);
	assert_int_equal(result.number, 7);
	assert_int_equal(result.nodes, 3);
	assert_int_equal(result.of, 3);
	assert_int_equal(result.after_ms, 2 * IN_FORCE_POLL_MS);
	advance_ms(2000);
	assert_true(dones == 1 && fails == 0 && asked == NULL);
}

/* Why: R5's other end: ACCESS_WAIT_MS on the waiter's own clock since the commit returned, not since it began, and
 * whatever the database does meanwhile. How: a commit that takes 3 s; then a count that hangs, one that is never sent,
 * and one that always says two of three. */
static void waits_no_longer_than_the_leases(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		reset(NULL);
		begin();
		advance_ms(3000);
		answer(7, 0);
		down = way == 1;
		for (int64_t ms = 0; ms < ACCESS_WAIT_MS; ms++) {
			assert_int_equal(dones, 0);
			if (asked != NULL && way > 0)
				answer(3, 2);
			advance_ms(1);
		}
		advance_ms(IN_FORCE_POLL_MS);
		assert_int_equal(dones, 1);
		assert_in_range(result.after_ms, ACCESS_WAIT_MS, ACCESS_WAIT_MS + IN_FORCE_POLL_MS);
		assert_int_equal(result.nodes, way == 0 ? 0 : 2);
		if (asked != NULL)
			answer(3, 3); /* it comes back to nobody */
		assert_true(dones == 1 && fails == 0);
	}
}

/* Why: an unknown commit outcome is retried, never answered. How: time over, a lost connection, a lock that was not to
 * be had, and nothing that can be sent for a while; then it is done. */
static void an_unknown_outcome_is_asked_again(void **state)
{
	(void)state;
	begin();
	fail_with(ERR_TIMEOUT, "");
	advance_ms(IN_FORCE_POLL_MS);
	fail_with(ERR_UNAVAILABLE, "57P01");
	down = true;
	advance_ms(500);
	down = false;
	advance_ms(IN_FORCE_POLL_MS);
	fail_with(ERR_CONFLICT, "55P03");
	advance_ms(IN_FORCE_POLL_MS);
	assert_true(asks == 4 && dones == 0 && fails == 0);
	assert_int_equal(asked_call, STORE_AGENT_DISCONNECT);
	answer(7, 0);
	answer(1, 1);
	assert_true(dones == 1 && !result.refused && result.after_ms == 0);
}

/* Why: who cannot know says so: 503, by the reasons of docs/answers.md. How: nothing sent at all; an outcome that stays
 * unknown, by failures and by a connection that does not come back; no memory for the parameters. */
static void what_is_not_known_is_503(void **state)
{
	(void)state;
	down = true;
	begin();
	assert_true(fails == 1 && asks == 0 && problem.status == 503);
	assert_string_equal(problem.reason, "postgres_down");
	for (int way = 0; way < 2; way++) {
		reset(NULL);
		begin();
		for (int64_t ms = 0; fails == 0 && ms < 2 * IN_FORCE_UNKNOWN_MS; ms++) {
			if (asked != NULL)
				fail_with(ERR_TIMEOUT, "");
			down = way == 1;
			advance_ms(1);
		}
		assert_true(fails == 1 && dones == 0 && problem.status == 503 && problem.retry_after_s > 0);
		assert_string_equal(problem.reason, "outcome_unknown");
		assert_in_range((now.now_mono_ns - INT64_C(1000000000000)) / 1000000, IN_FORCE_UNKNOWN_MS,
				IN_FORCE_UNKNOWN_MS + 2 * IN_FORCE_POLL_MS);
	}
	reset(NULL);
	in_force_make(&req, STORE_AGENT_DISCONNECT, NULL, done);
	assert_true(fails == 1 && asks == 0);
	assert_string_equal(problem.reason, "memory");
}

/* Why: a refusal of the function's own is an answer. How: WP404. */
static void a_refusal_is_told(void **state)
{
	(void)state;
	begin();
	fail_with(ERR_NOT_FOUND, "WP404");
	assert_true(dones == 1 && fails == 0 && result.refused && result.code == ERR_NOT_FOUND);
	assert_null(asked);
}

/* Why: a client that goes away ends the waiting, while a call comes back all the same; the leak checker watches. How:
 * it goes while the change, while a count, and while nothing is under way. */
static void a_client_that_goes_ends_the_waiting(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		reset(NULL);
		begin();
		if (way > 0)
			answer(7, 0);
		if (way == 2)
			answer(3, 1);
		end();
		if (way < 2)
			answer(3, 3);
		advance_ms(2 * ACCESS_WAIT_MS);
		assert_true(dones == 0 && fails == 0 && asked == NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(waits_for_every_node, reset),
		cmocka_unit_test_setup(waits_no_longer_than_the_leases, reset),
		cmocka_unit_test_setup(an_unknown_outcome_is_asked_again, reset),
		cmocka_unit_test_setup(what_is_not_known_is_503, reset),
		cmocka_unit_test_setup(a_refusal_is_told, reset),
		cmocka_unit_test_setup(a_client_that_goes_ends_the_waiting, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
