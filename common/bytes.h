/*
 * A borrowed run of bytes: pointer and length, owning nothing.
 *
 * Owns: nothing. The bytes live as long as the buffer that they were taken from; who hands out a
 * view says how long that is. `data` may be NULL only when `len` is 0. No NUL is promised.
 */
#ifndef WATCHPOST_COMMON_BYTES_H
#define WATCHPOST_COMMON_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *data;
	size_t len;
};

static inline struct bytes bytes_make(const void *data, size_t len)
{
	return (struct bytes){.data = (const uint8_t *)data, .len = len};
}

/* A NUL-terminated string without its NUL; NULL becomes the empty view. */
static inline struct bytes bytes_of(const char *text)
{
	return bytes_make(text, text != NULL ? strlen(text) : 0);
}

/* Not for secrets: digest_equal compares those in constant time. */
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_equal_text(struct bytes a, const char *text)
{
	return bytes_equal(a, bytes_of(text));
}

#endif
