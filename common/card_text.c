/* Card numbers in running text (common/card.h): digits in groups, and how people group them. */
#include <assert.h>
#include <string.h>

#include "common/card.h"

enum {
	SEPARATORS_MAX = 3, /* between two groups: ". ", " - " */
	GROUPS_MAX = 40 /* of one chain that are remembered; 19 digits spelled out have 19, and as many go on behind */
};

/* Digits that only separators part. Of more groups than fit the last half goes on. */
struct chain {
	struct bytes text;
	size_t start[GROUPS_MAX]; /* where the group's digits begin in the text */
	size_t len[GROUPS_MAX];
	size_t count;
	bool begins; /* no group before the first one was forgotten */
	bool ends;   /* no group comes behind the last one */
};

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_separator(uint8_t c)
{
	return c != '\0' && strchr(" \t\r\n-._/|*", c) != NULL;
}

/* --- what is no card ------------------------------------------------------------------------------ */

/* EAN-13: weights 1 and 3 in turn from the left. */
static bool is_barcode(const uint8_t *digits, size_t count)
{
	unsigned sum = 0;

	if (count != 13)
		return false;
	for (size_t i = 0; i < count; i++)
		sum += i % 2 == 0 ? digits[i] : 3u * digits[i];
	return sum % 10 == 0;
}

static bool is_behind_plus(struct bytes text, size_t at)
{
	return at > 0 && text.data[at - 1] == '+';
}

/* Countries and the characters of their IBANs (the registry of ISO 13616): without it one card number in 97 would be an
 * IBAN behind any two letters. */
static const struct {
	char country[3];
	uint8_t chars;
} IBANS[] = {
	{"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22},
	{"BI", 27}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27},
	{"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FK", 18}, {"FO", 18}, {"FR", 27},
	{"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28},
	{"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28},
	{"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22},
	{"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28}, {"NL", 18}, {"NO", 15}, {"OM", 23},
	{"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
	{"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28},
	{"TL", 23}, {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30},
};

/* 0: no country with IBANs. The letters' case is free. */
static size_t iban_chars(const uint8_t *country)
{
	for (size_t i = 0; i < ARRAY_LEN(IBANS); i++)
		if ((country[0] & ~0x20) == IBANS[i].country[0] && (country[1] & ~0x20) == IBANS[i].country[1])
			return IBANS[i].chars;
	return 0;
}

/* The chain is the digits of an IBAN: its country before it, as many as that has, and all of it modulo 97 is 1. */
static bool is_iban(const struct chain *chain)
{
	size_t at = chain->start[0];
	const uint8_t *text = chain->text.data;
	unsigned rest = 0;
	size_t digits = 0;

	if (!chain->begins || at < 2 || !is_letter(text[at - 1]) || !is_letter(text[at - 2]) ||
	    (at > 2 && (is_letter(text[at - 3]) || is_digit(text[at - 3]))))
		return false;
	/* What stands behind country and check digits, then these, a letter as two digits. */
	for (size_t g = 0; g < chain->count; g++) {
		for (size_t i = 0; i < chain->len[g]; i++, digits++)
			if (digits >= 2)
				rest = (rest * 10 + text[chain->start[g] + i] - '0') % 97;
	}
	if (2 + digits != iban_chars(text + at - 2))
		return false;
	for (size_t i = 2; i > 0; i--)
		rest = (rest * 100 + (text[at - i] | 0x20u) - 'a' + 10) % 97;
	size_t second = chain->len[0] > 1 ? at + 1 : chain->start[1];
	return (rest * 100 + (text[at] - '0') * 10u + text[second] - '0') % 97 == 1;
}

/* --- windows of groups ---------------------------------------------------------------------------- */

static bool is_number(const struct chain *chain, size_t first, size_t last)
{
	uint8_t digits[CARD_DIGITS_MAX];
	size_t count = 0;

	for (size_t g = first; g <= last; g++)
		for (size_t i = 0; i < chain->len[g]; i++) {
			if (count == CARD_DIGITS_MAX)
				return false;
			digits[count++] = (uint8_t)(chain->text.data[chain->start[g] + i] - '0');
		}
	if (count < CARD_DIGITS_MIN || !card_issued(digits, count) || !card_luhn(digits, count))
		return false;
	return !is_barcode(digits, count) && !(count <= 14 && is_behind_plus(chain->text, chain->start[first]));
}

/* Groups first to last are all of this size, save that the last may be shorter. */
static bool all_of(const struct chain *chain, size_t first, size_t last, size_t size)
{
	for (size_t g = first; g < last; g++)
		if (chain->len[g] != size)
			return false;
	return chain->len[last] <= size;
}

/* As networks print their numbers. */
static bool is_printed(const struct chain *chain, size_t first, size_t last)
{
	static const size_t PATTERNS[][4] = {{4, 6, 5, 0}, {4, 6, 4, 0}, {8, 8, 0}, {6, 13, 0}};

	for (size_t p = 0; p < ARRAY_LEN(PATTERNS); p++) {
		size_t g = 0;
		while (PATTERNS[p][g] != 0 && first + g <= last && chain->len[first + g] == PATTERNS[p][g])
			g++;
		if (PATTERNS[p][g] == 0 && first + g == last + 1)
			return true;
	}
	return false;
}

/* In groups of 4: from the chain's start, or behind another kind of group; or four of them at its end. */
static bool is_by_fours(const struct chain *chain, size_t first, size_t last)
{
	bool from_start = first == 0 ? chain->begins : chain->len[first - 1] != 4;
	bool at_end = last + 1 == chain->count && chain->ends && chain->len[last] == 4;

	return last > first && all_of(chain, first, last, 4) && (from_start || at_end);
}

/* In groups of 1, 2 or 3, and no more such groups around. */
static bool is_spelled(const struct chain *chain, size_t first, size_t last)
{
	size_t size = chain->len[first];
	bool from_start = first == 0 ? chain->begins : chain->len[first - 1] != size;
	bool to_end = last + 1 == chain->count ? chain->ends : chain->len[last + 1] != size;

	return last > first && size <= 3 && from_start && to_end && all_of(chain, first, last, size);
}

static bool holds_card(const struct chain *chain)
{
	if (chain->count == 0 || is_iban(chain))
		return false;
	for (size_t first = 0; first < chain->count; first++) {
		size_t digits = 0;
		for (size_t last = first; last < chain->count && digits <= CARD_DIGITS_MAX; last++) {
			digits += chain->len[last];
			if (digits < CARD_DIGITS_MIN || digits > CARD_DIGITS_MAX)
				continue;
			if ((first == last || is_by_fours(chain, first, last) || is_printed(chain, first, last) ||
			     is_spelled(chain, first, last)) &&
			    is_number(chain, first, last))
				return true;
		}
	}
	return false;
}

/* --- the text ------------------------------------------------------------------------------------- */

/* Where the next group begins when only separators are between; else `at` itself. */
static size_t next_group(struct bytes text, size_t at)
{
	size_t next = at;

	while (next < text.len && next - at < SEPARATORS_MAX && is_separator(text.data[next]))
		next++;
	return next > at && next < text.len && is_digit(text.data[next]) ? next : at;
}

/* Half of the groups have been looked at in every window that they could begin. */
static void forget_half(struct chain *chain)
{
	size_t half = GROUPS_MAX / 2;

	memmove(chain->start, chain->start + half, half * sizeof(chain->start[0]));
	memmove(chain->len, chain->len + half, half * sizeof(chain->len[0]));
	chain->count = half;
	chain->begins = false;
}

/* The chain that begins at the digit `at`; *end is behind it. */
static bool chain_holds_card(struct bytes text, size_t at, size_t *end)
{
	struct chain chain = {.text = text, .begins = true};

	for (;;) {
		size_t start = at;
		while (at < text.len && is_digit(text.data[at]))
			at++;
		if (chain.count == GROUPS_MAX) {
			if (holds_card(&chain))
				return true;
			forget_half(&chain);
		}
		chain.start[chain.count] = start;
		chain.len[chain.count++] = at - start;
		size_t next = next_group(text, at);
		if (next == at)
			break;
		at = next;
	}
	*end = at;
	chain.ends = true;
	return holds_card(&chain);
}

static bool begins_with(struct bytes text, size_t at, const char *word)
{
	for (size_t i = 0; word[i] != '\0'; i++)
		if (at + i == text.len || (text.data[at + i] | 0x20) != word[i])
			return false;
	return true;
}

/* "cvc: 123", "CVV2 is 1234", "security code 123"; `at` is where a word begins. */
static bool is_security_code(struct bytes text, size_t at)
{
	static const char *const NAMES[] = {"cvc2", "cvv2", "cvc", "cvv", "security code"};
	size_t digits = 0;
	size_t n = 0;

	while (n < ARRAY_LEN(NAMES) && !begins_with(text, at, NAMES[n]))
		n++;
	if (n == ARRAY_LEN(NAMES))
		return false;
	at += strlen(NAMES[n]);
	while (at < text.len && (is_separator(text.data[at]) || text.data[at] == ':' || text.data[at] == '='))
		at++;
	if (begins_with(text, at, "is "))
		at += 3;
	while (at + digits < text.len && is_digit(text.data[at + digits]))
		digits++;
	return digits == 3 || digits == 4;
}

bool card_in_text(struct bytes ascii)
{
	enum { DIGIT = 1, CODE }; /* what may begin at a byte; CODE: with the first letters of its names */
	static const uint8_t BEGINS[256] = {
		['0' ... '9'] = DIGIT, ['c'] = CODE, ['C'] = CODE, ['s'] = CODE, ['S'] = CODE,
	};

	for (size_t at = 0; at < ascii.len;) {
		size_t end = at + 1;
		uint8_t begins = BEGINS[ascii.data[at]];
		if (begins == DIGIT && chain_holds_card(ascii, at, &end))
			return true;
		if (begins == CODE && (at == 0 || !is_letter(ascii.data[at - 1])) && is_security_code(ascii, at))
			return true;
		at = end;
	}
	return false;
}
