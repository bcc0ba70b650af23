/*
 * W4 for Stripe: is this body signed by one of our endpoint's secrets, now?
 *
 * Header: t=<unix seconds>,v1=<hex>[,v1=<hex>…][,<scheme>=…]. Signed: the text of t, '.', the raw body; HMAC-SHA256
 * under the whole secret, "whsec_" included. Any v1 may match any secret; every other scheme is ignored, so that
 * nobody can talk us down to a weaker one. The time may be off by the tolerance either way.
 *
 * Stricter than Stripe's libraries where a header could be read in two ways: a second t, a t that is not plain
 * decimal, an entry without '=', upper-case hex and over-long headers are refused.
 *
 * Owns: a verifier owns keys derived from the secrets, and wipes them; it keeps no reference to the configuration.
 * Thread: a verifier is never written after it was made; any number of loops may use it.
 */
#ifndef WATCHPOST_INGRESS_STRIPE_SIGNATURE_H
#define WATCHPOST_INGRESS_STRIPE_SIGNATURE_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/config.h"
#include "common/err.h"

/* For the log and the metrics alone: the client gets one answer for all of them. */
enum stripe_signature {
	STRIPE_SIGNATURE_GOOD,
	STRIPE_SIGNATURE_MISSING,      /* no header, or an empty one */
	STRIPE_SIGNATURE_REPEATED,     /* the header stands there twice (found by the route) */
	STRIPE_SIGNATURE_TOO_LONG,     /* over STRIPE_SIGNATURE_HEADER_BYTES_MAX */
	STRIPE_SIGNATURE_MALFORMED,    /* an entry without '=' */
	STRIPE_SIGNATURE_TIME_MISSING, /* no t */
	STRIPE_SIGNATURE_TIME_BAD,     /* t is repeated, not plain decimal, or does not fit */
	STRIPE_SIGNATURE_NO_SCHEME,    /* no v1 */
	STRIPE_SIGNATURE_TOO_MANY,     /* over STRIPE_SIGNATURES_MAX v1 entries */
	STRIPE_SIGNATURE_TOO_OLD,
	STRIPE_SIGNATURE_TOO_NEW,
	STRIPE_SIGNATURE_WRONG, /* well formed, in time, and no v1 matches a secret */
	STRIPE_SIGNATURE_COUNT
};

/* "signature_wrong", "signature_too_old" …: the word in the log and in the metric's label. Never NULL. */
const char *stripe_signature_name(enum stripe_signature result);

struct stripe_verifier;

/* One key per secret. No secrets is legal: such a verifier finds every signature wrong (see stripe_verifier_empty).
 * Errors: ERR_INVALID for a secret that is not "whsec_" and printable characters without spaces (the usual faults: an
 * API key in its place, white space behind it); the text says which one of the list, never what it holds. */
MUSTCHECK struct stripe_verifier *stripe_verifier_new(const struct secret_list *secrets, int64_t tolerance_s,
						      struct err *err);
void stripe_verifier_free(struct stripe_verifier *verifier); /* NULL is legal */

/* No secret was configured: nothing can be verified, which is our fault and not the sender's. */
bool stripe_verifier_empty(const struct stripe_verifier *verifier);

/* `header` is the value of Stripe-Signature, empty when there is none; now_s is wall time in seconds. */
MUSTCHECK enum stripe_signature stripe_verify(const struct stripe_verifier *verifier, struct bytes header,
					      struct bytes body, int64_t now_s);

#endif
