/*
 * Writing down what Stripe's API said of subscriptions: the one way of the refresher and of `watchpostctl stripe
 * reconcile` (api.subscription_refresh_write, which also settles the states of the accounts).
 *
 * Thread: as `pg`. Errors: as pg_call; then nothing was written, or, of an outcome that is not known, all or nothing.
 */
#ifndef WATCHPOST_COMMON_STRIPE_REFRESH_H
#define WATCHPOST_COMMON_STRIPE_REFRESH_H

#include "common/config.h"
#include "common/pg.h"
#include "common/stripe_api.h"

struct stripe_refreshed {
	struct stripe_subscription subscription;
	int64_t version; /* of our row, from before Stripe was asked; 0: there was none */
};

/* At most STRIPE_API_PAGE_MAX answers, about different subscriptions. Returns rows (stripe_subscription_id, outcome) in
 * the order of the ids, which the caller frees. Outcomes: inserted, changed, same, changed_meanwhile, terminal. */
MUSTCHECK struct pg_result *stripe_refresh_write(struct pg *pg, const struct config *config,
						 const struct stripe_refreshed *answers, size_t count, bool dry_run,
						 struct err *err);

#endif
