#include "common/token.h"

#include <assert.h>
#include <openssl/crypto.h>

#include "common/id.h"

static const char PREFIX[] = "wp_";
static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

enum { PREFIX_CHARS = sizeof(PREFIX) - 1, BITS_PER_CHAR = 5 };
_Static_assert(PREFIX_CHARS + TOKEN_RANDOM_BYTES * 8 / BITS_PER_CHAR == TOKEN_CHARS, "160 bits fill 32 characters");
_Static_assert((int)TOKEN_CHARS <= (int)SECRET_BYTES_MAX, "a token is a secret");

bool token_shape(struct bytes text)
{
	if (text.len != TOKEN_CHARS || memcmp(text.data, PREFIX, PREFIX_CHARS) != 0)
		return false;
	for (size_t i = PREFIX_CHARS; i < TOKEN_CHARS; i++) {
		uint8_t c = text.data[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= '2' && c <= '7')))
			return false;
	}
	return true;
}

void token_hash(struct bytes text, uint8_t out[SHA256_BYTES])
{
	digest_sha256(&text, 1, out);
}

void token_new(struct secret *out)
{
	uint8_t random[TOKEN_RANDOM_BYTES];
	uint8_t text[TOKEN_CHARS];
	struct err err;
	uint32_t bits = 0;
	int held = 0;
	size_t at = PREFIX_CHARS;
	id_random(random, sizeof(random));
	memcpy(text, PREFIX, PREFIX_CHARS);
	for (size_t i = 0; i < sizeof(random); i++) {
		bits = bits << 8 | random[i];
		for (held += 8; held >= BITS_PER_CHAR; held -= BITS_PER_CHAR)
			text[at++] = (uint8_t)ALPHABET[bits >> (held - BITS_PER_CHAR) & 31];
	}
	assert(at == TOKEN_CHARS && held == 0);
	bool set = secret_set(out, bytes_make(text, sizeof(text)), &err);
	assert(set);
	(void)set;
	OPENSSL_cleanse(random, sizeof(random));
	OPENSSL_cleanse(text, sizeof(text));
	OPENSSL_cleanse(&bits, sizeof(bits));
}
