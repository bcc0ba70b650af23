#include "common/card.h"

#include <assert.h>

#define LENGTH(n)          (1u << (n))
#define LENGTHS(low, high) ((2u << (high)) - (1u << (low))) /* a bit per length from low to high */

/* First digits that card networks have given out, and the lengths of their numbers: any that was ever said, and those
 * that are given out. */
static const struct {
	unsigned low;
	unsigned high;
	size_t digits; /* of low and high */
	unsigned said;
	unsigned issued;
} networks[] = {
	/* Visa */
	{4, 4, 1, LENGTHS(13, 19), LENGTH(13) | LENGTH(16) | LENGTH(19)},
	/* Mastercard */
	{51, 55, 2, LENGTH(16), LENGTH(16)},
	{2221, 2720, 4, LENGTH(16), LENGTH(16)},
	/* American Express */
	{34, 34, 2, LENGTH(15), LENGTH(15)},
	{37, 37, 2, LENGTH(15), LENGTH(15)},
	/* Diners Club */
	{300, 305, 3, LENGTHS(14, 19), LENGTH(14) | LENGTH(16) | LENGTH(19)},
	{36, 36, 2, LENGTHS(14, 19), LENGTH(14) | LENGTH(16) | LENGTH(19)},
	{38, 39, 2, LENGTHS(14, 19), LENGTH(14) | LENGTH(16) | LENGTH(19)},
	/* JCB */
	{3528, 3589, 4, LENGTHS(16, 19), LENGTHS(16, 19)},
	/* Mir */
	{2200, 2205, 4, LENGTHS(16, 19), LENGTHS(16, 19)},
	/* Maestro, Discover, UnionPay; of the last range next to nothing is given out, while shops number orders so */
	{50, 50, 2, LENGTHS(13, 19), LENGTHS(16, 19)},
	{56, 69, 2, LENGTHS(13, 19), LENGTHS(16, 19)},
	{81, 81, 2, LENGTHS(16, 19), 0},
};

/* The lengths that numbers which begin so may have. */
static void lengths_of(const uint8_t *digits, size_t count, unsigned *said, unsigned *issued)
{
	assert(count >= CARD_DIGITS_MIN);
	*said = 0;
	*issued = 0;
	for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
		unsigned first = 0;

		for (size_t j = 0; j < networks[i].digits; j++)
			first = first * 10 + digits[j];
		if (first >= networks[i].low && first <= networks[i].high) {
			*said |= networks[i].said;
			*issued |= networks[i].issued;
		}
	}
}

bool card_network(const uint8_t *digits, size_t count)
{
	unsigned said, issued;

	lengths_of(digits, count, &said, &issued);
	return count <= CARD_DIGITS_MAX && (said & LENGTH(count)) != 0;
}

bool card_issued(const uint8_t *digits, size_t count)
{
	unsigned said, issued;

	lengths_of(digits, count, &said, &issued);
	return count <= CARD_DIGITS_MAX && (issued & LENGTH(count)) != 0;
}

static unsigned doubled(unsigned digit)
{
	return digit < 5 ? 2 * digit : 2 * digit - 9;
}

bool card_luhn(const uint8_t *digits, size_t count)
{
	unsigned sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += i % 2 == 1 ? doubled(digits[count - 1 - i]) : digits[count - 1 - i];
	return sum % 10 == 0;
}

bool card_begins(const uint8_t *digits, size_t count)
{
	/* Which digits are doubled depends on the length's parity: both sums go along. */
	unsigned sums[2] = {0, 0};

	for (size_t i = 0; i < count && i < CARD_DIGITS_MAX; i++) {
		sums[i % 2] += doubled(digits[i]);
		sums[1 - i % 2] += digits[i];
		/* With i + 1 digits the last one is plain: that is the sum in which i was not doubled. */
		if (i + 1 >= CARD_DIGITS_MIN && sums[1 - i % 2] % 10 == 0)
			return true;
	}
	return false;
}
