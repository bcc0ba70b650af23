/*
 * What the micro_*.c programs measure with.
 *
 * Owns: nothing. Thread: its own time counts. Errors: none.
 */
#ifndef WATCHPOST_TESTS_BENCH_MICRO_H
#define WATCHPOST_TESTS_BENCH_MICRO_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds that this thread has run. */
static inline int64_t micro_cpu_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
