/*
 * Which nodes have been silent for how long, by their counts of polls and a clock of our own. No I/O.
 *
 * Owns: its table. Thread: one.
 */
#ifndef WATCHPOST_WORKERS_REVOCATION_FANOUT_SILENCE_H
#define WATCHPOST_WORKERS_REVOCATION_FANOUT_SILENCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

struct silence_node {
	char id[ID_TEXT_BYTES];
	int64_t polls;
	int64_t since_ns; /* the count stands since (we saw it) */
	bool listed;      /* in this look */
};

struct silence {
	size_t count;
	struct silence_node nodes[NODES_MAX];
};

/* A look: begin, one seen for each row, end. More nodes than NODES_MAX are left alone. */
void silence_begin(struct silence *silence);
/* True: this node has been silent for NODE_FORGET_MS and is to be forgotten. */
MUSTCHECK bool silence_seen(struct silence *silence, struct bytes id, int64_t polls, int64_t now_ns);
void silence_end(struct silence *silence);

#endif
