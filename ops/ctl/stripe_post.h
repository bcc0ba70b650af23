/*
 * Signing a body as Stripe does, and posting it to an ingress over one kept-open connection.
 *
 * Owns: a poster owns its connection and a key derived from the secret. Thread: one. TLS is always verified.
 */
#ifndef WATCHPOST_OPS_CTL_STRIPE_POST_H
#define WATCHPOST_OPS_CTL_STRIPE_POST_H

#include <stdint.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"
#include "common/secret.h"

struct stripe_poster;

struct stripe_poster_options {
	const char *url;             /* of the ingress, with or without the route's path */
	const char *ca_file;         /* NULL: the machine's own certificates */
	const struct secret *secret; /* whsec_… */
};

struct stripe_answer {
	long status;
	int64_t took_us;
	struct buf body; /* at most STRIPE_ANSWER_BYTES_MAX; initialised by the caller, filled anew by each post */
};

enum { STRIPE_ANSWER_BYTES_MAX = 4096 };

MUSTCHECK struct stripe_poster *stripe_poster_new(const struct stripe_poster_options *options, struct err *err);
void stripe_poster_free(struct stripe_poster *poster); /* NULL is legal */

/* Signed for now_s. True: some answer came. Errors: ERR_UNAVAILABLE without a connection, ERR_TIMEOUT, ERR_DENIED when
 * the server's certificate is not trusted. */
MUSTCHECK bool stripe_post(struct stripe_poster *poster, struct bytes body, int64_t now_s, struct stripe_answer *answer,
			   struct err *err);

#endif
