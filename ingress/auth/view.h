/*
 * What a node makes of the answers to its polls (R2): which changes it has applied, of which history, and what that
 * means for cache and lease. A machine without I/O: the poller feeds it, tests too.
 *
 * Owns: nothing of cache and lease. Thread: the poller's; view_takes_fills, view_disowns: any.
 */
#ifndef WATCHPOST_INGRESS_AUTH_VIEW_H
#define WATCHPOST_INGRESS_AUTH_VIEW_H

#include <pthread.h>

#include "ingress/auth/cache.h"
#include "ingress/auth/lease.h"

/* One answer of api.access_poll. */
struct access_answer {
	int64_t clock;                          /* of the answer's own snapshot */
	char epoch[ACCESS_EPOCH_BYTES_MAX + 1]; /* of the same */
	bool known;                             /* the node has a row */
	bool reset;
	bool drain;
	const struct access_change *changes; /* in the order of numbers, all above what was applied */
	size_t change_count;
};

struct view {
	struct cache *cache;
	struct lease *lease;
	int64_t applied;
	char epoch[ACCESS_EPOCH_BYTES_MAX + 1]; /* written under lock */
	bool primed;                            /* an answer was applied whole since the view began; under lock */
	pthread_mutex_t lock;
	uint64_t resets_total;
};

enum view_next {
	VIEW_WAIT, /* the node is up to date: ask again when the time comes */
	VIEW_ASK,  /* ask again at once: there was something to apply or there is more, and the row must show it (R5) */
	VIEW_REGISTER /* the node has no row any more: it must begin anew under another id */
};

void view_init(struct view *view, struct cache *cache, struct lease *lease);
void view_close(struct view *view);
/* The row of a node was committed at this number: nothing is cached and nothing trusted yet (R1). */
void view_begin(struct view *view, int64_t number, const char *epoch);
/* t0_ns: read before the question was sent. */
MUSTCHECK enum view_next view_take(struct view *view, const struct access_answer *answer, int64_t t0_ns);
/* A fill is of the history that is in force, and not before the first poll was answered (R1). */
MUSTCHECK bool view_takes_fills(struct view *view, struct bytes epoch);
/* What a server of another history says decides nothing: it may be an old primary that goes on answering. */
MUSTCHECK bool view_disowns(struct view *view, struct bytes epoch);

#endif
