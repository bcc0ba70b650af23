/*
 * When to try again: pauses that double up to a bound (C6).
 *
 * A pause that is over is no success yet: what failed may fail again at once, and then the next pause is longer. Only
 * work that went well makes pauses short again.
 *
 * Owns: nothing; a plain value. Thread: one. Time is a parameter (CLOCK_BOOTTIME nanoseconds).
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_RETRY_H
#define WATCHPOST_WORKERS_RUNTIME_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry {
	unsigned failures; /* since work last went well */
	bool pending;      /* a pause is under way, or over and not followed by another try yet */
	int64_t due_ns;    /* while pending: when to try again */
};

/* A failure at now_ns. Returns the pause in ms: 20, 40, 80 … at most max_ms. */
int64_t retry_failed(struct retry *retry, int64_t now_ns, int64_t max_ms);
/* Trying again begins; the failures are remembered. */
void retry_resumed(struct retry *retry);
/* Work went well. */
void retry_succeeded(struct retry *retry);
/* Pending, and not due yet. */
bool retry_waiting(const struct retry *retry, int64_t now_ns);
bool retry_pending(const struct retry *retry);
/* Milliseconds until due, rounded up; 0 when due or nothing is pending. */
int64_t retry_left_ms(const struct retry *retry, int64_t now_ns);

#endif
