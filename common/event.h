/*
 * Events on the wire: CloudEvents Kafka protocol binding 1.0.2, binary content mode.
 * (github.com/cloudevents/spec, bindings/kafka-protocol-binding.md)
 *
 * Attributes are record headers: ce_specversion, ce_id, ce_type, ce_source, ce_time, ce_dataschema,
 * content-type = application/msgpack, and ce_sequence on events that are numbered; the value is a msgpack map from
 * field name to value. The payload structs, their encoders and decoders are generated from schemas/ into
 * build/gen/events.h.
 *
 * Owns: nothing. Decoded strings are views into the record's value or headers.
 * Thread: any. Errors: ERR_INVALID naming the field ("field status: missing").
 */
#ifndef WATCHPOST_COMMON_EVENT_H
#define WATCHPOST_COMMON_EVENT_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/config.h"
#include "common/err.h"

/* Record headers as Kafka has them, in order. */
struct event_header {
	const char *name; /* NUL-terminated */
	struct bytes value;
};

/* The attributes of one event. */
struct event_head {
	struct bytes id;         /* ce_id: unique within source; what readers dedupe on */
	struct bytes type;       /* ce_type, "watchpost.stripe.subscription" */
	struct bytes source;     /* ce_source, "//watchpost.systems/<environment>/<program>" */
	struct bytes dataschema; /* ce_dataschema, "urn:watchpost:schema:<type>:<version>" */
	int64_t time_ms;         /* ce_time, RFC 3339 on the wire */
	int64_t sequence;        /* ce_sequence, decimal on the wire: the outbox's number of this event, from 1 without
				    gaps per topic and key; 0: not numbered, no header */
};

enum { EVENT_SEQUENCE_BYTES = 20 }; /* the 19 digits of INT64_MAX and a NUL */

/* Storage for the text forms of a head's headers; lives until the record was sent. */
struct event_headers {
	struct event_header items[EVENT_HEADERS_MAX];
	size_t count;
	char time_text[CLOCK_TEXT_BYTES];
	char sequence_text[EVENT_SEQUENCE_BYTES];
};

/* Lays out the seven headers, and ce_sequence as the eighth. The views of `head` must outlive `out`. */
void event_headers_write(const struct event_head *head, struct event_headers *out);

/* Finds and checks the attributes of a received record; unknown headers are passed over. */
MUSTCHECK bool event_head_read(const struct event_header *headers, size_t count, struct event_head *out,
			       struct err *err);

/* The topics, each "watchpost.<environment>.<name>". */
enum event_topic {
	EVENT_TOPIC_STRIPE,
	EVENT_TOPIC_AGENT,
	EVENT_TOPIC_SPEND,
	EVENT_TOPIC_ACCESS,
	EVENT_TOPIC_ACCESS_CHANGES,
	EVENT_TOPIC_DEAD_LETTER,
	EVENT_TOPIC_COUNT
};

/* NUL-terminated into out; e.g. "watchpost.development.stripe". */
void event_topic_name(enum event_topic topic, enum environment environment, char out[KAFKA_TOPIC_BYTES_MAX + 1]);
/* Writes "//watchpost.systems/<environment>/<program>". */
void event_source_name(enum environment environment, const char *program, char *out, size_t cap);

#endif
