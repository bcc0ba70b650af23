#include "ingress/net/block.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *take(struct block_pool *pool)
{
	if (pool->spare_count > 0)
		return pool->spare[--pool->spare_count];
	return malloc(CONNECTION_BLOCK_BYTES);
}

static size_t large(size_t cap)
{
	return cap > CONNECTION_BLOCK_BYTES ? cap : 0;
}

static void give_back(struct block_pool *pool, const struct block_buf *b)
{
	pool->large_bytes -= large(b->cap);
	/* Promise 4: what a request said does not outlive it, not even where only a debugger of root would find it.
	 * Wiping the whole of every block was 0.4 us of a request. */
	explicit_bzero(b->data, b->end > b->written ? b->end : b->written);
	if (b->cap == CONNECTION_BLOCK_BYTES && pool->spare_count < CONNECTION_BLOCKS_KEPT_MAX)
		pool->spare[pool->spare_count++] = b->data;
	else
		free(b->data);
}

void block_pool_free(struct block_pool *pool)
{
	while (pool->spare_count > 0)
		free(pool->spare[--pool->spare_count]);
}

void block_buf_release(struct block_buf *b, struct block_pool *pool)
{
	if (b->data != NULL)
		give_back(pool, b);
	*b = (struct block_buf){0};
}

bool block_buf_reserve(struct block_buf *b, struct block_pool *pool, size_t more, size_t len_max)
{
	size_t len = block_buf_len(b);
	if (block_buf_room(b) >= more)
		return true;
	if (more > len_max || len > len_max - more)
		return false;
	if (b->cap >= len + more && b->start >= b->cap / 2) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		block_buf_cut(b, len);
		return true;
	}
	size_t cap = b->cap > 0 ? b->cap : CONNECTION_BLOCK_BYTES;
	while (cap < len + more)
		cap *= 2;
	if (pool->large_bytes + large(cap) > LOOP_LARGE_BYTES_MAX)
		return false;
	uint8_t *data = cap == CONNECTION_BLOCK_BYTES ? take(pool) : malloc(cap);
	if (data == NULL)
		return false;
	pool->large_bytes += large(cap);
	if (len > 0)
		memcpy(data, b->data + b->start, len);
	if (b->data != NULL)
		give_back(pool, b);
	*b = (struct block_buf){.data = data, .start = 0, .end = len, .cap = cap};
	return true;
}
