/* common/card.c and common/card_text.c: what is a card number, alone and in running text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/card.h"

static size_t digits_of(const char *text, uint8_t out[32])
{
	size_t count = 0;
	for (; text[count] != '\0'; count++)
		out[count] = (uint8_t)(text[count] - '0');
	return count;
}

/* Why: one place knows the networks; the log asks for any length that was ever said, refusals only for those that are
 * given out. How: numbers of each network, of right and wrong lengths, with right and wrong check digits. */
static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *digits;
		bool luhn, network, issued;
	} cases[] = {
		{"4242424242424242", true, true, true},       {"4242424242424241", false, true, true},
		{"4222222222222", true, true, true},          {"42424242424242", true, true, false},
		{"5555555555554444", true, true, true},       {"2223003122003222", true, true, true},
		{"2220003122003222", false, false, false},    {"378282246310005", true, true, true},
		{"3782822463100050", false, false, false},    {"30569309025904", true, true, true},
		{"3566002020360505", true, true, true},       {"6011111111111117", true, true, true},
		{"6200000000000005", true, true, true},       {"6304000000000000000", true, true, true},
		{"5018000000009", false, true, false},        {"8100000000000008", false, true, false},
		{"9999999999999995", true, false, false},     {"1700000000000", false, false, false},
		{"42424242424242424242", true, false, false},
	};
	uint8_t digits[32];
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t count = digits_of(cases[i].digits, digits);
		assert_int_equal(card_luhn(digits, count), cases[i].luhn);
		assert_int_equal(card_network(digits, count), cases[i].network);
		assert_int_equal(card_issued(digits, count), cases[i].issued);
	}
}

/* Why: the one-pass sums must agree with the plain check for every length. How: pseudo-random digits, each length
 * tried alone. */
static void test_begins(void **state)
{
	(void)state;
	uint8_t digits[24];
	uint32_t seed = 1;
	for (int round = 0; round < 20000; round++) {
		bool expected = false;
		size_t count = (size_t)round % (sizeof(digits) + 1);
		for (size_t i = 0; i < count; i++) {
			seed = seed * 1664525u + 1013904223u;
			digits[i] = (uint8_t)((seed >> 16) % 10);
		}
		for (size_t n = CARD_DIGITS_MIN; n <= CARD_DIGITS_MAX && n <= count; n++)
			expected = expected || card_luhn(digits, n);
		assert_int_equal(card_begins(digits, count), expected);
	}
}

static bool in_text(const char *text)
{
	return card_in_text(bytes_of(text));
}

static void all_seen(const char *const *cards, size_t count, const char *const (*around)[2], size_t places)
{
	char text[256];
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < places; j++) {
			(void)snprintf(text, sizeof(text), "%s%s%s", around[j][0], cards[i], around[j][1]);
			if (!in_text(text))
				fail_msg("not seen: %s", text);
		}
}

/* Why: no card data, ever (security page), however it is written. How: each grouping, each separator, at every place of
 * a text, beside other numbers. Spelled out, it is one while no more such groups are around. */
static void test_cards_are_seen(void **state)
{
	(void)state;
	static const char *const cards[] = {
		"4242424242424242",          "4242 4242 4242 4242",      "4242-4242-4242-4242", "4242.4242.4242.4242",
		"4242 - 4242 - 4242 - 4242", "4242\n4242\r\n4242\t4242", "4242_4242/4242|4242", "4242*4242*4242*4242",
		"42424242 42424242",         "3782 822463 10005",        "378282246310005",     "3056 930902 5904",
		"630400 0000000000000",      "6304 0000 0000 0000 000",  "4222222222222",
	};
	static const char *const spelled[] = {
		"4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
		"42 42 42 42 42 42 42 42",
		"378 282 246 310 005",
		"424 242 424 242 424 2",
	};
	static const char *const around[][2] = {
		{"", ""},   {"card: ", "."},          {"x", "y"},          {"1. ", " 12/27 123"},
		{"(", ")"}, {"paid 12.50 with ", ""}, {"in 27, ", ", ok"}, {"order 7 #", "; total 4500"},
	};
	static const char *const apart[][2] = {
		{"", ""}, {"card: ", "."}, {"x", "y"}, {"1000 ", " 1227"}, {"7: ", ", 12"}};
	all_seen(cards, ARRAY_LEN(cards), around, ARRAY_LEN(around));
	all_seen(spelled, ARRAY_LEN(spelled), apart, ARRAY_LEN(apart));
	assert_true(in_text("2026 4242 4242 4242 4242"));
	/* Modulo 97 both could be IBANs: of no country, and of one whose IBANs are longer. */
	assert_true(in_text("ur4242424242424242"));
	assert_true(in_text("DE4111111111110444"));
	assert_true(in_text("cvc: 123"));
	assert_true(in_text("the CVV2 is 1234."));
	assert_true(in_text("Security code 999"));
}

/* Why: a text that is refused in vain is a report that is lost. How: what is written in notes about purchases, each a
 * number that comes close: its digits would pass for a card's but for the rule that is named. */
static void test_others_are_not(void **state)
{
	(void)state;
	static const char *const others[] = {
		"4242424242424241",     /* Luhn */
		"9999999999999995",     /* no network */
		"42424242424242424242", /* 20 digits */
		"424242424242",         /* 12 digits */
		"405-1234567-1234561",  /* a shop's order: 3-7-7 */
		"405-1234567-1234569",
		"4006381333931",  /* a barcode that passes Luhn's sum or not */
		"4000000000006",  /* a barcode: 4·1+6 = 10 */
		"+4915112345678", /* telephone numbers */
		"+49 151 1234 5678",
		"00 49 1512 3456789",
		"1700000000000", /* milliseconds, microseconds, nanoseconds */
		"1700000000000000",
		"1700000000000000000",
		"20261127183509", /* a date and time */
		"2026-11-27 18:35:09.123456",
		"2026-11-27T18:35:09Z 4500",
		"9400 1118 9956 4213 4567 12", /* a parcel */
		"DE89 3704 0044 0532 0130 00", /* IBANs */
		"DE12500105170648489890",
		"AT611904300234573201",
		"BE68 5390 0754 7034",
		"DK5000400440116243", /* 16 digits */
		"12, 34, 56, 78, 90, 12, 34, 56",
		"4242:4242:4242:4242", /* hexadecimal groups: a colon parts nothing that people write */
		"cvc 12345",
		"cvcs: 123",
		"my security code is gone",
		"CV 123",
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (in_text(others[i]))
			fail_msg("refused: %s", others[i]);
}

/* Why: chains longer than what is remembered are looked at in pieces. How: a card at every place of a long chain of
 * groups of 2 and 3 digits, and the chain without it. */
static void test_long_chains(void **state)
{
	(void)state;
	char text[1024];
	for (size_t at = 0; at < 200; at++) {
		size_t len = 0;
		for (size_t i = 0; i < at; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, i % 2 == 0 ? "10 " : "100 ");
		assert_false(card_in_text(bytes_make(text, len)));
		len += (size_t)snprintf(text + len, sizeof(text) - len, "4242 4242 4242 4242 10 10");
		assert_true(card_in_text(bytes_make(text, len)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),        cmocka_unit_test(test_begins),
		cmocka_unit_test(test_cards_are_seen), cmocka_unit_test(test_others_are_not),
		cmocka_unit_test(test_long_chains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
