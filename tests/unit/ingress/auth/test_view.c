/*
 * R2 and R3 without a database: answers to polls, the lease, the cache. Time is a fake clock's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/auth/view.h"
#include "tests/unit/support/failing_alloc.h"

static const int64_t MS = 1000000;
static const char EPOCH[] = "00000001-a";

struct fixture {
	struct clock_fake clock;
	struct cache *cache;
	struct lease lease;
	struct view view;
};

static struct caller somebody(unsigned n, enum agent_state state)
{
	struct caller caller = {.state = state};
	memset(caller.token_hash, (int)n, sizeof(caller.token_hash));
	(void)snprintf(caller.agent_id, sizeof(caller.agent_id), "agent_%026u", n);
	(void)snprintf(caller.account_id, sizeof(caller.account_id), "acct_%026u", n % 3);
	return caller;
}

static struct access_change change_of(unsigned n, int64_t number, enum agent_state state)
{
	struct caller caller = somebody(n, state);
	struct access_change change = {.number = number, .state = state};
	memcpy(change.token_hash, caller.token_hash, sizeof(change.token_hash));
	memcpy(change.agent_id, caller.agent_id, sizeof(change.agent_id));
	memcpy(change.account_id, caller.account_id, sizeof(change.account_id));
	return change;
}

static struct access_answer answer_of(int64_t clock, const struct access_change *changes, size_t count)
{
	struct access_answer answer = {.clock = clock, .known = true, .changes = changes, .change_count = count};
	(void)snprintf(answer.epoch, sizeof(answer.epoch), "%s", EPOCH);
	return answer;
}

static int set_up(void **state)
{
	static struct fixture fixture;
	struct err err;
	memset(&fixture, 0, sizeof(fixture));
	clock_fake_init(&fixture.clock, 1000 * MS, 0);
	fixture.cache = cache_new(1000, &err);
	assert_non_null(fixture.cache);
	view_init(&fixture.view, fixture.cache, &fixture.lease);
	view_begin(&fixture.view, 10, EPOCH);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	view_close(&f->view);
	cache_free(f->cache);
	return 0;
}

static bool trusted(struct fixture *f)
{
	return lease_valid(&f->lease, &f->clock.clock);
}

static int64_t now(struct fixture *f)
{
	return clock_mono_ns(&f->clock.clock);
}

static int state_of(struct fixture *f, unsigned n)
{
	struct caller wanted = somebody(n, AGENT_ACTIVE);
	struct caller found;
	return cache_find(f->cache, wanted.token_hash, 0, &found, NULL) ? (int)found.state : -1;
}

static bool fill(struct fixture *f, unsigned n, int64_t number)
{
	struct caller caller = somebody(n, AGENT_ACTIVE);
	return cache_fill(f->cache, &caller, number, cache_generation(f->cache));
}

/* Why: R2, the lease counts from before the question, not from the answer. How: an answer that took 300 ms. */
static void the_lease_runs_from_before_the_question(void **state)
{
	struct fixture *f = *state;
	struct access_answer answer = answer_of(10, NULL, 0);
	int64_t t0_ns = now(f);
	assert_false(trusted(f));
	clock_fake_advance_ms(&f->clock, 300);
	assert_int_equal(view_take(&f->view, &answer, t0_ns), VIEW_WAIT);
	assert_true(trusted(f));
	clock_fake_advance_ms(&f->clock, ACCESS_LEASE_MS - 300 - 1);
	assert_true(trusted(f));
	clock_fake_advance_ms(&f->clock, 1);
	assert_false(trusted(f));
}

/* Why: R2, changes first, and the row must show them at once (R5). How: a revoke in an answer. */
static void changes_are_applied_and_shown_at_once(void **state)
{
	struct fixture *f = *state;
	struct access_change change = change_of(1, 11, AGENT_REVOKED);
	struct access_answer answer = answer_of(11, &change, 1);
	assert_true(fill(f, 1, 10));
	assert_int_equal(state_of(f, 1), AGENT_ACTIVE);
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_ASK);
	assert_int_equal(state_of(f, 1), AGENT_REVOKED);
	assert_int_equal(f->view.applied, 11);
	assert_true(trusted(f));
}

/* Why: R2, a limited answer lacks changes of its own snapshot. How: two of four changes: no lease; then the rest. */
static void a_limited_answer_does_not_extend_the_lease(void **state)
{
	struct fixture *f = *state;
	struct access_change changes[] = {change_of(1, 11, AGENT_PAUSED), change_of(2, 12, AGENT_PAUSED),
					  change_of(1, 13, AGENT_ACTIVE), change_of(2, 14, AGENT_REVOKED)};
	struct access_answer first = answer_of(14, changes, 2);
	struct access_answer rest = answer_of(14, changes + 2, 2);
	assert_int_equal(view_take(&f->view, &first, now(f)), VIEW_ASK);
	assert_false(trusted(f));
	assert_int_equal(view_take(&f->view, &rest, now(f)), VIEW_ASK);
	assert_true(trusted(f));
}

/* Why: R1, nothing is filled in before the first poll is answered whole, nor what another history says. How: a limited
 * answer, the rest of it, another epoch, and a node that must register anew. */
static void fills_wait_for_the_first_answer(void **state)
{
	struct fixture *f = *state;
	struct access_change changes[] = {change_of(1, 11, AGENT_PAUSED), change_of(2, 12, AGENT_PAUSED)};
	struct access_answer first = answer_of(12, changes, 1);
	struct access_answer rest = answer_of(12, changes + 1, 1);
	assert_false(view_takes_fills(&f->view, bytes_of(EPOCH)));
	assert_int_equal(view_take(&f->view, &first, now(f)), VIEW_ASK);
	assert_false(view_takes_fills(&f->view, bytes_of(EPOCH)));
	assert_int_equal(view_take(&f->view, &rest, now(f)), VIEW_ASK);
	assert_true(view_takes_fills(&f->view, bytes_of(EPOCH)));
	assert_false(view_takes_fills(&f->view, bytes_of("00000002-a")));
	rest.known = false;
	assert_int_equal(view_take(&f->view, &rest, now(f)), VIEW_REGISTER);
	assert_false(view_takes_fills(&f->view, bytes_of("")));
	assert_false(view_disowns(&f->view, bytes_of(EPOCH)));
}

/* Why: R1, a node without a row is waited for by nobody. How: an answer that does not know it: nothing is trusted,
 * nothing is left, and it must register. */
static void an_unknown_node_starts_over(void **state)
{
	struct fixture *f = *state;
	struct access_answer answer = answer_of(10, NULL, 0);
	assert_true(fill(f, 1, 10));
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_WAIT);
	answer.known = false;
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_REGISTER);
	assert_false(trusted(f));
	assert_int_equal(state_of(f, 1), -1);
}

/* Why: R2, another history: numbers may have fallen back. How: a reset with a lower clock; old fills stay out, and
 * trust comes only with the next answer. */
static void a_reset_empties_the_cache(void **state)
{
	struct fixture *f = *state;
	struct access_answer answer = answer_of(10, NULL, 0);
	uint64_t before = cache_generation(f->cache);
	assert_true(fill(f, 1, 10));
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_WAIT);
	answer = answer_of(4, NULL, 0);
	answer.reset = true;
	(void)snprintf(answer.epoch, sizeof(answer.epoch), "00000002-a");
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_ASK);
	assert_false(trusted(f));
	assert_int_equal(f->view.applied, 4);
	assert_true(view_disowns(&f->view, bytes_of(EPOCH)));
	assert_false(view_disowns(&f->view, bytes_of("00000002-a")));
	struct caller caller = somebody(1, AGENT_ACTIVE);
	assert_false(cache_fill(f->cache, &caller, 10, before));
	answer.reset = false;
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_WAIT);
	assert_true(trusted(f));
}

/* Why: an account's state is an entry of its own, for all of its agents. How: suspend one account. */
static void an_account_changes_for_all_its_agents(void **state)
{
	struct fixture *f = *state;
	struct caller one = somebody(1, AGENT_ACTIVE);
	struct caller found;
	struct access_change change = {.number = 11, .of_account = true, .suspended = true};
	struct access_answer answer = answer_of(11, &change, 1);
	memcpy(change.account_id, one.account_id, sizeof(change.account_id));
	assert_true(fill(f, 1, 10) && fill(f, 4, 10) && fill(f, 2, 10));
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_ASK);
	for (unsigned n = 1; n <= 4; n += n == 2 ? 2 : 1) {
		one = somebody(n, AGENT_ACTIVE);
		assert_true(cache_find(f->cache, one.token_hash, 0, &found, NULL));
		assert_int_equal(found.account_suspended, n != 2);
	}
}

/* Why: the hit path of every request allocates nothing. How: the first allocation would fail, and none is asked for. */
static void a_hit_allocates_nothing(void **state)
{
	struct fixture *f = *state;
	struct caller caller = somebody(1, AGENT_ACTIVE);
	struct caller found;
	struct access_answer answer = answer_of(10, NULL, 0);
	assert_true(fill(f, 1, 10));
	assert_int_equal(view_take(&f->view, &answer, now(f)), VIEW_WAIT);
	failing_alloc_arm(1);
	bool hit = trusted(f) && cache_find(f->cache, caller.token_hash, 0, &found, NULL);
	assert_false(failing_alloc_disarm());
	assert_true(hit);
}

/* Why: a change that finds no memory must not be lost in silence (R2): without it the cache may be wrong. How: every
 * allocation of applying one fails in turn: nothing is trusted, nothing is left, and the node goes on from there. */
static void a_change_without_memory_empties_the_cache(void **state)
{
	struct fixture *f = *state;
	unsigned failed = 0;
	for (unsigned n = 1; n < 10; n++) {
		struct access_change change = change_of(n, 10 + n, AGENT_REVOKED);
		struct access_answer answer = answer_of(10 + n, &change, 1);
		cache_empty(f->cache, 10 + n - 1);
		f->view.applied = 10 + n - 1;
		failing_alloc_arm(1);
		enum view_next next = view_take(&f->view, &answer, now(f));
		if (!failing_alloc_disarm())
			continue; /* its shard had room */
		failed++;
		assert_int_equal(next, VIEW_WAIT);
		assert_false(trusted(f));
		assert_int_equal(cache_tokens(f->cache), 0);
	}
	assert_true(failed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_lease_runs_from_before_the_question, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_are_applied_and_shown_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_limited_answer_does_not_extend_the_lease, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fills_wait_for_the_first_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_unknown_node_starts_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reset_empties_the_cache, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_account_changes_for_all_its_agents, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_hit_allocates_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_change_without_memory_empties_the_cache, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
