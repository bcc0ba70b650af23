/*
 * JSON texts for answers that are put together by hand.
 *
 * Owns: nothing. Thread: any. Errors: the buffer's bound or memory.
 */
#ifndef WATCHPOST_COMMON_JSON_WRITE_H
#define WATCHPOST_COMMON_JSON_WRITE_H

#include "common/buf.h"
#include "common/bytes.h"

/* Appends the text with its quotes; quotes, backslashes and control characters are escaped (RFC 8259). What is not
 * UTF-8 becomes U+FFFD, so that the result is always JSON. False, with `out` as it was: it does not fit. */
MUSTCHECK bool json_write_text(struct buf *out, struct bytes text);

#endif
