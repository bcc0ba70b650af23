/*
 * Identifiers: prefix + '_' + ULID (26 characters of Crockford base32; github.com/ulid/spec).
 *
 * 48 bits of wall milliseconds and 80 random bits from the system's CSPRNG, drawn in blocks so that
 * an id costs no system call. Within a thread ids of one millisecond ascend. A forked child draws
 * anew. Ids are names, never secrets: the next one of a millisecond can be guessed.
 *
 * Thread: any (state is per thread). Errors: none; a CSPRNG that fails ends the process.
 */
#ifndef WATCHPOST_COMMON_ID_H
#define WATCHPOST_COMMON_ID_H

#include <stdbool.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/limits.h"

/* `prefix` is 1 to ID_PREFIX_BYTES_MAX lower-case letters ("req", "acct"). NUL-terminated. */
void id_new(const char *prefix, const struct clock *clock, char out[ID_TEXT_BYTES]);

/* True for exactly prefix + '_' + 26 characters of the alphabet. */
MUSTCHECK bool id_valid(struct bytes text, const char *prefix);

/* Fills with random bytes from the system's CSPRNG (unbuffered; for keys and tokens). */
void id_random(void *out, size_t len);

#endif
