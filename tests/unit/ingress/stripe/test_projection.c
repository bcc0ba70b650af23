/*
 * What is read from a Stripe event, and what is not (W6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/limits.h"
#include "ingress/stripe/projection.h"
#include "tests/unit/support/stripe_fixtures.h"

/* clang-format off */
#define HEAD \
	"\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"customer.subscription.updated\"," \
	"\"created\":1769000000,\"livemode\":false"
/* clang-format on */
#define EVENT(object) "{" HEAD ",\"data\":{\"object\":" object "}}"

static enum stripe_projection_result project(const char *body, struct stripe_projection *out)
{
	const char *field;

	return stripe_project(bytes_of(body), out, &field);
}

static void expect(const char *body, struct stripe_projection *out)
{
	assert_int_equal(project(body, out), STRIPE_PROJECTION_DONE);
}

static void expect_refused(const char *body, enum stripe_projection_result result, const char *field)
{
	struct stripe_projection out;
	const char *said = "unset";

	assert_int_equal(stripe_project(bytes_of(body), &out, &said), result);
	if (field == NULL)
		assert_null(said);
	else
		assert_string_equal(said, field);
}

static void assert_text(struct bytes text, const char *expected)
{
	assert_int_equal(text.len, strlen(expected));
	if (text.len > 0)
		assert_memory_equal(text.data, expected, text.len);
}

/* Why: the fields of the contract, from a whole event. How: a subscription as Stripe sends it today. */
static void subscription_is_read(void **state)
{
	(void)state;
	struct stripe_projection p;
	json_t *event = stripe_fixture_load("subscription_updated_active");
	char *body = json_dumps(event, 0);

	expect(body, &p);
	assert_text(p.id, json_string_value(json_object_get(event, "id")));
	assert_text(p.type, "customer.subscription.updated");
	assert_int_equal(p.created_s, 1769000002);
	assert_false(p.livemode);
	assert_false(p.thin);
	assert_text(p.api_version, "2025-03-31.basil");
	assert_text(p.account, "");
	assert_text(p.object, "subscription");
	assert_text(p.object_id, "sub_1PxYqTLkdIwHu7ixWatch001");
	assert_text(p.customer, "cus_QmXw3vTfUe7a1b");
	assert_text(p.status, "active");
	assert_text(p.previous_status, "incomplete");
	assert_true(p.has_current_period_end);
	assert_int_equal(p.current_period_end_s, 1771592000);
	assert_true(p.has_cancel_at_period_end);
	assert_false(p.cancel_at_period_end);
	free(body);
	json_decref(event);
}

/* Why: every real shape must be read, or Stripe disables the endpoint. How: all fixtures, compact and indented; the
 * second is how Stripe sends them. */
static void every_fixture_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < stripe_fixtures_count(); i++) {
		json_t *event = stripe_fixture_load(stripe_fixture_name(i));
		const size_t styles[] = {JSON_COMPACT, JSON_INDENT(2), JSON_ENSURE_ASCII | JSON_SORT_KEYS};
		for (size_t style = 0; style < ARRAY_LEN(styles); style++) {
			struct stripe_projection p;
			char *body = json_dumps(event, styles[style]);
			expect(body, &p);
			assert_text(p.id, json_string_value(json_object_get(event, "id")));
			assert_text(p.type, json_string_value(json_object_get(event, "type")));
			free(body);
		}
		json_decref(event);
	}
}

/* Why: Stripe moved the period from the subscription to its items; both must be read, and of several items one must
 * be chosen as Stripe chooses. How: own only, items only, both, several items, none; null and wrong types are no end.
 */
static void period_end_is_found_in_both_places(void **state)
{
	(void)state;
	const struct {
		const char *body;
		int64_t end_s; /* 0: none */
	} cases[] = {
		{EVENT("{\"current_period_end\":1771592000}"), 1771592000},
		{EVENT("{\"items\":{\"data\":[{\"current_period_end\":1771592001}]}}"), 1771592001},
		{EVENT("{\"items\":{\"data\":[{\"current_period_end\":1771592001}]},"
		       "\"current_period_end\":1771592009}"),
		 1771592009},
		{EVENT("{\"items\":{\"data\":[{\"current_period_end\":1800000000},{\"current_period_end\":1771592001},"
		       "{\"current_period_end\":1790000000}]}}"),
		 1771592001},
		{EVENT("{\"items\":{\"data\":[{\"current_period_end\":null},{},7,"
		       "{\"current_period_end\":1771592001}]}}"),
		 1771592001},
		{EVENT("{\"current_period_end\":null,\"items\":{\"data\":[]}}"), 0},
		{EVENT("{\"current_period_end\":\"1771592000\",\"items\":[1,{\"data\":2}]}"), 0},
		{EVENT("{\"current_period_end\":1771592000.5}"), 0},
		{EVENT("{\"current_period_end\":-1}"), 0},
		{EVENT("{\"current_period_end\":4242424242424242}"), 0},
		{EVENT("{\"items\":{\"data\":{\"current_period_end\":1771592000}}}"), 0},
		{EVENT("{\"nested\":{\"current_period_end\":1771592000}}"), 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stripe_projection p;
		expect(cases[i].body, &p);
		assert_int_equal(p.has_current_period_end, cases[i].end_s != 0);
		assert_int_equal(p.current_period_end_s, cases[i].end_s);
	}
}

/* Why: an expanded object may hold anything; its id is all that may be taken. How: customer and subscription as text,
 * as object, as null, as object without a usable id, as list. */
static void expanded_objects_give_their_id(void **state)
{
	(void)state;
	struct stripe_projection p;

	expect(EVENT("{\"customer\":\"cus_1\",\"subscription\":\"sub_1\"}"), &p);
	assert_text(p.customer, "cus_1");
	assert_text(p.subscription, "sub_1");
	expect(EVENT("{\"customer\":{\"name\":\"N N\",\"id\":\"cus_2\",\"card\":{\"id\":\"card_1\"}},"
		     "\"subscription\":{\"id\":\"sub_2\"}}"),
	       &p);
	assert_text(p.customer, "cus_2");
	assert_text(p.subscription, "sub_2");
	expect(EVENT("{\"customer\":null,\"subscription\":[{\"id\":\"sub_3\"}]}"), &p);
	assert_text(p.customer, "");
	assert_text(p.subscription, "");
	expect(EVENT("{\"customer\":{\"id\":{\"id\":\"cus_4\"}},\"subscription\":{}}"), &p);
	assert_text(p.customer, "");
	assert_text(p.subscription, "");
	expect(EVENT("{\"object\":\"customer\",\"id\":\"cus_5\"}"), &p);
	assert_text(p.customer, "cus_5");
	expect(EVENT("{\"object\":\"charge\",\"id\":\"ch_5\"}"), &p);
	assert_text(p.customer, "");
}

/* Why: what does not fit an optional field is left out, never bent to fit. How: other types, free text, card numbers
 * and secrets, escapes that spell an id, in each of them. */
static void misfits_are_left_out(void **state)
{
	(void)state;
	const char *const values[] = {"null",
				      "true",
				      "17",
				      "[\"x_1\"]",
				      "\"\"",
				      "\"Casey Cardholder\"",
				      "\"x_4242424242424242\"",
				      "\"sk_live_abc\"",
				      "\"\\u0061ctive\"",
				      "\"active\\u0000\""};
	const char *const fields[] = {"id",  "object", "customer", "subscription", "status", "client_reference_id",
				      "mode"};
	char body[1024];

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
			struct stripe_projection p;
			int len = snprintf(
				body, sizeof(body),
				"{" HEAD ",\"data\":{\"object\":{\"%s\":%s},\"previous_attributes\":{\"status\":%s}}}",
				fields[f], values[i], values[i]);
			assert_in_range(len, 1, sizeof(body) - 1);
			expect(body, &p);
			assert_text(p.object_id, "");
			assert_text(p.object, "");
			assert_text(p.customer, "");
			assert_text(p.subscription, "");
			assert_text(p.status, "");
			assert_text(p.previous_status, "");
			assert_text(p.client_reference_id, "");
			assert_text(p.mode, "");
		}
	}
}

/* Why: only an account's id may pass as client_reference_id; shops put order numbers and names there. How: one id of
 * ours, and texts that are ids of other kinds. */
static void client_reference_is_an_account_or_nothing(void **state)
{
	(void)state;
	struct stripe_projection p;

	expect(EVENT("{\"client_reference_id\":\"acct_01JDA6Q0W8M2X4Z6B8D0F2H4J6\"}"), &p);
	assert_text(p.client_reference_id, "acct_01JDA6Q0W8M2X4Z6B8D0F2H4J6");
	expect(EVENT("{\"client_reference_id\":\"order_4711\"}"), &p);
	assert_text(p.client_reference_id, "");
	expect(EVENT("{\"client_reference_id\":\"acct_1QConnectedExample01\"}"), &p);
	assert_text(p.client_reference_id, "");
}

/* Why: an event without these cannot be kept, told apart or placed. How: each missing, null, of another type or shape.
 */
static void required_fields_are_required(void **state)
{
	(void)state;
	expect_refused("{}", STRIPE_PROJECTION_FIELD, "id");
	expect_refused("{\"type\":\"a.b\",\"created\":1,\"livemode\":true}", STRIPE_PROJECTION_FIELD, "id");
	expect_refused("{\"id\":7,\"type\":\"a.b\",\"created\":1,\"livemode\":true}", STRIPE_PROJECTION_FIELD, "id");
	expect_refused("{\"id\":\"e v\",\"type\":\"a.b\",\"created\":1,\"livemode\":true}", STRIPE_PROJECTION_FIELD,
		       "id");
	expect_refused("{\"id\":\"evt_4242424242424242\",\"type\":\"a.b\",\"created\":1,\"livemode\":true}",
		       STRIPE_PROJECTION_FIELD, "id");
	expect_refused("{\"id\":\"evt_1\",\"created\":1,\"livemode\":true}", STRIPE_PROJECTION_FIELD, "type");
	expect_refused("{\"id\":\"evt_1\",\"type\":\"a b\",\"created\":1,\"livemode\":true}", STRIPE_PROJECTION_FIELD,
		       "type");
	const char *const times[] = {
		"null", "0", "-1", "1.5", "1e9", "253402300800", "\"soon\"", "\"4242424242424242\"", "{}"};
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		char body[256];
		int len = snprintf(body, sizeof(body),
				   "{\"id\":\"evt_1\",\"type\":\"a.b\",\"created\":%s,\"livemode\":true}", times[i]);
		assert_in_range(len, 1, sizeof(body) - 1);
		expect_refused(body, STRIPE_PROJECTION_FIELD, "created");
	}
	expect_refused("{\"id\":\"evt_1\",\"type\":\"a.b\",\"created\":1}", STRIPE_PROJECTION_FIELD, "livemode");
	expect_refused("{\"id\":\"evt_1\",\"type\":\"a.b\",\"created\":1,\"livemode\":\"true\"}",
		       STRIPE_PROJECTION_FIELD, "livemode");
}

/* Why: with a key twice, two readers may each believe another value. How: at every level that is read, also where one
 * of them is spelled with escapes; where nothing is read, repeating is nobody's business. */
static void repeated_keys_are_refused(void **state)
{
	(void)state;
	struct stripe_projection p;

	expect_refused("{" HEAD ",\"livemode\":true}", STRIPE_PROJECTION_REPEATED_KEY, "livemode");
	expect_refused("{" HEAD ",\"\\u006civemode\":true}", STRIPE_PROJECTION_REPEATED_KEY, "livemode");
	expect_refused("{" HEAD ",\"data\":{},\"data\":{}}", STRIPE_PROJECTION_REPEATED_KEY, "data");
	expect_refused("{" HEAD ",\"data\":{\"object\":{},\"object\":{}}}", STRIPE_PROJECTION_REPEATED_KEY, "object");
	expect_refused(EVENT("{\"customer\":\"cus_1\",\"customer\":\"cus_2\"}"), STRIPE_PROJECTION_REPEATED_KEY,
		       "customer");
	expect_refused(EVENT("{\"customer\":{\"id\":\"cus_1\",\"id\":\"cus_2\"}}"), STRIPE_PROJECTION_REPEATED_KEY,
		       "id");
	expect_refused(EVENT("{\"status\":null,\"status\":\"active\"}"), STRIPE_PROJECTION_REPEATED_KEY, "status");
	expect_refused(EVENT("{\"items\":{\"data\":[],\"data\":[]}}"), STRIPE_PROJECTION_REPEATED_KEY, "data");
	expect(EVENT("{\"metadata\":{\"status\":1,\"status\":2},\"note\":1,\"note\":2}"), &p);
}

/* Why: thin events have no snapshot and write their time as text; they must be kept, and may not trip the reader. How:
 * a fixture; fractions and offsets of the time; a context that is a path; an ordinary event's context means nothing. */
static void thin_events_are_read(void **state)
{
	(void)state;
	struct stripe_projection p;
	json_t *event = stripe_fixture_load("thin_account_requirements_updated");
	char *body = json_dumps(event, 0);

	expect(body, &p);
	assert_true(p.thin);
	assert_int_equal(p.created_s, 1769000000);
	assert_text(p.type, "v2.core.account[requirements].updated");
	assert_text(p.object_id, "acct_1QConnectedExample01");
	assert_text(p.account, "acct_1QConnectedExample01");
	free(body);
	json_decref(event);

	expect("{\"object\":\"v2.core.event\",\"id\":\"evt_1\",\"type\":\"a\",\"livemode\":true,"
	       "\"created\":\"2026-01-21T13:53:20.999+01:00\",\"context\":\"org_1/acct_2\","
	       "\"data\":{\"object\":{\"id\":\"x\"}}}",
	       &p);
	assert_int_equal(p.created_s, 1769000000);
	assert_text(p.account, "");
	assert_text(p.object_id, "");
	expect("{" HEAD ",\"context\":\"acct_3\",\"related_object\":{\"id\":\"x_1\"}}", &p);
	assert_text(p.account, "");
	assert_text(p.object_id, "");
}

/* Why: only one whole JSON object is an event. How: cut, followed by more, other values, bad UTF-8, a NUL byte, faults
 * in parts that nobody reads, nesting beyond the bound. */
static void other_bodies_are_refused(void **state)
{
	(void)state;
	const char *const bad[] = {"",
				   " ",
				   "{",
				   "{" HEAD,
				   "{" HEAD "}x",
				   "{" HEAD "}{}",
				   "{" HEAD ",}",
				   "{" HEAD ",\"x\":01}",
				   "{" HEAD ",\"x\":\"\xff\"}",
				   "{" HEAD ",\"x\":[{\"y\":tru}]}",
				   "{" HEAD ",\"data\":{\"object\":{\"status\":}}}",
				   "{" HEAD ",\"data\":{\"object\":{\"items\":{\"data\":[1,}]}}}",
				   "\xef\xbb\xbf{" HEAD "}"};
	char deep[3 * JSON_DEPTH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		expect_refused(bad[i], STRIPE_PROJECTION_NOT_JSON, NULL);
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	expect_refused(deep, STRIPE_PROJECTION_NOT_JSON, NULL);
	expect_refused("[]", STRIPE_PROJECTION_FIELD, "id");
	expect_refused("\"evt_1\"", STRIPE_PROJECTION_FIELD, "id");

	struct stripe_projection p;
	const char *field;
	static const char NUL[] = "{" HEAD "}\0";
	assert_int_equal(stripe_project(bytes_make(NUL, sizeof(NUL) - 1), &p, &field), STRIPE_PROJECTION_NOT_JSON);
}

/* Why: a cut body must never be read past its end, wherever it is cut. How: every prefix of an event in memory of
 * exactly its size, for the address sanitizer to watch. */
static void every_prefix_is_refused(void **state)
{
	(void)state;
	json_t *event = stripe_fixture_load("subscription_updated_expanded");
	char *body = json_dumps(event, JSON_COMPACT);
	size_t len = strlen(body);

	for (size_t cut = 0; cut < len; cut++) {
		struct stripe_projection p;
		const char *field;
		char *copy = malloc(cut > 0 ? cut : 1);
		assert_non_null(copy);
		memcpy(copy, body, cut);
		assert_int_equal(stripe_project(bytes_make(copy, cut), &p, &field), STRIPE_PROJECTION_NOT_JSON);
		free(copy);
	}
	free(body);
	json_decref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subscription_is_read),
		cmocka_unit_test(every_fixture_is_read),
		cmocka_unit_test(period_end_is_found_in_both_places),
		cmocka_unit_test(expanded_objects_give_their_id),
		cmocka_unit_test(misfits_are_left_out),
		cmocka_unit_test(client_reference_is_an_account_or_nothing),
		cmocka_unit_test(required_fields_are_required),
		cmocka_unit_test(repeated_keys_are_refused),
		cmocka_unit_test(thin_events_are_read),
		cmocka_unit_test(other_bodies_are_refused),
		cmocka_unit_test(every_prefix_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
