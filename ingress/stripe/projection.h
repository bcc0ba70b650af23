/*
 * W6, first half: what an event is allowed to carry on, read from a verified body in one pass.
 *
 * This is an allow list (promise 4). Only the fields below are looked at; of them only scalars of the expected type
 * and shape (ingress/stripe/shape.h) are taken; everything else is validated as JSON and passed over. What does
 * not fit is left out as if it were absent; when it is one that every event needs, the event is refused. A key that
 * is read and stands twice in its object is refused too: two readers might disagree about which one counts.
 *
 * Owns: nothing; texts are views into the body. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_STRIPE_PROJECTION_H
#define WATCHPOST_INGRESS_STRIPE_PROJECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"

/* An empty text means absent. */
struct stripe_projection {
	/* Every event has these. */
	struct bytes id;
	struct bytes type;
	int64_t created_s; /* seconds since 1970 UTC; of a thin event's RFC 3339 text, rounded down */
	bool livemode;
	bool thin; /* object is v2.core.event: it names what changed and holds no snapshot */

	struct bytes api_version;
	struct bytes account; /* Connect's account; of a thin event its context, if that is an id */

	/* data.object of a snapshot event; object_id is related_object.id of a thin one */
	struct bytes object;
	struct bytes object_id;
	struct bytes customer;     /* the id, also where the customer is expanded; its own id for a customer */
	struct bytes subscription; /* likewise */
	struct bytes status;
	struct bytes previous_status;     /* data.previous_attributes.status */
	struct bytes client_reference_id; /* only when it is an account's id (acct_ and 26 characters) */
	struct bytes mode;
	/* The subscription's own, else the earliest of its items. Since 2025-03-31.basil the period belongs to the
	 * items; older versions showed the earliest one, and cancel_at_period_end means the earliest one (Stripe's
	 * changelog, 2025-07-30.basil, on mixed intervals). */
	bool has_current_period_end;
	int64_t current_period_end_s;
	bool has_cancel_at_period_end;
	bool cancel_at_period_end;
};

enum stripe_projection_result {
	STRIPE_PROJECTION_DONE,
	STRIPE_PROJECTION_NOT_JSON,
	STRIPE_PROJECTION_REPEATED_KEY,
	STRIPE_PROJECTION_FIELD /* a field that every event needs is missing or has another type or shape */
};

/* *field names the one at fault, static text; NULL for NOT_JSON. *out is whole only when DONE. */
MUSTCHECK enum stripe_projection_result stripe_project(struct bytes body, struct stripe_projection *out,
						       const char **field);

#endif
