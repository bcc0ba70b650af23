/*
 * The refresher: rows that need_refresh are asked for at Stripe's API and written back, if they are still at the
 * version that was asked for.
 *
 * Runs on a thread of its own with a Postgres connection of its own, so neither Stripe nor the network holds up the
 * batches. A row is taken for LEASE_S, so several processes share the work.
 *
 *   404                       the row is marked and left alone until another event of it comes
 *   401, 403                  again after five minutes
 *   429, 5xx, no connection,  again after 2, 4, 8 … s, at most an hour; the rows behind it are asked for meanwhile
 *   or not to be stored
 *
 * Owns: refresh_stop ends the thread and frees all. Thread: start and stop: the worker's.
 */
#ifndef WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_REFRESH_H
#define WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_REFRESH_H

#include "common/config.h"
#include "common/err.h"

struct refresh;

/* NULL without an error when no stripe_api_key_file is configured. The configuration must outlive it. */
struct refresh *refresh_start(const struct config *config, struct err *err);
/* Cancels what is under way and waits for the thread; NULL is legal. */
void refresh_stop(struct refresh *refresh);

/* Seconds until a row is asked for again after this many failures in a row. */
int refresh_pause_s(int64_t failures);

#endif
