/*
 * A growable byte buffer with a hard upper bound.
 *
 * Owns: its storage, freed by buf_free. Views taken by buf_bytes last until the next call that
 * appends, clears or frees. Thread: one at a time. A buffer that would pass its bound, or finds no
 * memory, refuses the append whole and stays as it was. A caller that reports which of the two it was
 * asks buf_fits: false means the bound (ERR_TOO_LARGE), true means memory (ERR_FULL).
 */
#ifndef WATCHPOST_COMMON_BUF_H
#define WATCHPOST_COMMON_BUF_H

#include "common/bytes.h"
#include "common/compiler.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t len_max;
};

/* No allocation yet; `len_max` > 0. */
void buf_init(struct buf *b, size_t len_max);
void buf_free(struct buf *b);  /* legal on a zeroed buf and twice */
void buf_clear(struct buf *b); /* keeps the storage */

/* True when `more` bytes would stay within the bound. */
MUSTCHECK bool buf_fits(const struct buf *b, size_t more);

/* Each returns false, changing nothing, when the bound or memory refuses. */
MUSTCHECK bool buf_reserve(struct buf *b, size_t more);
MUSTCHECK bool buf_append(struct buf *b, const void *data, size_t len);
MUSTCHECK bool buf_append_text(struct buf *b, const char *text);
MUSTCHECK bool buf_append_byte(struct buf *b, uint8_t byte);
MUSTCHECK bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Drops the first `len` bytes (len <= b->len). */
void buf_consume(struct buf *b, size_t len);

static inline struct bytes buf_bytes(const struct buf *b)
{
	return bytes_make(b->data, b->len);
}

/* The text with a NUL behind it (not counted); NULL only when memory or the bound refuses. */
MUSTCHECK const char *buf_text(struct buf *b);

#endif
