/*
 * Agents' tokens: shape, digest, newness.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/token.h"

static const char GOOD[] = "wp_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* Why: what has not the shape is refused before anything is computed from it (W4). How: the shape, and each way to miss
 * it by one character. */
static void only_the_exact_shape_is_a_token(void **state)
{
	char text[sizeof(GOOD) + 1];
	(void)state;
	assert_true(token_shape(bytes_of(GOOD)));
	assert_false(token_shape(bytes_make(NULL, 0)));
	assert_false(token_shape(bytes_make(GOOD, TOKEN_CHARS - 1)));
	(void)snprintf(text, sizeof(text), "%sA", GOOD);
	assert_false(token_shape(bytes_of(text)));
	static const char OTHERS[] = {'a', '0', '1', '8', '9', '=', ' ', '_', '\0', '\x7f', (char)0x80};
	for (size_t at = 0; at < TOKEN_CHARS; at++) {
		for (size_t i = 0; i < sizeof(OTHERS); i++) {
			memcpy(text, GOOD, sizeof(GOOD));
			text[at] = OTHERS[i];
			bool same = text[at] == GOOD[at];
			assert_int_equal(token_shape(bytes_make(text, TOKEN_CHARS)), same);
		}
	}
}

/* Why: the digest is what the database holds; another one would lock every agent out. How: a vector by sha256sum(1). */
static void the_digest_is_sha_256_of_the_whole_text(void **state)
{
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX_BYTES];
	(void)state;
	token_hash(bytes_of(GOOD), hash);
	hex_encode(hash, sizeof(hash), hex);
	assert_string_equal(hex, "b39f51161417e14fe9f655ead508ee2a9bd20455ac4cb706d5cb4f8a83da45b8");
}

/* Why: 160 random bits, all of them used. How: a thousand tokens have the shape, differ, and every place takes every
 * character. */
static void new_tokens_are_random_in_every_place(void **state)
{
	static bool seen[TOKEN_CHARS][256];
	struct secret token, before = {0};
	(void)state;
	memset(seen, 0, sizeof(seen));
	for (int n = 0; n < 1000; n++) {
		token_new(&token);
		struct bytes text = secret_bytes(&token);
		assert_true(token_shape(text));
		assert_true(n == 0 || !secret_equal(&token, &before));
		for (size_t at = 0; at < TOKEN_CHARS; at++)
			seen[at][text.data[at]] = true;
		memcpy(&before, &token, sizeof(before));
	}
	for (size_t at = 3; at < TOKEN_CHARS; at++) {
		int kinds = 0;
		for (size_t c = 0; c < 256; c++)
			kinds += seen[at][c];
		/* That one of 32 is missing after 1,000 draws has a chance of 10^-12. */
		assert_int_equal(kinds, 32);
	}
	secret_wipe(&token);
	secret_wipe(&before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_exact_shape_is_a_token),
		cmocka_unit_test(the_digest_is_sha_256_of_the_whole_text),
		cmocka_unit_test(new_tokens_are_random_in_every_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
