/* common/stripe_api_parse.c: what is read from an answer of Stripe's API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/stripe_api.h"

static const char SUBSCRIPTION[] =
	"{\"id\":\"sub_1\",\"object\":\"subscription\",\"created\":1700000000,"
	"\"customer\":\"cus_1\",\"status\":\"past_due\","
	"\"cancel_at_period_end\":true,\"livemode\":false,\"metadata\":{\"status\":\"active\",\"id\":\"sub_9\"},"
	"\"items\":{\"object\":\"list\",\"data\":["
	"{\"id\":\"si_1\",\"current_period_end\":1800000000,\"plan\":{\"id\":\"p\"}},"
	"{\"current_period_end\":1900000000},{\"current_period_end\":null}],\"has_more\":false}}";

static void assert_first(const struct stripe_subscription *s)
{
	assert_string_equal(s->id, "sub_1");
	assert_string_equal(s->customer, "cus_1");
	assert_int_equal(s->status, SUBSCRIPTION_PAST_DUE);
	assert_int_equal(s->created_s, 1700000000);
	assert_int_equal(s->period_end_s, 1800000000);
	assert_true(s->cancel_at_period_end);
	assert_false(s->livemode);
}

/* Why: the period's end stands on the items since 2025-03-31 and at the top before; free-form places hold anything.
 * How: both places, the earliest wins, and metadata named like a field changes nothing. */
static void test_a_subscription(void **state)
{
	(void)state;
	static const char old[] =
		"{\"current_period_end\":1600000000,\"id\":\"sub_2\",\"status\":\"active\",\"livemode\":true,"
		"\"customer\":{\"email\":\"x@example.com\",\"id\":\"cus_2\",\"x\":[{}]}}";
	struct stripe_subscription s;
	struct err err;
	assert_true(stripe_api_parse(bytes_of(SUBSCRIPTION), &s, &err));
	assert_first(&s);
	assert_true(stripe_api_parse(bytes_of(old), &s, &err));
	assert_string_equal(s.customer, "cus_2");
	assert_int_equal(s.period_end_s, 1600000000);
	assert_true(s.livemode);
	assert_false(s.cancel_at_period_end);
}

/* Why: an answer that is not understood must not become a state. How: every cut, missing and odd fields, a list where
 * one is expected. */
static void test_answers_that_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"[]",
		"null",
		"{\"error\":{\"type\":\"invalid_request_error\"}}",
		"{\"id\":\"sub_1\",\"customer\":\"cus_1\",\"status\":\"delighted\"}",
		"{\"id\":\"sub_1\",\"customer\":null,\"status\":\"active\"}",
		"{\"id\":\"in_1\",\"customer\":\"cus_1\",\"status\":\"active\"}",
		"{\"id\":\"sub_\\u00001\",\"customer\":\"cus_1\",\"status\":\"active\"}",
		"{\"id\":\"sub_1\",\"customer\":\"cus_1\",\"status\":\"active\"} {}",
	};
	struct stripe_subscription s;
	struct err err;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(stripe_api_parse(bytes_of(bad[i]), &s, &err));
		assert_int_equal(err.code, ERR_INVALID);
	}
	for (size_t cut = 0; cut < sizeof(SUBSCRIPTION) - 1; cut++)
		assert_false(stripe_api_parse(bytes_make(SUBSCRIPTION, cut), &s, &err));
}

/* Why: reconcile reads pages. How: two subscriptions, then no room for the second, a page without data, and one twice.
 */
static void test_a_page(void **state)
{
	(void)state;
	char page[2048];
	struct stripe_subscription out[2];
	struct err err;
	size_t count;
	bool more;
	(void)snprintf(page, sizeof(page), "{\"object\":\"list\",\"has_more\":true,\"data\":[%s,%s],\"url\":\"/v1\"}",
		       SUBSCRIPTION, SUBSCRIPTION);
	assert_true(stripe_api_parse_list(bytes_of(page), out, 2, &count, &more, &err));
	assert_int_equal(count, 2);
	assert_true(more);
	assert_first(&out[0]);
	assert_first(&out[1]);
	assert_false(stripe_api_parse_list(bytes_of(page), out, 1, &count, &more, &err));
	assert_false(stripe_api_parse_list(bytes_of("{\"has_more\":false}"), out, 2, &count, &more, &err));
	assert_false(stripe_api_parse_list(bytes_of("{\"data\":[],\"data\":[]}"), out, 2, &count, &more, &err) &&
		     count > 0);
	assert_true(stripe_api_parse_list(bytes_of("{\"data\":[],\"has_more\":false}"), out, 2, &count, &more, &err));
	assert_int_equal(count, 0);
	assert_false(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_subscription),
		cmocka_unit_test(test_answers_that_are_refused),
		cmocka_unit_test(test_a_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
