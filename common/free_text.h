/*
 * The one check for every text that a person or a model typed: it holds no secret and no card number (promise 4), or it
 * is refused with 422 secret_refused or card_data_refused (docs/answers.md).
 *
 * Looked at is the text as a reader sees it (common/text_fold.h). A secret is one of
 *   wp_ and more than 8 letters or digits; whsec_; sk_live_, sk_test_, rk_live_ …; ek_live_; a client secret of
 * Stripe's (…_secret_…); keys of other services with a prefix of their own (AKIA…, ghp_…, xoxb-…, sk-…, AIza…, see the
 * table); a JSON Web Token; a PEM private key; the user and password of a URL; "Bearer" and 16 characters or more with
 * letters and digits; "Basic" and base64 of "user:password"; the value of password, cookie, authorization,
 * stripe-signature, __Host-watchpost or a signature's v1, when it has 6 characters or more and is no plain word or
 * number. A card number is what common/card.h says of texts. So pass: order numbers, times, ULIDs, UUIDs, telephone
 * numbers, barcodes, IBANs, "basic subscription", "password: changed". tests/unit/common/test_free_text.c measures it.
 *
 * Not seen: numbers in words, secrets without a shape, letters of other alphabets that resemble ours.
 *
 * Owns: nothing. Thread: any. Errors: none.
 */
#ifndef WATCHPOST_COMMON_FREE_TEXT_H
#define WATCHPOST_COMMON_FREE_TEXT_H

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum free_text {
	FREE_TEXT_FINE,
	FREE_TEXT_SECRET,  /* 422 secret_refused */
	FREE_TEXT_CARD,    /* 422 card_data_refused */
	FREE_TEXT_TOO_LONG /* over FREE_TEXT_BYTES_MAX: not looked at */
};

MUSTCHECK enum free_text free_text_check(struct bytes text);

#endif
