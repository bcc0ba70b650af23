/* common/json_scan.c: what RFC 8259 allows is taken, everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json_scan.h"

/* A text with its length, so that NUL bytes can stand in it. */
#define T(literal)                                                                                                     \
	{                                                                                                              \
		(const uint8_t *)(literal), sizeof(literal) - 1                                                        \
	}

/* Scans token by token and, from a copy that ends where the text ends, by skipping; both must agree. */
static bool accepts(struct bytes text)
{
	uint8_t *copy = malloc(text.len > 0 ? text.len : 1);
	assert_non_null(copy);
	if (text.len > 0)
		memcpy(copy, text.data, text.len);

	struct json_scan scan;
	json_scan_init(&scan, bytes_make(copy, text.len));
	enum json_token token;
	do
		token = json_scan_next(&scan);
	while (token != JSON_SCAN_END && token != JSON_SCAN_ERROR);
	assert_int_equal(json_scan_next(&scan), token);
	size_t offset;
	assert_true((json_scan_error(&scan, &offset) == NULL) == (token == JSON_SCAN_END));
	assert_true(offset <= text.len);

	json_scan_init(&scan, bytes_make(copy, text.len));
	bool skipped = json_scan_skip(&scan) && json_scan_next(&scan) == JSON_SCAN_END;
	assert_true(skipped == (token == JSON_SCAN_END));
	free(copy);
	return token == JSON_SCAN_END;
}

static const struct bytes good[] = {
	T("null"),
	T("true"),
	T("false"),
	T("0"),
	T("-0"),
	T("-0.0"),
	T("123456789"),
	T("1.5"),
	T("1E5"),
	T("1e+5"),
	T("1e-05"),
	T("0e0"),
	T("1.000000000000000000000000000000000000000000000001"),
	T("123456789012345678901234567890"),
	T("-1e99999"),
	T("\"\""),
	T("\" \""),
	T("\"\x7f\""),
	T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	T("\"\\u0000\""),
	T("\"\\u00e9\\uABCD\\uabcd\""),
	T("\"\\uD83D\\uDE00\""),
	T("\"\\uDBFF\\uDFFF\""),
	T("\"\\uFFFF\\uFFFE\""),
	T("\"\xC2\x80\xDF\xBF\""),
	T("\"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""),
	T("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""),
	T("\"fifteen plain ch\""),
	T("\"sixteen plain cha\""),
	T("\"more than sixteen plain characters and then \xC3\xA9 and sixteen more plain ones\""),
	T("\"http:\\/\\/example.test\\/with\\/every\\/slash\\/escaped\""),
	T("[]"),
	T("[ ]"),
	T("[[]   ]"),
	T("[1]"),
	T("[1,2]"),
	T("[1 , 2\t,\r\n3]"),
	T("[null,true,false,0,\"\",[],{}]"),
	T("{}"),
	T("{ }"),
	T("{\"a\":1}"),
	T("{\"\":0}"),
	T("{\"a\":{\"b\":{\"c\":[{}]}}}"),
	T("{\"a\":1,\"a\":2}"),
	T("{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}"),
	T("{\n    \"a\": 1,\n    \"b\": 2\n}\n"),
	T(" \t\r\n[1] \t\r\n"),
	T("                                        1                                        "),
};

/* Why: the webhook may not refuse what Stripe may send. How: texts that RFC 8259 allows, each by itself. */
static void test_accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!accepts(good[i]))
			fail_msg("refused: %.*s", (int)good[i].len, (const char *)good[i].data);
	}
}

static const struct bytes bad[] = {
	T(""),
	T(" "),
	T("\n\n"),
	T("\xEF\xBB\xBF{}"),
	T("nul"),
	T("nulll"),
	T("True"),
	T("NaN"),
	T("Infinity"),
	T("-"),
	T("+1"),
	T("--1"),
	T("01"),
	T("-01"),
	T("00"),
	T("1."),
	T(".5"),
	T("1.e5"),
	T("1e"),
	T("1e+"),
	T("1e5.5"),
	T("0x10"),
	T("1_000"),
	T("1 2"),
	T("1a"),
	T("\""),
	T("\"abc"),
	T("\"\\"),
	T("\"\\\""),
	T("\"\\x41\""),
	T("\"\\U0041\""),
	T("\"\\a\""),
	T("\"\\\0\""),
	T("\"\\u\""),
	T("\"\\u00\""),
	T("\"\\u00g0\""),
	T("\"\\u 041\""),
	T("\"\\uD83D\""),
	T("\"\\uDE00\""),
	T("\"\\uD83D\\u0041\""),
	T("\"\\uD83Dx\\uDE00\""),
	T("\"\\uD83D\\uD83D\""),
	T("\"\\uD83D\\uDE0\""),
	T("\"\\uD83D\\"),
	T("\"\n\""),
	T("\"\t\""),
	T("\"\0\""),
	T("\"\x1f\""),
	T("\"sixteen plain cha\x1f\""),
	T("\"a\x1f and more than sixteen bytes behind it\""),
	T("\"a\x80 and more than sixteen bytes behind it\""),
	T("\"\x80\""),
	T("\"\xC0\x80\""),
	T("\"\xC1\xBF\""),
	T("\"\xC3\""),
	T("\"\xC3"),
	T("\"\xE0\x9F\xBF\""),
	T("\"\xED\xA0\x80\""),
	T("\"\xED\xB0\x80\""),
	T("\"\xE2\x82\""),
	T("\"\xF0\x8F\xBF\xBF\""),
	T("\"\xF4\x90\x80\x80\""),
	T("\"\xF5\x80\x80\x80\""),
	T("\"\xF0\x9F\x98\""),
	T("\"\xFF\""),
	T("'a'"),
	T("["),
	T("]"),
	T("[1"),
	T("[1,"),
	T("[1,]"),
	T("[,1]"),
	T("[1,,2]"),
	T("[1 2]"),
	T("[1:2]"),
	T("[1}"),
	T("[\"a\":1]"),
	T("[1]]"),
	T("[1],"),
	T("[\v1]"),
	T("[\f]"),
	T("[1\xC2\xA0]"),
	T("[\xE2\x80\x83 1]"),
	T("{"),
	T("}"),
	T("{\"a\""),
	T("{\"a\":"),
	T("{\"a\":}"),
	T("{\"a\":1"),
	T("{\"a\":1,"),
	T("{\"a\":1,}"),
	T("{,\"a\":1}"),
	T("{\"a\" 1}"),
	T("{\"a\",1}"),
	T("{\"a\":1 \"b\":2}"),
	T("{\"a\":1;\"b\":2}"),
	T("{\"a\"::1}"),
	T("{\"a\":1]"),
	T("{a:1}"),
	T("{1:1}"),
	T("{null:1}"),
	T("{'a':1}"),
	T("{\"a\":1}{}"),
	T("{\"a\":1}#"),
	T("{\"a\":1}\0"),
	T("{} \0"),
	T("{\n  \0\"a\": 1}"),
	T("{\n\0 \"a\": 1, \"bbbbbbbbbbbbbbbbbbbbb\": 2}"),
	T("/* */1"),
	T("1//"),
	T("[1,\n1\n,1"),
	T("\xFF"),
	T("\0"),
};

/* Why: a body that is not JSON is answered 400 and never half believed (W5). How: texts that RFC 8259 does not allow,
 * among them every class of bad UTF-8, lone surrogates, and bytes that look like white space. */
static void test_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (accepts(bad[i]))
			fail_msg("accepted number %zu: %.*s", i, (int)bad[i].len, (const char *)bad[i].data);
	}
}

/* Why: a text that was cut anywhere is not JSON, and nothing behind its end may be read (the sanitizers watch). How:
 * every proper prefix of an event in both forms. */
static void test_refuses_every_prefix(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{\n  \"id\": \"evt_1\",\n  \"data\": {\n    \"object\": {\n      \"status\": \"active\",\n"
		"      \"amount\": -12.5e3,\n      \"flags\": [\n        true,\n        null\n      ]\n    }\n  }\n}",
		"{\"id\":\"evt_\\u00e9\\uD83D\\uDE00\xC3\xA9\",\"list\":[1,2.5,{\"a\":[[]]},false,\"\"]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_true(accepts(bytes_of(texts[i])));
		for (size_t len = 0; len < strlen(texts[i]); len++)
			assert_false(accepts(bytes_make(texts[i], len)));
	}
}

/* Why: the white space that space_end guesses is only a guess. How: all mixes of indentations 0 to 40 with a stray byte
 * in each place of the run. */
static void test_white_space_in_any_length(void **state)
{
	(void)state;
	char text[256];
	for (int indent = 0; indent <= 40; indent++) {
		int len = snprintf(text, sizeof(text), "{\n%*s\"key\": [\n%*s1,\n%*s2]\n%*s}", indent, "",
				   2 * indent % 41, "", indent, "", indent, "");
		assert_true(len > 0 && (size_t)len < sizeof(text));
		assert_true(accepts(bytes_make(text, (size_t)len)));
		for (int stray = 2; stray < 2 + indent; stray++) {
			text[stray] = '\0';
			assert_false(accepts(bytes_make(text, (size_t)len)));
			text[stray] = '\t';
			assert_true(accepts(bytes_make(text, (size_t)len)));
			text[stray] = ' ';
		}
	}
}

/* Why: nesting is bounded (JSON_DEPTH_MAX), or a small body could ask for endless state. How: the bound itself is
 * taken, one level more is refused, with objects, arrays and both mixed. */
static void test_depth(void **state)
{
	(void)state;
	char text[16 * (JSON_DEPTH_MAX + 1)];
	for (unsigned mix = 0; mix < 3; mix++) {
		for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
			size_t len = 0;
			for (size_t i = 0; i < depth; i++) {
				bool object = mix == 0 || (mix == 2 && i % 2 == 0);
				const char *open = !object ? "[" : i + 1 < depth ? "{\"k\":" : "{";
				memcpy(text + len, open, strlen(open));
				len += strlen(open);
			}
			for (size_t i = depth; i-- > 0;)
				text[len++] = mix == 0 || (mix == 2 && i % 2 == 0) ? '}' : ']';
			assert_true(accepts(bytes_make(text, len)) == (depth <= JSON_DEPTH_MAX));
		}
	}
}

/* Why: callers act on the order and content of tokens. How: one text with every kind, token by token. */
static void test_tokens(void **state)
{
	(void)state;
	static const struct {
		enum json_token token;
		const char *raw;
	} want[] = {
		{JSON_SCAN_OBJECT_OPEN, NULL}, {JSON_SCAN_KEY, "a"},          {JSON_SCAN_ARRAY_OPEN, NULL},
		{JSON_SCAN_NUMBER, "-1.5e3"},  {JSON_SCAN_STRING, "x\\ny"},   {JSON_SCAN_TRUE, NULL},
		{JSON_SCAN_ARRAY_CLOSE, NULL}, {JSON_SCAN_KEY, ""},           {JSON_SCAN_NULL, NULL},
		{JSON_SCAN_KEY, "b"},          {JSON_SCAN_OBJECT_OPEN, NULL}, {JSON_SCAN_OBJECT_CLOSE, NULL},
		{JSON_SCAN_KEY, "c"},          {JSON_SCAN_FALSE, NULL},       {JSON_SCAN_OBJECT_CLOSE, NULL},
		{JSON_SCAN_END, NULL},         {JSON_SCAN_END, NULL},
	};
	struct json_scan scan;
	json_scan_init(&scan, bytes_of("{\"a\":[-1.5e3,\"x\\ny\",true],\"\":null,\"b\":{},\"c\":false}"));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(json_scan_next(&scan), want[i].token);
		if (want[i].raw != NULL)
			assert_true(bytes_equal_text(scan.raw, want[i].raw));
	}
}

/* Why: a skipped value must leave the scan exactly behind it (the allow list skips nearly everything, W6). How: each
 * kind of value is skipped, and the key after it is found. */
static void test_skip(void **state)
{
	(void)state;
	static const char *const values[] = {
		"1", "\"s\"", "null", "[]", "{}", "[[1,{\"x\":2}],3]", "{\"x\":[{}],\"y\":0}"};
	char text[64];
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		int len = snprintf(text, sizeof(text), "{\"skip\": %s , \"found\":7}", values[i]);
		assert_true(len > 0 && (size_t)len < sizeof(text));
		struct json_scan scan;
		json_scan_init(&scan, bytes_of(text));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_OBJECT_OPEN);
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_KEY);
		assert_true(json_scan_skip(&scan));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_KEY);
		assert_true(json_scan_key_is(&scan, "found"));
		assert_true(json_scan_skip_rest(&scan, json_scan_next(&scan)));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_OBJECT_CLOSE);
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_END);
		assert_false(json_scan_skip(&scan));
	}
	struct json_scan scan;
	json_scan_init(&scan, bytes_of("[]"));
	assert_int_equal(json_scan_next(&scan), JSON_SCAN_ARRAY_OPEN);
	assert_false(json_scan_skip(&scan)); /* the bracket closes, no value comes */
}

/* Why: ids are compared and stored undone, so an escaped spelling must not be another id. How: escapes of every length
 * of UTF-8 against the bytes that they stand for, and outputs that are one byte too small. */
static void test_text(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		struct bytes text;
	} cases[] = {
		{"\"plain\"", T("plain")},
		{"\"\"", T("")},
		{"\"\\u0063us\\u005f1\"", T("cus_1")},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t")},
		{"\"\\u0000a\"", T("\0a")},
		{"\"\\u00e9\\u20AC\\uD83D\\uDE00\"", T("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")},
		{"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\uDBFF\\uDFFF\"",
		 T("\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF")},
		{"\"\xC3\xA9\\n\"", T("\xC3\xA9\n")},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_scan scan;
		char out[64];
		size_t len = 0;
		json_scan_init(&scan, bytes_of(cases[i].json));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_STRING);
		assert_true(json_scan_text(&scan, out, cases[i].text.len, &len));
		assert_true(bytes_equal(bytes_make(out, len), cases[i].text));
		if (len > 0)
			assert_false(json_scan_text(&scan, out, len - 1, &len));
	}
}

/* Why: an allow list that an escaped key slips past, or that takes a longer key, is none (W6). How: keys in plain and
 * escaped spelling against names that are equal, shorter, longer and different. */
static void test_key_is(void **state)
{
	(void)state;
	static const char *const spellings[] = {"{\"status\":1}", "{\"stat\\u0075s\":1}", "{\"\\u0073\\u0074atus\":1}"};
	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		struct json_scan scan;
		json_scan_init(&scan, bytes_of(spellings[i]));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_OBJECT_OPEN);
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_KEY);
		assert_true(json_scan_key_is(&scan, "status"));
		assert_false(json_scan_key_is(&scan, "statu"));
		assert_false(json_scan_key_is(&scan, "statuss"));
		assert_false(json_scan_key_is(&scan, "statuz"));
		assert_false(json_scan_key_is(&scan, ""));
	}
}

/* Why: amounts and times are integers; a fraction or an overflow must not turn into another number. How: both ends of
 * the range and one beyond, and the forms that are numbers but no integers. */
static void test_i64(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		bool fits;
		int64_t value;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"1679609767", true, 1679609767},
		{"9223372036854775807", true, INT64_MAX},
		{"9223372036854775808", false, 0},
		{"-9223372036854775808", true, INT64_MIN},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999", false, 0},
		{"1.0", false, 0},
		{"1e3", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_scan scan;
		int64_t value = 0;
		json_scan_init(&scan, bytes_of(cases[i].json));
		assert_int_equal(json_scan_next(&scan), JSON_SCAN_NUMBER);
		assert_true(json_scan_i64(&scan, &value) == cases[i].fits);
		assert_int_equal(value, cases[i].value);
	}
}

/* Why: operators find a sender's mistake by offset and reason, and no byte of the body may reach a log. How: the
 * offset points at the byte that is wrong. */
static void test_error(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		size_t offset;
	} cases[] = {{"{\"a\":1,}", 7}, {"[1,2", 4}, {"\"ab\ncd\"", 3}, {"{} x", 3}, {"[\"\\uD800\"]", 2}, {"[01]", 1}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json_scan scan;
		size_t offset = 0;
		json_scan_init(&scan, bytes_of(cases[i].json));
		enum json_token token;
		do
			token = json_scan_next(&scan);
		while (token != JSON_SCAN_END && token != JSON_SCAN_ERROR);
		assert_int_equal(token, JSON_SCAN_ERROR);
		assert_non_null(json_scan_error(&scan, &offset));
		assert_int_equal(offset, cases[i].offset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_refuses_every_prefix),
		cmocka_unit_test(test_white_space_in_any_length),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_key_is),
		cmocka_unit_test(test_i64),
		cmocka_unit_test(test_error),
	};
	return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
