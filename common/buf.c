#include "common/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST_BYTES = 256 };

/* The storage may be one byte larger than the bound, for the NUL of buf_text and vsnprintf. */
static size_t storage_max(const struct buf *b)
{
	return b->len_max + 1;
}

static void check(const struct buf *b)
{
	assert(b->len_max > 0);
	assert(b->len <= b->len_max);
	assert(b->len <= b->cap);
	assert(b->cap <= storage_max(b));
	assert((b->data == NULL) == (b->cap == 0));
}

void buf_init(struct buf *b, size_t len_max)
{
	assert(len_max > 0 && len_max < SIZE_MAX / 2);
	*b = (struct buf){.len_max = len_max};
}

void buf_free(struct buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
}

void buf_clear(struct buf *b)
{
	check(b);
	b->len = 0;
}

bool buf_fits(const struct buf *b, size_t more)
{
	check(b);
	return more <= b->len_max - b->len;
}

/* Makes room for `size` bytes of storage in all, by doubling: appends stay linear in total. */
static bool grow(struct buf *b, size_t size)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_FIRST_BYTES;
	uint8_t *data;

	assert(size <= storage_max(b));
	if (size <= b->cap)
		return true;
	while (cap < size)
		cap *= 2;
	if (cap > storage_max(b))
		cap = storage_max(b);
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	check(b);
	return true;
}

bool buf_reserve(struct buf *b, size_t more)
{
	return buf_fits(b, more) && grow(b, b->len + more);
}

bool buf_append(struct buf *b, const void *data, size_t len)
{
	if (!buf_reserve(b, len))
		return false;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return true;
}

bool buf_append_text(struct buf *b, const char *text)
{
	return buf_append(b, text, strlen(text));
}

bool buf_append_byte(struct buf *b, uint8_t byte)
{
	return buf_append(b, &byte, 1);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int len;

	check(b);
	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0 || !buf_fits(b, (size_t)len) || !grow(b, b->len + (size_t)len + 1))
		return false;
	va_start(args, fmt);
	len = vsnprintf((char *)b->data + b->len, b->cap - b->len, fmt, args);
	va_end(args);
	assert(len >= 0 && (size_t)len < b->cap - b->len);
	b->len += (size_t)len;
	return true;
}

void buf_consume(struct buf *b, size_t len)
{
	check(b);
	assert(len <= b->len);
	if (len > 0)
		memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

const char *buf_text(struct buf *b)
{
	check(b);
	if (!grow(b, b->len + 1))
		return NULL;
	b->data[b->len] = '\0';
	return (const char *)b->data;
}
