/*
 * A strict, allocation-free reader of JSON from outside (RFC 8259): a cursor that a caller pulls
 * tokens from, validating everything that it passes, also what the caller skips.
 *
 * Refused: trailing bytes, depth over JSON_DEPTH_MAX, invalid UTF-8, a byte order mark, lone surrogates,
 * raw control characters in strings, numbers that RFC 8259 does not allow. Any value may stand at the top.
 * A duplicate key is the caller's business, as is the range of a number. NUL bytes in the text are invalid; \u0000 in a
 * string is valid JSON and decodes to NUL, so decoded strings have lengths.
 *
 * Owns: nothing; the text must outlive the scan and the views it gives. Thread: one.
 * Errors: JSON_SCAN_ERROR from a call ends the scan; json_scan_error tells the offset and what was wrong,
 * never a byte of the text. The functions on the last KEY, STRING or NUMBER are for right after that token.
 */
#ifndef WATCHPOST_COMMON_JSON_SCAN_H
#define WATCHPOST_COMMON_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum json_token {
	JSON_SCAN_ERROR,
	JSON_SCAN_END, /* the text is over, and it was one whole value */
	JSON_SCAN_OBJECT_OPEN,
	JSON_SCAN_OBJECT_CLOSE,
	JSON_SCAN_ARRAY_OPEN,
	JSON_SCAN_ARRAY_CLOSE,
	JSON_SCAN_KEY,
	JSON_SCAN_STRING,
	JSON_SCAN_NUMBER,
	JSON_SCAN_TRUE,
	JSON_SCAN_FALSE,
	JSON_SCAN_NULL
};

/* Callers read `raw` and `raw_escaped`; the rest is the scanner's own. */
struct json_scan {
	struct bytes raw;    /* of the last KEY or STRING what stands between the quotes; of the last NUMBER its text */
	bool raw_escaped;    /* the raw string holds at least one backslash */
	uint8_t state;       /* what may come next */
	uint32_t depth;      /* open objects and arrays */
	uint64_t objects;    /* a bit per open level, the innermost lowest: set for an object */
	const char *problem; /* static text or NULL */
	const uint8_t *at;
	const uint8_t *end;
	struct bytes text;
};

void json_scan_init(struct json_scan *scan, struct bytes text);

/* The next token. After JSON_SCAN_ERROR or JSON_SCAN_END every further call returns the same. */
MUSTCHECK enum json_token json_scan_next(struct json_scan *scan);

/* Skips the value that would come next (a scalar, or a whole object or array), validating it. Not where a key would
 * come next. False where none comes next: after JSON_SCAN_ERROR, at the end, or before a closing bracket (which it
 * takes).
 */
MUSTCHECK bool json_scan_skip(struct json_scan *scan);
/* As json_scan_skip, for a value whose first token was just taken. */
MUSTCHECK bool json_scan_skip_rest(struct json_scan *scan, enum json_token first);

/* The last KEY or STRING, escapes undone, into out[0..cap); false when it does not fit. No NUL added. (Without
 * raw_escaped, `raw` is already that text.) */
MUSTCHECK bool json_scan_text(const struct json_scan *scan, char *out, size_t cap, size_t *len);

/* The last KEY equals this ASCII text (escapes undone). */
MUSTCHECK bool json_scan_key_is(const struct json_scan *scan, const char *key);

/* The last NUMBER as an integer; false for fractions, exponents and out of range. */
MUSTCHECK bool json_scan_i64(const struct json_scan *scan, int64_t *out);

/* Byte offset and a static text about what was wrong; NULL text when nothing was. */
const char *json_scan_error(const struct json_scan *scan, size_t *offset);

#endif
