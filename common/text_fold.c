#include "common/text_fold.h"

#include <string.h>

#include "common/compiler.h"
#include "common/utf8.h"

enum fold {
	DROPPED, /* nothing */
	TO,      /* always the character of the row */
	LIKE,    /* a row of ASCII from the character of the row on */
	DIGITS,  /* digits from the number of the row on, over and over */
	LETTERS  /* A to Z and a to z, over and over */
};

/* Code points in ascending order; digits are the zeros of Unicode 15 (category Nd) and what else shows one digit. */
static const struct {
	uint32_t first;
	uint32_t last;
	uint8_t fold;
	uint8_t base;
} TABLE[] = {
	{0xA0, 0xA0, TO, ' '},         {0xAD, 0xAD, DROPPED, 0},       {0xB2, 0xB3, DIGITS, 2},
	{0xB7, 0xB7, TO, '.'},         {0xB9, 0xB9, DIGITS, 1},        {0x300, 0x36F, DROPPED, 0},
	{0x61C, 0x61C, DROPPED, 0},    {0x660, 0x669, DIGITS, 0},      {0x6F0, 0x6F9, DIGITS, 0},
	{0x7C0, 0x7C9, DIGITS, 0},     {0x966, 0x96F, DIGITS, 0},      {0x9E6, 0x9EF, DIGITS, 0},
	{0xA66, 0xA6F, DIGITS, 0},     {0xAE6, 0xAEF, DIGITS, 0},      {0xB66, 0xB6F, DIGITS, 0},
	{0xBE6, 0xBEF, DIGITS, 0},     {0xC66, 0xC6F, DIGITS, 0},      {0xCE6, 0xCEF, DIGITS, 0},
	{0xD66, 0xD6F, DIGITS, 0},     {0xDE6, 0xDEF, DIGITS, 0},      {0xE50, 0xE59, DIGITS, 0},
	{0xED0, 0xED9, DIGITS, 0},     {0xF20, 0xF29, DIGITS, 0},      {0x1040, 0x1049, DIGITS, 0},
	{0x1090, 0x1099, DIGITS, 0},   {0x115F, 0x1160, DROPPED, 0},   {0x1680, 0x1680, TO, ' '},
	{0x17B4, 0x17B5, DROPPED, 0},  {0x17E0, 0x17E9, DIGITS, 0},    {0x180B, 0x180F, DROPPED, 0},
	{0x1810, 0x1819, DIGITS, 0},   {0x1946, 0x194F, DIGITS, 0},    {0x19D0, 0x19D9, DIGITS, 0},
	{0x1A80, 0x1A89, DIGITS, 0},   {0x1A90, 0x1A99, DIGITS, 0},    {0x1B50, 0x1B59, DIGITS, 0},
	{0x1BB0, 0x1BB9, DIGITS, 0},   {0x1C40, 0x1C49, DIGITS, 0},    {0x1C50, 0x1C59, DIGITS, 0},
	{0x2000, 0x200A, TO, ' '},     {0x200B, 0x200F, DROPPED, 0},   {0x2010, 0x2015, TO, '-'},
	{0x2022, 0x2022, TO, '.'},     {0x2024, 0x2024, TO, '.'},      {0x2027, 0x2027, TO, '.'},
	{0x2028, 0x2029, TO, ' '},     {0x202A, 0x202E, DROPPED, 0},   {0x202F, 0x202F, TO, ' '},
	{0x2043, 0x2043, TO, '-'},     {0x2044, 0x2044, TO, '/'},      {0x205F, 0x205F, TO, ' '},
	{0x2060, 0x206F, DROPPED, 0},  {0x2070, 0x2070, DIGITS, 0},    {0x2074, 0x2079, DIGITS, 4},
	{0x2080, 0x2089, DIGITS, 0},   {0x20D0, 0x20FF, DROPPED, 0},   {0x2212, 0x2212, TO, '-'},
	{0x2215, 0x2215, TO, '/'},     {0x22C5, 0x22C5, TO, '.'},      {0x2460, 0x2468, DIGITS, 1},
	{0x2474, 0x247C, DIGITS, 1},   {0x2488, 0x2490, DIGITS, 1},    {0x24B6, 0x24CF, LIKE, 'A'},
	{0x24D0, 0x24E9, LIKE, 'a'},   {0x24EA, 0x24EA, DIGITS, 0},    {0x24F5, 0x24FD, DIGITS, 1},
	{0x24FF, 0x24FF, DIGITS, 0},   {0x2776, 0x277E, DIGITS, 1},    {0x2780, 0x2788, DIGITS, 1},
	{0x278A, 0x2792, DIGITS, 1},   {0x3000, 0x3000, TO, ' '},      {0x3002, 0x3002, TO, '.'},
	{0x30FB, 0x30FB, TO, '.'},     {0x30FC, 0x30FC, TO, '-'},      {0x3164, 0x3164, DROPPED, 0},
	{0xA620, 0xA629, DIGITS, 0},   {0xA8D0, 0xA8D9, DIGITS, 0},    {0xA900, 0xA909, DIGITS, 0},
	{0xA9D0, 0xA9D9, DIGITS, 0},   {0xA9F0, 0xA9F9, DIGITS, 0},    {0xAA50, 0xAA59, DIGITS, 0},
	{0xABF0, 0xABF9, DIGITS, 0},   {0xFE00, 0xFE0F, DROPPED, 0},   {0xFE58, 0xFE58, TO, '-'},
	{0xFE63, 0xFE63, TO, '-'},     {0xFEFF, 0xFEFF, DROPPED, 0},   {0xFF01, 0xFF5E, LIKE, '!'},
	{0xFFA0, 0xFFA0, DROPPED, 0},  {0x104A0, 0x104A9, DIGITS, 0},  {0x10D30, 0x10D39, DIGITS, 0},
	{0x11066, 0x1106F, DIGITS, 0}, {0x110F0, 0x110F9, DIGITS, 0},  {0x11136, 0x1113F, DIGITS, 0},
	{0x111D0, 0x111D9, DIGITS, 0}, {0x112F0, 0x112F9, DIGITS, 0},  {0x11450, 0x11459, DIGITS, 0},
	{0x114D0, 0x114D9, DIGITS, 0}, {0x11650, 0x11659, DIGITS, 0},  {0x116C0, 0x116C9, DIGITS, 0},
	{0x11730, 0x11739, DIGITS, 0}, {0x118E0, 0x118E9, DIGITS, 0},  {0x11950, 0x11959, DIGITS, 0},
	{0x11C50, 0x11C59, DIGITS, 0}, {0x11D50, 0x11D59, DIGITS, 0},  {0x11DA0, 0x11DA9, DIGITS, 0},
	{0x11F50, 0x11F59, DIGITS, 0}, {0x16A60, 0x16A69, DIGITS, 0},  {0x16AC0, 0x16AC9, DIGITS, 0},
	{0x16B50, 0x16B59, DIGITS, 0}, {0x1D400, 0x1D6A3, LETTERS, 0}, {0x1D7CE, 0x1D7FF, DIGITS, 0},
	{0x1E140, 0x1E149, DIGITS, 0}, {0x1E2F0, 0x1E2F9, DIGITS, 0},  {0x1E4F0, 0x1E4F9, DIGITS, 0},
	{0x1E950, 0x1E959, DIGITS, 0}, {0x1FBF0, 0x1FBF9, DIGITS, 0},  {0xE0000, 0xE0FFF, DROPPED, 0},
};

/* The ASCII look of a code point, TEXT_FOLD_FOREIGN, or 0: it is left out. */
static uint8_t fold_one(uint32_t code)
{
	size_t low = 0, high = ARRAY_LEN(TABLE);

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (TABLE[middle].last < code)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == ARRAY_LEN(TABLE) || code < TABLE[low].first)
		return TEXT_FOLD_FOREIGN;
	uint32_t at = code - TABLE[low].first;
	switch ((enum fold)TABLE[low].fold) {
	case DROPPED:
		return 0;
	case TO:
		return TABLE[low].base;
	case LIKE:
		return (uint8_t)(TABLE[low].base + at);
	case DIGITS:
		return (uint8_t)('0' + (TABLE[low].base + at) % 10);
	case LETTERS:
		return (uint8_t)(at % 52 < 26 ? 'A' + at % 52 : 'a' + at % 52 - 26);
	}
	return TEXT_FOLD_FOREIGN;
}

static uint32_t code_point(const uint8_t *at, size_t len)
{
	static const uint8_t FIRST_BITS[] = {[2] = 0x1F, [3] = 0x0F, [4] = 0x07};
	uint32_t code = at[0] & FIRST_BITS[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (at[i] & 0x3Fu);
	return code;
}

/* How many bytes from `at` on are ASCII; most texts are nothing else. */
static size_t ascii_run(const uint8_t *at, size_t len)
{
	size_t run = 0;

	for (uint64_t word; len - run >= sizeof(word); run += sizeof(word)) {
		memcpy(&word, at + run, sizeof(word));
		if ((word & 0x8080808080808080) != 0)
			break;
	}
	while (run < len && at[run] < 0x80)
		run++;
	return run;
}

size_t text_fold(struct bytes text, char *out)
{
	size_t ascii = ascii_run(text.data, text.len);
	size_t len = ascii;

	if (ascii > 0)
		memcpy(out, text.data, ascii);
	for (size_t at = ascii; at < text.len;) {
		uint8_t c = text.data[at];
		size_t sequence = c < 0x80 ? 0 : utf8_sequence(text.data + at, text.len - at);
		if (sequence > 0)
			c = fold_one(code_point(text.data + at, sequence));
		else if (c >= 0x80)
			c = TEXT_FOLD_FOREIGN;
		at += sequence > 0 ? sequence : 1;
		if (c != 0 || sequence == 0)
			out[len++] = (char)c;
	}
	return len;
}
