#include "ops/ctl/stripe_sample.h"

#include <string.h>

#include <jansson.h>

static const char API_VERSION[] = "2025-03-31.basil";
enum { PERIOD_S = 30 * 86400 };

static json_t *subscription_object(const struct stripe_sample *sample)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:b, s:{s:s, s:[{s:s, s:I, s:I}]}}", "id",
			 sample->subscription, "object", "subscription", "customer", sample->customer, "status",
			 sample->status, "cancel_at_period_end", 0, "created", (json_int_t)sample->created_s,
			 "livemode", sample->livemode, "items", "object", "list", "data", "object", "subscription_item",
			 "current_period_start", (json_int_t)sample->created_s, "current_period_end",
			 (json_int_t)(sample->created_s + PERIOD_S));
}

static json_t *checkout_object(const struct stripe_sample *sample)
{
	return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:s, s:b}", "id", "cs_test_sample", "object",
			 "checkout.session", "customer", sample->customer, "client_reference_id", sample->account,
			 "mode", "subscription", "subscription", sample->subscription, "status", "complete",
			 "payment_status", "paid", "livemode", sample->livemode);
}

static json_t *customer_object(const struct stripe_sample *sample)
{
	return json_pack("{s:s, s:s, s:b}", "id", sample->customer, "object", "customer", "livemode", sample->livemode);
}

static json_t *other_object(const struct stripe_sample *sample)
{
	return json_pack("{s:s, s:s, s:s, s:b}", "id", "obj_sample", "object", "sample", "customer", sample->customer,
			 "livemode", sample->livemode);
}

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static json_t *object_of(const struct stripe_sample *sample)
{
	if (begins_with(sample->type, "customer.subscription."))
		return subscription_object(sample);
	if (begins_with(sample->type, "checkout.session."))
		return checkout_object(sample);
	if (strcmp(sample->type, "customer.deleted") == 0)
		return customer_object(sample);
	return other_object(sample);
}

char *stripe_sample_write(const struct stripe_sample *sample)
{
	/* "o" takes the object over, also when packing fails. */
	json_t *event =
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:i, s:{s:n, s:n}, s:{s:o}}", "id", sample->event_id,
			  "object", "event", "api_version", API_VERSION, "created", (json_int_t)sample->created_s,
			  "type", sample->type, "livemode", sample->livemode, "pending_webhooks", 1, "request", "id",
			  "idempotency_key", "data", "object", object_of(sample));
	char *text = event != NULL ? json_dumps(event, JSON_INDENT(2)) : NULL;

	json_decref(event);
	return text;
}
