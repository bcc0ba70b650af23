/*
 * Questions to and orders for a Kafka cluster: topics, watermarks, group offsets, cluster id.
 * Blocking with a deadline; for tools, start-up and workers, never for a loop thread.
 *
 * Thread: one at a time per handle. Errors: ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_NOT_FOUND, ERR_DENIED.
 */
#ifndef WATCHPOST_COMMON_KAFKA_ADMIN_H
#define WATCHPOST_COMMON_KAFKA_ADMIN_H

#include "common/kafka.h"

struct kafka_admin;

enum { KAFKA_CLUSTER_ID_BYTES = 64 };

struct kafka_topic_spec {
	const char *name;
	int partitions;
	int replication;            /* -1: the cluster's default */
	const char *const *configs; /* key, value, key, value …, NULL */
};

MUSTCHECK struct kafka_admin *kafka_admin_new(const struct config *config, const char *client_id, struct err *err);
void kafka_admin_free(struct kafka_admin *admin);

MUSTCHECK bool kafka_admin_cluster_id(struct kafka_admin *admin, int timeout_ms, char out[KAFKA_CLUSTER_ID_BYTES],
				      struct err *err);
/* Creates what is missing; what exists stays as it is. *created counts the new ones. */
MUSTCHECK bool kafka_admin_create_topics(struct kafka_admin *admin, const struct kafka_topic_spec *specs, size_t count,
					 int timeout_ms, size_t *created, struct err *err);
/* Number of partitions of a topic. */
MUSTCHECK bool kafka_admin_partitions(struct kafka_admin *admin, const char *topic, int timeout_ms, int32_t *count,
				      struct err *err);
MUSTCHECK bool kafka_admin_watermarks(struct kafka_admin *admin, const char *topic, int32_t partition, int timeout_ms,
				      int64_t *low, int64_t *high, struct err *err);
/* First offset with a timestamp >= time_ms; the high watermark when there is none. */
MUSTCHECK bool kafka_admin_offset_for_time(struct kafka_admin *admin, const char *topic, int32_t partition,
					   int64_t time_ms, int timeout_ms, int64_t *offset, struct err *err);
/* The group's committed offset, -1 when it has none. */
MUSTCHECK bool kafka_admin_group_offset(struct kafka_admin *admin, const char *group, const char *topic,
					int32_t partition, int timeout_ms, int64_t *offset, struct err *err);

#endif
