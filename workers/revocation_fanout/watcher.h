/*
 * Closes completions as soon as every node shows the change, forgets nodes that are gone (R1), trims the access log: on
 * a thread and a connection of its own, so that the consumer goes on meanwhile.
 *
 * A node is gone when its count of polls stood still for NODE_FORGET_MS of our own clock: no clock of the database and
 * none of another machine is asked.
 *
 * Owns: its thread and connection. Thread: start, stop and expect by the worker's.
 */
#ifndef WATCHPOST_WORKERS_REVOCATION_FANOUT_WATCHER_H
#define WATCHPOST_WORKERS_REVOCATION_FANOUT_WATCHER_H

#include "common/clock.h"
#include "common/config.h"
#include "common/err.h"

struct watcher;

/* The configuration must outlive it. */
MUSTCHECK struct watcher *watcher_start(const struct config *config, const struct clock *clock, struct err *err);
void watcher_stop(struct watcher *watcher); /* NULL is legal */
/* Completions were opened: look now. */
void watcher_expect(struct watcher *watcher);

#endif
