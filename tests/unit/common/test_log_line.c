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

/* Why: a line is one atomic write of at most LOG_LINE_BYTES_MAX. How: values of every length around the
 * bound; what fits comes whole, what does not is cut and says so. */
static void cuts_at_the_bound(void **unused)
{
	static char value[2 * LOG_LINE_BYTES_MAX];
	bool cut_seen = false;

	(void)unused;
	memset(value, 'x', sizeof(value));
	for (size_t len = LOG_LINE_BYTES_MAX - 200; len < sizeof(value); len++) {
		const struct log_field fields[] = {F_BYTES("v", bytes_make(value, len)), F_TEXT("last", "one")};
		size_t whole = strlen(HEAD " v= last=one\n") + len;
		const char *text = format(fields, 2);

		if (whole <= LOG_LINE_BYTES_MAX) {
			assert_int_equal(strlen(text) + 1, whole);
			continue;
		}
		assert_string_equal(text + strlen(text) - strlen("x cut=true"), "x cut=true");
		assert_true(strlen(text) > LOG_LINE_BYTES_MAX / 2);
		cut_seen = true;
	}
	assert_true(cut_seen);
}

/* Why: a cut line must parse like any other. How: escapes of two and four bytes, shifted by each number of
 * bytes: the quotes are closed and no escape is torn. */
static void tears_no_escape(void **unused)
{
	static const struct {
		char byte;
		const char *escape;
	} cases[] = {{'\n', "\\n"}, {'"', "\\\""}, {'\\', "\\\\"}, {'\x01', "\\x01"}};
	static char value[LOG_LINE_BYTES_MAX];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t shift = 0; shift < 5; shift++) {
			struct log_field field = F_BYTES("v", bytes_make(value, sizeof(value)));
			size_t step = strlen(cases[i].escape);
			const char *at, *end;

			memset(value, cases[i].byte, sizeof(value));
			memset(value, 'x', shift);
			at = format(&field, 1) + strlen(HEAD " v=\"") + shift;
			end = out + strlen(out) - strlen("\" cut=true");
			assert_string_equal(end, "\" cut=true");
			assert_int_equal((size_t)(end - at) % step, 0);
			for (; at < end; at += step)
				assert_memory_equal(at, cases[i].escape, step);
		}
	}
}

/* Why: the filter must not miss a secret because its end did not fit. How: secrets at every distance
 * around the cut, behind a long secret whose mark is shorter, so that the text moves up; no more of
 * them shows than the filter lets through anyway. */
static void leaves_nothing_of_a_secret_across_the_cut(void **unused)
{
	static const struct {
		const char *secret;
		const char *may_not_show;
	} cases[] = {
		{"wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD", "wp_A"},
		{"4242-4242-4242-4242", "4242-4242"},
		{"4242424242424242", "42424242"},
		{"Bearer abcdefghijklmnopqrstuvwxyz", "abcd"},
		{"whsec_abcdefghijklmnopqrstuvwxyz", "whsec_ab"},
	};
	static char value[LOG_LINE_BYTES_MAX + 400];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t at = LOG_LINE_BYTES_MAX - 400; at < LOG_LINE_BYTES_MAX + 300; at++) {
			struct log_field field = F_BYTES("v", bytes_make(value, sizeof(value)));

			memset(value, ' ', sizeof(value));
			memset(value, 'k', 400);
			memcpy(value, "whsec_", 6);
			memcpy(value + at, cases[i].secret, strlen(cases[i].secret));
			assert_null(strstr(format(&field, 1), cases[i].may_not_show));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_plain_fields), cmocka_unit_test(quotes_what_has_a_meaning),
		cmocka_unit_test(is_filtered),         cmocka_unit_test(cuts_at_the_bound),
		cmocka_unit_test(tears_no_escape),     cmocka_unit_test(leaves_nothing_of_a_secret_across_the_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
