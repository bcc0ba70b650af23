/*
 * C5: what a member of a group tells Kafka about where it stands, for lag exporters and autoscalers: the newest offset
 * of each partition, in one request at a time.
 *
 * A broker answers the requests of a connection in order and takes some 10 ms for each commit (it gathers them before
 * it writes). Heartbeats and joins go over the same connection: a commit for each batch would make them wait for ever
 * longer, until the group takes the member for dead.
 *
 * Owns: nothing. Thread: the consumer's. Units: offsets, monotonic milliseconds.
 */
#ifndef WATCHPOST_COMMON_KAFKA_COMMIT_H
#define WATCHPOST_COMMON_KAFKA_COMMIT_H

#include <librdkafka/rdkafka.h>

#include "common/kafka_assignment.h"

enum { KAFKA_COMMIT_PAUSE_MS = 250 }; /* from one request to the next; exporters look every few seconds */

/* Zeroed: nothing was said yet. */
struct kafka_commits {
	bool under_way;
	int64_t due_ms; /* not before */
};

/* The partition stands at `next->offset`; what it was said to stand at before is forgotten. Of a partition that is not
 * assigned (any more) nothing is said. */
void kafka_commits_note(struct kafka_assignment *assignment, const struct kafka_partition *next);
/* What is to be sent now, the caller's; NULL: nothing to say, or not yet. `last`: there is no later, so at once. */
MUSTCHECK rd_kafka_topic_partition_list_t *kafka_commits_take(struct kafka_commits *commits,
							      const struct kafka_assignment *assignment, int64_t now_ms,
							      bool last);
/* The answer to it, or the failure to send it. What Kafka does not have is said again. */
void kafka_commits_done(struct kafka_commits *commits, struct kafka_assignment *assignment,
			const rd_kafka_topic_partition_list_t *offsets, rd_kafka_resp_err_t code);

#endif
