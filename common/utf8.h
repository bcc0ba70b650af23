/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing over U+10FFFF.
 *
 * Thread: any. Owns: nothing. Errors: none.
 */
#ifndef WATCHPOST_COMMON_UTF8_H
#define WATCHPOST_COMMON_UTF8_H

#include "common/bytes.h"
#include "common/compiler.h"

/* The bytes (2 to 4) of the multi-byte sequence that starts at `at`, with `left` > 0 bytes there; 0 when that is no
 * valid one. An ASCII byte is no multi-byte sequence. */
MUSTCHECK size_t utf8_sequence(const uint8_t *at, size_t left);

/* True when the whole text is valid; U+0000 is. */
MUSTCHECK bool utf8_valid(struct bytes text);

/* True when the whole text is valid and holds no U+0000, which Postgres cannot keep. */
MUSTCHECK bool utf8_text_valid(struct bytes text);

#endif
