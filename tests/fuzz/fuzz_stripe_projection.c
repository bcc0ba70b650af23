/*
 * Bodies of Stripe events through W5 and W6.
 *
 * Invariant: every text that is taken is a view into the body, has its shape and holds neither card number nor secret;
 * an event that is built decodes again, to the same fields. The sanitizers watch the reading.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/limits.h"
#include "ingress/stripe/event.h"
#include "ingress/stripe/shape.h"

static const char ID_CHARS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct bytes text, struct bytes body, const char *more_chars)
{
	if (text.len == 0)
		return;
	assert(text.data >= body.data && text.data + text.len <= body.data + body.len);
	assert(text.len <= STRIPE_ID_BYTES_MAX);
	for (size_t i = 0; i < text.len; i++)
		assert(text.data[i] != 0 &&
		       (strchr(ID_CHARS, text.data[i]) != NULL || strchr(more_chars, text.data[i]) != NULL));
	assert(!stripe_shape_card(text) && !stripe_shape_secret(text));
}

static void check_projection(const struct stripe_projection *p, struct bytes body)
{
	assert(p->id.len > 0 && p->type.len > 0);
	assert(p->created_s > 0 && p->created_s <= STRIPE_TIME_S_MAX);
	assert(!p->has_current_period_end ||
	       (p->current_period_end_s > 0 && p->current_period_end_s <= STRIPE_TIME_S_MAX));
	check_text(p->id, body, "");
	check_text(p->type, body, ".[]");
	check_text(p->api_version, body, ".-");
	check_text(p->account, body, "");
	check_text(p->object, body, ".");
	check_text(p->object_id, body, "");
	check_text(p->customer, body, "");
	check_text(p->subscription, body, "");
	check_text(p->status, body, ".");
	check_text(p->previous_status, body, ".");
	check_text(p->client_reference_id, body, "");
	check_text(p->mode, body, ".");
}

static void check_event(const struct stripe_projection *p, bool livemode)
{
	struct buf value;
	struct stripe_event event;
	struct event_stripe_subscription subscription;
	struct event_stripe_other other;
	struct err err;
	const char *field = NULL;

	buf_init(&value, STRIPE_EVENT_BYTES_MAX);
	if (!stripe_event_build(p, livemode, &value, &event, &field)) {
		assert(field != NULL && value.len == 0);
		goto out;
	}
	assert((event.type->id == EVENT_TYPE_STRIPE_QUARANTINED) == (p->livemode != livemode));
	/* Every type begins with the fields of "other", and readers pass over what they do not know. */
	assert(event_stripe_other_decode(buf_bytes(&value), &other, &err));
	assert(bytes_equal(other.event_id, p->id) && bytes_equal(other.stripe_type, p->type));
	assert(other.created_s == p->created_s && other.livemode == p->livemode);
	assert(bytes_equal(event.key, other.has_customer ? other.customer : other.event_id));
	if (event.type->id == EVENT_TYPE_STRIPE_SUBSCRIPTION) {
		assert(event_stripe_subscription_decode(buf_bytes(&value), &subscription, &err));
		assert(bytes_equal(subscription.subscription, p->object_id) &&
		       bytes_equal(subscription.status, p->status));
		assert(subscription.has_current_period_end_s == p->has_current_period_end);
	}
out:
	buf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stripe_projection projection;
	const char *field = NULL;
	/* A copy of exactly this size, so that a byte too far is seen. */
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	struct bytes body = bytes_make(copy, size);
	if (stripe_project(body, &projection, &field) == STRIPE_PROJECTION_DONE) {
		check_projection(&projection, body);
		check_event(&projection, false);
		check_event(&projection, true);
	}
	free(copy);
	return 0;
}
