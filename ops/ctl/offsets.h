/*
 * Where each worker stands in each partition, by the offset rows in Postgres and the watermarks in Kafka.
 *
 * Owns: the list, freed by offset_rows_free. Thread: one. Errors: those of Postgres and Kafka.
 */
#ifndef WATCHPOST_OPS_CTL_OFFSETS_H
#define WATCHPOST_OPS_CTL_OFFSETS_H

#include "common/kafka_admin.h"
#include "common/pg.h"

struct offset_row {
	char worker[48];
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t next_offset;
	char updated_at[40];
	bool other_cluster;         /* a row that an earlier Kafka cluster left (C8) */
	bool unknown;               /* Kafka was not asked for its log yet, or did not answer */
	int64_t log_start, log_end; /* of this cluster's log; -1 where it has none */
};

struct offset_rows {
	struct offset_row *items;
	size_t count;
};

/* The rows of every cluster; worker NULL: of all workers. */
MUSTCHECK bool offset_rows_take(struct pg *pg, const char *worker, const char *present_cluster_id,
				struct offset_rows *out, struct err *err);
/* Where the row's log begins and ends; asked after the rows, so that none is past its log's end only because the worker
 * was quick. False: Kafka did not say, and the row stays unknown. */
bool offset_row_ask(struct kafka_admin *admin, int timeout_ms, struct offset_row *row, struct err *err);
void offset_rows_free(struct offset_rows *rows);

/* "current", "behind", "out of range" (C8), "no topic" (Kafka does not have the partition), "unknown" or "other
 * cluster". */
const char *offset_row_state(const struct offset_row *row);
/* It stands still until an operator moves it: out of range, or without a topic. */
bool offset_row_stuck(const struct offset_row *row);
/* Records not yet applied; -1 where there is no log. */
int64_t offset_row_lag(const struct offset_row *row);

#endif
