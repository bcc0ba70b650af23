/*
 * A secret: key material, a password, a token. Has no way to print itself.
 *
 * Owns: its bytes, inline. secret_wipe clears them (OPENSSL_cleanse); every holder wipes before its
 * memory goes away. A secret is passed by pointer, never copied by assignment. Thread: any for
 * reading, one for writing.
 */
#ifndef WATCHPOST_COMMON_SECRET_H
#define WATCHPOST_COMMON_SECRET_H

#include "common/bytes.h"
#include "common/err.h"

struct secret {
	size_t hidden_len;
	uint8_t hidden[SECRET_BYTES_MAX];
};

/* Copies the bytes in; ERR_TOO_LARGE over SECRET_BYTES_MAX, ERR_INVALID when empty. */
MUSTCHECK bool secret_set(struct secret *s, struct bytes bytes, struct err *err);

/* Reads a regular file of at most SECRET_BYTES_MAX bytes and drops ONE trailing newline ("\n" or
 * "\r\n"), which does not count. The error names the path, never the content; ERR_NOT_FOUND,
 * ERR_INVALID (no regular file, empty), ERR_TOO_LARGE, ERR_IO. */
MUSTCHECK bool secret_read_file(struct secret *s, const char *path, struct err *err);

/* A view for handing to a digest or a library; valid until the secret is wiped. */
struct bytes secret_bytes(const struct secret *s);

void secret_wipe(struct secret *s);

/* Constant time in the content; lengths may show. */
MUSTCHECK bool secret_equal(const struct secret *a, const struct secret *b);

#endif
