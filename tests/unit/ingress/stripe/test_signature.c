/*
 * Stripe's signature scheme, rule by rule (W4). The vectors are those of Stripe's own library's style: payload, time
 * and secrets below give the hex below, which was computed with another implementation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/limits.h"
#include "ingress/stripe/signature.h"

static const char PAYLOAD[] = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
static const int64_t T = 1492774577;
static const int64_t TOLERANCE_S = 300;
#define NEW_HEX        "c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812"
#define OLD_HEX        "e49c6ab3464e5d1ee1895ea5f9eba31bd8fe3119f02d3aa81ef87adc733582fd"
#define EMPTY_BODY_HEX "0b143541b2e58bb8a2681ed7577ec944676988d66733d6a9d9cd6ccce1022353"
#define GOOD_HEADER    "t=1492774577,v1=" NEW_HEX

static void secrets_fill(struct secret_list *list, const char *const *texts)
{
	struct err err;

	list->count = 0;
	for (; *texts != NULL; texts++) {
		assert_true(list->count < STRIPE_SECRETS_MAX);
		assert_true(secret_set(&list->items[list->count++], bytes_of(*texts), &err));
	}
}

static struct stripe_verifier *verifier_of(const char *first, const char *second)
{
	const char *const texts[] = {first, second, NULL};
	struct secret_list list;
	struct err err;

	secrets_fill(&list, texts);
	struct stripe_verifier *verifier = stripe_verifier_new(&list, TOLERANCE_S, &err);
	assert_non_null(verifier);
	return verifier;
}

static enum stripe_signature verify_at(const char *header, int64_t now_s)
{
	struct stripe_verifier *verifier = verifier_of("whsec_test_secret", NULL);
	enum stripe_signature result = stripe_verify(verifier, bytes_of(header), bytes_of(PAYLOAD), now_s);

	stripe_verifier_free(verifier);
	return result;
}

static enum stripe_signature verify(const char *header)
{
	return verify_at(header, T);
}

/* Why: the known vectors must pass, or no real event does. How: payload, secret and hex from outside; also the empty
 * body, which has no bytes to point at. */
static void vectors_are_accepted(void **state)
{
	(void)state;
	assert_int_equal(sizeof(PAYLOAD) - 1, 51);
	assert_int_equal(verify(GOOD_HEADER), STRIPE_SIGNATURE_GOOD);

	struct stripe_verifier *verifier = verifier_of("whsec_test_secret", NULL);
	assert_int_equal(stripe_verify(verifier, bytes_of("t=1492774577,v1=" EMPTY_BODY_HEX), bytes_make(NULL, 0), T),
			 STRIPE_SIGNATURE_GOOD);
	stripe_verifier_free(verifier);
}

/* Why: while a secret rolls, Stripe signs with both, and the two ends change at different times. How: either secret
 * alone accepts a header that holds both signatures, in either order; two secrets accept a header of either one. */
static void any_signature_may_match_any_secret(void **state)
{
	(void)state;
	static const char BOTH[] = "t=1492774577,v1=" OLD_HEX ",v1=" NEW_HEX;
	const char *const headers[] = {BOTH, GOOD_HEADER, "t=1492774577,v1=" OLD_HEX, "v1=" NEW_HEX ",t=1492774577"};

	assert_int_equal(verify(BOTH), STRIPE_SIGNATURE_GOOD);
	struct stripe_verifier *old_only = verifier_of("whsec_old_secret", NULL);
	assert_int_equal(stripe_verify(old_only, bytes_of(BOTH), bytes_of(PAYLOAD), T), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(stripe_verify(old_only, bytes_of(GOOD_HEADER), bytes_of(PAYLOAD), T), STRIPE_SIGNATURE_WRONG);
	stripe_verifier_free(old_only);

	struct stripe_verifier *both = verifier_of("whsec_old_secret", "whsec_test_secret");
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		assert_int_equal(stripe_verify(both, bytes_of(headers[i]), bytes_of(PAYLOAD), T),
				 STRIPE_SIGNATURE_GOOD);
	stripe_verifier_free(both);
}

/* Why: only v1 counts, so that nobody can talk us down to a weaker scheme. How: the right hex under other names is not
 * accepted; beside a valid v1 other schemes and invalid v1 do no harm. */
static void only_v1_counts(void **state)
{
	(void)state;
	assert_int_equal(verify("t=1492774577,v0=" NEW_HEX), STRIPE_SIGNATURE_NO_SCHEME);
	assert_int_equal(verify("t=1492774577,v2=" NEW_HEX), STRIPE_SIGNATURE_NO_SCHEME);
	assert_int_equal(verify("t=1492774577,V1=" NEW_HEX), STRIPE_SIGNATURE_NO_SCHEME);
	assert_int_equal(verify("t=1492774577, v1=" NEW_HEX), STRIPE_SIGNATURE_NO_SCHEME);
	assert_int_equal(verify("t=1492774577,v11=" NEW_HEX), STRIPE_SIGNATURE_NO_SCHEME);
	assert_int_equal(verify(GOOD_HEADER ",v0=" OLD_HEX), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(verify(GOOD_HEADER ",v1=potato"), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(verify("t=1492774577,v1=potato,v1=" NEW_HEX), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(verify(GOOD_HEADER ",v9=a=b=c"), STRIPE_SIGNATURE_GOOD);
}

/* Why: a signature that is not exactly ours is refused, whatever it looks like. How: each digit changed, too short, too
 * long, odd, upper case, empty. */
static void wrong_signatures_are_refused(void **state)
{
	(void)state;
	char header[] = GOOD_HEADER;

	for (size_t i = sizeof("t=1492774577,v1=") - 1; i < sizeof(header) - 1; i++) {
		char was = header[i];
		header[i] = was == '0' ? '1' : '0';
		assert_int_equal(verify(header), STRIPE_SIGNATURE_WRONG);
		header[i] = was;
	}
	assert_int_equal(verify("t=1492774577,v1="), STRIPE_SIGNATURE_WRONG);
	assert_int_equal(verify("t=1492774577,v1=c2f890"), STRIPE_SIGNATURE_WRONG);
	assert_int_equal(verify(GOOD_HEADER "0"), STRIPE_SIGNATURE_WRONG);
	assert_int_equal(verify(GOOD_HEADER "00"), STRIPE_SIGNATURE_WRONG);
	assert_int_equal(verify(GOOD_HEADER " "), STRIPE_SIGNATURE_WRONG);
	assert_int_equal(verify("t=1492774577,v1=C2F890DECBC5EDE7C5060BB9A6D31E0626A4342BACB9AEAE2ADB1BCEA72F9812"),
			 STRIPE_SIGNATURE_WRONG);
}

/* Why: the body is signed byte for byte. How: a changed, shortened and lengthened body, and one with a NUL byte behind
 * which nothing may be cut off. */
static void every_byte_of_the_body_counts(void **state)
{
	(void)state;
	struct stripe_verifier *verifier = verifier_of("whsec_test_secret", NULL);
	char body[sizeof(PAYLOAD) + 8] = {0};

	for (size_t i = 0; i < sizeof(PAYLOAD) - 1; i++) {
		memcpy(body, PAYLOAD, sizeof(PAYLOAD));
		body[i] ^= 0x20;
		assert_int_equal(stripe_verify(verifier, bytes_of(GOOD_HEADER), bytes_make(body, 51), T),
				 STRIPE_SIGNATURE_WRONG);
	}
	memcpy(body, PAYLOAD, sizeof(PAYLOAD));
	assert_int_equal(stripe_verify(verifier, bytes_of(GOOD_HEADER), bytes_make(body, 50), T),
			 STRIPE_SIGNATURE_WRONG);
	assert_int_equal(stripe_verify(verifier, bytes_of(GOOD_HEADER), bytes_make(body, 52), T),
			 STRIPE_SIGNATURE_WRONG);
	assert_int_equal(stripe_verify(verifier, bytes_of(GOOD_HEADER), bytes_make(body, 51), T),
			 STRIPE_SIGNATURE_GOOD);
	stripe_verifier_free(verifier);
}

/* Why: an old event may be a replay, one from the future a clock that cannot be trusted; both are bounded alike. How:
 * at the bound, one past it, and at the ends of the clock's range, without a clock. */
static void time_is_bounded_both_ways(void **state)
{
	(void)state;
	assert_int_equal(verify_at(GOOD_HEADER, T + TOLERANCE_S), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(verify_at(GOOD_HEADER, T + TOLERANCE_S + 1), STRIPE_SIGNATURE_TOO_OLD);
	assert_int_equal(verify_at(GOOD_HEADER, T - TOLERANCE_S), STRIPE_SIGNATURE_GOOD);
	assert_int_equal(verify_at(GOOD_HEADER, T - TOLERANCE_S - 1), STRIPE_SIGNATURE_TOO_NEW);
	assert_int_equal(verify("t=9223372036854775807,v1=" NEW_HEX), STRIPE_SIGNATURE_TOO_NEW);
	assert_int_equal(verify("t=1,v1=" NEW_HEX), STRIPE_SIGNATURE_TOO_OLD);
}

/* Why: t decides about time and is signed, so it may be read in one way only. How: every other spelling, an overflow, a
 * second t (also the same one). */
static void time_is_plain_decimal_and_stands_once(void **state)
{
	(void)state;
	const char *const bad[] = {"t=,v1=" NEW_HEX,
				   "t=soon,v1=" NEW_HEX,
				   "t=-1492774577,v1=" NEW_HEX,
				   "t=+1492774577,v1=" NEW_HEX,
				   "t= 1492774577,v1=" NEW_HEX,
				   "t=1492774577 ,v1=" NEW_HEX,
				   "t=01492774577,v1=" NEW_HEX,
				   "t=0,v1=" NEW_HEX,
				   "t=1492774577.0,v1=" NEW_HEX,
				   "t=0x58f9f3b1,v1=" NEW_HEX,
				   "t=1492774577=1,v1=" NEW_HEX,
				   "t=9223372036854775808,v1=" NEW_HEX,
				   "t=18446744075202326193,v1=" NEW_HEX,
				   "t=99999999999999999999999999999999,v1=" NEW_HEX,
				   "t=1492774577,t=1492774577,v1=" NEW_HEX,
				   "t=1492774577,v1=" NEW_HEX ",t=1"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(verify(bad[i]), STRIPE_SIGNATURE_TIME_BAD);
	assert_int_equal(verify("v1=" NEW_HEX), STRIPE_SIGNATURE_TIME_MISSING);
	assert_int_equal(verify("T=1492774577,v1=" NEW_HEX), STRIPE_SIGNATURE_TIME_MISSING);
}

/* Why: what is no header at all is told apart in the log. How: the shapes that stray clients send. */
static void malformed_headers_are_refused(void **state)
{
	(void)state;
	assert_int_equal(verify(""), STRIPE_SIGNATURE_MISSING);
	assert_int_equal(verify("I'm not even a real signature header"), STRIPE_SIGNATURE_MALFORMED);
	assert_int_equal(verify(","), STRIPE_SIGNATURE_MALFORMED);
	assert_int_equal(verify(GOOD_HEADER ","), STRIPE_SIGNATURE_MALFORMED);
	assert_int_equal(verify("," GOOD_HEADER), STRIPE_SIGNATURE_MALFORMED);
	assert_int_equal(verify("t,v1"), STRIPE_SIGNATURE_MALFORMED);
	assert_int_equal(verify("=,="), STRIPE_SIGNATURE_TIME_MISSING);

	static const char WITH_NUL[] = "t=1492774577\0,v1=" NEW_HEX;
	struct stripe_verifier *verifier = verifier_of("whsec_test_secret", NULL);
	assert_int_equal(stripe_verify(verifier, bytes_make(WITH_NUL, sizeof(WITH_NUL) - 1), bytes_of(PAYLOAD), T),
			 STRIPE_SIGNATURE_TIME_BAD);
	stripe_verifier_free(verifier);
}

/* Why: work for a stranger is bounded before it is done. How: the last v1 that is looked at may be the right one, the
 * one after it may not; thousands of them and a header of a megabyte are refused without a MAC. */
static void header_is_bounded(void **state)
{
	(void)state;
	char header[STRIPE_SIGNATURE_HEADER_BYTES_MAX + 2];
	size_t len = (size_t)snprintf(header, sizeof(header), "t=1492774577");

	for (int i = 0; i < STRIPE_SIGNATURES_MAX - 1; i++)
		len += (size_t)snprintf(header + len, sizeof(header) - len, ",v1=x");
	size_t full = len;
	len += (size_t)snprintf(header + len, sizeof(header) - len, ",v1=" NEW_HEX);
	assert_int_equal(verify(header), STRIPE_SIGNATURE_GOOD);
	len = full;
	len += (size_t)snprintf(header + len, sizeof(header) - len, ",v1=x,v1=" NEW_HEX);
	assert_true(len < sizeof(header));
	assert_int_equal(verify(header), STRIPE_SIGNATURE_TOO_MANY);

	for (len = (size_t)snprintf(header, sizeof(header), "t=1492774577"); len + 4 < sizeof(header) - 1; len += 4)
		memcpy(header + len, ",v1=", 5);
	assert_int_equal(verify(header), STRIPE_SIGNATURE_TOO_MANY);

	memset(header, 'x', sizeof(header) - 1);
	header[sizeof(header) - 1] = '\0';
	assert_int_equal(verify(header), STRIPE_SIGNATURE_TOO_LONG);
	header[STRIPE_SIGNATURE_HEADER_BYTES_MAX] = '\0';
	assert_int_equal(verify(header), STRIPE_SIGNATURE_MALFORMED);
}

/* Why: the wrong file in the configuration should be found at the start and not by Stripe's retries. How: an API key, a
 * secret with white space behind it, one that is only the prefix; the error never repeats the value. */
static void implausible_secrets_are_refused(void **state)
{
	(void)state;
	const char *const bad[] = {"sk_test_4eC39HqLyjWDarjtT1zdp7dc", "whsec_abc ", "whsec_abc\n", "whsec_",
				   "WHSEC_abc"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const texts[] = {"whsec_test_secret", bad[i], NULL};
		struct secret_list list;
		struct err err = {.code = ERR_NONE};
		secrets_fill(&list, texts);
		assert_null(stripe_verifier_new(&list, TOLERANCE_S, &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "secret 2"));
		assert_null(strstr(err.text, "abc"));
		assert_null(strstr(err.text, "sk_test_"));
	}
}

/* Why: without a secret nothing may be accepted, and the route must be able to say that it is our fault. How: an empty
 * list. */
static void no_secret_accepts_nothing(void **state)
{
	(void)state;
	struct secret_list none = {.count = 0};
	struct err err;
	struct stripe_verifier *verifier = stripe_verifier_new(&none, TOLERANCE_S, &err);

	assert_non_null(verifier);
	assert_true(stripe_verifier_empty(verifier));
	assert_int_equal(stripe_verify(verifier, bytes_of(GOOD_HEADER), bytes_of(PAYLOAD), T), STRIPE_SIGNATURE_WRONG);
	stripe_verifier_free(verifier);
	stripe_verifier_free(NULL);

	verifier = verifier_of("whsec_test_secret", NULL);
	assert_false(stripe_verifier_empty(verifier));
	stripe_verifier_free(verifier);
}

/* Why: logs and metrics name every reason, differently. How: all of them. */
static void every_result_has_its_name(void **state)
{
	(void)state;
	for (int i = 0; i < STRIPE_SIGNATURE_COUNT; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(stripe_signature_name((enum stripe_signature)i),
						stripe_signature_name((enum stripe_signature)j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_are_accepted),
		cmocka_unit_test(any_signature_may_match_any_secret),
		cmocka_unit_test(only_v1_counts),
		cmocka_unit_test(wrong_signatures_are_refused),
		cmocka_unit_test(every_byte_of_the_body_counts),
		cmocka_unit_test(time_is_bounded_both_ways),
		cmocka_unit_test(time_is_plain_decimal_and_stands_once),
		cmocka_unit_test(malformed_headers_are_refused),
		cmocka_unit_test(header_is_bounded),
		cmocka_unit_test(implausible_secrets_are_refused),
		cmocka_unit_test(no_secret_accepts_nothing),
		cmocka_unit_test(every_result_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
