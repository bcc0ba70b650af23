#include "ingress/stripe/event.h"

#include <assert.h>

static const char SUBSCRIPTION_TYPES[] = "customer.subscription.";

_Static_assert((int)EVENT_STRIPE_CHECKOUT_BYTES_MAX <= (int)STRIPE_EVENT_BYTES_MAX &&
		       (int)EVENT_STRIPE_CUSTOMER_BYTES_MAX <= (int)STRIPE_EVENT_BYTES_MAX &&
		       (int)EVENT_STRIPE_OTHER_BYTES_MAX <= (int)STRIPE_EVENT_BYTES_MAX &&
		       (int)EVENT_STRIPE_QUARANTINED_BYTES_MAX <= (int)STRIPE_EVENT_BYTES_MAX,
	       "the subscription event is the largest");

/* The five payloads are types of their own that begin with the same fields: an initialiser for any of them. */
#define OPTIONAL(name, text) .name = (text), .has_##name = (text).len > 0
#define COMMON(p)                                                                                                      \
	.event_id = (p)->id, .stripe_type = (p)->type, .created_s = (p)->created_s, .livemode = (p)->livemode,         \
	OPTIONAL(api_version, (p)->api_version), OPTIONAL(account, (p)->account), OPTIONAL(customer, (p)->customer),   \
	OPTIONAL(object_id, (p)->object_id)

static bool encode_subscription(const struct stripe_projection *p, struct buf *value)
{
	const struct event_stripe_subscription event = {
		COMMON(p),
		.subscription = p->object_id,
		.status = p->status,
		OPTIONAL(previous_status, p->previous_status),
		.current_period_end_s = p->current_period_end_s,
		.has_current_period_end_s = p->has_current_period_end,
		.cancel_at_period_end = p->cancel_at_period_end,
		.has_cancel_at_period_end = p->has_cancel_at_period_end,
	};
	return event_stripe_subscription_encode(&event, value);
}

static bool encode_checkout(const struct stripe_projection *p, struct buf *value)
{
	const struct event_stripe_checkout event = {
		COMMON(p),
		OPTIONAL(client_reference_id, p->client_reference_id),
		OPTIONAL(subscription, p->subscription),
		OPTIONAL(mode, p->mode),
	};
	return event_stripe_checkout_encode(&event, value);
}

static bool encode_customer(const struct stripe_projection *p, struct buf *value)
{
	const struct event_stripe_customer event = {COMMON(p)};
	return event_stripe_customer_encode(&event, value);
}

static bool encode_other(const struct stripe_projection *p, struct buf *value)
{
	const struct event_stripe_other event = {COMMON(p)};
	return event_stripe_other_encode(&event, value);
}

static bool encode_quarantined(const struct stripe_projection *p, struct buf *value)
{
	const struct event_stripe_quarantined event = {COMMON(p)};
	return event_stripe_quarantined_encode(&event, value);
}

/* A kind: what its events need besides what every event has, and how they are encoded. */
struct kind {
	enum event_type_id type;
	const char *object; /* data.object.object must say this; NULL: anything */
	bool needs_status, needs_customer;
	bool (*encode)(const struct stripe_projection *p, struct buf *value);
};

static const struct kind SUBSCRIPTION = {EVENT_TYPE_STRIPE_SUBSCRIPTION, "subscription", true, true,
					 encode_subscription};
static const struct kind CHECKOUT = {EVENT_TYPE_STRIPE_CHECKOUT, "checkout.session", false, false, encode_checkout};
static const struct kind CUSTOMER = {EVENT_TYPE_STRIPE_CUSTOMER, "customer", false, true, encode_customer};
static const struct kind OTHER = {EVENT_TYPE_STRIPE_OTHER, NULL, false, false, encode_other};
static const struct kind QUARANTINED = {EVENT_TYPE_STRIPE_QUARANTINED, NULL, false, false, encode_quarantined};

static const struct kind *kind_of(const struct stripe_projection *p, bool livemode)
{
	size_t prefix_len = sizeof(SUBSCRIPTION_TYPES) - 1;

	if (p->livemode != livemode)
		return &QUARANTINED;
	if (p->thin)
		return &OTHER;
	if (p->type.len > prefix_len && memcmp(p->type.data, SUBSCRIPTION_TYPES, prefix_len) == 0)
		return &SUBSCRIPTION;
	if (bytes_equal_text(p->type, "checkout.session.completed"))
		return &CHECKOUT;
	if (bytes_equal_text(p->type, "customer.deleted"))
		return &CUSTOMER;
	return &OTHER;
}

/* NULL when nothing is missing. */
static const char *missing(const struct kind *kind, const struct stripe_projection *p)
{
	if (kind->object == NULL)
		return NULL;
	if (!bytes_equal_text(p->object, kind->object))
		return "data.object.object";
	if (p->object_id.len == 0)
		return "data.object.id";
	if (kind->needs_customer && p->customer.len == 0)
		return "data.object.customer";
	if (kind->needs_status && p->status.len == 0)
		return "data.object.status";
	return NULL;
}

bool stripe_event_build(const struct stripe_projection *projection, bool livemode, struct buf *value,
			struct stripe_event *out, const char **field)
{
	const struct kind *kind = kind_of(projection, livemode);

	assert(projection->id.len > 0 && projection->type.len > 0);
	*field = missing(kind, projection);
	if (*field != NULL || !kind->encode(projection, value))
		return false;
	out->type = event_type_get(kind->type);
	out->key = projection->customer.len > 0 ? projection->customer : projection->id;
	assert(out->key.len > 0 && out->key.len <= STRIPE_ID_BYTES_MAX);
	return true;
}
