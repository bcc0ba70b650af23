/*
 * The filter that every log line passes before it is written (security page: "Logs without secrets").
 *
 * Replaces, in place, what looks like a secret: wp_ tokens, whsec_…, sk_live_/sk_test_/rk_… keys,
 * "Bearer …", "Basic …", values of Authorization, Cookie, Stripe-Signature and password (as headers,
 * as fields, as JSON in a quoted field), PEM private keys, and card numbers (13–19 digits, single
 * spaces or dashes allowed, Luhn, known prefixes). In their place stands "[redacted]", or as many '*'
 * where the secret is shorter than that; never more than what was there. Filtering twice changes nothing.
 *
 * Thread: any. Errors: none. It is a second line of defence: callers do not log such values at all.
 */
#ifndef WATCHPOST_COMMON_REDACT_H
#define WATCHPOST_COMMON_REDACT_H

#include <stdbool.h>
#include <stddef.h>

/* Filters text[0..len); returns the new length (<= len). */
size_t redact_text(char *text, size_t len);

#endif
