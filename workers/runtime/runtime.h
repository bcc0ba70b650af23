/*
 * The consumer loop that every worker runs on (C1–C8), once.
 *
 * A worker is a table: topics, how to decode, and one function that applies a batch inside the transaction that also
 * moves the offset row (C3). The runtime does everything else: assignment from the offset rows (C1), fencing, retry
 * with backoff while partitions are paused, item by item repetition and dead letters (C6), commit to Kafka (C5),
 * shutdown (C7), cluster id (C8), admin listener, metrics.
 *
 * The order of calls: start → { decode for each item → prepare → [transaction: apply] } … tick … → stop.
 *
 * Owns: items and records belong to the runtime for the length of one batch.
 * Thread: all calls come on the one thread that polls; the admin listener has its own and reads atomics.
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_RUNTIME_H
#define WATCHPOST_WORKERS_RUNTIME_RUNTIME_H

#include "common/clock.h"
#include "common/digest.h"
#include "common/event.h"
#include "common/kafka.h"
#include "common/pg.h"

struct worker;

/* What a worker keeps between calls: it embeds this in a struct of its own and finds that by CONTAINER_OF. */
struct worker_state {
	struct worker *worker;
};

enum worker_outcome {
	WORKER_APPLIED,
	WORKER_DUPLICATE, /* seen before; nothing changed */
	WORKER_STALE,     /* older than what is there; nothing changed */
	WORKER_IGNORED,   /* a type this worker does not act on */
	WORKER_OUTCOME_COUNT
};

/* One record. */
struct worker_item {
	const struct kafka_record *record;
	size_t place;           /* below BATCH_ITEMS_MAX, unique in the batch: where decode keeps what it found */
	struct event_head head; /* valid when !undecodable */
	bool undecodable;       /* a dead letter, unless the worker takes raw records */
	char decode_error[ERR_TEXT_BYTES_MAX];
	enum worker_outcome outcome; /* out */
};

/* All items are of one partition, in offset order. Offsets may have gaps. */
struct worker_batch {
	const char *topic;
	int32_t partition;
	struct worker_item *items;
	size_t count;
	/* The offset row's chain head: before the batch, and (out of prepare) after it. */
	bool has_head;
	uint8_t head[SHA256_BYTES];
};

/* One partition that this process holds. */
struct worker_partition_view {
	const char *topic;
	int32_t partition;
	int64_t next_offset;
};

struct worker_spec {
	const char *name;    /* "subscription-sync": in offset rows, group, metrics */
	const char *summary; /* for --help */
	enum config_program program;
	const enum event_topic *topics;
	size_t topic_count;
	bool takes_raw; /* audit-log: a record that does not decode is applied all the same */
	bool chained;   /* its offset rows carry a hash chain's head; prepare moves it */
	/* Called once, connected. Makes the worker's state; on failure it has freed everything. */
	struct worker_state *(*start)(struct worker *worker, struct err *err);
	/* C2: checks the payload and keeps it at item->place. False: the item is undecodable, err says why. */
	bool (*decode)(struct worker_state *state, const struct worker_item *item, struct err *err);
	/* Before the transaction: what needs no database. NULL is legal. */
	bool (*prepare)(struct worker_state *state, struct worker_batch *batch, struct err *err);
	/* C3: inside the transaction, after the offset row was moved. False: err and pg_sqlstate say why (C6). May be
	 * called again for the same items, or for a part of them. */
	bool (*apply)(struct worker_state *state, struct pg *pg, struct worker_batch *batch, struct err *err);
	/* About once a second between batches, outside any transaction, while Postgres is not known to be away. A
	 * failure that is not ERR_UNAVAILABLE or ERR_TIMEOUT stops the worker. NULL is legal. */
	bool (*tick)(struct worker_state *state, struct err *err);
	/* A new configuration is in force (SIGHUP). NULL is legal. */
	void (*reload)(struct worker_state *state);
	void (*stop)(struct worker_state *state);
};

/* The whole program: flags, configuration, log, loop. Returns the exit status: 0 after SIGTERM or SIGINT (C7). */
MUSTCHECK int worker_main(const struct worker_spec *spec, int argc, char **argv);

/* --- what a worker may ask; valid from start to stop --- */

/* The configuration in force. A pointer taken earlier is dead after reload. */
const struct config *worker_config(const struct worker *worker);
struct pg *worker_pg(struct worker *worker);
const struct clock *worker_clock(const struct worker *worker);
/* Of the Kafka cluster that the records come from (C8). May change between batches. */
const char *worker_cluster_id(const struct worker *worker);
size_t worker_partition_count(const struct worker *worker);
/* `index` < worker_partition_count. Valid until the next poll. */
void worker_partition_get(const struct worker *worker, size_t index, struct worker_partition_view *out);

#endif
