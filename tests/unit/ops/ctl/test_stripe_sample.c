/*
 * The samples of `watchpostctl stripe send` are events that the ingress takes for what they are meant to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/stripe/event.h"
#include "ops/ctl/stripe_sample.h"

static const struct stripe_sample SAMPLE = {.event_id = "evt_1",
					    .type = "customer.subscription.created",
					    .customer = "cus_1",
					    .subscription = "sub_1",
					    .status = "trialing",
					    .account = "acct_01JDA6Q0W8M2X4Z6B8D0F2H4J6",
					    .created_s = 1769000000,
					    .livemode = false};

/* Why: a sample that the ingress files under "other" would show nothing. How: each type through W5 and W6. */
static void samples_are_what_they_say(void **state)
{
	(void)state;
	const struct {
		const char *type;
		enum event_type_id becomes;
	} cases[] = {
		{"customer.subscription.created", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"customer.subscription.updated", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"customer.subscription.deleted", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"customer.subscription.paused", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"customer.subscription.resumed", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"customer.subscription.trial_will_end", EVENT_TYPE_STRIPE_SUBSCRIPTION},
		{"checkout.session.completed", EVENT_TYPE_STRIPE_CHECKOUT},
		{"customer.deleted", EVENT_TYPE_STRIPE_CUSTOMER},
		{"invoice.paid", EVENT_TYPE_STRIPE_OTHER},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stripe_sample sample = SAMPLE;
		struct stripe_projection projection;
		struct stripe_event event;
		struct buf value;
		const char *field;
		sample.type = cases[i].type;
		char *body = stripe_sample_write(&sample);
		assert_non_null(body);
		buf_init(&value, STRIPE_EVENT_BYTES_MAX);
		assert_int_equal(stripe_project(bytes_of(body), &projection, &field), STRIPE_PROJECTION_DONE);
		assert_true(stripe_event_build(&projection, false, &value, &event, &field));
		assert_int_equal(event.type->id, cases[i].becomes);
		assert_true(bytes_equal_text(event.key, "cus_1"));
		buf_free(&value);
		free(body);
	}
}

/* Why: what was asked for must be what is sent. How: every value of a subscription and of a checkout session. */
static void samples_carry_the_values(void **state)
{
	(void)state;
	struct stripe_sample sample = SAMPLE;
	struct stripe_projection p;
	const char *field;
	char *body = stripe_sample_write(&sample);

	assert_int_equal(stripe_project(bytes_of(body), &p, &field), STRIPE_PROJECTION_DONE);
	assert_true(bytes_equal_text(p.id, "evt_1"));
	assert_true(bytes_equal_text(p.object_id, "sub_1"));
	assert_true(bytes_equal_text(p.status, "trialing"));
	assert_int_equal(p.created_s, 1769000000);
	assert_int_equal(p.current_period_end_s, 1769000000 + 30 * 86400);
	assert_false(p.livemode);
	free(body);

	sample.type = "checkout.session.completed";
	sample.livemode = true;
	body = stripe_sample_write(&sample);
	assert_int_equal(stripe_project(bytes_of(body), &p, &field), STRIPE_PROJECTION_DONE);
	assert_true(bytes_equal_text(p.client_reference_id, sample.account));
	assert_true(bytes_equal_text(p.subscription, "sub_1"));
	assert_true(p.livemode);
	free(body);
	sample.account = NULL;
	body = stripe_sample_write(&sample);
	assert_int_equal(stripe_project(bytes_of(body), &p, &field), STRIPE_PROJECTION_DONE);
	assert_int_equal(p.client_reference_id.len, 0);
	free(body);
}

/* Why: values come from a command line. How: bytes that are no text are refused, not sent. */
static void broken_text_is_refused(void **state)
{
	(void)state;
	struct stripe_sample sample = SAMPLE;

	sample.customer = "cus_\xff";
	assert_null(stripe_sample_write(&sample));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_are_what_they_say),
		cmocka_unit_test(samples_carry_the_values),
		cmocka_unit_test(broken_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
