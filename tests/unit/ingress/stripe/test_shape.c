/*
 * The shapes that texts must have to pass W6.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/limits.h"
#include "ingress/stripe/shape.h"

static bool fits(enum stripe_shape shape, const char *text)
{
	return stripe_shape_fits(shape, bytes_of(text));
}

/* Why: what Stripe sends must pass. How: texts of each kind from its documentation. */
static void real_texts_fit(void **state)
{
	(void)state;
	assert_true(fits(STRIPE_SHAPE_ID, "evt_1MowQVLkdIwHu7ixeRlqHVzs"));
	assert_true(fits(STRIPE_SHAPE_ID, "evt_00000000000000"));
	assert_true(fits(STRIPE_SHAPE_ID, "cs_test_a11YYufWQzNY63zpQ6QSNRQhkUpVph4WRmzW0zWJO2znZKdVujZ0N0S22u"));
	assert_true(fits(STRIPE_SHAPE_TYPE, "customer.subscription.pending_update_applied"));
	assert_true(fits(STRIPE_SHAPE_TYPE, "v2.core.account[configuration.customer].capability_status_updated"));
	assert_true(fits(STRIPE_SHAPE_WORD, "incomplete_expired"));
	assert_true(fits(STRIPE_SHAPE_WORD, "checkout.session"));
	assert_true(fits(STRIPE_SHAPE_VERSION, "2020-08-27"));
	assert_true(fits(STRIPE_SHAPE_VERSION, "2025-03-31.basil"));
}

/* Why: people's words must not pass. How: names, addresses, mail, empty text, control bytes, UTF-8, other cases. */
static void free_text_fits_nowhere(void **state)
{
	(void)state;
	const char *const texts[] = {"",      "Casey Cardholder",  "casey@example.com", "12 Example Street",
				     "a,b",   "\xc3\xa9t\xc3\xa9", "evt_1\n",           "evt_1\"",
				     "evt/1", "+15555550100"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		for (int shape = 0; shape < STRIPE_SHAPE_COUNT; shape++)
			assert_false(fits((enum stripe_shape)shape, texts[i]));
	assert_false(stripe_shape_fits(STRIPE_SHAPE_ID, bytes_make("evt_1\0x", 7)));
	assert_false(fits(STRIPE_SHAPE_ID, "evt.1"));
	assert_false(fits(STRIPE_SHAPE_WORD, "Active"));
	assert_false(fits(STRIPE_SHAPE_VERSION, "2025[03]"));
}

/* Why: every bound is a promise to what stands behind. How: at the bound and one past it. */
static void lengths_are_bounded(void **state)
{
	(void)state;
	const size_t bounds[] = {[STRIPE_SHAPE_ID] = STRIPE_ID_BYTES_MAX,
				 [STRIPE_SHAPE_TYPE] = STRIPE_TYPE_BYTES_MAX,
				 [STRIPE_SHAPE_WORD] = STRIPE_WORD_BYTES_MAX,
				 [STRIPE_SHAPE_VERSION] = STRIPE_VERSION_BYTES_MAX};
	char text[512];

	memset(text, 'a', sizeof(text));
	for (int shape = 0; shape < STRIPE_SHAPE_COUNT; shape++) {
		assert_true(stripe_shape_fits((enum stripe_shape)shape, bytes_make(text, bounds[shape])));
		assert_false(stripe_shape_fits((enum stripe_shape)shape, bytes_make(text, bounds[shape] + 1)));
	}
}

/* Why: a card number is letters of the id's alphabet, so the alphabet alone would let it pass. How: test numbers of
 * every length, hidden behind a prefix, before other digits, with separators; beside them digits that are no card. */
static void card_numbers_are_seen(void **state)
{
	(void)state;
	const char *const cards[] = {"4242424242424242",         "cus_4242424242424242", "cus_4242424242424242x",
				     "evt_00004242424242424242", "378282246310005",      "6011111111111117",
				     "5555555555554444",         "4222222222222",        "6304000000000000000",
				     "acct_4242_4242_4242_4242", "4242-4242-4242-4242",  "4242.4242.4242.4242",
				     "42424242424242421"};
	const char *const others[] = {"",
				      "evt_00000000000000",
				      "req_9999999999999999",
				      "42424242x42424242",
				      "424242424242",
				      "4000000000000",
				      "4000000000000000",
				      "9999999999999995"};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cards); i++) {
		assert_true(stripe_shape_card(bytes_of(cards[i])));
		assert_false(fits(STRIPE_SHAPE_ID, cards[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(stripe_shape_card(bytes_of(others[i])));
	/* At the very end of the longest id, and every start before it. */
	for (size_t at = 0; at + 16 <= STRIPE_ID_BYTES_MAX; at++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + at, "4242424242424242", 16);
		assert_false(stripe_shape_fits(STRIPE_SHAPE_ID, bytes_make(text, STRIPE_ID_BYTES_MAX)));
	}
	memset(text, '0', sizeof(text));
	memcpy(text + STRIPE_ID_BYTES_MAX - 16, "4242424242424242", 16);
	assert_false(stripe_shape_fits(STRIPE_SHAPE_ID, bytes_make(text, STRIPE_ID_BYTES_MAX)));
}

/* Why: a secret too is letters of the id's alphabet. How: the shapes that Stripe and Watchpost give out, also inside
 * another text; beside them ids that only look alike. */
static void secrets_are_seen(void **state)
{
	(void)state;
	const char *const secrets[] = {"sk_live_51Mabc",
				       "rk_test_51Mabc",
				       "ek_live_YWNjdF8x",
				       "whsec_51Mabc",
				       "pi_3MtwBw_secret_YrKJUKribcBjcG8HVhfZluoGH",
				       "wp_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
				       "cus_wp_abcdefghijklmnopqrstuvwxyz234567",
				       "evt_sk_test_1"};
	const char *const others[] = {
		"sub_1Mow",   "cs_live_a1B2c3", "wp_tooshort",   "wp_ABCDEFGHIJKLMNOPQRSTUVWXYZ234561",
		"_secretary", "sk_1Mow",        "pk_live_51Mabc"};

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		assert_true(stripe_shape_secret(bytes_of(secrets[i])));
		assert_false(fits(STRIPE_SHAPE_ID, secrets[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_false(stripe_shape_secret(bytes_of(others[i])));
		assert_true(fits(STRIPE_SHAPE_ID, others[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_texts_fit),      cmocka_unit_test(free_text_fits_nowhere),
		cmocka_unit_test(lengths_are_bounded), cmocka_unit_test(card_numbers_are_seen),
		cmocka_unit_test(secrets_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
