/*
 * common/json_scan.c against jansson: both take the same texts, and skipping sees what pulling sees.
 *
 * Jansson is told to take any top value, \u0000, and integers of any length. What is left of differences is meant:
 *   depth       we take JSON_DEPTH_MAX levels, jansson 2048;
 *   overflow    a real over the range of a double is a number to us, a fault to jansson;
 *   NUL bytes   no JSON text holds one; jansson takes one right after a number.
 * Duplicate keys are refused by neither.
 */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/json_scan.h"

enum { INPUT_BYTES_MAX = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	bool whole;
	bool too_deep;
	size_t offset;
};

static struct seen by_next(struct bytes text)
{
	struct json_scan scan;
	enum json_token token;
	size_t tokens = 0;
	json_scan_init(&scan, text);
	do {
		token = json_scan_next(&scan);
		assert(scan.depth <= JSON_DEPTH_MAX && ++tokens <= text.len + 1);
		if (token == JSON_SCAN_KEY || token == JSON_SCAN_STRING) {
			char out[INPUT_BYTES_MAX];
			size_t len;
			bool fits = json_scan_text(&scan, out, sizeof(out), &len);
			assert(fits && len <= scan.raw.len);
		}
	} while (token != JSON_SCAN_END && token != JSON_SCAN_ERROR);
	struct seen seen = {.whole = token == JSON_SCAN_END};
	const char *problem = json_scan_error(&scan, &seen.offset);
	assert((problem == NULL) == seen.whole && seen.offset <= text.len);
	seen.too_deep = problem != NULL && strcmp(problem, "nested too deep") == 0;
	return seen;
}

static struct seen by_skip(struct bytes text)
{
	struct json_scan scan;
	json_scan_init(&scan, text);
	struct seen seen = {.whole = json_scan_skip(&scan) && json_scan_next(&scan) == JSON_SCAN_END};
	(void)json_scan_error(&scan, &seen.offset);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_BYTES_MAX)
		return 0;
	struct bytes text = bytes_make(data, size);
	struct seen pulled = by_next(text);
	struct seen skipped = by_skip(text);
	assert(pulled.whole == skipped.whole && pulled.offset == skipped.offset);
	if (size > 0 && memchr(data, 0, size) != NULL) {
		assert(!pulled.whole);
		return 0;
	}
	if (pulled.too_deep)
		return 0;

	json_error_t error;
	size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL;
	json_t *value = json_loadb((const char *)data, size, flags, &error);
	bool overflow = value == NULL && json_error_code(&error) == json_error_numeric_overflow;
	assert(overflow || pulled.whole == (value != NULL));
	json_decref(value);
	return 0;
}
