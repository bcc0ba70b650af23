/*
 * Deadlines of one loop, without a system call or a heap per request.
 *
 * Timers of one duration end in the order in which they were started, so each duration has a list and starting,
 * stopping and finding the next are O(1). The durations are the settings' (head, body, idle, write, publish …), hence
 * few; a duration beyond TIMER_DURATIONS_MAX shares the last list and is put in its order.
 *
 * Owns: nothing; a timer is embedded in what it ends. Thread: the loop's. Units: ns of the loop's clock, ms durations.
 */
#ifndef WATCHPOST_INGRESS_TIMER_H
#define WATCHPOST_INGRESS_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/compiler.h"
#include "common/limits.h"

struct timer {
	struct timer *prev;
	struct timer *next;
	struct timer_list *list; /* NULL: not running */
	int64_t due_ns;
	void (*fire)(struct timer *timer); /* the timer is stopped when this is called */
};

struct timer_list {
	struct timer *first;
	struct timer *last;
	int duration_ms;
};

struct timers {
	struct timer_list lists[TIMER_DURATIONS_MAX];
};

void timers_init(struct timers *timers);
/* Starts, or starts anew. `fire` was set by the caller. */
void timer_start(struct timers *timers, struct timer *timer, int64_t now_ns, int duration_ms);
void timer_stop(struct timer *timer); /* legal when not running */
static inline bool timer_running(const struct timer *timer)
{
	return timer->list != NULL;
}
/* Fires what is due. A timer that fires may start and stop any. */
void timers_run(struct timers *timers, int64_t now_ns);
/* When the next one is due; INT64_MAX: none runs. */
int64_t timers_next_ns(const struct timers *timers);

#endif
