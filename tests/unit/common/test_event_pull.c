/* common/event_pull.c: every form of the msgpack specification, read without trust. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/event_pull.h"

#define T(literal)                                                                                                     \
	{                                                                                                              \
		(const uint8_t *)(literal), sizeof(literal) - 1                                                        \
	}

/* From the specification's format table; the number is the value, the count or the length. */
static const struct {
	struct bytes bytes;
	enum event_item_kind kind;
	int64_t number;
} forms[] = {
	{T("\xC0"), EVENT_ITEM_NIL, 0},
	{T("\xC2"), EVENT_ITEM_BOOL, 0},
	{T("\xC3"), EVENT_ITEM_BOOL, 1},
	{T("\x00"), EVENT_ITEM_I64, 0},
	{T("\x7F"), EVENT_ITEM_I64, 127},
	{T("\xE0"), EVENT_ITEM_I64, -32},
	{T("\xFF"), EVENT_ITEM_I64, -1},
	{T("\xCC\xFF"), EVENT_ITEM_I64, 255},
	{T("\xCD\xFF\xFE"), EVENT_ITEM_I64, 65534},
	{T("\xCE\xFF\xFF\xFF\xFE"), EVENT_ITEM_I64, 4294967294},
	{T("\xCF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), EVENT_ITEM_I64, INT64_MAX},
	{T("\xCF\x80\x00\x00\x00\x00\x00\x00\x00"), EVENT_ITEM_BIG, 0},
	{T("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), EVENT_ITEM_BIG, 0},
	{T("\xD0\x80"), EVENT_ITEM_I64, -128},
	{T("\xD1\x80\x00"), EVENT_ITEM_I64, -32768},
	{T("\xD2\x80\x00\x00\x00"), EVENT_ITEM_I64, -2147483648},
	{T("\xD3\x80\x00\x00\x00\x00\x00\x00\x00"), EVENT_ITEM_I64, INT64_MIN},
	{T("\xD3\x00\x00\x00\x00\x00\x00\x00\x05"), EVENT_ITEM_I64, 5},
	{T("\xCA\x3F\x80\x00\x00"), EVENT_ITEM_FLOAT, 0},
	{T("\xCB\x3F\xF0\x00\x00\x00\x00\x00\x00"), EVENT_ITEM_FLOAT, 0},
	{T("\xA0"), EVENT_ITEM_STRING, 0},
	{T("\xA3"
	   "abc"),
	 EVENT_ITEM_STRING, 3},
	{T("\xD9\x01"
	   "a"),
	 EVENT_ITEM_STRING, 1},
	{T("\xDA\x00\x01"
	   "a"),
	 EVENT_ITEM_STRING, 1},
	{T("\xDB\x00\x00\x00\x01"
	   "a"),
	 EVENT_ITEM_STRING, 1},
	{T("\xC4\x02\x00\x01"), EVENT_ITEM_BINARY, 2},
	{T("\xC5\x00\x02\x00\x01"), EVENT_ITEM_BINARY, 2},
	{T("\xC6\x00\x00\x00\x02\x00\x01"), EVENT_ITEM_BINARY, 2},
	{T("\xC7\x02\x05\x00\x01"), EVENT_ITEM_EXTENSION, 3},
	{T("\xC8\x00\x02\x05\x00\x01"), EVENT_ITEM_EXTENSION, 3},
	{T("\xC9\x00\x00\x00\x02\x05\x00\x01"), EVENT_ITEM_EXTENSION, 3},
	{T("\xD4\x05\x00"), EVENT_ITEM_EXTENSION, 2},
	{T("\xD5\x05\x00\x01"), EVENT_ITEM_EXTENSION, 3},
	{T("\xD6\x05\x00\x01\x02\x03"), EVENT_ITEM_EXTENSION, 5},
	{T("\xD7\x05\x00\x01\x02\x03\x04\x05\x06\x07"), EVENT_ITEM_EXTENSION, 9},
	{T("\xD8\x05\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F"), EVENT_ITEM_EXTENSION, 17},
	{T("\x90"), EVENT_ITEM_ARRAY, 0},
	{T("\x9F"), EVENT_ITEM_ARRAY, 15},
	{T("\xDC\x01\x00"), EVENT_ITEM_ARRAY, 256},
	{T("\xDD\xFF\xFF\xFF\xFF"), EVENT_ITEM_ARRAY, 4294967295},
	{T("\x80"), EVENT_ITEM_MAP, 0},
	{T("\x8F"), EVENT_ITEM_MAP, 15},
	{T("\xDE\x01\x00"), EVENT_ITEM_MAP, 256},
	{T("\xDF\xFF\xFF\xFF\xFF"), EVENT_ITEM_MAP, 4294967295},
};

static int64_t number_of(const struct event_item *item)
{
	switch (item->kind) {
	case EVENT_ITEM_BOOL:
		return item->flag;
	case EVENT_ITEM_I64:
		return item->i64;
	case EVENT_ITEM_ARRAY:
	case EVENT_ITEM_MAP:
		return item->count;
	case EVENT_ITEM_STRING:
	case EVENT_ITEM_BINARY:
	case EVENT_ITEM_EXTENSION:
		return (int64_t)item->bytes.len;
	default:
		return 0;
	}
}

/* Why: other languages' libraries choose other forms of the same value. How: each form of the specification is read as
 * what it is, and every cut of it is refused; the copies end where the bytes end, for the sanitizers. */
static void test_every_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		for (size_t len = 0; len <= forms[i].bytes.len; len++) {
			uint8_t *copy = malloc(len > 0 ? len : 1);
			assert_non_null(copy);
			memcpy(copy, forms[i].bytes.data, len);
			struct event_pull pull = event_pull_make(bytes_make(copy, len));
			struct event_item item;
			bool whole = len == forms[i].bytes.len;
			assert_true(event_pull_next(&pull, &item) == whole);
			if (whole) {
				assert_int_equal(item.kind, forms[i].kind);
				assert_int_equal(number_of(&item), forms[i].number);
				assert_int_equal(event_pull_left(&pull), 0);
			}
			free(copy);
		}
	}
}

/* Why: 0xc1 is the one byte that msgpack never uses; a reader that takes it has lost its place. */
static void test_unused_byte(void **state)
{
	(void)state;
	struct event_pull pull = event_pull_make(bytes_make("\xC1", 1));
	struct event_item item;
	assert_false(event_pull_next(&pull, &item));
	pull = event_pull_make(bytes_make(NULL, 0));
	assert_false(event_pull_next(&pull, &item));
}

static bool skips(struct bytes bytes)
{
	struct event_pull pull = event_pull_make(bytes);
	struct event_item item;
	return event_pull_next(&pull, &item) && event_pull_skip(&pull, &item) && event_pull_left(&pull) == 1;
}

/* Why: unknown fields are passed over, whatever a newer writer put into them. How: values followed by one byte, which
 * must be all that is left; cut ones and counts that the bytes cannot hold are refused at once. */
static void test_skip(void **state)
{
	(void)state;
	static const struct bytes good[] = {
		T("\x05|"),
		T("\xA1"
		  "a|"),
		T("\x90|"),
		T("\x80|"),
		T("\x93\x01\x92\x02\x03\x04|"),
		T("\x82\xA1"
		  "a\x01\xA1"
		  "b\x81\x02\x90|"),
		T("\x92\x90\x91\x80|"),
	};
	static const struct bytes bad[] = {T("\x91"),
					   T("\x92\x01"),
					   T("\x81\x01"),
					   T("\xDD\xFF\xFF\xFF\xFF\x01"),
					   T("\xDF\xFF\xFF\xFF\xFF\x01"),
					   T("\x91\xC1|")};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(skips(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(skips(bad[i]));
}

/* Why: nesting is bounded by EVENT_DEPTH_MAX, so a message cannot ask for endless state. How: the bound is passed over,
 * one level more is refused. */
static void test_skip_depth(void **state)
{
	(void)state;
	uint8_t bytes[EVENT_DEPTH_MAX + 3];
	for (size_t depth = EVENT_DEPTH_MAX; depth <= EVENT_DEPTH_MAX + 1; depth++) {
		memset(bytes, 0x91, depth);
		bytes[depth] = 0x01;
		bytes[depth + 1] = '|';
		assert_true(skips(bytes_make(bytes, depth + 2)) == (depth == EVENT_DEPTH_MAX));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form),
		cmocka_unit_test(test_unused_byte),
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_skip_depth),
	};
	return cmocka_run_group_tests_name("event_pull", tests, NULL, NULL);
}
