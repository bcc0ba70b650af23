/*
 * The filter that every log line passes before it is written (security page: "Logs without secrets").
 *
 * Replaces, in place, what looks like a secret: wp_ tokens, whsec_…, sk_live_/sk_test_/rk_… keys,
 * "Bearer …", "Basic …", Stripe-Signature values, cookie values, PEM private keys, and card numbers
 * (13–19 digits, spaces or dashes allowed, Luhn, known prefixes). The replacement is "[redacted]"
 * padded or the text shortened; never longer than what it replaces.
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
