#include "ingress/stripe/shape.h"

#include <assert.h>

#include "common/card.h"
#include "common/limits.h"

enum { TOKEN_CHARS = 32 };

/* What a byte may be part of: one bit for each shape, and one for base32. */
enum {
	IN_ID = 1 << STRIPE_SHAPE_ID,
	IN_TYPE = 1 << STRIPE_SHAPE_TYPE,
	IN_WORD = 1 << STRIPE_SHAPE_WORD,
	IN_VERSION = 1 << STRIPE_SHAPE_VERSION,
	IN_BASE32 = 1 << STRIPE_SHAPE_COUNT
};
#define IN_LOWER (IN_ID | IN_TYPE | IN_WORD | IN_VERSION)

static const uint8_t CLASS[256] = {
	['0' ... '1'] = IN_LOWER,
	['2' ... '7'] = IN_LOWER | IN_BASE32,
	['8' ... '9'] = IN_LOWER,
	['a' ... 'z'] = IN_LOWER | IN_BASE32,
	['A' ... 'Z'] = IN_ID | IN_TYPE | IN_BASE32,
	['_'] = IN_LOWER,
	['.'] = IN_TYPE | IN_WORD | IN_VERSION,
	['-'] = IN_VERSION,
	['['] = IN_TYPE,
	[']'] = IN_TYPE,
};

static const size_t BYTES_MAX[] = {
	[STRIPE_SHAPE_ID] = STRIPE_ID_BYTES_MAX,
	[STRIPE_SHAPE_TYPE] = STRIPE_TYPE_BYTES_MAX,
	[STRIPE_SHAPE_WORD] = STRIPE_WORD_BYTES_MAX,
	[STRIPE_SHAPE_VERSION] = STRIPE_VERSION_BYTES_MAX,
};
_Static_assert(ARRAY_LEN(BYTES_MAX) == STRIPE_SHAPE_COUNT, "every shape has a length");

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* They begin as card numbers do, whatever the network. */
static bool card_at(const uint8_t *digits, size_t count)
{
	return count >= CARD_DIGITS_MIN && digits[0] >= 2 && digits[0] <= 6 && card_begins(digits, count);
}

bool stripe_shape_card(struct bytes text)
{
	uint8_t digits[STRIPE_ID_BYTES_MAX];
	size_t count = 0;

	for (size_t i = 0; i <= text.len && i <= STRIPE_ID_BYTES_MAX; i++) {
		uint8_t c = i < text.len ? text.data[i] : 0;
		if (is_digit(c) && count < sizeof(digits)) {
			digits[count++] = (uint8_t)(c - '0');
			continue;
		}
		if (c == '_' || c == '-' || c == '.')
			continue;
		for (size_t at = 0; at < count; at++)
			if (card_at(digits + at, count - at))
				return true;
		count = 0;
	}
	return false;
}

static bool ends_with(struct bytes text, const char *word)
{
	size_t len = strlen(word);

	return text.len >= len && memcmp(text.data + text.len - len, word, len) == 0;
}

static bool begins_with(struct bytes text, const char *word)
{
	size_t len = strlen(word);

	return text.len >= len && memcmp(text.data, word, len) == 0;
}

static bool begins_with_token(struct bytes text)
{
	if (text.len < TOKEN_CHARS)
		return false;
	for (size_t i = 0; i < TOKEN_CHARS; i++)
		if ((CLASS[text.data[i]] & IN_BASE32) == 0)
			return false;
	return true;
}

/* Every secret's shape has a '_' in it: only what stands around those is looked at. */
bool stripe_shape_secret(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] != '_')
			continue;
		struct bytes before = bytes_make(text.data, i);
		struct bytes after = bytes_make(text.data + i + 1, text.len - i - 1);
		bool mode = begins_with(after, "live_") || begins_with(after, "test_");
		if (mode && (ends_with(before, "sk") || ends_with(before, "rk") || ends_with(before, "ek")))
			return true;
		if (ends_with(before, "whsec") || ends_with(before, "_secret"))
			return true;
		if (ends_with(before, "wp") && begins_with_token(after))
			return true;
	}
	return false;
}

bool stripe_shape_fits(enum stripe_shape shape, struct bytes text)
{
	assert((unsigned)shape < STRIPE_SHAPE_COUNT);
	size_t digits = 0;
	size_t underscores = 0;

	if (text.len == 0 || text.len > BYTES_MAX[shape])
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];
		if ((CLASS[c] & (1u << shape)) == 0)
			return false;
		digits += is_digit(c);
		underscores += c == '_';
	}
	if (digits >= CARD_DIGITS_MIN && stripe_shape_card(text))
		return false;
	return underscores == 0 || !stripe_shape_secret(text);
}
