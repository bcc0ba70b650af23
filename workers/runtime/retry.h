/*
 * When to try again: pauses that double up to a bound (C6).
 *
 * Owns: nothing; a plain value. Thread: one. Time is a parameter (CLOCK_BOOTTIME nanoseconds).
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_RETRY_H
#define WATCHPOST_WORKERS_RUNTIME_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct retry {
	unsigned failures; /* in a row */
	int64_t due_ns;    /* with failures > 0: when to try again */
};

/* A failure at now_ns. Returns the pause in ms: 20, 40, 80 … at most max_ms. */
int64_t retry_failed(struct retry *retry, int64_t now_ns, int64_t max_ms);
void retry_succeeded(struct retry *retry);
/* A failure stands and its pause is not over. */
bool retry_waiting(const struct retry *retry, int64_t now_ns);
/* A failure stands. */
bool retry_pending(const struct retry *retry);
/* Milliseconds until due, rounded up; 0 when due or nothing is pending. */
int64_t retry_left_ms(const struct retry *retry, int64_t now_ns);

#endif
