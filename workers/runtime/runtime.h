/*
 * The consumer loop that every worker runs on (C1–C8), once.
 *
 * A worker is a table: topics, how to decode, and one function that applies a batch inside the
 * transaction that also moves the offset row (C3). The runtime does everything else: assignment from the offset rows, fencing,
 * retry with backoff while partitions are paused (C6), item by item repetition, dead letters, commit to Kafka (C5),
 * shutdown (C7), cluster id (C8), admin listener, metrics.
 *
 * Thread: everything on one thread; the admin listener has its own and reads atomics.
 * Owns: items and records belong to the runtime for the length of apply.
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_RUNTIME_H
#define WATCHPOST_WORKERS_RUNTIME_RUNTIME_H

#include "common/event.h"
#include "common/kafka.h"
#include "common/pg.h"

enum worker_outcome {
	WORKER_APPLIED,
	WORKER_DUPLICATE, /* seen before; nothing changed */
	WORKER_STALE,     /* older than what is there; nothing changed */
	WORKER_IGNORED    /* a type this worker does not act on */
};

/* One record of the batch. */
struct worker_item {
	const struct kafka_record *record;
	struct event_head head;       /* valid when !undecodable */
	bool undecodable;             /* dead-letter candidate unless the worker takes raw records */
	char decode_error[ERR_TEXT_BYTES_MAX];
	enum worker_outcome outcome;  /* out */
};

/* All items are of one partition, in offset order. */
struct worker_batch {
	const char *topic;
	int32_t partition;
	const char *cluster_id;
	int64_t next_offset; /* the offset row's value before this batch */
	struct worker_item *items;
	size_t count;
};

/* What on_assign read from the offset row, besides the offset: the chain head of audit-log. */
struct worker_position {
	const char *topic;
	int32_t partition;
	int64_t next_offset;
	uint8_t chain_head[32];
};

struct worker_spec {
	const char *name; /* "subscription-sync" */
	enum config_program program;
	const char *summary; /* for --help */
	const enum event_topic *topics;
	size_t topic_count;
	bool takes_raw; /* audit-log: a record that does not decode is applied all the same */
	/* Called once, connected; makes the worker's state. */
	bool (*start)(struct worker *worker, struct err *err);
	/* Inside the transaction, after the offset row was moved. false: err and pg_sqlstate say why (C6). */
	bool (*apply)(struct worker *worker, struct pg *pg, struct worker_batch *batch, struct err *err);
	/* Between batches, at least once a second, outside any transaction: seals, refreshes. */
	void (*tick)(struct worker *worker);
	void (*stop)(struct worker *worker);
};

#endif
