#include "common/subscription.h"

#include <assert.h>
#include <string.h>

enum { STATE_VERSION = 1, STATE_HEAD_BYTES = 18, STATE_CANDIDATE_BYTES = 10, FLAG_CANCEL = 1, FLAG_DIFFER = 2 };

_Static_assert(SUBSCRIPTION_STATUS_COUNT - 1 == 8, "edges is a matrix of 8 by 8 statuses");
_Static_assert(SUBSCRIPTION_STATE_BYTES_MAX == STATE_HEAD_BYTES + 8 * STATE_CANDIDATE_BYTES, "the stored form");

static const char *const STATUS_NAMES[] = {
	"unknown", "incomplete", "trialing", "active", "past_due", "unpaid", "paused", "incomplete_expired", "canceled",
};
_Static_assert(ARRAY_LEN(STATUS_NAMES) == SUBSCRIPTION_STATUS_COUNT, "one name per status");

const char *subscription_status_name(enum subscription_status status)
{
	assert(status < SUBSCRIPTION_STATUS_COUNT);
	return STATUS_NAMES[status];
}

enum subscription_status subscription_status_parse(struct bytes text)
{
	for (unsigned i = SUBSCRIPTION_UNKNOWN + 1; i < SUBSCRIPTION_STATUS_COUNT; i++)
		if (bytes_equal_text(text, STATUS_NAMES[i]))
			return (enum subscription_status)i;
	return SUBSCRIPTION_UNKNOWN;
}

bool subscription_status_terminal(enum subscription_status status)
{
	return status == SUBSCRIPTION_CANCELED || status == SUBSCRIPTION_INCOMPLETE_EXPIRED;
}

static uint64_t edge_bit(unsigned previous, unsigned status)
{
	assert(previous > SUBSCRIPTION_UNKNOWN && previous < SUBSCRIPTION_STATUS_COUNT);
	assert(status > SUBSCRIPTION_UNKNOWN && status < SUBSCRIPTION_STATUS_COUNT);
	return UINT64_C(1) << (8 * (previous - 1) + (status - 1));
}

void subscription_of_event(const struct subscription_event *event, struct subscription *out)
{
	assert(event->status > SUBSCRIPTION_UNKNOWN && event->status < SUBSCRIPTION_STATUS_COUNT);
	assert(event->phase < SUBSCRIPTION_PHASE_COUNT);
	memset(out, 0, sizeof(*out));
	out->terminal = subscription_status_terminal(event->status);
	out->created_s = event->created_s;
	out->phase = event->phase;
	out->candidates[event->status] = (struct subscription_candidate){
		.period_end_s = event->period_end_s,
		.cancel_at_period_end = event->cancel_at_period_end,
		.seen = true,
	};
	if (event->previous_status != SUBSCRIPTION_UNKNOWN && event->previous_status != event->status)
		out->edges = edge_bit(event->previous_status, event->status);
}

bool subscription_known(const struct subscription *s)
{
	for (unsigned i = SUBSCRIPTION_UNKNOWN + 1; i < SUBSCRIPTION_STATUS_COUNT; i++)
		if (s->candidates[i].seen)
			return true;
	return false;
}

/* Rules 1 to 3: which of two is of the stronger class; 0 when they must be joined. */
static int class_compare(const struct subscription *a, const struct subscription *b)
{
	if (a->terminal != b->terminal)
		return a->terminal ? 1 : -1;
	if (a->created_s != b->created_s)
		return a->created_s > b->created_s ? 1 : -1;
	if (a->phase != b->phase)
		return a->phase > b->phase ? 1 : -1;
	return 0;
}

static bool values_equal(const struct subscription_candidate *a, const struct subscription_candidate *b)
{
	return a->period_end_s == b->period_end_s && a->cancel_at_period_end == b->cancel_at_period_end;
}

static bool values_above(const struct subscription_candidate *a, const struct subscription_candidate *b)
{
	if (a->period_end_s != b->period_end_s)
		return a->period_end_s > b->period_end_s;
	return a->cancel_at_period_end && !b->cancel_at_period_end;
}

/* The greatest values, and whether there was more than one: the image of a union of sets of values. */
static bool candidate_join(struct subscription_candidate *into, const struct subscription_candidate *from)
{
	if (!from->seen)
		return false;
	if (!into->seen) {
		*into = *from;
		return true;
	}
	const struct subscription_candidate before = *into;
	into->differ = into->differ || from->differ || !values_equal(into, from);
	if (values_above(from, into)) {
		into->period_end_s = from->period_end_s;
		into->cancel_at_period_end = from->cancel_at_period_end;
	}
	return into->differ != before.differ || !values_equal(into, &before);
}

bool subscription_merge(struct subscription *into, const struct subscription *from)
{
	if (!subscription_known(from))
		return false;
	int order = subscription_known(into) ? class_compare(into, from) : -1;
	if (order > 0)
		return false;
	if (order < 0) {
		*into = *from;
		return true;
	}
	bool changed = (into->edges | from->edges) != into->edges;
	into->edges |= from->edges;
	for (unsigned i = SUBSCRIPTION_UNKNOWN + 1; i < SUBSCRIPTION_STATUS_COUNT; i++)
		if (candidate_join(&into->candidates[i], &from->candidates[i]))
			changed = true;
	return changed;
}

/* Rule 4: some seen status followed this one in the same second. */
static bool was_left(const struct subscription *s, unsigned status)
{
	for (unsigned next = SUBSCRIPTION_UNKNOWN + 1; next < SUBSCRIPTION_STATUS_COUNT; next++)
		if (s->candidates[next].seen && (s->edges & edge_bit(status, next)) != 0)
			return true;
	return false;
}

void subscription_view(const struct subscription *s, struct subscription_view *out)
{
	unsigned last = SUBSCRIPTION_UNKNOWN, highest = SUBSCRIPTION_UNKNOWN, last_count = 0;
	for (unsigned i = SUBSCRIPTION_UNKNOWN + 1; i < SUBSCRIPTION_STATUS_COUNT; i++) {
		if (!s->candidates[i].seen)
			continue;
		highest = i;
		if (!was_left(s, i)) {
			last = i;
			last_count++;
		}
	}
	assert(highest != SUBSCRIPTION_UNKNOWN);
	/* Several were not left: the highest of those. A circle (none): the highest of all. */
	unsigned status = last_count > 0 ? last : highest;
	const struct subscription_candidate *winner = &s->candidates[status];
	assert(subscription_status_terminal((enum subscription_status)status) == s->terminal);
	*out = (struct subscription_view){
		.status = (enum subscription_status)status,
		.period_end_s = winner->period_end_s,
		.cancel_at_period_end = winner->cancel_at_period_end,
		/* The end is the end: which of two ends, and with what dates, changes nothing for anybody. */
		.needs_refresh = !s->terminal && (last_count != 1 || winner->differ),
	};
}

static void put_u64(uint8_t *out, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		out[i] = (uint8_t)value;
}

static uint64_t get_u64(const uint8_t *in)
{
	uint64_t value = 0;
	for (int i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

size_t subscription_encode(const struct subscription *s, uint8_t out[SUBSCRIPTION_STATE_BYTES_MAX])
{
	assert(subscription_known(s));
	out[0] = STATE_VERSION;
	out[1] = (uint8_t)s->phase;
	put_u64(out + 2, s->edges);
	put_u64(out + 10, (uint64_t)s->created_s);
	size_t len = STATE_HEAD_BYTES;
	for (unsigned i = SUBSCRIPTION_UNKNOWN + 1; i < SUBSCRIPTION_STATUS_COUNT; i++) {
		const struct subscription_candidate *c = &s->candidates[i];
		if (!c->seen)
			continue;
		out[len] = (uint8_t)i;
		out[len + 1] = (uint8_t)((c->cancel_at_period_end ? FLAG_CANCEL : 0) | (c->differ ? FLAG_DIFFER : 0));
		put_u64(out + len + 2, (uint64_t)c->period_end_s);
		len += STATE_CANDIDATE_BYTES;
	}
	assert(len > STATE_HEAD_BYTES && len <= SUBSCRIPTION_STATE_BYTES_MAX);
	return len;
}

/* One candidate; statuses must ascend and be all terminal or all not. */
static bool candidate_decode(const uint8_t *in, unsigned above, struct subscription *out)
{
	unsigned status = in[0];
	if (status <= above || status >= SUBSCRIPTION_STATUS_COUNT || in[1] > (FLAG_CANCEL | FLAG_DIFFER))
		return false;
	bool terminal = subscription_status_terminal((enum subscription_status)status);
	if (above != SUBSCRIPTION_UNKNOWN && terminal != out->terminal)
		return false;
	out->terminal = terminal;
	out->candidates[status] = (struct subscription_candidate){
		.period_end_s = (int64_t)get_u64(in + 2),
		.cancel_at_period_end = (in[1] & FLAG_CANCEL) != 0,
		.seen = true,
		.differ = (in[1] & FLAG_DIFFER) != 0,
	};
	return true;
}

bool subscription_decode(struct bytes state, struct subscription *out)
{
	memset(out, 0, sizeof(*out));
	if (state.len <= STATE_HEAD_BYTES || state.len > SUBSCRIPTION_STATE_BYTES_MAX ||
	    (state.len - STATE_HEAD_BYTES) % STATE_CANDIDATE_BYTES != 0 || state.data[0] != STATE_VERSION ||
	    state.data[1] >= SUBSCRIPTION_PHASE_COUNT)
		return false;
	out->phase = (enum subscription_phase)state.data[1];
	out->edges = get_u64(state.data + 2);
	out->created_s = (int64_t)get_u64(state.data + 10);
	unsigned above = SUBSCRIPTION_UNKNOWN;
	for (size_t at = STATE_HEAD_BYTES; at < state.len; at += STATE_CANDIDATE_BYTES) {
		if (!candidate_decode(state.data + at, above, out)) {
			memset(out, 0, sizeof(*out));
			return false;
		}
		above = state.data[at];
	}
	return true;
}
