/*
 * W4 and R3: who calls, before any work is done for him.
 *
 * The check reads the lease, then a clock of its own, then the cache; without a valid lease, or without an entry, the
 * primary is asked (ingress/auth/lookup.h). It is made when the head was read, again before anything is published or
 * written (W7), and again at every wake-up of an answer that waits, so that a body or a poll that was held back does
 * not outlive a revoke. No lease and no primary: 503.
 *
 * Refusals of tokens (401) are the same for missing, malformed, unknown and revoked ones, and leave on a grid of
 * AUTH_GRID_MS after their head, so that they cannot be told apart by time either.
 *
 * Owns: auth_start makes what all loops share and the threads that keep it fresh; auth_stop ends them after the
 * loops. Thread: request functions the loop's; the others as stated.
 */
#ifndef WATCHPOST_INGRESS_AUTH_AUTH_H
#define WATCHPOST_INGRESS_AUTH_AUTH_H

#include "ingress/auth/cache.h"
#include "ingress/request.h"

struct auth;
struct settings;

/* Starts the poller and the reader of wake-ups; returns before the first lease, until which callers are refused by 503.
 * It takes references to the
 * settings. */
MUSTCHECK struct auth *auth_start(struct settings *settings, size_t loop_count, struct err *err);
void auth_reload(struct auth *auth, struct settings *settings);
/* The loops accept nothing any more: the node's row goes. NULL is legal. */
void auth_stop(struct auth *auth);

/* W4: finds the token in the head and requires its agent; then(req) is called when he is accepted, now or later.
 * Finishes the request otherwise: 401, 403 (a state that the route does not serve), 429 or 503. */
void auth_begin(struct request *req, void (*then)(struct request *req));
/* R3, again: the same for a request that was accepted before. */
void auth_require(struct request *req, void (*then)(struct request *req));
/* 401 on the grid, or 429 where an address had too many: for a handler that learns that the token is nobody's any more.
 */
void auth_refuse(struct request *req, const char *reason);
/* After W4, on routes of agents: who calls, as the last check knew him. */
const struct caller *request_caller(const struct request *req);

/* Any thread, for /readyz and /metrics. */
struct auth_stats {
	int64_t lease_left_ms; /* 0 or less: nothing is trusted now */
	int64_t applied;
	size_t tokens, cache_bytes;
	uint64_t hits_total, misses_total, lookups_total, uses_lost_total, polls_total, poll_failures_total,
		resets_total;
	uint64_t wakes_total;
	uint64_t refused_total, limited_total; /* 401 and 429 */
};
/* A lease is valid now. */
bool auth_trusts(struct auth *auth);
void auth_stats(struct auth *auth, struct auth_stats *out);

#endif
