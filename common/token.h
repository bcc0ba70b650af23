/*
 * An agent's token: "wp_" and 32 characters of base32 (RFC 4648, upper case, no padding), 160 random bits.
 *
 * What is kept of it is its SHA-256 and, for listing, its first TOKEN_PREFIX_CHARS characters. No salt: 160 random bits
 * cannot be guessed from their digest.
 *
 * Owns: nothing; the text is a secret of the caller's. Thread: any.
 */
#ifndef WATCHPOST_COMMON_TOKEN_H
#define WATCHPOST_COMMON_TOKEN_H

#include "common/digest.h"
#include "common/secret.h"

enum { TOKEN_CHARS = 35, TOKEN_PREFIX_CHARS = 8, TOKEN_RANDOM_BYTES = 20 };

/* True for exactly the shape of a token. Looked at before anything is computed from it. */
MUSTCHECK bool token_shape(struct bytes text);

/* SHA-256 of the whole text, prefix included. */
void token_hash(struct bytes text, uint8_t out[SHA256_BYTES]);

/* A new one, from the system's CSPRNG. */
void token_new(struct secret *out);

#endif
