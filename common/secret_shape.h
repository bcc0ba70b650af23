/*
 * The shapes of secrets in a text: what the log's filter (common/redact.h) replaces and what free text may not hold
 * (common/free_text.h).
 *
 * Each rule is asked at the one byte that its secrets cannot do without, and looks around from there.
 *
 * Owns: nothing. Thread: any. Errors: none; an empty span means that there is no secret.
 */
#ifndef WATCHPOST_COMMON_SECRET_SHAPE_H
#define WATCHPOST_COMMON_SECRET_SHAPE_H

#include "common/bytes.h"

/* What is looked at. Nothing before `floor` counts: it was dealt with already. */
struct secret_scan {
	const char *text;
	size_t len;
	size_t floor;
};

/* The bytes of a secret; none when start is end. */
struct secret_span {
	size_t start;
	size_t end;
};

/* `at` is '_': wp_ and more than the 8 characters by which a token is listed (any case: also a token that somebody
 * mangled), whsec_, sk_live_, sk_test_, rk_live_, rk_test_ and at least 4 characters. */
struct secret_span secret_shape_key(const struct secret_scan *s, size_t at);
/* `at` is ' ': what follows "Bearer" or "Basic", of at least 8 characters. On suspicion: "basic subscription" too. */
struct secret_span secret_shape_scheme(const struct secret_scan *s, size_t at);
/* `at` is ':' or '=': the value of cookie, authorization, stripe-signature, password, __Host-watchpost, and of v0 and
 * v1 of a signature; as a header, as a field, as JSON in a quoted text. On suspicion: whatever the value is. */
struct secret_span secret_shape_named(const struct secret_scan *s, size_t at);
/* `at` is the second '-' of "-----BEGIN … PRIVATE KEY". */
struct secret_span secret_shape_private_key(const struct secret_scan *s, size_t at);

#endif
