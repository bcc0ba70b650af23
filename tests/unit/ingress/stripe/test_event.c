/*
 * Which event a Stripe event becomes, and that nothing but the allow list is in its bytes (W6, promise 4).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/stripe/event.h"
#include "tests/unit/support/stripe_fixtures.h"

/* One way through W5 and W6, as the route goes it. */
struct built {
	bool done;
	const char *field;
	struct stripe_event event;
	struct buf value;
	char *body; /* views point into it */
};

static struct built build(const json_t *event, bool livemode)
{
	struct built built = {.done = false};
	struct stripe_projection projection;

	built.body = json_dumps(event, JSON_COMPACT);
	assert_non_null(built.body);
	buf_init(&built.value, STRIPE_EVENT_BYTES_MAX);
	if (stripe_project(bytes_of(built.body), &projection, &built.field) == STRIPE_PROJECTION_DONE)
		built.done = stripe_event_build(&projection, livemode, &built.value, &built.event, &built.field);
	return built;
}

static void built_free(struct built *built)
{
	buf_free(&built->value);
	free(built->body);
}

static bool contains(struct bytes haystack, const char *needle)
{
	return memmem(haystack.data, haystack.len, needle, strlen(needle)) != NULL;
}

/* --- what becomes of each fixture ----------------------------------------------------------------- */

static const struct {
	const char *fixture;
	const char *type;
	const char *key; /* NULL: the event's own id */
} KINDS[] = {
	{"subscription_created", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_created_2020", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_updated_expanded", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_deleted", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_paused", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_resumed", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"subscription_trial_will_end", "watchpost.stripe.subscription", "cus_QmXw3vTfUe7a1b"},
	{"connect_subscription_updated", "watchpost.stripe.subscription", "cus_QConnected0001"},
	{"subscription_updated_live", "watchpost.stripe.quarantined", "cus_QmXw3vTfUe7a1b"},
	{"checkout_session_completed", "watchpost.stripe.checkout", "cus_QmXw3vTfUe7a1b"},
	{"checkout_session_completed_payment", "watchpost.stripe.checkout", NULL},
	{"customer_deleted", "watchpost.stripe.customer", "cus_QmXw3vTfUe7a1b"},
	{"customer_updated", "watchpost.stripe.other", "cus_QmXw3vTfUe7a1b"},
	{"invoice_paid", "watchpost.stripe.other", "cus_QmXw3vTfUe7a1b"},
	{"invoice_upcoming", "watchpost.stripe.other", "cus_QmXw3vTfUe7a1b"},
	{"charge_succeeded", "watchpost.stripe.other", "cus_QmXw3vTfUe7a1b"},
	{"price_created", "watchpost.stripe.other", NULL},
	{"connect_account_updated", "watchpost.stripe.other", NULL},
	{"thin_account_requirements_updated", "watchpost.stripe.other", NULL},
	{"thin_meter_error_report", "watchpost.stripe.other", NULL},
};

/* Why: the type decides what the workers do, the key which one sees it. How: the table above, in test mode. */
static void kinds_and_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
		json_t *event = stripe_fixture_load(KINDS[i].fixture);
		const char *key = KINDS[i].key != NULL ? KINDS[i].key : json_string_value(json_object_get(event, "id"));
		struct built built = build(event, false);
		assert_true(built.done);
		assert_string_equal(built.event.type->name, KINDS[i].type);
		assert_true(bytes_equal_text(built.event.key, key));
		built_free(&built);
		json_decref(event);
	}
}

/* Why: a thin event names a change and holds no state, so it may not look like one that does. How: a snapshot's type
 * and parts in a thin event. */
static void thin_events_change_nothing(void **state)
{
	(void)state;
	json_t *event = stripe_fixture_load("subscription_created");

	json_object_set_new(event, "object", json_string("v2.core.event"));
	struct built built = build(event, false);
	assert_true(built.done);
	assert_int_equal(built.event.type->id, EVENT_TYPE_STRIPE_OTHER);
	built_free(&built);
	json_decref(event);
}

/* Why: every real event must come out, whatever the environment. How: all fixtures in both modes. */
static void every_fixture_becomes_an_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < stripe_fixtures_count(); i++) {
		json_t *event = stripe_fixture_load(stripe_fixture_name(i));
		for (int livemode = 0; livemode < 2; livemode++) {
			struct built built = build(event, livemode != 0);
			assert_true(built.done);
			bool ours = json_is_true(json_object_get(event, "livemode")) == (livemode != 0);
			assert_int_equal(built.event.type->id == EVENT_TYPE_STRIPE_QUARANTINED, !ours);
			built_free(&built);
		}
		json_decref(event);
	}
}

/* Why: readers get what was sent. How: a subscription with every field decoded again. */
static void subscription_decodes(void **state)
{
	(void)state;
	json_t *event = stripe_fixture_load("connect_subscription_updated");
	struct built built = build(event, false);
	struct event_stripe_subscription got;
	struct err err;

	assert_true(built.done);
	assert_true(event_stripe_subscription_decode(buf_bytes(&built.value), &got, &err));
	assert_true(bytes_equal_text(got.event_id, json_string_value(json_object_get(event, "id"))));
	assert_true(bytes_equal_text(got.stripe_type, "customer.subscription.updated"));
	assert_int_equal(got.created_s, 1769000300);
	assert_false(got.livemode);
	assert_true(got.has_account && bytes_equal_text(got.account, "acct_1QConnectedExample01"));
	assert_true(got.has_customer && bytes_equal_text(got.customer, "cus_QConnected0001"));
	assert_true(bytes_equal_text(got.subscription, "sub_1QConnectedSubscr01"));
	assert_true(got.has_object_id && bytes_equal_text(got.object_id, "sub_1QConnectedSubscr01"));
	assert_true(bytes_equal_text(got.status, "active"));
	assert_true(got.has_previous_status && bytes_equal_text(got.previous_status, "trialing"));
	assert_true(got.has_current_period_end_s);
	assert_int_equal(got.current_period_end_s, 1771592000);
	assert_true(got.has_cancel_at_period_end);
	assert_false(got.cancel_at_period_end);
	built_free(&built);
	json_decref(event);
}

/* Why: the account link must survive, and nothing else that shops put there. How: both checkout fixtures. */
static void checkout_decodes(void **state)
{
	(void)state;
	struct event_stripe_checkout got;
	struct err err;
	json_t *linked = stripe_fixture_load("checkout_session_completed");
	struct built built = build(linked, false);

	assert_true(event_stripe_checkout_decode(buf_bytes(&built.value), &got, &err));
	assert_true(got.has_client_reference_id);
	assert_true(bytes_equal_text(got.client_reference_id, "acct_01JDA6Q0W8M2X4Z6B8D0F2H4J6"));
	assert_true(got.has_mode && bytes_equal_text(got.mode, "subscription"));
	assert_true(got.has_subscription);
	built_free(&built);
	json_decref(linked);

	json_t *free_text = stripe_fixture_load("checkout_session_completed_payment");
	built = build(free_text, false);
	assert_true(event_stripe_checkout_decode(buf_bytes(&built.value), &got, &err));
	assert_false(got.has_client_reference_id);
	assert_false(got.has_subscription);
	assert_false(got.has_customer);
	built_free(&built);
	json_decref(free_text);
}

/* Why: a subscription event that does not say whose and what would be a dead letter later; Stripe is told now. How: one
 * needed part taken away at a time; in quarantine nothing is needed. */
static void missing_parts_are_named(void **state)
{
	(void)state;
	const char *const parts[] = {"object", "id", "customer", "status"};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		json_t *event = stripe_fixture_load("subscription_created");
		json_t *object = json_object_get(json_object_get(event, "data"), "object");
		json_object_del(object, parts[i]);
		struct built built = build(event, false);
		char field[64];
		(void)snprintf(field, sizeof(field), "data.object.%s", parts[i]);
		assert_false(built.done);
		assert_string_equal(built.field, field);
		assert_int_equal(built.value.len, 0);
		built_free(&built);
		built = build(event, true);
		assert_true(built.done);
		built_free(&built);
		json_decref(event);
	}
}

/* --- canaries ------------------------------------------------------------------------------------- */

/* The allow list once more, written by hand and independently of the table that is tested. "[]" is any index. */
static const char *const ALLOWED[] = {
	".id",
	".object",
	".type",
	".created",
	".livemode",
	".api_version",
	".account",
	".context",
	".related_object.id",
	".data.object.id",
	".data.object.object",
	".data.object.customer",
	".data.object.customer.id",
	".data.object.subscription",
	".data.object.subscription.id",
	".data.object.status",
	".data.object.client_reference_id",
	".data.object.mode",
	".data.object.current_period_end",
	".data.object.cancel_at_period_end",
	".data.object.items.data[].current_period_end",
	".data.previous_attributes.status",
};

static bool allowed(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(ALLOWED); i++)
		if (strcmp(path, ALLOWED[i]) == 0)
			return true;
	return false;
}

/* Called for each scalar: returns what to put in its place (a new reference), or NULL to leave it. */
typedef json_t *change_leaf(const char *path, const json_t *leaf, void *cookie);

static void walk(json_t *node, const char *path, change_leaf *change, void *cookie);

static json_t *walk_child(json_t *child, const char *path, change_leaf *change, void *cookie)
{
	if (!json_is_object(child) && !json_is_array(child))
		return change(path, child, cookie);
	walk(child, path, change, cookie);
	return NULL;
}

/* Recursion is bounded by the fixtures' own depth, which the scanner bounds too. */
static void walk(json_t *node, const char *path, change_leaf *change, void *cookie)
{
	char child_path[512];
	const char *key;
	json_t *child;
	size_t index;
	void *next;

	if (json_is_object(node)) {
		json_object_foreach_safe(node, next, key, child)
		{
			int len = snprintf(child_path, sizeof(child_path), "%s.%s", path, key);
			assert_in_range(len, 1, sizeof(child_path) - 1);
			json_t *changed = walk_child(child, child_path, change, cookie);
			if (changed != NULL)
				json_object_set_new(node, key, changed);
		}
		return;
	}
	json_array_foreach(node, index, child)
	{
		int len = snprintf(child_path, sizeof(child_path), "%s[]", path);
		assert_in_range(len, 1, sizeof(child_path) - 1);
		json_t *changed = walk_child(child, child_path, change, cookie);
		if (changed != NULL)
			json_array_set_new(node, index, changed);
	}
}

/* A text that the shapes would let pass, one that they would not, a card number, a token. */
static const char *const CANARIES[] = {"canary_1", "canary text, 1", "4242424242424242",
				       "wp_CANARYCANARYCANARYCANARYCANARY22"};

struct planting {
	const char *text;
	size_t planted;
};

static json_t *plant(const char *path, const json_t *leaf, void *cookie)
{
	struct planting *planting = cookie;

	if (allowed(path) || json_is_boolean(leaf))
		return NULL;
	planting->planted++;
	return json_is_number(leaf) ? json_integer(4242424242424242) : json_string(planting->text);
}

/* Why: a block list misses the next field; this shows that the list is one of what is allowed. How: every scalar of
 * every fixture that is not on the list becomes a canary, in every style: the event's bytes must not change at all. */
static void only_allowed_fields_reach_the_event(void **state)
{
	(void)state;
	for (size_t i = 0; i < stripe_fixtures_count(); i++) {
		json_t *event = stripe_fixture_load(stripe_fixture_name(i));
		struct built before = build(event, false);
		for (size_t style = 0; style < ARRAY_LEN(CANARIES); style++) {
			json_t *copy = json_deep_copy(event);
			struct planting planting = {.text = CANARIES[style]};
			walk(copy, "", plant, &planting);
			struct built after = build(copy, false);
			assert_true(planting.planted > 0);
			assert_true(before.done && after.done);
			assert_ptr_equal(before.event.type, after.event.type);
			assert_true(bytes_equal(before.event.key, after.event.key));
			assert_true(bytes_equal(buf_bytes(&before.value), buf_bytes(&after.value)));
			built_free(&after);
			json_decref(copy);
		}
		built_free(&before);
		json_decref(event);
	}
}

struct target {
	size_t wanted;
	size_t seen;
	const char *value;
};

static json_t *plant_one_allowed(const char *path, const json_t *leaf, void *cookie)
{
	struct target *target = cookie;

	if (!allowed(path) || !json_is_string(leaf) || target->seen++ != target->wanted)
		return NULL;
	return json_string(target->value);
}

/* Why: the fields on the list are no way through either. How: in each text field that is on the list of each fixture,
 * one at a time, free text, a card number, a token, a secret: refused, or left out, never in the bytes or the key. */
static void allowed_fields_carry_no_free_text(void **state)
{
	(void)state;
	static const char *const values[] = {"Casey Canary",
					     "canary@example.com",
					     "canary_4242424242424242",
					     "4242-4242-4242-4242",
					     "wp_CANARYCANARYCANARYCANARYCANARY22",
					     "sk_live_canary",
					     "pi_1_secret_canary"};

	for (size_t i = 0; i < stripe_fixtures_count(); i++) {
		json_t *event = stripe_fixture_load(stripe_fixture_name(i));
		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			for (struct target target = {.value = values[v]};; target.wanted++) {
				json_t *copy = json_deep_copy(event);
				target.seen = 0;
				walk(copy, "", plant_one_allowed, &target);
				struct built built = build(copy, false);
				if (built.done) {
					assert_false(contains(buf_bytes(&built.value), values[v]));
					assert_false(contains(built.event.key, values[v]));
				}
				built_free(&built);
				json_decref(copy);
				if (target.seen <= target.wanted)
					break;
			}
		}
		json_decref(event);
	}
}

/* Why: STRIPE_EVENT_BYTES_MAX must hold the largest event that W6 can make. How: every field at its bound. */
static void largest_event_fits(void **state)
{
	(void)state;
	static char text[STRIPE_ID_BYTES_MAX];
	struct buf value;
	struct stripe_event event;
	const char *field;

	memset(text, 'a', sizeof(text));
	struct bytes id = bytes_make(text, STRIPE_ID_BYTES_MAX);
	struct bytes word = bytes_make(text, STRIPE_WORD_BYTES_MAX);
	char type[STRIPE_TYPE_BYTES_MAX];
	memset(type, 'a', sizeof(type));
	memcpy(type, "customer.subscription.", 22);
	struct stripe_projection p = {.id = id,
				      .type = bytes_make(type, sizeof(type)),
				      .created_s = STRIPE_TIME_S_MAX,
				      .api_version = bytes_make(text, STRIPE_VERSION_BYTES_MAX),
				      .account = id,
				      .object = bytes_of("subscription"),
				      .object_id = id,
				      .customer = id,
				      .subscription = id,
				      .status = word,
				      .previous_status = word,
				      .has_current_period_end = true,
				      .current_period_end_s = STRIPE_TIME_S_MAX,
				      .has_cancel_at_period_end = true};
	buf_init(&value, STRIPE_EVENT_BYTES_MAX);
	assert_true(stripe_event_build(&p, false, &value, &event, &field));
	assert_int_equal(event.type->id, EVENT_TYPE_STRIPE_SUBSCRIPTION);
	buf_free(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_and_keys),
		cmocka_unit_test(thin_events_change_nothing),
		cmocka_unit_test(every_fixture_becomes_an_event),
		cmocka_unit_test(subscription_decodes),
		cmocka_unit_test(checkout_decodes),
		cmocka_unit_test(missing_parts_are_named),
		cmocka_unit_test(only_allowed_fields_reach_the_event),
		cmocka_unit_test(allowed_fields_carry_no_free_text),
		cmocka_unit_test(largest_event_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
