/*
 * A pull reader of msgpack bytes from outside: one item at a time, no allocation.
 * (github.com/msgpack/msgpack/blob/master/spec.md)
 *
 * Why not msgpack-c's unpacker: it makes room for as many items as a message claims before it has read them (an array's
 * head of 5 bytes can ask for 96 GiB), and its tree alone takes as long as the whole checked decoding here.
 *
 * Owns: nothing; views are into the bytes that the reader was given. Thread: one at a time.
 * Errors: false when the bytes end inside an item, or hold the one byte that msgpack never uses (0xc1).
 */
#ifndef WATCHPOST_COMMON_EVENT_PULL_H
#define WATCHPOST_COMMON_EVENT_PULL_H

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum event_item_kind {
	EVENT_ITEM_NIL,
	EVENT_ITEM_BOOL,
	EVENT_ITEM_I64,
	EVENT_ITEM_BIG,    /* an unsigned integer over INT64_MAX */
	EVENT_ITEM_FLOAT,  /* 32 or 64 bits; the value is not looked at */
	EVENT_ITEM_STRING, /* not yet checked to be UTF-8 */
	EVENT_ITEM_BINARY,
	EVENT_ITEM_EXTENSION,
	EVENT_ITEM_ARRAY, /* `count` items follow */
	EVENT_ITEM_MAP    /* `count` pairs of items follow */
};

struct event_item {
	enum event_item_kind kind;
	union {
		bool flag;
		int64_t i64;
		uint32_t count;
		struct bytes bytes; /* STRING, BINARY, EXTENSION */
	};
};

struct event_pull {
	const uint8_t *at;
	const uint8_t *end;
};

static inline struct event_pull event_pull_make(struct bytes bytes)
{
	/* NULL + 0 is undefined in C. */
	return (struct event_pull){.at = bytes.data, .end = bytes.len > 0 ? bytes.data + bytes.len : bytes.data};
}

static inline size_t event_pull_left(const struct event_pull *pull)
{
	return (size_t)(pull->end - pull->at);
}

MUSTCHECK bool event_pull_next(struct event_pull *pull, struct event_item *item);

/* Passes over what `first`, the item just taken, contains; also false when it nests more than EVENT_DEPTH_MAX deep. */
MUSTCHECK bool event_pull_skip(struct event_pull *pull, const struct event_item *first);

#endif
