#include "common/utf8.h"

#include <assert.h>

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The range of the second byte carries the whole of RFC 3629's table: it alone tells overlong forms (E0, F0),
 * surrogates (ED) and what lies over U+10FFFF (F4). */
size_t utf8_sequence(const uint8_t *at, size_t left)
{
	assert(left > 0);
	uint8_t lead = at[0];
	if (lead >= 0xC2 && lead <= 0xDF)
		return left >= 2 && is_continuation(at[1]) ? 2 : 0;
	if (lead >= 0xE0 && lead <= 0xEF) {
		uint8_t low = lead == 0xE0 ? 0xA0 : 0x80;
		uint8_t high = lead == 0xED ? 0x9F : 0xBF;
		return left >= 3 && at[1] >= low && at[1] <= high && is_continuation(at[2]) ? 3 : 0;
	}
	if (lead >= 0xF0 && lead <= 0xF4) {
		uint8_t low = lead == 0xF0 ? 0x90 : 0x80;
		uint8_t high = lead == 0xF4 ? 0x8F : 0xBF;
		bool valid =
			left >= 4 && at[1] >= low && at[1] <= high && is_continuation(at[2]) && is_continuation(at[3]);
		return valid ? 4 : 0;
	}
	return 0;
}

bool utf8_valid(struct bytes text)
{
	size_t at = 0;
	while (at < text.len) {
		uint64_t word;
		if (text.len - at >= sizeof(word)) {
			memcpy(&word, text.data + at, sizeof(word));
			if ((word & UINT64_C(0x8080808080808080)) == 0) {
				at += sizeof(word);
				continue;
			}
		}
		size_t len = text.data[at] < 0x80 ? 1 : utf8_sequence(text.data + at, text.len - at);
		if (len == 0)
			return false;
		at += len;
	}
	assert(at == text.len);
	return true;
}

bool utf8_text_valid(struct bytes text)
{
	return text.len == 0 || (memchr(text.data, 0, text.len) == NULL && utf8_valid(text));
}
