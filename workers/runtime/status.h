/*
 * What the admin listener tells of a worker: readiness with reasons, and metrics.
 *
 * Written by the worker's thread, read by the admin listener's; small numbers are atomics, the list of partitions is
 * under a lock that is held for a copy only.
 *
 * Owns: status_free frees all. Thread: writers: the worker's; readers: any.
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_STATUS_H
#define WATCHPOST_WORKERS_RUNTIME_STATUS_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"

struct status;

struct status_partition {
	const char *topic; /* lives until status_partitions replaces it */
	int32_t partition;
	int64_t next_offset;
	int64_t high; /* the log's end; -1 unknown */
	bool out_of_range;
};

MUSTCHECK struct status *status_new(const char *worker, struct err *err);
void status_free(struct status *status);

void status_event(struct status *status, struct bytes type, const char *outcome, int64_t age_ms);
void status_batch(struct status *status, size_t items, int64_t duration_ns);
void status_dead_letter(struct status *status, const char *error_class);
void status_fenced(struct status *status);
void status_retry(struct status *status);
void status_started(struct status *status);
/* The group gave this process its partitions, maybe none, and their offset rows were read (C1). */
void status_assigned(struct status *status);
/* The loop turns, or one of the many steps of a turn begins. */
void status_beat(struct status *status, int64_t now_ns);
/* It did within the last minute: longer than any wait between two beats. */
MUSTCHECK bool status_alive(const struct status *status, int64_t now_ns);
/* Postgres or Kafka is away since some retries. */
void status_away(struct status *status, bool away);
void status_partitions(struct status *status, const struct status_partition *partitions, size_t count);

/* Appends one line per reason not to be ready; true when there is none. */
MUSTCHECK bool status_ready(struct status *status, struct buf *reasons);
/* Appends metrics in Prometheus text format. */
MUSTCHECK bool status_metrics(struct status *status, struct buf *out);

#endif
