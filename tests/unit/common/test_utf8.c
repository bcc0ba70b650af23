/* common/utf8.c against RFC 3629, exhaustively. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

/* The length of the sequence as arithmetic has it: decode the bits, then ask whether this code point needs so many. */
static size_t by_arithmetic(const uint8_t *at, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
	if (len == 0 || len > left)
		return 0;
	uint32_t code = at[0] & (0x7Fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		code = code << 6 | (at[i] & 0x3Fu);
	}
	bool valid = code >= least[len] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
	return valid ? len : 0;
}

/* Why: what is not UTF-8 breaks readers behind us (Postgres refuses it and the item would be dead). How: every first
 * three bytes, with fourth bytes from both sides of each edge, cut at every length, against an independent reading. */
static void test_sequences(void **state)
{
	(void)state;
	static const uint8_t fourth[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
	for (uint32_t head = 0; head < 1u << 24; head++) {
		/* A lead below 0xC0 never starts a sequence, whatever follows: 1 of 256 of those is enough. */
		if (head >> 16 < 0xC0 && (head & 0xFF) != 0x80)
			continue;
		uint8_t bytes[4] = {(uint8_t)(head >> 16), (uint8_t)(head >> 8), (uint8_t)head, 0};
		for (size_t i = 0; i < sizeof(fourth); i++) {
			bytes[3] = fourth[i];
			for (size_t left = 1; left <= 4; left++) {
				if (utf8_sequence(bytes, left) != by_arithmetic(bytes, left))
					fail_msg("differs at %06x %02x of %zu", head, fourth[i], left);
			}
		}
	}
}

/* Why: the eight-byte steps over ASCII must not jump over a bad byte. How: a bad byte and a good sequence in every
 * place of texts of every length up to three steps. */
static void test_texts(void **state)
{
	(void)state;
	char text[25];
	assert_true(utf8_valid(bytes_make(NULL, 0)));
	for (size_t len = 1; len < sizeof(text); len++) {
		memset(text, 'a', sizeof(text));
		assert_true(utf8_valid(bytes_make(text, len)));
		for (size_t at = 0; at < len; at++) {
			text[at] = (char)0x80;
			assert_false(utf8_valid(bytes_make(text, len)));
			text[at] = '\0';
			assert_true(utf8_valid(bytes_make(text, len)));
			assert_false(utf8_text_valid(bytes_make(text, len)));
			memcpy(text + at, "\xC3", 1);
			if (at + 1 < len)
				memcpy(text + at + 1, "\xA9", 1);
			assert_true(utf8_text_valid(bytes_make(text, len)) == (at + 1 < len));
			memset(text, 'a', sizeof(text));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences), cmocka_unit_test(test_texts)};
	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
