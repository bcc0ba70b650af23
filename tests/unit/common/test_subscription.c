/* common/subscription.c: the merge is a join, and it ends in the right state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/subscription.h"

enum { SEQUENCES = 120000, EVENTS_MAX = 7, DELIVERIES_MAX = 24 };

/* xorshift64*: the same sequences at every run. */
static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);
static unsigned random_below(unsigned bound)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (unsigned)((random_state * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % bound;
}

static struct subscription_event random_event(void)
{
	struct subscription_event e = {
		.created_s = 100 + random_below(3),
		.phase = random_below(8) == 0 ? SUBSCRIPTION_PHASE_CREATED : SUBSCRIPTION_PHASE_UPDATED,
		.status = (enum subscription_status)(1 + random_below(random_below(4) == 0 ? 8 : 6)),
		.previous_status =
			random_below(2) == 0 ? SUBSCRIPTION_UNKNOWN : (enum subscription_status)(1 + random_below(8)),
		.period_end_s = 1000 * (int64_t)random_below(2),
		.cancel_at_period_end = random_below(4) == 0,
	};
	if (random_below(20) == 0)
		e.phase = SUBSCRIPTION_PHASE_REFRESHED;
	return e;
}

static void assert_same(const struct subscription *a, const struct subscription *b)
{
	uint8_t x[SUBSCRIPTION_STATE_BYTES_MAX], y[SUBSCRIPTION_STATE_BYTES_MAX];
	size_t xn = subscription_encode(a, x), yn = subscription_encode(b, y);
	assert_int_equal(xn, yn);
	assert_memory_equal(x, y, xn);
}

static void fold(struct subscription *s, const struct subscription_event *event)
{
	struct subscription one;
	subscription_of_event(event, &one);
	(void)subscription_merge(s, &one);
}

/* The class that an event belongs to, as one number: terminal, second, phase. */
static int64_t event_class(const struct subscription_event *e)
{
	return (subscription_status_terminal(e->status) ? 1000000 : 0) + e->created_s * 10 + (int64_t)e->phase;
}

/* The expected view by the definition in the header, from the whole list at once and without any merge. */
static struct subscription_view expected_view(const struct subscription_event *events, unsigned count)
{
	int64_t best = INT64_MIN;
	for (unsigned i = 0; i < count; i++)
		best = event_class(&events[i]) > best ? event_class(&events[i]) : best;
	bool seen[9] = {0}, left[9] = {0};
	for (unsigned i = 0; i < count; i++)
		if (event_class(&events[i]) == best)
			seen[events[i].status] = true;
	for (unsigned i = 0; i < count; i++)
		if (event_class(&events[i]) == best && events[i].previous_status != events[i].status)
			left[events[i].previous_status] = true;
	unsigned ends = 0, end = 0, top = 0;
	for (unsigned s = 1; s < 9; s++) {
		top = seen[s] ? s : top;
		end = seen[s] && !left[s] ? s : end;
		ends += seen[s] && !left[s];
	}
	struct subscription_view v = {.status = (enum subscription_status)(ends > 0 ? end : top)};
	bool first = true, differ = false;
	for (unsigned i = 0; i < count; i++) {
		if (event_class(&events[i]) != best || events[i].status != v.status)
			continue;
		int64_t key = events[i].period_end_s * 2 + events[i].cancel_at_period_end;
		int64_t have = v.period_end_s * 2 + v.cancel_at_period_end;
		differ = differ || (!first && key != have);
		if (first || key > have) {
			v.period_end_s = events[i].period_end_s;
			v.cancel_at_period_end = events[i].cancel_at_period_end;
		}
		first = false;
	}
	v.needs_refresh = !subscription_status_terminal(v.status) && (ends != 1 || differ);
	return v;
}

static void assert_view(const struct subscription *s, const struct subscription_view *want)
{
	struct subscription_view got;
	subscription_view(s, &got);
	assert_int_equal(got.status, want->status);
	assert_int_equal(got.period_end_s, want->period_end_s);
	assert_int_equal(got.cancel_at_period_end, want->cancel_at_period_end);
	assert_int_equal(got.needs_refresh, want->needs_refresh);
}

/* Each event at least once, some several times, shuffled. */
static unsigned deliver(const struct subscription_event *events, unsigned count, struct subscription_event *out)
{
	unsigned n = 0;
	for (unsigned i = 0; i < count; i++)
		for (unsigned copies = 1 + random_below(3); copies > 0 && n < DELIVERIES_MAX; copies--)
			out[n++] = events[i];
	for (unsigned i = n; i > 1; i--) {
		unsigned j = random_below(i);
		struct subscription_event swap = out[i - 1];
		out[i - 1] = out[j];
		out[j] = swap;
	}
	return n;
}

/* Why: order and duplicates are Stripe's, not ours. How: random events, twice delivered in different shuffles with
 * duplicates, must end in the same bytes, and in the view that the definition gives for the whole set. */
static void test_any_order_and_duplication_ends_the_same(void **state)
{
	(void)state;
	for (unsigned round = 0; round < SEQUENCES; round++) {
		struct subscription_event events[EVENTS_MAX], a[DELIVERIES_MAX], b[DELIVERIES_MAX];
		unsigned count = 1 + random_below(EVENTS_MAX);
		for (unsigned i = 0; i < count; i++)
			events[i] = random_event();
		unsigned an = deliver(events, count, a), bn = deliver(events, count, b);
		struct subscription x = {0}, y = {0};
		for (unsigned i = 0; i < an; i++)
			fold(&x, &a[i]);
		for (unsigned i = 0; i < bn; i++)
			fold(&y, &b[i]);
		assert_same(&x, &y);
		struct subscription_view want = expected_view(events, count);
		assert_view(&x, &want);
	}
}

/* Why: batches merge states with states, not only events into one. How: the three laws on random elements, and that a
 * merge that reports no change made none. */
static void test_merge_is_commutative_associative_idempotent(void **state)
{
	(void)state;
	for (unsigned round = 0; round < SEQUENCES; round++) {
		struct subscription e[3] = {0};
		for (unsigned i = 0; i < 3; i++)
			for (unsigned n = 1 + random_below(3); n > 0; n--) {
				struct subscription_event event = random_event();
				fold(&e[i], &event);
			}
		struct subscription ab = e[0], ba = e[1], ab_c, bc = e[1], a_bc = e[0], aa = e[0];
		struct subscription before = e[0];
		bool changed = subscription_merge(&ab, &e[1]);
		assert_int_equal(changed, memcmp(&before, &ab, sizeof(ab)) != 0);
		(void)subscription_merge(&ba, &e[0]);
		assert_same(&ab, &ba);
		ab_c = ab;
		(void)subscription_merge(&ab_c, &e[2]);
		(void)subscription_merge(&bc, &e[2]);
		(void)subscription_merge(&a_bc, &bc);
		assert_same(&ab_c, &a_bc);
		assert_false(subscription_merge(&aa, &e[0]));
	}
}

#define EVENT(second, status_, previous_)                                                                              \
	(struct subscription_event)                                                                                    \
	{                                                                                                              \
		.created_s = (second), .phase = SUBSCRIPTION_PHASE_UPDATED, .status = SUBSCRIPTION_##status_,          \
		.previous_status = SUBSCRIPTION_##previous_                                                            \
	}
#define FIRST(second, status_)                                                                                         \
	(struct subscription_event)                                                                                    \
	{                                                                                                              \
		.created_s = (second), .phase = SUBSCRIPTION_PHASE_CREATED, .status = SUBSCRIPTION_##status_           \
	}

static void assert_ends(const struct subscription_event *events, unsigned count, enum subscription_status status,
			bool needs_refresh)
{
	struct subscription_view want = {.status = status, .needs_refresh = needs_refresh};
	for (unsigned round = 0; round < 200; round++) {
		struct subscription_event delivered[DELIVERIES_MAX];
		struct subscription s = {0};
		unsigned n = deliver(events, count, delivered);
		for (unsigned i = 0; i < n; i++)
			fold(&s, &delivered[i]);
		assert_view(&s, &want);
	}
}

/* Why: these are the sequences that break peers (reference: out-of-order handling). How: each is delivered in 200
 * shuffles with duplicates; the end must be the true state, or the rank's with needs_refresh where only Stripe could
 * tell. */
static void test_sequences_that_break_others(void **state)
{
	(void)state;
	const struct subscription_event out_of_order[] = {EVENT(10, INCOMPLETE, UNKNOWN), EVENT(12, ACTIVE, INCOMPLETE),
							  EVENT(14, PAST_DUE, ACTIVE), EVENT(16, ACTIVE, PAST_DUE)};
	assert_ends(out_of_order, 4, SUBSCRIPTION_ACTIVE, false);
	const struct subscription_event same_second_chain[] = {FIRST(10, INCOMPLETE), EVENT(10, ACTIVE, INCOMPLETE),
							       EVENT(10, PAST_DUE, ACTIVE)};
	assert_ends(same_second_chain, 3, SUBSCRIPTION_PAST_DUE, false);
	const struct subscription_event against_rank[] = {EVENT(10, PAST_DUE, UNKNOWN), EVENT(10, ACTIVE, PAST_DUE)};
	assert_ends(against_rank, 2, SUBSCRIPTION_ACTIVE, false);
	const struct subscription_event created_loses[] = {FIRST(10, ACTIVE), EVENT(10, TRIALING, UNKNOWN)};
	assert_ends(created_loses, 2, SUBSCRIPTION_TRIALING, false);
	const struct subscription_event undecidable[] = {EVENT(10, ACTIVE, UNKNOWN), EVENT(10, PAST_DUE, UNKNOWN)};
	assert_ends(undecidable, 2, SUBSCRIPTION_PAST_DUE, true);
	const struct subscription_event circle[] = {EVENT(10, ACTIVE, PAST_DUE), EVENT(10, PAST_DUE, ACTIVE)};
	assert_ends(circle, 2, SUBSCRIPTION_PAST_DUE, true);
	const struct subscription_event resolved[] = {EVENT(10, ACTIVE, UNKNOWN), EVENT(10, PAST_DUE, UNKNOWN),
						      EVENT(11, ACTIVE, UNKNOWN)};
	assert_ends(resolved, 3, SUBSCRIPTION_ACTIVE, false);
	const struct subscription_event deleted_then_late[] = {EVENT(10, ACTIVE, UNKNOWN), EVENT(12, CANCELED, UNKNOWN),
							       EVENT(15, ACTIVE, UNKNOWN)};
	assert_ends(deleted_then_late, 3, SUBSCRIPTION_CANCELED, false);
	const struct subscription_event expired_same_second[] = {EVENT(12, ACTIVE, UNKNOWN),
								 EVENT(12, INCOMPLETE_EXPIRED, UNKNOWN)};
	assert_ends(expired_same_second, 2, SUBSCRIPTION_INCOMPLETE_EXPIRED, false);
}

/* Why: the rank decides between values of one status too. How: two events of one second that agree on the status only:
 * the later period end wins and the row says that it is not sure; a terminal row never asks again. */
static void test_values_of_one_status(void **state)
{
	(void)state;
	struct subscription_event a = EVENT(10, ACTIVE, UNKNOWN), b = a;
	a.period_end_s = 1000;
	b.period_end_s = 2000;
	struct subscription s = {0};
	fold(&s, &b);
	fold(&s, &a);
	assert_view(&s, &(struct subscription_view){SUBSCRIPTION_ACTIVE, 2000, false, true});
	struct subscription_event end = EVENT(9, CANCELED, UNKNOWN), other_end = end;
	end.period_end_s = 7;
	fold(&s, &end);
	fold(&s, &other_end);
	assert_view(&s, &(struct subscription_view){SUBSCRIPTION_CANCELED, 7, false, false});
}

/* Why: states are stored; a stored form that is not understood must not become a state. How: round trip of random
 * states, then every cut and a set of broken bytes. */
static void test_encode_decode(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10000; round++) {
		struct subscription s = {0}, back;
		for (unsigned n = 1 + random_below(6); n > 0; n--) {
			struct subscription_event event = random_event();
			fold(&s, &event);
		}
		uint8_t out[SUBSCRIPTION_STATE_BYTES_MAX];
		size_t len = subscription_encode(&s, out);
		assert_true(subscription_decode(bytes_make(out, len), &back));
		assert_same(&s, &back);
		for (size_t cut = 0; cut < len; cut++)
			if ((cut - 18) % 10 != 0 || cut == 18)
				assert_false(subscription_decode(bytes_make(out, cut), &back));
		assert_false(subscription_known(&back));
	}
	struct subscription back;
	uint8_t good[28] = {1, 1, [18] = SUBSCRIPTION_ACTIVE};
	assert_true(subscription_decode(bytes_make(good, sizeof(good)), &back));
	static const struct {
		size_t at;
		uint8_t value;
	} broken[] = {{0, 2}, {1, 3}, {18, 0}, {18, 9}, {19, 4}};
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		uint8_t bad[28];
		memcpy(bad, good, sizeof(bad));
		bad[broken[i].at] = broken[i].value;
		assert_false(subscription_decode(bytes_make(bad, sizeof(bad)), &back));
	}
}

/* Why: an unknown word of Stripe's must not be taken for a status. How: every name there and back, and others. */
static void test_status_names(void **state)
{
	(void)state;
	for (unsigned i = 1; i < SUBSCRIPTION_STATUS_COUNT; i++)
		assert_int_equal(
			subscription_status_parse(bytes_of(subscription_status_name((enum subscription_status)i))), i);
	static const char *const others[] = {"", "unknown", "Active", "active ", "ended"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(subscription_status_parse(bytes_of(others[i])), SUBSCRIPTION_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order_and_duplication_ends_the_same),
		cmocka_unit_test(test_merge_is_commutative_associative_idempotent),
		cmocka_unit_test(test_sequences_that_break_others),
		cmocka_unit_test(test_values_of_one_status),
		cmocka_unit_test(test_encode_decode),
		cmocka_unit_test(test_status_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
