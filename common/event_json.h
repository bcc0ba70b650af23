/*
 * From a JSON object to an event's payload: what the outbox holds becomes what Kafka gets.
 *
 * The object has exactly fields of the layout, each once: strings, integers, true and false; null is absent.
 *
 * Owns: nothing. Thread: any. Errors: ERR_INVALID naming the field, never a byte of a value; ERR_FULL without memory.
 */
#ifndef WATCHPOST_COMMON_EVENT_JSON_H
#define WATCHPOST_COMMON_EVENT_JSON_H

#include "common/event_codec.h"

/* Appends the msgpack form; on failure `out` is as it was. */
MUSTCHECK bool event_json_encode(const struct event_layout *layout, struct bytes json, struct buf *out,
				 struct err *err);

#endif
