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
	int64_t log_start, log_end; /* of this cluster's log; -1 for rows of another cluster */
};

struct offset_rows {
	struct offset_row *items;
	size_t count;
};

/* Rows of this cluster, or of every cluster when cluster_id is NULL; worker NULL: all. Watermarks are filled in for
 * rows of `present_cluster_id`. */
MUSTCHECK bool offset_rows_take(struct pg *pg, struct kafka_admin *admin, const char *worker,
				const char *present_cluster_id, struct offset_rows *out, struct err *err);
void offset_rows_free(struct offset_rows *rows);

/* "current", "behind", "out of range" (C8) or "other cluster". */
const char *offset_row_state(const struct offset_row *row);
/* Records not yet applied; -1 for a row of another cluster. */
int64_t offset_row_lag(const struct offset_row *row);

#endif
