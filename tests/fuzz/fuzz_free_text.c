/*
 * The check of free text, for any bytes.
 *
 * Invariants: what it calls fine holds no run of 16 digits that an independent look finds to be a Visa or Mastercard
 * number (but for what may be an IBAN), and the log's filter leaves it unchanged, but for digits (a filter takes more
 * groupings for a card's) and what stands behind a name or scheme that the filter takes on suspicion. Digits in full
 * width, and marks that nobody sees between any two characters, change nothing.
 */
#include <assert.h>
#include <ctype.h>
#include <strings.h>

#include "common/free_text.h"
#include "common/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_card(const uint8_t *digits)
{
	unsigned sum = 0;

	for (size_t i = 0; i < 16; i++) {
		unsigned digit = (unsigned)(digits[i] - '0') << (1 - i % 2);
		sum += digit / 10 + digit % 10;
	}
	return sum % 10 == 0 && (digits[0] == '4' || (digits[0] == '5' && digits[1] >= '1' && digits[1] <= '5'));
}

/* Behind a country's letters it may be an IBAN, which passes. */
static bool is_behind_letters(const uint8_t *text, size_t at)
{
	return at >= 2 && isalpha(text[at - 1]) != 0 && isalpha(text[at - 2]) != 0 &&
	       (at == 2 || isalnum(text[at - 3]) == 0);
}

static void assert_no_card(const uint8_t *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t run = 0;
		while (at + run < len && isdigit(text[at + run]) != 0)
			run++;
		assert(run != 16 || !is_card(text + at) || is_behind_letters(text, at));
		at += run > 0 ? run : 1;
	}
}

/* Words behind which the filter takes what free text may say. */
static bool is_suspicious(const uint8_t *text, size_t len)
{
	static const char *const words[] = {
		"bearer", "basic", "cookie", "authorization", "stripe-signature", "password", "watchpost", "v0", "v1"};

	for (size_t at = 0; at < len; at++)
		for (size_t w = 0; w < ARRAY_LEN(words); w++)
			if (len - at >= strlen(words[w]) &&
			    strncasecmp((const char *)text + at, words[w], strlen(words[w])) == 0)
				return true;
	return false;
}

static void assert_filter_agrees(const uint8_t *text, size_t len)
{
	char copy[FREE_TEXT_BYTES_MAX];

	memcpy(copy, text, len);
	size_t filtered = redact_text(copy, len);
	size_t at = 0;
	while (at < filtered && (uint8_t)copy[at] == text[at])
		at++;
	assert((at == filtered && filtered == len) || is_suspicious(text, len) || isdigit(text[at]) != 0);
}

static void assert_looks_alike(const uint8_t *text, size_t len, enum free_text verdict)
{
	static const uint8_t zero_width[] = {0xE2, 0x80, 0x8B};
	uint8_t wide[FREE_TEXT_BYTES_MAX], spread[FREE_TEXT_BYTES_MAX];
	size_t wide_len = 0, spread_len = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] >= 0x80 || 4 * len > FREE_TEXT_BYTES_MAX)
			return;
		memcpy(spread + spread_len, zero_width, sizeof(zero_width));
		spread[spread_len + sizeof(zero_width)] = text[i];
		spread_len += sizeof(zero_width) + 1;
		if (isdigit(text[i]) != 0) {
			wide[wide_len++] = 0xEF;
			wide[wide_len++] = 0xBC;
			wide[wide_len++] = (uint8_t)(0x90 + text[i] - '0');
		} else {
			wide[wide_len++] = text[i];
		}
	}
	assert(free_text_check(bytes_make(wide, wide_len)) == verdict);
	assert(free_text_check(bytes_make(spread, spread_len)) == verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum free_text verdict = free_text_check(bytes_make(data, size));

	assert((verdict == FREE_TEXT_TOO_LONG) == (size > FREE_TEXT_BYTES_MAX));
	if (verdict == FREE_TEXT_TOO_LONG)
		return 0;
	if (verdict == FREE_TEXT_FINE) {
		assert_no_card(data, size);
		assert_filter_agrees(data, size);
	}
	assert_looks_alike(data, size, verdict);
	return 0;
}
