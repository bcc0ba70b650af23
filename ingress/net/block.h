/*
 * Byte buffers for connections, taken from a small pool of one loop, last in first out so that they are warm in the
 * cache. A connection holds one only while bytes are in it: an idle connection holds none.
 *
 * Owns: the pool owns its spare blocks; a struct block_buf owns its storage until block_buf_release.
 * Thread: the loop's.
 */
#ifndef WATCHPOST_INGRESS_NET_BLOCK_H
#define WATCHPOST_INGRESS_NET_BLOCK_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

struct block_pool {
	uint8_t *spare[CONNECTION_BLOCKS_KEPT_MAX];
	size_t spare_count;
	size_t large_bytes; /* held by buffers larger than a block, all together */
};

void block_pool_free(struct block_pool *pool);

/* Bytes [start, end) of storage of `cap`; all zero means no storage. */
struct block_buf {
	uint8_t *data;
	size_t start;
	size_t end;
	size_t cap;
	size_t written; /* the furthest end before it was last set back: what is wiped */
};

static inline size_t block_buf_len(const struct block_buf *b)
{
	return b->end - b->start;
}
static inline uint8_t *block_buf_at(const struct block_buf *b)
{
	return b->data + b->start;
}
static inline struct bytes block_buf_bytes(const struct block_buf *b)
{
	return bytes_make(b->data != NULL ? b->data + b->start : NULL, b->end - b->start);
}
static inline size_t block_buf_room(const struct block_buf *b)
{
	return b->cap - b->end;
}
/* Sets the end back; it goes forward by itself as bytes are written behind it. */
static inline void block_buf_cut(struct block_buf *b, size_t end)
{
	assert(end <= b->end);
	if (b->end > b->written)
		b->written = b->end;
	b->end = end;
}
static inline void block_buf_drop(struct block_buf *b, size_t len)
{
	assert(len <= b->end - b->start);
	b->start += len;
}

/* Makes room for at least `more` bytes behind the end, moving the content to the front or to larger storage: views
 * into it must be rebased when block_buf_at changed. The storage doubles as bytes arrive, so it holds at most about
 * twice what was received. False: memory ran out, the content would pass len_max, or larger buffers
 * would pass LOOP_LARGE_BYTES_MAX together. */
MUSTCHECK bool block_buf_reserve(struct block_buf *b, struct block_pool *pool, size_t more, size_t len_max);
/* Wipes the storage and gives it back. */
void block_buf_release(struct block_buf *b, struct block_pool *pool);

#endif
