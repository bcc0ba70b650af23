/*
 * One batch of outbox rows on their way to Kafka, and which of them may be deleted afterwards. No I/O: the relay feeds
 * it.
 *
 * The rule: the rows of a key go in the order of their numbers, and behind one that failed none of its key counts as
 * sent, though Kafka may have it: it is sent again in its turn, and readers drop what is not the next number. So what
 * is deleted is, for each key, what stands before its first failure.
 *
 * Owns: copies of nothing; rows view the result that they were read from. Thread: one.
 */
#ifndef WATCHPOST_WORKERS_OUTBOX_RELAY_BATCH_H
#define WATCHPOST_WORKERS_OUTBOX_RELAY_BATCH_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/kafka_producer.h"

enum row_fate {
	ROW_UNSENT, /* not handed to Kafka's client */
	ROW_SENT,   /* under way */
	ROW_KEPT,   /* acknowledged */
	ROW_FAILED, /* not acknowledged; Kafka may have it all the same */
	ROW_BROKEN  /* cannot be made into an event: a fault of ours, which stops its key until it is mended */
};

struct outbox_row {
	struct kafka_ticket ticket;
	int64_t id, number, time_ms;
	struct bytes topic, key, event_id, type, payload;
	enum row_fate fate;
};

/* A row of this key before `index` was not kept, so this one must not go out now. */
MUSTCHECK bool batch_key_stopped(const struct outbox_row *rows, size_t index);
/* Writes the ids of the rows that may be deleted; returns how many. `ids` has room for `count`. */
size_t batch_deletable(const struct outbox_row *rows, size_t count, int64_t *ids);

#endif
