/*
 * Sample Stripe events for `watchpostctl stripe send`: small, in the shape of API version 2025-03-31.basil.
 */
#ifndef WATCHPOST_OPS_CTL_STRIPE_SAMPLE_H
#define WATCHPOST_OPS_CTL_STRIPE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/compiler.h"

struct stripe_sample {
	const char *event_id;
	const char *type; /* any; other types than those that change state get a plain object */
	const char *customer;
	const char *subscription;
	const char *status;
	const char *account; /* checkout: client_reference_id; NULL: none */
	int64_t created_s;
	bool livemode;
};

/* The event as JSON text; NULL without memory, or when a text is not UTF-8. Owns: the caller, free(). */
MUSTCHECK char *stripe_sample_write(const struct stripe_sample *sample);

#endif
