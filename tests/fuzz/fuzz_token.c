/*
 * The shape of a token (common/token.h): what has it is never left by the log's filter, and one byte less or more has
 * not.
 */
#include <assert.h>
#include <string.h>

#include "common/redact.h"
#include "common/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char line[TOKEN_CHARS + 3];
	if (!token_shape(bytes_make(data, size)))
		return 0;
	assert(size == TOKEN_CHARS && memcmp(data, "wp_", 3) == 0);
	assert(!token_shape(bytes_make(data, size - 1)));
	line[0] = ' ';
	memcpy(line + 1, data, TOKEN_CHARS);
	line[TOKEN_CHARS + 1] = ' ';
	size_t len = redact_text(line, TOKEN_CHARS + 2);
	assert(memmem(line, len, data + TOKEN_PREFIX_CHARS, 8) == NULL);
	return 0;
}
