/*
 * The shapes that a text of a Stripe event must have to pass W6: closed character sets and lengths, and nothing that
 * could be a card number or a secret. So free text, names and addresses cannot pass, wherever they are put.
 *
 * Thread: any. Errors: none; a text fits or it does not.
 */
#ifndef WATCHPOST_INGRESS_STRIPE_SHAPE_H
#define WATCHPOST_INGRESS_STRIPE_SHAPE_H

#include <stdbool.h>

#include "common/bytes.h"
#include "common/compiler.h"

enum stripe_shape {
	STRIPE_SHAPE_ID,      /* [A-Za-z0-9_], STRIPE_ID_BYTES_MAX: "sub_1MowQVLkdIwHu7ixeRlqHVzs" */
	STRIPE_SHAPE_TYPE,    /* and [.[\]], STRIPE_TYPE_BYTES_MAX: "v2.core.account[requirements].updated" */
	STRIPE_SHAPE_WORD,    /* [a-z0-9_.], STRIPE_WORD_BYTES_MAX: "past_due", "checkout.session" */
	STRIPE_SHAPE_VERSION, /* [a-z0-9_.-], STRIPE_VERSION_BYTES_MAX: "2025-03-31.basil" */
	STRIPE_SHAPE_COUNT
};

/* False for the empty text, too. A text that fits holds neither of the following two. */
MUSTCHECK bool stripe_shape_fits(enum stripe_shape shape, struct bytes text);

/* 13 to 19 digits in a row, '_', '-' and '.' between them not counted, that begin as card numbers do (2 to 6) and
 * pass the Luhn check. At most STRIPE_ID_BYTES_MAX bytes are looked at. */
MUSTCHECK bool stripe_shape_card(struct bytes text);
/* A key or secret of Stripe's (sk_live_, rk_test_, ek_live_, whsec_, …_secret_…) or one of our tokens (wp_ and 32
 * characters of base32). */
MUSTCHECK bool stripe_shape_secret(struct bytes text);

#endif
