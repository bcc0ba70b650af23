/*
 * Reading subscriptions from Stripe's API (GET /v1/subscriptions), for the refresher and for `watchpostctl stripe
 * reconcile`.
 *
 * Every call waits, at most STRIPE_API_TIMEOUT_MS, and no more than rate_per_s of them begin in a second. Of an answer
 * only the allow-listed fields below are read (promise 4); the rest is passed over in memory.
 *
 * Owns: struct stripe_api owns its connection and a copy of the key. Thread: one at a time; `cancel` may be set by any.
 * Errors: ERR_NOT_FOUND (404), ERR_DENIED (401, 403), ERR_FULL (429), ERR_UNAVAILABLE (5xx, no connection, cancelled),
 * ERR_TIMEOUT, ERR_INVALID (an answer that is not understood). Texts never hold a body or the key.
 */
#ifndef WATCHPOST_COMMON_STRIPE_API_H
#define WATCHPOST_COMMON_STRIPE_API_H

#include <stdatomic.h>

#include "common/err.h"
#include "common/secret.h"
#include "common/subscription.h"

struct stripe_api;

struct stripe_api_options {
	const char *base;         /* "https://api.stripe.com" */
	const struct secret *key; /* copied */
	int rate_per_s;
	const atomic_bool *cancel; /* NULL, or: true ends a call under way */
};

struct stripe_subscription {
	char id[STRIPE_ID_BYTES_MAX + 1];
	char customer[STRIPE_ID_BYTES_MAX + 1];
	enum subscription_status status;
	int64_t created_s;
	int64_t period_end_s; /* 0: not told; since 2025-03-31 it stands on the items: the earliest one */
	bool cancel_at_period_end;
	bool livemode;
};

MUSTCHECK struct stripe_api *stripe_api_new(const struct stripe_api_options *options, struct err *err);
void stripe_api_free(struct stripe_api *api);

MUSTCHECK bool stripe_api_subscription(struct stripe_api *api, const char *id, struct stripe_subscription *out,
				       struct err *err);

/* One page, newest first, all statuses, those after `after` (an id; NULL: the first page). */
MUSTCHECK bool stripe_api_list(struct stripe_api *api, const char *after, struct stripe_subscription *out, size_t max,
			       size_t *count, bool *more, struct err *err);

/* The parsers alone, for tests and the fuzzer. */
MUSTCHECK bool stripe_api_parse(struct bytes json, struct stripe_subscription *out, struct err *err);
MUSTCHECK bool stripe_api_parse_list(struct bytes json, struct stripe_subscription *out, size_t max, size_t *count,
				     bool *more, struct err *err);

#endif
