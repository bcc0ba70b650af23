/*
 * Authentication as its own files and the engine see it (auth.c, refuse.c, lookup.c, receive.c, finish.c, loop.c).
 */
#ifndef WATCHPOST_INGRESS_AUTH_AUTH_PRIVATE_H
#define WATCHPOST_INGRESS_AUTH_AUTH_PRIVATE_H

#include <stdatomic.h>

#include "common/clock.h"
#include "ingress/auth/auth.h"
#include "ingress/auth/lease.h"
#include "ingress/auth/uses.h"
#include "ingress/auth/view.h"
#include "ingress/rate.h"
#include "ingress/timer.h"

struct poller;
struct settings;
struct wake;
struct wait_list;

/* What all loops share. */
struct auth {
	const struct clock *clock;
	struct cache *cache;
	struct lease lease;
	struct view view; /* the poller's */
	struct uses uses;
	struct poller *poller;
	struct wake *wake;
	struct settings *settings; /* a reference, for the wake-ups: Kafka's settings need a restart */
	struct rate_table *token_rate;
	struct rate_table *address_rate;
	struct rate_table *refused_rate; /* 401s of one address */
	size_t lookups_max;              /* of one loop */
	size_t waiting_max;              /* of one loop */
	_Atomic size_t delayed;
	_Atomic uint64_t hits_total, misses_total, lookups_total, refused_total, limited_total;
};

/* A request's part. */
struct request_auth {
	void (*then)(struct request *req);
	struct wait_list *list; /* NULL: it waits for no look-up */
	struct request *prev, *next;
	uint64_t sendings; /* look-ups that its loop had sent when its bytes were read */
	bool fresh;        /* the look-up that it waits for was sent after that */
	bool has_token;    /* token_hash is set */
	bool counted;      /* against the token's rate */
	bool charged;      /* against the 401s of its address */
	bool delayed;      /* refused, waiting for the grid */
	unsigned tries;
	int64_t head_ns;
	const char *reason;   /* of the refusal, for the log */
	struct timer timer;   /* the grid, or the end of the wait for a look-up */
	struct caller caller; /* token_hash counts from has_token on, the rest once accepted */
};

struct wait_list {
	struct request *first, *last;
};

/* auth.c: a caller was found, by the cache or by a look-up of his own. */
void auth_decide(struct request *req, const struct caller *caller, bool first_use);
/* auth.c: lease, clock, entry. False: nothing is known that may be believed. */
MUSTCHECK bool auth_find(struct auth *auth, const uint8_t token_hash[SHA256_BYTES], struct caller *out,
			 bool *first_use);

/* refuse.c: takes a 401 of the address ahead. False: there is none left, and the request is finished with 429. */
MUSTCHECK bool auth_charge(struct request *req);
/* refuse.c: it was not needed. */
void auth_discharge(struct request *req);

/* What the engine calls when a request ends, however it ends. */
void auth_forget(struct request *req);

#endif
