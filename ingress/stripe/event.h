/*
 * W6, second half: which of Watchpost's events a Stripe event becomes, and its bytes.
 *
 *   customer.subscription.*      watchpost.stripe.subscription
 *   checkout.session.completed   watchpost.stripe.checkout
 *   customer.deleted             watchpost.stripe.customer
 *   any other, every thin event  watchpost.stripe.other         kept for the audit, changes no state
 *   livemode is not ours         watchpost.stripe.quarantined   likewise, whatever its type
 *
 * Owns: nothing; the key is a view into the projection's body. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_STRIPE_EVENT_H
#define WATCHPOST_INGRESS_STRIPE_EVENT_H

#include "common/buf.h"
#include "common/compiler.h"
#include "events.h"
#include "ingress/stripe/projection.h"

/* No payload is larger: a buffer of this bound holds any of them. */
enum { STRIPE_EVENT_BYTES_MAX = EVENT_STRIPE_SUBSCRIPTION_BYTES_MAX };

struct stripe_event {
	const struct event_type *type;
	struct bytes key; /* of the Kafka record: the customer, so that one reader sees all of a customer's events in
			     the order of the log; else the event's id */
};

/* Appends the payload to `value`; `livemode` is this environment's. False, with *field naming what its type needs and
 * the event has not, or NULL when memory ran out. */
MUSTCHECK bool stripe_event_build(const struct stripe_projection *projection, bool livemode, struct buf *value,
				  struct stripe_event *out, const char **field);

#endif
