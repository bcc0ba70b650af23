/*
 * The filter before the log, for any bytes.
 *
 * Invariant: the result is never longer, holds no token shape and no card number as an independent, slower look finds
 * them, and a second pass changes nothing.
 */
#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_no_token(const char *text, size_t len)
{
	for (size_t i = 0; i + 3 <= len; i++) {
		size_t run = 0;

		if (strncasecmp(text + i, "wp_", 3) != 0)
			continue;
		while (i + 3 + run < len && isalnum((unsigned char)text[i + 3 + run]) != 0)
			run++;
		assert(run <= 8);
	}
}

/* Visa and Mastercard by first digits and Luhn's sum, from the right. */
static bool is_card(const char *digits, size_t count)
{
	unsigned sum = 0;
	bool visa = digits[0] == '4' && count >= 13 && count <= 19;
	bool mastercard = digits[0] == '5' && digits[1] >= '1' && digits[1] <= '5' && count == 16;

	for (size_t i = 0; i < count; i++) {
		unsigned digit = (unsigned)(digits[count - 1 - i] - '0') << (i % 2);

		sum += digit / 10 + digit % 10;
	}
	return (visa || mastercard) && sum % 10 == 0;
}

/* Every stretch of digits with single blanks or dashes, from each group's start to each group's end. */
static void assert_no_card(const char *text, size_t len)
{
	for (size_t start = 0; start < len; start++) {
		char digits[20];
		size_t count = 0;

		if (start > 0 && isdigit((unsigned char)text[start - 1]) != 0)
			continue;
		for (size_t i = start; i < len && count < sizeof(digits); i++) {
			if (isdigit((unsigned char)text[i]) == 0) {
				if ((text[i] != ' ' && text[i] != '-') || i == start ||
				    isdigit((unsigned char)text[i - 1]) == 0)
					break;
				continue;
			}
			digits[count++] = text[i];
			if (i + 1 == len || isdigit((unsigned char)text[i + 1]) == 0)
				assert(count < 13 || count > 19 || !is_card(digits, count));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *once = malloc(size + 1);
	char *twice = malloc(size + 1);
	size_t len, len_twice;

	assert(once != NULL && twice != NULL);
	if (size > 0)
		memcpy(once, data, size);
	len = redact_text(once, size);
	assert(len <= size);
	assert_no_token(once, len);
	assert_no_card(once, len);
	memcpy(twice, once, len);
	len_twice = redact_text(twice, len);
	assert(len_twice == len && memcmp(once, twice, len) == 0);
	free(once);
	free(twice);
	return 0;
}
