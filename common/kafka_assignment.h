/*
 * The partitions that a consumer has, each with the offset that is given out next.
 *
 * Owns: copies of the topics' names, kept until kafka_assignment_free since records and callbacks point to them.
 * Thread: the consumer's. Units: offsets.
 */
#ifndef WATCHPOST_COMMON_KAFKA_ASSIGNMENT_H
#define WATCHPOST_COMMON_KAFKA_ASSIGNMENT_H

#include "common/kafka.h"

enum { KAFKA_NOTHING_UNCOMMITTED = -1 };

struct kafka_assignment {
	struct kafka_partition items[PARTITIONS_MAX];
	struct {
		bool paused;
		bool stopped;        /* out of range */
		int64_t uncommitted; /* KAFKA_NOTHING_UNCOMMITTED, or what Kafka is to be told (kafka_commit.h) */
	} state[PARTITIONS_MAX];
	size_t count;
	size_t last_found; /* records come in runs of one partition */
	char *topics[KAFKA_CONSUMER_TOPICS_MAX];
	size_t topic_count;
};

/* Takes one in; false when there is no room for it or for its topic's name. A zeroed struct is empty. */
MUSTCHECK bool kafka_assignment_add(struct kafka_assignment *assignment, const char *topic, int32_t partition,
				    int64_t offset);
/* Sets *at to the index of that partition; false: it is not assigned. */
MUSTCHECK bool kafka_assignment_find(struct kafka_assignment *assignment, const char *topic, int32_t partition,
				     size_t *at);
/* Forgets the partitions, not the names. */
void kafka_assignment_clear(struct kafka_assignment *assignment);
void kafka_assignment_free(struct kafka_assignment *assignment);

#endif
