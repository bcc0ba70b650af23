/*
 * One line on a terminal that says how far a long command is: "reading  1200 of 5000". Silent where standard error is
 * not a terminal; written at most PROGRESS_PER_S times a second, and wiped at the end.
 *
 * Thread: one. Owns: nothing; `label` must outlive it.
 */
#ifndef WATCHPOST_OPS_CTL_PROGRESS_H
#define WATCHPOST_OPS_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/clock.h"

enum { PROGRESS_PER_S = 10 };

struct progress {
	FILE *to; /* NULL: silent */
	const char *label;
	const struct clock *clock;
	int64_t next_ns; /* not before this */
	bool shown;
};

/* On standard error, when that is a terminal. */
void progress_begin(struct progress *progress, const char *label);
/* On `to` whatever it is; NULL is silent. For tests. */
void progress_begin_on(struct progress *progress, FILE *to, const char *label, const struct clock *clock);
/* total 0: not known. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);
/* Wipes the line; legal twice. */
void progress_end(struct progress *progress);

#endif
