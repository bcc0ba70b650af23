/*
 * What the files of workers/runtime share; workers see runtime.h only.
 *
 *   runtime.c      the worker: connections, loop (its frame: workers/runtime/program.h)
 *   partitions.c   which partitions this process holds; assignment, revocation, recovery (C1, C6, C8)
 *   offsets.c      the offset rows (C1, C3)
 *   batch.c        from records to one transaction (C2–C6)
 *   dead_letter.c  what is set aside (C6)
 *   retry.c        pauses
 *   status.c       readiness and metrics, for the admin listener's thread
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_INTERNAL_H
#define WATCHPOST_WORKERS_RUNTIME_INTERNAL_H

#include "common/kafka_admin.h"
#include "common/kafka_consumer.h"
#include "common/kafka_producer.h"
#include "workers/runtime/retry.h"
#include "workers/runtime/runtime.h"
#include "workers/runtime/status.h"

enum { BATCH_HALVINGS_MAX = 11 }; /* BATCH_ITEMS_MAX has eleven bits */

enum partition_state {
	PARTITION_READING,
	PARTITION_REWIND,      /* records were dropped: its row must be read again, then the consumer sought (C3, C6) */
	PARTITION_OUT_OF_RANGE /* C8: stands still until its row is moved by hand */
};

struct worker_partition {
	const char *topic; /* the consumer's, lives as long as it */
	int32_t partition;
	enum partition_state state;
	int64_t next_offset;
	uint8_t head[SHA256_BYTES];
	unsigned fenced_in_a_row;
	bool sought; /* while records of one poll are applied: what follows of this partition was read before the seek
		      */
};

struct worker {
	const struct worker_spec *spec;
	struct config *config;      /* in force */
	struct config *boot_config; /* what the Kafka clients were made with; the same one until a reload */
	const struct clock *clock;
	struct pg *pg;
	struct pg_params *params; /* for the runtime's own calls */
	struct kafka_admin *admin;
	struct kafka_consumer *consumer;
	struct kafka_producer *producer; /* of dead letters; made when the first one is */
	struct worker_state *state;
	struct status *status;
	struct admin *admin_listener; /* NULL: turned off */
	char client_id[64];
	char cluster_id[KAFKA_CLUSTER_ID_BYTES]; /* C8 */
	struct worker_partition partitions[WORKER_PARTITIONS_MAX];
	size_t partition_count;
	struct retry retry;           /* pending: partitions are paused, nothing is applied */
	unsigned batch_halvings;      /* of batch_items_max, at most BATCH_HALVINGS_MAX */
	struct worker_item *items;    /* BATCH_ITEMS_MAX */
	struct kafka_record *records; /* BATCH_ITEMS_MAX */
	char item_error_class[3];     /* SQLSTATE class of the last failure that was an item's fault */
	int64_t tick_due_ns;
	bool failed; /* something that no retry heals: leave with `failure` */
	struct err failure;
};

/* --- partitions.c --- */

void partitions_events(struct worker *worker, struct kafka_consumer_events *out);
struct worker_partition *partitions_find(struct worker *worker, const char *topic, int32_t partition);
/* C6: something is away. Pauses everything and starts (or lengthens) the pause; what was read is dropped and read
 * again. */
void partitions_back_off(struct worker *worker, const struct err *err);
/* When a pause is over: reads the rows again, seeks, resumes. */
void partitions_recover(struct worker *worker);
/* C3: another process moved this partition's row. Reads it again and seeks; three times in a row end the worker. */
void partitions_fenced(struct worker *worker, struct worker_partition *partition);
/* C8: whether rows of partitions that stand still were moved by hand. */
void partitions_look_for_resets(struct worker *worker);
/* C6: the same thing may go well later. Asks pg_sqlstate, so before anything else is said to Postgres. */
MUSTCHECK bool partitions_away(const struct worker *worker, const struct err *err);
/* Sorts a failure: away (back off) or of no use to retry (the worker fails). */
void partitions_failure(struct worker *worker, const struct err *err);

/* --- offsets.c --- */

/* C1: reads next_offset and head from the row; makes the row at the log's start when this cluster has none (C8). */
MUSTCHECK bool offsets_read(struct worker *worker, struct worker_partition *partition, struct err *err);
/* C3: inside a transaction. *moved false: the row was not at partition->next_offset. */
MUSTCHECK bool offsets_advance(struct worker *worker, const struct worker_partition *partition, int64_t next_offset,
			       const struct worker_batch *batch, bool *moved, struct err *err);
/* C8: asks Kafka for the cluster's id. *changed: it is another one than before, and is now in force. */
MUSTCHECK bool offsets_cluster(struct worker *worker, bool *changed, struct err *err);

/* --- batch.c --- */

/* How many records the next poll may bring: half as many after each failure and twice as many after each success, since
 * a batch that a slow Postgres does not finish within its time would fail for ever. */
size_t batch_items_max(const struct worker *worker);
/* All records of one poll. */
void batch_records(struct worker *worker, const struct kafka_record *records, size_t count);

enum batch_result {
	BATCH_DONE,
	BATCH_FENCED,  /* C3 */
	BATCH_AWAY,    /* partitions_away: again later */
	BATCH_BY_ITEM, /* 22, 23, or it does not decode: the item's fault */
	BATCH_FATAL
};

/* C3: prepare, begin, move the offset row. The transaction is open only after DONE. */
MUSTCHECK enum batch_result batch_open(struct worker *worker, struct worker_partition *partition,
				       struct worker_batch *batch, struct err *err);
/* C4: commits when the effects were written, then the partition stands behind the batch. Otherwise rolls back and sorts
 * `err`, which says why they were not. */
MUSTCHECK enum batch_result batch_close(struct worker *worker, struct worker_partition *partition,
					const struct worker_batch *batch, bool written, struct err *err);

/* --- dead_letter.c --- */

struct dead_letter_cause {
	const char *reason;
	const char *error_class; /* "decode" or the SQLSTATE's first two characters */
	unsigned attempts;
};

/* C6: publishes the one item of `batch`, waits until Kafka has it, then records it and moves the offset. */
MUSTCHECK enum batch_result dead_letter(struct worker *worker, struct worker_partition *partition,
					struct worker_batch *batch, const struct dead_letter_cause *cause,
					struct err *err);

#endif
