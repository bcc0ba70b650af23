/*
 * The table of our topics: partitions, retention, timestamps. `watchpostctl topics create` makes them.
 *
 * Thread: any. Units: in the names.
 */
#ifndef WATCHPOST_COMMON_TOPICS_H
#define WATCHPOST_COMMON_TOPICS_H

#include "common/event.h"
#include "common/kafka_admin.h"

struct topic_spec {
	enum event_topic topic;
	int64_t retention_ms;
	int64_t segment_ms; /* how soon a segment is closed, which is when retention can take it */
};

enum { TOPICS_PARTITIONS_DEFAULT = 4 };

/* EVENT_TOPIC_COUNT entries, indexed by enum event_topic. */
const struct topic_spec *topics_table(void);

struct topics_options {
	enum environment environment;
	int partitions;  /* of every topic */
	int replication; /* -1: the cluster's default; from 3 on, writes need two replicas (min.insync.replicas) */
	int timeout_ms;
};

/* Creates what is missing; what exists stays as it is, whatever its settings. *created counts the new ones. */
MUSTCHECK bool topics_create(struct kafka_admin *admin, const struct topics_options *options, size_t *created,
			     struct err *err);

#endif
