/*
 * Look-ups of tokens at the primary (R3, R6), of one loop: pipelined, one for a token however many requests wait for
 * it, a bounded number under way and a bounded number of requests waiting.
 *
 * An answer goes into the cache under R6. Whoever waited since before the look-up was sent may use the answer itself:
 * it is of a snapshot that is younger than his bytes. Who came later is checked through the cache, or asks again.
 *
 * Owns: its slots; a request is in one list while it waits. Thread: the loop's.
 */
#ifndef WATCHPOST_INGRESS_AUTH_LOOKUP_H
#define WATCHPOST_INGRESS_AUTH_LOOKUP_H

#include "common/err.h"

struct lookups;
struct loop;
struct request;

MUSTCHECK struct lookups *lookups_new(struct loop *loop, struct err *err);
/* The store is closed: nothing is under way. NULL is legal. */
void lookups_free(struct lookups *lookups);

/* The request waits until its token was looked up; then it is decided (auth_decide) or refused. Finishes it with 429
 * or 503 when it cannot wait. */
void lookup_want(struct request *req);
/* The request ended while it waited. */
void lookup_forget(struct request *req);

#endif
