/*
 * What Stripe's events say about one subscription, merged so that no order of delivery matters.
 *
 * Stripe promises no order and delivers twice. So a subscription's state is an element of a
 * join-semilattice: subscription_merge is commutative, associative and idempotent, and any order and any
 * duplication of the same events ends in the same bytes. The rules, from the strongest:
 *
 *   1. a terminal state (canceled, incomplete_expired) beats every other: Stripe never revives an id;
 *   2. the later second (`created` of the event) wins;
 *   3. within a second, what Stripe's API answered beats an event, and customer.subscription.created, which
 *      is first by definition, loses to any other event;
 *   4. within a second and equal otherwise, previous_status puts statuses in order: an event
 *      "active, before that incomplete" follows "incomplete". If exactly one status was not left again, it is
 *      the last one;
 *   5. otherwise the rank (the order of enum subscription_status: the later stage of a subscription's life, which is
 *      also the careful side) decides, and needs_refresh says that only Stripe's API knows. The same status with
 *      different period ends or cancel flags: the later end, then "cancels", wins, likewise.
 *
 * For rule 4 the state keeps one candidate per status seen in the winning second and the set of
 * (previous, status) pairs, and nothing of other seconds. A union of sets has the laws named above by itself;
 * everything that is shown is a function of those sets (subscription_view).
 *
 * Owns: nothing; plain values. Thread: any. Errors: only subscription_decode can fail.
 */
#ifndef WATCHPOST_COMMON_SUBSCRIPTION_H
#define WATCHPOST_COMMON_SUBSCRIPTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"

/* In order of rank (rule 5). The numbers are stored in merge states: never renumber. */
enum subscription_status {
	SUBSCRIPTION_UNKNOWN,
	SUBSCRIPTION_INCOMPLETE,
	SUBSCRIPTION_TRIALING,
	SUBSCRIPTION_ACTIVE,
	SUBSCRIPTION_PAST_DUE,
	SUBSCRIPTION_UNPAID,
	SUBSCRIPTION_PAUSED,
	SUBSCRIPTION_INCOMPLETE_EXPIRED,
	SUBSCRIPTION_CANCELED,
	SUBSCRIPTION_STATUS_COUNT
};

/* Stripe's word for it, and back; UNKNOWN for any other word. */
const char *subscription_status_name(enum subscription_status status);
enum subscription_status subscription_status_parse(struct bytes text);
bool subscription_status_terminal(enum subscription_status status);

/* Rule 3, weakest first. Stored: never renumber. */
enum subscription_phase {
	SUBSCRIPTION_PHASE_CREATED,
	SUBSCRIPTION_PHASE_UPDATED,
	SUBSCRIPTION_PHASE_REFRESHED,
	SUBSCRIPTION_PHASE_COUNT
};

/* One thing that Stripe said. */
struct subscription_event {
	int64_t created_s; /* the event's second; for an API answer the second of the state that it refreshes */
	enum subscription_phase phase;
	enum subscription_status status;
	enum subscription_status previous_status; /* UNKNOWN when the event does not tell */
	int64_t period_end_s;                     /* 0 when not told */
	bool cancel_at_period_end;
};

struct subscription_candidate {
	int64_t period_end_s;
	bool cancel_at_period_end;
	bool seen;
	bool differ; /* two events with this status and other values in the winning second */
};

/* An element of the lattice; all zero is its bottom ("nothing known"). */
struct subscription {
	bool terminal;
	int64_t created_s;
	enum subscription_phase phase;
	struct subscription_candidate candidates[SUBSCRIPTION_STATUS_COUNT];
	uint64_t edges; /* bit 8 * (previous - 1) + (status - 1) */
};

/* What people and programs see of it. */
struct subscription_view {
	enum subscription_status status;
	int64_t period_end_s;
	bool cancel_at_period_end;
	bool needs_refresh;
};

/* The element that says just this event. status may not be UNKNOWN. */
void subscription_of_event(const struct subscription_event *event, struct subscription *out);

/* into = into ∨ from. True when `into` changed. */
bool subscription_merge(struct subscription *into, const struct subscription *from);

bool subscription_known(const struct subscription *s);
/* `s` must be known. */
void subscription_view(const struct subscription *s, struct subscription_view *out);

/* The stored form: version, phase, edges, created_s, then per candidate status, flags, period end. */
enum { SUBSCRIPTION_STATE_BYTES_MAX = 1 + 1 + 8 + 8 + (SUBSCRIPTION_STATUS_COUNT - 1) * (1 + 1 + 8) };
size_t subscription_encode(const struct subscription *s, uint8_t out[SUBSCRIPTION_STATE_BYTES_MAX]);
/* False: not such a form (another version, a broken invariant); *out is then bottom. */
MUSTCHECK bool subscription_decode(struct bytes state, struct subscription *out);

#endif
