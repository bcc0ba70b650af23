/* common/json_write.c: texts that are always JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/compiler.h"
#include "common/json_scan.h"
#include "common/json_write.h"

/* Why: names are people's texts and stand in answers. How: each kind of character, and every byte alone: the result is
 * one JSON string whose content, read back, is the text. */
static void test_texts(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"", "\"\""},
		{"Jane's agent", "\"Jane's agent\""},
		{"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
		{"\n\t\x1f\x7f", "\"\\u000a\\u0009\\u001f\\u007f\""},
		{"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\""},
		{"a\xff\xc3", "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	struct buf out;
	buf_init(&out, 256);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&out);
		assert_true(json_write_text(&out, bytes_of(cases[i][0])));
		assert_true(bytes_equal_text(buf_bytes(&out), cases[i][1]));
	}
	for (unsigned byte = 0; byte < 256; byte++) {
		struct json_scan scan;
		char read[8];
		size_t len = 0;
		uint8_t one = (uint8_t)byte;
		buf_clear(&out);
		assert_true(json_write_text(&out, bytes_make(&one, 1)));
		json_scan_init(&scan, buf_bytes(&out));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_STRING);
		assert_true(json_scan_text(&scan, read, sizeof(read), &len));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_END);
		if (byte < 0x80)
			assert_true(len == 1 && (uint8_t)read[0] == byte);
	}
	buf_free(&out);
}

/* Why: what does not fit is left out whole. How: every bound that is too small. */
static void test_bound(void **state)
{
	(void)state;
	for (size_t bound = 1; bound < 15; bound++) {
		struct buf out;
		buf_init(&out, bound);
		assert_true(buf_append_byte(&out, '['));
		assert_int_equal(json_write_text(&out, bytes_of("a\"b\n")), bound >= 13);
		if (bound < 13)
			assert_int_equal(out.len, 1);
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
