#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/compiler.h"
#include "common/redact.h"

#define TOKEN "wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"

/* The text as the filter leaves it, in a buffer that the next call overwrites. */
static const char *redacted(const char *text)
{
	static char out[8192];
	size_t len = strlen(text);

	assert_true(len < sizeof(out));
	memcpy(out, text, len + 1);
	out[redact_text(out, len)] = '\0';
	return out;
}

struct change {
	const char *text;
	const char *expected;
};

static void check_changes(const struct change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_string_equal(redacted(changes[i].text), changes[i].expected);
}

/* Why: promise 4: keys and tokens stop at the door, whatever stands around them. How: each shape at
 * the start, in the middle, at the end, glued to text, in other case. */
static void takes_keys_and_tokens(void **unused)
{
	static const struct change changes[] = {
		{TOKEN, "[redacted]"},
		{"token=" TOKEN " ok", "token=[redacted] ok"},
		{"x" TOKEN "\"", "x[redacted]\""},
		{"wp_abcdefghjkmnpqrstvwxyz234567abcd", "[redacted]"},
		{"WP_ABCDEFGHI", "[redacted]"},
		{TOKEN "," TOKEN, "[redacted],[redacted]"},
		{"prefix=wp_ABCDEFGH", "prefix=wp_ABCDEFGH"}, /* what a list may show */
		{"secret whsec_0123456789abcdef!", "secret [redacted]!"},
		{"whsec_test_secret", "[redacted]"},
		{"key sk_live_51Habc and rk_test_xyz9", "key [redacted] and [redacted]"},
		{"sk_test_51Habc", "[redacted]"},
		{"rk_live_51Habc", "[redacted]"},
		{"risk_level=3 task_tests=4", "risk_level=3 task_tests=4"},
		{"a secret begins with whsec_", "a secret begins with whsec_"},
	};

	(void)unused;
	check_changes(changes, ARRAY_LEN(changes));
}

/* Why: the security page names authorization headers and cookies. How: as headers, as fields, as JSON
 * inside a quoted field, with escaped line ends. */
static void takes_headers(void **unused)
{
	static const struct change changes[] = {
		{"Authorization: Bearer abcdefgh12345", "Authorization: [redacted]"},
		{"got Bearer abcdefgh12345 again", "got Bearer [redacted] again"},
		{"got Basic dXNlcjpwYXNz now", "got Basic [redacted] now"},
		{"basic  dXNlcjpwYXNz", "basic  [redacted]"},
		{"Basic auth failed", "Basic auth failed"},
		{"Cookie: a=b; c=d", "Cookie: ********"},
		{"Set-Cookie: __Host-watchpost=abcdef; Secure", "Set-Cookie: [redacted]"},
		{"error=\"Cookie: a=\\\"b\\\"; c=d\" status=400", "error=\"Cookie: [redacted]\" status=400"},
		{"head=\"Cookie: abc=defghijk\\r\\nHost: x\" n=1", "head=\"Cookie: [redacted]\\r\\nHost: x\" n=1"},
		{"cookie=\"a b\" n=1", "cookie=\"***\" n=1"},
		{"json=\"{\\\"authorization\\\":\\\"Token abcdefg\\\",\\\"n\\\":1}\"",
		 "json=\"{\\\"authorization\\\":\\\"[redacted]\\\",\\\"n\\\":1}\""},
		{"__Host-watchpost=abc; x=y", "__Host-watchpost=***; x=y"},
		{"host=db password=hunter2 user=x", "host=db password=******* user=x"},
		{"cookie=", "cookie="},
	};

	(void)unused;
	check_changes(changes, ARRAY_LEN(changes));
}

/* Why: a signature over a known body is a replay within the tolerance. How: the header, and its value alone. */
static void takes_stripe_signatures(void **unused)
{
	static const struct change changes[] = {
		{"Stripe-Signature: t=1492774577,v1=c2f890decbc5ede7,v0=6ffbb59b2300aae6 next",
		 "Stripe-Signature: [redacted] next"},
		{"t=1492774577,v1=c2f890decbc5ede7c5060bb9a6d31e06,v0=6ffbb59b2300aae6",
		 "t=1492774577,v1=[redacted],v0=[redacted]"},
		{"v1=potato", "v1=potato"},
	};

	(void)unused;
	check_changes(changes, ARRAY_LEN(changes));
}

/* Why: a key file read by mistake. How: with real and escaped line ends, cut, and a public key, which stays. */
static void takes_private_keys(void **unused)
{
	static const struct change changes[] = {
		{"a -----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY----- b",
		 "a [redacted]-----END PRIVATE KEY----- b"},
		{"k=\"-----BEGIN RSA PRIVATE KEY-----\\nMC4CAQAw\" n=1", "k=\"[redacted]\" n=1"},
		{"j=\"{\\\"k\\\":\\\"-----BEGIN PRIVATE KEY-----\\\\nMC4C\\\"}\" n=1",
		 "j=\"{\\\"k\\\":\\\"[redacted]\\\"}\" n=1"},
		{"------BEGIN ENCRYPTED PRIVATE KEY-----\nMC4", "-[redacted]"},
		{"-----BEGIN PUBLIC KEY-----\nMCow", "-----BEGIN PUBLIC KEY-----\nMCow"},
	};

	(void)unused;
	check_changes(changes, ARRAY_LEN(changes));
}

/* Why: no card data, ever. How: test numbers of each network, grouped as people write them. */
static void takes_card_numbers(void **unused)
{
	static const char *const cards[] = {
		"4242424242424242",  "4000056655665556",     "4222222222222",       "5555555555554444",
		"2223003122003222",  "5200828282828210",     "378282246310005",     "371449635398431",
		"6011111111111117",  "3056930009020004",     "36227206271667",      "3566002020360505",
		"6200000000000005",  "6205500000000000004",  "4242 4242 4242 4242", "4242-4242-4242-4242",
		"3782 822463 10005", "4 2424 2424 2424 242",
	};
	char text[128], expected[128];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cards); i++) {
		assert_string_equal(redacted(cards[i]), "[redacted]");
		(void)snprintf(text, sizeof(text), "text=\"card %s, 12 %s\"", cards[i], cards[i]);
		(void)snprintf(expected, sizeof(expected), "text=\"card [redacted], 12 [redacted]\"");
		assert_string_equal(redacted(text), expected);
	}
}

/* Why: control bytes and what is not ASCII stand in a line as \xNN, whose digits touch a number behind them. How:
 * escapes with two, one and no digit; the no-break space that copied numbers begin with. */
static void finds_card_numbers_behind_escapes(void **unused)
{
	static const struct change changes[] = {
		{"v=\"\\x014242424242424242\"", "v=\"\\x01[redacted]\""},
		{"v=\"\\xc2\\xa04242424242424242\"", "v=\"\\xc2\\xa0[redacted]\""},
		{"v=\"\\x0f4242 4242 4242 4242\"", "v=\"\\x0f[redacted]\""},
		{"v=\"\\n4242424242424242\"", "v=\"\\n[redacted]\""},
	};

	(void)unused;
	check_changes(changes, ARRAY_LEN(changes));
}

/* Why: a fuzzer found it: the 'r' of a line end was taken for that of rk_test_, and the line went on. How: that
 * text twice. */
static void an_escape_stays_whole(void **unused)
{
	static const char text[] = "\"Cookie: abcdefghijk\\rk_test_abcdef\"";
	char once[sizeof(text)];

	(void)unused;
	(void)snprintf(once, sizeof(once), "%s", redacted(text));
	assert_string_equal(once, "\"Cookie: [redacted]\\r[redacted]\"");
	assert_string_equal(redacted(once), once);
}

/* Why: a fuzzer found it: a token between BEGIN and PRIVATE KEY, once shortened, made a label of what was
 * none before. How: that text twice. */
static void a_mark_is_no_part_of_a_label(void **unused)
{
	static const char text[] = "-----BEGIN PRIVoken=" TOKEN " PRIVATE KEY-----";
	char once[sizeof(text)];

	(void)unused;
	(void)snprintf(once, sizeof(once), "%s", redacted(text));
	assert_string_equal(redacted(once), once);
}

/* Why: a log whose numbers are gone is of no use. How: what lines really hold: stamps, ids, counts,
 * and digits that are nearly a card's. */
static void leaves_ordinary_text_alone(void **unused)
{
	static const char *const texts[] = {
		"",
		"time=2026-11-23T15:37:00.123Z level=info program=watchpost-ingress event=started port=8443",
		"id=req_01JDC5Z8Q7V9X2M4N6P8R0S2T4 event_id=evt_1NG8Du2eZvKYlo2CUI79vXWy customer=cus_NffrFeUfNV2Hib",
		"at_ms=1763912220123 at_ns=1763912220123456789 offset=18446744073709551615",
		"n=4242424242424241",     /* not Luhn */
		"n=42424242424242424242", /* 20 digits */
		"n=62055000000000000041", /* a card's 19 digits and one more */
		"n=1234567812345670",     /* Luhn, no network */
		"from 2026-11-23 15:37 to 2026-11-24 16:00",
		"peer=203.0.113.17:40022 path=/webhooks/stripe",
		"sha=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_string_equal(redacted(texts[i]), texts[i]);
}

/* Why: the pass over one line must not undo or extend another's, and a shortened text must not form a
 * new secret. How: pieces of secrets glued together in all pairs and triples; the result is never
 * longer, and a second pass changes nothing. */
static void is_a_fixed_point(void **unused)
{
	static const char *const pieces[] = {
		TOKEN,
		"wp_",
		"whsec_abcd",
		"sk_live_",
		"Bearer ",
		"Basic ",
		"Cookie:",
		"cookie=\"",
		"\\\"",
		"\"",
		"\\",
		"4242 4242 ",
		"4242",
		"42-42",
		" ",
		"v1=",
		"0123456789abcdef",
		"\\n",
		"\n",
		"-----BEGIN PRIVATE KEY",
		"-----END ",
		"-",
		"password=",
		":",
		";",
		"x",
	};
	char text[256], once[256];

	(void)unused;
	for (size_t a = 0; a < ARRAY_LEN(pieces); a++) {
		for (size_t b = 0; b < ARRAY_LEN(pieces); b++) {
			for (size_t c = 0; c < ARRAY_LEN(pieces); c++) {
				(void)snprintf(text, sizeof(text), "%s%s%s%s", pieces[a], pieces[b], pieces[c],
					       pieces[a]);
				(void)snprintf(once, sizeof(once), "%s", redacted(text));
				assert_true(strlen(once) <= strlen(text));
				assert_string_equal(redacted(once), once);
			}
		}
	}
}

/* Why: the filter looks at one card-sized stretch in thirteen bytes. How: a card and a token at every
 * offset of a long line are found. */
static void finds_secrets_at_every_offset(void **unused)
{
	char text[600];

	(void)unused;
	for (size_t at = 0; at < 500; at++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + at, "4222222222222", 13);
		assert_int_equal(redact_text(text, sizeof(text)), sizeof(text) - 3);
		memset(text, ' ', sizeof(text));
		memcpy(text + at, TOKEN, sizeof(TOKEN) - 1);
		assert_int_equal(redact_text(text, sizeof(text)), sizeof(text) - (sizeof(TOKEN) - 1) + 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_keys_and_tokens),
		cmocka_unit_test(takes_headers),
		cmocka_unit_test(takes_stripe_signatures),
		cmocka_unit_test(takes_private_keys),
		cmocka_unit_test(takes_card_numbers),
		cmocka_unit_test(leaves_ordinary_text_alone),
		cmocka_unit_test(is_a_fixed_point),
		cmocka_unit_test(a_mark_is_no_part_of_a_label),
		cmocka_unit_test(an_escape_stays_whole),
		cmocka_unit_test(finds_card_numbers_behind_escapes),
		cmocka_unit_test(finds_secrets_at_every_offset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
