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
#include "common/compiler.h"

/* What is looked at. Nothing before `floor` counts: it was dealt with already. */
struct secret_scan {
	const char *text;
	size_t len;
	size_t floor;
};

/* Where a text is worth a rule's look. Every kind of secret has a byte that it cannot do without, behind one of few
 * others: each rule is a bit, set for the former in `at` and for the latter in `behind`. */
struct secret_stops {
	uint8_t at[256];
	uint8_t behind[256];
};

static inline unsigned secret_stop(const struct secret_stops *stops, const char *text, size_t at, unsigned always)
{
	return stops->at[(uint8_t)text[at]] & (stops->behind[(uint8_t)text[at - 1]] | always);
}

/* The next place from `at` on that a rule stops for; len when there is none. Rules in `always` stop behind anything.
 * Before the first byte stands nothing: as good as a blank. */
static inline size_t secret_stop_next(const struct secret_stops *stops, const char *text, size_t len, size_t at,
				      unsigned always)
{
	if (at == 0 && len > 0) {
		if ((stops->at[(uint8_t)text[0]] & (stops->behind[' '] | always)) != 0)
			return 0;
		at = 1;
	}
	/* Four at a time: one branch instead of four. */
	while (at + 4 <= len &&
	       LIKELY((secret_stop(stops, text, at, always) | secret_stop(stops, text, at + 1, always) |
		       secret_stop(stops, text, at + 2, always) | secret_stop(stops, text, at + 3, always)) == 0))
		at += 4;
	while (at < len && secret_stop(stops, text, at, always) == 0)
		at++;
	return at;
}

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
