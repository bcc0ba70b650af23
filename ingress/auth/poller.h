/*
 * The node's thread that keeps its view fresh (R1, R2): a row in the database under an id that is new at every start,
 * then a poll every ACCESS_POLL_MS, at once when woken, and at once again after an answer with changes, so that the
 * row shows them. It is woken by the database's NOTIFY, and by the wake-ups that come over Kafka (R7).
 *
 * It has a connection of its own, so that no loop's work is in its way. Postgres away: no answer, so the lease runs
 * out by itself; it is asked again every ACCESS_POLL_MS. A node that operators drain gets SIGTERM.
 *
 * Owns: its thread and connection. Thread: start and stop by main; wake and stats by any.
 */
#ifndef WATCHPOST_INGRESS_AUTH_POLLER_H
#define WATCHPOST_INGRESS_AUTH_POLLER_H

#include "common/clock.h"
#include "common/err.h"

struct poller;
struct settings;
struct uses;
struct view;

/* `view` and `uses` must outlive it; it takes a reference to the settings. */
MUSTCHECK struct poller *poller_start(struct settings *settings, const struct clock *clock, struct view *view,
				      struct uses *uses, struct err *err);
/* After a reload: what the next connection is made with. */
void poller_reload(struct poller *poller, struct settings *settings);
/* Writes the last uses, takes the node's row away (for at most a second), ends. NULL is legal. */
void poller_stop(struct poller *poller);
/* There may be changes: poll now. */
void poller_wake(struct poller *poller);

struct poller_stats {
	int64_t applied;
	uint64_t polls_total, failures_total, resets_total, wakes_total;
};
void poller_stats(struct poller *poller, struct poller_stats *out);

#endif
