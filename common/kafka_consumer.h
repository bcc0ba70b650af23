/*
 * The consumer, in the two ways that Watchpost reads: as a member of a group (workers), and by
 * explicit assignment without a group (replay, verify, ingress wake-ups).
 *
 * Offsets come from the caller (Postgres, C1), never from Kafka: at assignment `on_assign` is asked for
 * each partition's start. auto.offset.reset=error: an offset out of range is reported for its
 * partition (C8) and stops that partition alone.
 *
 * Records of partitions that were revoked during a poll are not returned by it: what poll gives out belongs to
 * partitions that are assigned.
 *
 * Owns: records returned by poll belong to the consumer until kafka_records_release, which comes before the next poll.
 * Thread: all calls and callbacks on the one thread that polls. Errors: as stated.
 */
#ifndef WATCHPOST_COMMON_KAFKA_CONSUMER_H
#define WATCHPOST_COMMON_KAFKA_CONSUMER_H

#include "common/kafka.h"

struct kafka_consumer;

struct kafka_consumer_events {
	/* Sets offset of each; false: leave them unassigned and ask again on the next poll. */
	bool (*on_assign)(void *owner, struct kafka_partition *partitions, size_t count);
	/* They are gone after this returns (finish or drop what is under way). */
	void (*on_revoke)(void *owner, const struct kafka_partition *partitions, size_t count);
	/* The offset asked for is not in the log: this partition stands still until sought. low and high are -1 when
	 * the cluster did not say them in time. */
	void (*on_out_of_range)(void *owner, const struct kafka_partition *partition, int64_t low, int64_t high);
	/* NULL: not asked for. Everything below `partition->offset`, the log's end for now, was given out or never will
	 * be (offsets without records: control records, compaction). Comes with the poll that gives the last record
	 * out, before its records are seen. */
	void (*on_end)(void *owner, const struct kafka_partition *partition);
	void *owner;
};

struct kafka_consumer_options {
	const struct config *config;
	const char *client_id;
	const char *group;          /* NULL: no group, use kafka_consumer_assign */
	const char *group_instance; /* static membership or NULL */
	struct kafka_consumer_events events;
};

MUSTCHECK struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_options *options, struct err *err);
/* Leaves the group (on_revoke is called) within timeout_ms and frees; NULL is legal. Does not hang: what librdkafka
 * cannot end in time is left behind and logged. */
void kafka_consumer_close(struct kafka_consumer *consumer, int timeout_ms);

MUSTCHECK bool kafka_consumer_subscribe(struct kafka_consumer *consumer, const char *const *topics, size_t count,
					struct err *err);
/* Without a group: reads these from their offsets (KAFKA_OFFSET_BEGINNING and _END are legal), instead of those before.
 * At most PARTITIONS_MAX; ERR_TOO_LARGE else. */
MUSTCHECK bool kafka_consumer_assign(struct kafka_consumer *consumer, const struct kafka_partition *partitions,
				     size_t count, struct err *err);

/* Up to max records (and BATCH_ITEMS_MAX) of what is there, waiting up to timeout_ms for the first. Sets *count. false:
 * the consumer cannot go on (ERR_CONFLICT: fenced or fatal; ERR_TOO_LARGE: more than PARTITIONS_MAX assigned). Serves
 * callbacks. */
MUSTCHECK bool kafka_consumer_poll(struct kafka_consumer *consumer, int timeout_ms, struct kafka_record *records,
				   size_t max, size_t *count, struct err *err);
void kafka_records_release(struct kafka_consumer *consumer);

/* ERR_CONFLICT when the partition is not assigned (any more). What was read ahead is thrown away. */
MUSTCHECK bool kafka_consumer_seek(struct kafka_consumer *consumer, const struct kafka_partition *to, struct err *err);
/* ERR_CONFLICT likewise. A pause ends with the assignment. */
MUSTCHECK bool kafka_consumer_pause(struct kafka_consumer *consumer, const struct kafka_partition *partition,
				    bool paused, struct err *err);

/* The log's end as the last answered fetch told it (no question is asked); -1 before that. For lag. */
int64_t kafka_consumer_high(struct kafka_consumer *consumer, const struct kafka_partition *partition);

/* C5: tells the group, for lag exporters, where this partition stands: asynchronously, the newest offset of each
 * partition at most a few times a second (kafka_commit.h), with the polls that follow and at last with close. Failures
 * are logged and said again. What on_assign gave is told likewise. */
void kafka_consumer_commit(struct kafka_consumer *consumer, const struct kafka_partition *next);

#endif
