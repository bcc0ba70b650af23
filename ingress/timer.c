#include "ingress/timer.h"

#include <assert.h>
#include <string.h>

void timers_init(struct timers *timers)
{
	memset(timers, 0, sizeof(*timers));
}

/* The list of this duration; an empty one is taken over when there is none. */
static struct timer_list *find_list(struct timers *timers, int duration_ms)
{
	struct timer_list *empty = NULL;
	for (size_t i = 0; i < ARRAY_LEN(timers->lists); i++) {
		struct timer_list *list = &timers->lists[i];
		if (list->duration_ms == duration_ms)
			return list;
		if (list->first == NULL && empty == NULL)
			empty = list;
	}
	if (empty == NULL)
		return &timers->lists[TIMER_DURATIONS_MAX - 1];
	empty->duration_ms = duration_ms;
	return empty;
}

void timer_stop(struct timer *timer)
{
	struct timer_list *list = timer->list;
	if (list == NULL)
		return;
	if (timer->prev != NULL)
		timer->prev->next = timer->next;
	else
		list->first = timer->next;
	if (timer->next != NULL)
		timer->next->prev = timer->prev;
	else
		list->last = timer->prev;
	timer->prev = NULL;
	timer->next = NULL;
	timer->list = NULL;
}

void timer_start(struct timers *timers, struct timer *timer, int64_t now_ns, int duration_ms)
{
	assert(duration_ms >= 0 && timer->fire != NULL);
	timer_stop(timer);
	struct timer_list *list = find_list(timers, duration_ms);
	struct timer *before = list->last;
	timer->due_ns = now_ns + (int64_t)duration_ms * 1000000;
	while (before != NULL && before->due_ns > timer->due_ns)
		before = before->prev;
	timer->list = list;
	timer->prev = before;
	timer->next = before != NULL ? before->next : list->first;
	if (timer->next != NULL)
		timer->next->prev = timer;
	else
		list->last = timer;
	if (before != NULL)
		before->next = timer;
	else
		list->first = timer;
}

void timers_run(struct timers *timers, int64_t now_ns)
{
	for (size_t i = 0; i < ARRAY_LEN(timers->lists); i++) {
		struct timer_list *list = &timers->lists[i];
		/* What a fired timer starts is due later than now, unless its duration is 0: then it fires too. */
		while (list->first != NULL && list->first->due_ns <= now_ns) {
			struct timer *timer = list->first;
			timer_stop(timer);
			timer->fire(timer);
		}
	}
}

int64_t timers_next_ns(const struct timers *timers)
{
	int64_t next = INT64_MAX;
	for (size_t i = 0; i < ARRAY_LEN(timers->lists); i++) {
		const struct timer *first = timers->lists[i].first;
		if (first != NULL && first->due_ns < next)
			next = first->due_ns;
	}
	return next;
}
