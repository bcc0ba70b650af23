/* common/free_text.c: what may be typed and what may not, and how often what may is refused. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/free_text.h"

#define TOKEN "wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"

static enum free_text check(const char *text)
{
	return free_text_check(bytes_of(text));
}

/* Why: promise 4. How: every shape that the header names, alone, in a sentence, and in other letters. */
static void test_secrets_are_refused(void **state)
{
	(void)state;
	static const char *const secrets[] = {
		TOKEN,
		"wp_abcdefghjkmnpqrstvwxyz234567abcd",
		"wp_ABCDEFGHI",
		"ｗｐ＿ABCDEFGHJKMNPQRSTVWXYZ234567ABCD",
		"wp\xe2\x80\x8b_ABCDEFGHJKMNPQRS\xe2\x80\x8bTVWXYZ234567ABCD",
		"whsec_0123456789abcdef",
		"sk_live_51Habcdefg",
		"rk_test_51Habcdefg",
		"ek_live_YWNjdF8x",
		"pi_3MtwBw_secret_YrKJUKribcBjcG8HVhfZluoGH",
		"Bearer abcdefgh12345678",
		"bearer 123e4567-e89b-12d3-a456-426614174000",
		"Basic dXNlcjpwYXNz",
		"basic dXNlcjpwYXNzd29yZA==",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
		"-----BEGIN PRIVATE KEY-----",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIB",
		"AKIAIOSFODNN7EXAMPLE",
		"ASIAIOSFODNN7EXAMPLE",
		"ghp_0123456789abcdefghij0123456789abcdef",
		"github_pat_11ABCDEFG0123456789_abc",
		"glpat-0123456789abcdefghij",
		"gho_0123456789abcdefghij0123456789abcdef",
		"hf_0123456789abcdefghijABCDEFGHIJ",
		"xoxb-123456789012-abcdef",
		"xoxs-123456789012-abcdef",
		"sk-proj-0123456789abcdefghij0123456789ab",
		"sk-ant-api03-0123456789abcdefghij012345",
		"AIzaSyA0123456789abcdefghijklmnopqrstuv",
		"npm_0123456789abcdefghij0123456789abcdef",
		"https://user:secret@example.com/x",
		"password=hunter2",
		"password: hunter2!",
		"{\"password\": \"hunter2\"}",
		"Cookie: session=abc123",
		"Authorization: Token abc123def",
		"__Host-watchpost=abcdef0",
		"t=1492774577,v1=c2f890decbc5ede7c5060bb9a6d31e06",
	};
	char text[256];
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
		if (check(secrets[i]) != FREE_TEXT_SECRET)
			fail_msg("let through: %s", secrets[i]);
		(void)snprintf(text, sizeof(text), "I used (%s) for it", secrets[i]);
		if (check(text) != FREE_TEXT_SECRET)
			fail_msg("let through: %s", text);
	}
}

/* Why: a report that is refused in vain is lost. How: sentences about purchases with words that secrets stand behind,
 * and ids of every kind. */
static void test_words_pass(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		"Bought the basic subscription plan",
		"basic membership, bearer instruments, basic transaction-processing",
		"Bearer transaction-processing-fees apply",
		"password: changed.",
		"Password: required",
		"password: n/a",
		"Forgot the password; reset it",
		"authorization: 123456",
		"Authorization: granted by Jane, order 114-3941689-8772232",
		"cookie: chocolate chip",
		"Cookies were refused",
		"prefix wp_ABCDEFGH",
		"wp_posts and wp_usermeta",
		"client_secret_rotation is due",
		"whsec_ and sk_live_ are prefixes",
		"task-force, risk-level, disk-usage",
		"skype: jane, desk-42",
		"https://example.com:8443/a?b=c@d",
		"https://user@example.com/",
		"mail jane@example.com",
		"v1=2, v0=1",
		"see eyJ and AKIA",
		"MSIAKIA0123456789ABCDEF",
		"-----BEGIN PUBLIC KEY-----",
		"-----BEGIN CERTIFICATE-----",
		"dec_01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"123e4567-e89b-12d3-a456-426614174000",
		"Zahlung über 12,50 € für 3 Bücher – danke! 😀",
		"注文番号 114-3941689-8772232 を購入しました",
		"order #1001, 2 × 4.99 = 9.98 USD, due 2026-12-01T10:00:00Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (check(texts[i]) != FREE_TEXT_FINE)
			fail_msg("refused: %s", texts[i]);
}

/* Why: digits of any script are digits. How: one number in other digits, separators and with marks that nobody sees. */
static void test_cards_in_any_digits(void **state)
{
	(void)state;
	static const char *const cards[] = {
		"4242 4242 4242 4242",
		"４２４２ ４２４２ ４２４２ ４２４２",
		"４２４２４２４２４２４２４２４２",
		"٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
		"४२४२ ४२४२ ४२४२ ४२४२",
		"𝟒𝟐𝟒𝟐 𝟒𝟐𝟒𝟐 𝟒𝟐𝟒𝟐 𝟒𝟐𝟒𝟐",
		"④②④②④②④②④②④②④②④②",
		"4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣4️⃣2️⃣",
		"4242\xc2\xa0"
		"4242\xc2\xa0"
		"4242\xc2\xa0"
		"4242",
		"4242–4242—4242−4242",
		"4242·4242•4242⋅4242",
		"4\xe2\x80\x8b"
		"2424\xe2\x81\xa0"
		"24242424242",
	};
	for (size_t i = 0; i < ARRAY_LEN(cards); i++)
		if (check(cards[i]) != FREE_TEXT_CARD)
			fail_msg("let through: %s", cards[i]);
}

/* Why: the check has a bound, and over it nothing is called fine. How: at the bound and one past it. */
static void test_bound(void **state)
{
	(void)state;
	static char text[FREE_TEXT_BYTES_MAX + 1];
	memset(text, 'a', sizeof(text));
	assert_int_equal(free_text_check(bytes_make(text, FREE_TEXT_BYTES_MAX)), FREE_TEXT_FINE);
	assert_int_equal(free_text_check(bytes_make(text, FREE_TEXT_BYTES_MAX + 1)), FREE_TEXT_TOO_LONG);
	memcpy(text + FREE_TEXT_BYTES_MAX - 16, "4242424242424242", 16);
	assert_int_equal(free_text_check(bytes_make(text, FREE_TEXT_BYTES_MAX)), FREE_TEXT_CARD);
}

/* --- how often in vain ----------------------------------------------------------------------------- */

static uint64_t seed;

static unsigned below(unsigned bound)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((seed >> 33) % bound);
}

/* Writes a text of this form: '#' a digit, 'x' a hexadecimal one, 'U' one of Crockford's base32, the rest as it is. */
static void make(const char *form, char *out)
{
	for (; *form != '\0'; form++) {
		char c = *form;
		if (c == '#')
			c = (char)('0' + below(10));
		else if (c == 'x')
			c = "0123456789abcdef"[below(16)];
		else if (c == 'U')
			c = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[below(32)];
		*out++ = c;
	}
	*out = '\0';
}

/* The last digit becomes EAN-13's check digit. */
static void make_barcode(char *text)
{
	unsigned sum = 0;
	for (size_t i = 0; i < 12; i++)
		sum += (unsigned)(text[i] - '0') * (i % 2 == 0 ? 1 : 3);
	text[12] = (char)('0' + (10 - sum % 10) % 10);
}

/* Why: the rule about false alarms is measured, not hoped for. How: 100,000 random texts of each form, whose random
 * digits begin in every way; of each at most as many of a million are refused as the table says. Last come numbers that
 * are a card's but for luck: sixteen digits in a row. */
static void test_false_alarms(void **state)
{
	(void)state;
	enum { ROUNDS = 100000 };
	static const struct {
		const char *name, *form;
		unsigned per_million_max;
	} forms[] = {
		{"a shop's order 3-7-7", "order ###-#######-#######", 0},
		{"a ULID", "01UUUUUUUUUUUUUUUUUUUUUUUU", 20},
		{"a UUID", "xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx", 100},
		{"a SHA-256", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 1000},
		{"milliseconds", "17###########", 0},
		{"microseconds", "17##############", 0},
		{"nanoseconds", "17#################", 0},
		{"a date and time", "2026-11-27 18:##:##.######", 0},
		{"a telephone number", "+## ### #######", 0},
		{"a German one", "+4###########", 0},
		{"two numbers", "0### ####### / 0### #######", 0},
		{"a parcel", "94## #### #### #### #### ##", 0},
		{"an invoice", "INV-2026-######", 0},
		{"a play order", "GPA.####-####-####-#####", 0},
		{"prices", "##.##, 1##.## and 1,2##.00", 0},
		{"a barcode", "4############", 0},
		{"sixteen digits", "################", 40000},
	};
	char text[256];
	for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
		unsigned refused = 0;
		seed = f + 1;
		for (int i = 0; i < ROUNDS; i++) {
			make(forms[f].form, text);
			if (strcmp(forms[f].name, "a barcode") == 0)
				make_barcode(text);
			refused += check(text) != FREE_TEXT_FINE;
		}
		unsigned per_million = refused * (1000000u / ROUNDS);
		print_message("%s: %u of a million refused\n", forms[f].name, per_million);
		if (per_million > forms[f].per_million_max)
			fail_msg("%s: over %u", forms[f].name, forms[f].per_million_max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secrets_are_refused), cmocka_unit_test(test_words_pass),
		cmocka_unit_test(test_cards_in_any_digits), cmocka_unit_test(test_bound),
		cmocka_unit_test(test_false_alarms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
