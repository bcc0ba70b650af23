/*
 * Digests, MACs, signatures and their text forms. OpenSSL's libcrypto underneath.
 *
 * Thread: functions are reentrant; a struct hmac_key may be used by many threads at once.
 * Errors: digests of memory do not fail. What libcrypto notes in its error queue is cleared, so that
 * the next TLS call does not find it.
 */
#ifndef WATCHPOST_COMMON_DIGEST_H
#define WATCHPOST_COMMON_DIGEST_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/err.h"
#include "common/secret.h"

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65, ED25519_SIGNATURE_BYTES = 64, ED25519_PUBLIC_BYTES = 32 };

/* SHA-256 of the concatenation of `count` parts (FIPS 180-4). */
void digest_sha256(const struct bytes *parts, size_t count, uint8_t out[SHA256_BYTES]);

/* HMAC-SHA256 (RFC 2104) with the inner and outer states computed once: no allocation per message. */
struct hmac_key;
/* Owns: a copy of the key, which hmac_key_free wipes. NULL: no memory. */
MUSTCHECK struct hmac_key *hmac_key_new(const struct secret *key);
void hmac_key_free(struct hmac_key *key);
void hmac_sha256(const struct hmac_key *key, const struct bytes *parts, size_t count, uint8_t out[SHA256_BYTES]);

/* Constant time in the content (CRYPTO_memcmp). */
MUSTCHECK bool digest_equal(const uint8_t *a, const uint8_t *b, size_t len);

/* Lower-case hex, NUL-terminated; out holds 2 * len + 1 bytes. */
void hex_encode(const uint8_t *data, size_t len, char *out);
/* Exactly 2 * len lower-case hex digits; false otherwise. Not constant time: public values only. */
MUSTCHECK bool hex_decode(struct bytes text, uint8_t *out, size_t len);

/* Ed25519 (RFC 8032) keys in PEM files; the private one is used by audit-log alone. */
struct sign_key;
MUSTCHECK struct sign_key *sign_key_read_private(const char *path, struct err *err);
MUSTCHECK struct sign_key *sign_key_read_public(const char *path, struct err *err);
/* Makes a pair and writes both PEM files (private 0600). ERR_CONFLICT when one is there already; then
 * nothing is left behind. */
MUSTCHECK bool sign_key_generate(const char *private_path, const char *public_path, struct err *err);
void sign_key_free(struct sign_key *key);
void sign_key_public(const struct sign_key *key, uint8_t out[ED25519_PUBLIC_BYTES]);
MUSTCHECK bool sign_message(const struct sign_key *key, struct bytes message, uint8_t out[ED25519_SIGNATURE_BYTES],
			    struct err *err);
/* A libcrypto without memory ends the process: a wrong "no" would read as tampering. */
MUSTCHECK bool sign_verify(const struct sign_key *key, struct bytes message,
			   const uint8_t signature[ED25519_SIGNATURE_BYTES]);

#endif
