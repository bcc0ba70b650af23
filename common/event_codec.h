/*
 * Event payloads to msgpack and back, driven by the layouts that schemas/generate.py writes into build/gen/events.c.
 * Programs call the typed functions of build/gen/events.h, not these.
 *
 * Written: a map of the fields in the order of the schema, through msgpack-c. Read: any order; unknown fields are
 * passed over; every other doubt is an error.
 *
 * Owns: nothing. Decoded strings are views into the value. Thread: any.
 */
#ifndef WATCHPOST_COMMON_EVENT_CODEC_H
#define WATCHPOST_COMMON_EVENT_CODEC_H

#include "common/buf.h"
#include "common/bytes.h"
#include "common/err.h"

enum event_field_type { EVENT_FIELD_STRING, EVENT_FIELD_I64, EVENT_FIELD_BOOL };

enum event_presence {
	EVENT_REQUIRED, /* of writers and readers */
	EVENT_WRITTEN,  /* required of writers; came with a later version, so readers do without */
	EVENT_OPTIONAL
};

/* One field: where it stands in the payload's struct (struct bytes, int64_t or bool). */
struct event_field {
	const char *name;
	uint8_t name_len;
	enum event_field_type type;
	enum event_presence presence;
	uint32_t bytes_max; /* strings only */
	uint16_t offset;
	uint16_t has_offset; /* its bool has_<name>; not used when EVENT_REQUIRED */
};

struct event_layout {
	const struct event_field *fields;
	size_t field_count; /* <= EVENT_FIELDS_MAX */
	size_t struct_bytes;
};

/* Appends. False, with `out` as it was: a field that writers must give is absent, a string is over its bound, is not
 * UTF-8 or holds U+0000, or the buffer refuses. */
MUSTCHECK bool event_encode(const struct event_layout *layout, const void *payload, struct buf *out);

/* Fills the whole struct. Errors: ERR_TOO_LARGE over EVENT_VALUE_BYTES_MAX; ERR_INVALID else, naming the field
 * ("field status: missing"), never a byte of the value. On failure the struct's content is undefined. */
MUSTCHECK bool event_decode(const struct event_layout *layout, struct bytes value, void *payload, struct err *err);

#endif
