#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/log_line.h"

#define HEAD "time=2017-04-21T11:36:17.000Z level=info program=watchpost-test event=tried"

static char out[LOG_SCRATCH_BYTES + 1];

/* The line with these fields, NUL-terminated, its newline checked and taken away. */
static const char *format(const struct log_field *fields, size_t count)
{
	struct log_line line = {.wall_ms = 1492774577000,
				.level = LOG_LEVEL_INFO,
				.program = "watchpost-test",
				.event = "tried",
				.fields = fields,
				.count = count};
	size_t len = log_line_format(&line, out);

	assert_true(len >= 1 && len <= LOG_LINE_BYTES_MAX);
	assert_int_equal(out[len - 1], '\n');
	assert_null(memchr(out, '\n', len - 1));
	out[len - 1] = '\0';
	return out;
}

/* Why: scripts split lines at blanks and '='. How: each kind of field in its plain form. */
static void writes_plain_fields(void **unused)
{
	const struct log_field fields[] = {
		F_TEXT("id", "req_1"),     F_BYTES("part", bytes_make("abcdef", 3)),
		F_I64("low", INT64_MIN),   F_I64("minus", -1),
		F_U64("high", UINT64_MAX), F_U64("zero", 0),
		F_BOOL("yes", true),       F_BOOL("no", false),
	};

	(void)unused;
	assert_string_equal(format(fields, ARRAY_LEN(fields)),
			    HEAD " id=req_1 part=abc low=-9223372036854775808 minus=-1 high=18446744073709551615"
				 " zero=0 yes=true no=false");
	assert_string_equal(format(NULL, 0), HEAD);
}

/* Why: nothing unquoted gets in: a client's text must not make a line or a field of its own. How:
 * every byte that has a meaning, an empty and a missing text. */
static void quotes_what_has_a_meaning(void **unused)
{
	static const struct {
		const char *value;
		const char *written;
	} cases[] = {
		{"two words", "\"two words\""},
		{"a=b", "\"a=b\""},
		{"say \"hi\"", "\"say \\\"hi\\\"\""},
		{"back\\slash", "\"back\\\\slash\""},
		{"x\nlevel=error\r\t", "\"x\\nlevel=error\\r\\t\""},
		{"\x1b[31m\x7f", "\"\\x1b[31m\\x7f\""},
		{"\xc3\xa9", "\"\\xc3\\xa9\""},
		{"", "\"\""},
		{NULL, "\"\""},
	};
	char expected[256];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct log_field field = F_TEXT("v", cases[i].value);

		(void)snprintf(expected, sizeof(expected), "%s v=%s", HEAD, cases[i].written);
		assert_string_equal(format(&field, 1), expected);
	}
}

/* Why: "filtered before write". How: secrets as values never reach the line. */
static void is_filtered(void **unused)
{
	const struct log_field fields[] = {
		F_TEXT("a", "wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"),
		F_TEXT("b", "Cookie: session=1234567890"),
		F_U64("c", 4242424242424242),
		F_TEXT("d", "kept"),
	};

	(void)unused;
	assert_string_equal(format(fields, ARRAY_LEN(fields)),
			    HEAD " a=[redacted] b=\"Cookie: [redacted]\" c=[redacted] d=kept");
}

/* Why: a line is one atomic write of at most LOG_LINE_BYTES_MAX. How: values around the bound, plain
 * and quoted; a cut line says so, its quotes are closed and no escape is torn. */
static void cuts_at_the_bound(void **unused)
{
	static char value[3 * LOG_LINE_BYTES_MAX];

	(void)unused;
	for (int quoted = 0; quoted < 2; quoted++) {
		for (size_t len = LOG_LINE_BYTES_MAX - 200; len < LOG_LINE_BYTES_MAX + 200; len++) {
			struct log_field fields[] = {F_BYTES("v", bytes_make(value, len)), F_TEXT("last", "one")};
			const char *text;

			memset(value, quoted ? '\n' : 'x', sizeof(value));
			if (quoted)
				fields[0].value.bytes.len /= 2;
			text = format(fields, 2);
			if (strlen(text) == strlen(HEAD " v= last=one") + len + (quoted ? 2 - len % 2 : 0)) {
				assert_non_null(strstr(text, " last=one"));
				continue;
			}
			assert_string_equal(text + strlen(text) - 9, " cut=true");
			if (quoted)
				assert_non_null(strstr(text, "\\n\" cut=true"));
		}
	}
}

/* Why: the filter must not miss a secret because its end did not fit. How: a token, a card number and a
 * key at every distance around the cut; no more of them shows than the filter lets through anyway. */
static void leaves_nothing_of_a_secret_across_the_cut(void **unused)
{
	static const struct {
		const char *secret;
		const char *may_not_show;
	} cases[] = {
		{"wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD", "wp_ABCDEFGHJ"},
		{"4242-4242-4242-4242", "4242-4242"},
		{"4242424242424242", "42424242"},
		{"Bearer abcdefghijklmnopqrstuvwxyz", "abcdefghi"},
		{"whsec_abcdefghijklmnopqrstuvwxyz", "whsec_abcde"},
	};
	static char value[LOG_LINE_BYTES_MAX + 400];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t at = LOG_LINE_BYTES_MAX - 400; at < LOG_LINE_BYTES_MAX + 300; at++) {
			struct log_field field = F_BYTES("v", bytes_make(value, sizeof(value)));

			memset(value, ' ', sizeof(value));
			memcpy(value + at, cases[i].secret, strlen(cases[i].secret));
			assert_null(strstr(format(&field, 1), cases[i].may_not_show));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_plain_fields),
		cmocka_unit_test(quotes_what_has_a_meaning),
		cmocka_unit_test(is_filtered),
		cmocka_unit_test(cuts_at_the_bound),
		cmocka_unit_test(leaves_nothing_of_a_secret_across_the_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
