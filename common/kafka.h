/*
 * What producers, consumers and admin calls on Kafka share. Only common/kafka_*.c know librdkafka.
 */
#ifndef WATCHPOST_COMMON_KAFKA_H
#define WATCHPOST_COMMON_KAFKA_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/config.h"
#include "common/err.h"
#include "common/event.h"

/* A record as read. Views live until the consumer's next poll or the batch is released. */
struct kafka_record {
	const char *topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms; /* the log's append time on our topics; -1 unknown */
	bool has_key;
	struct bytes key;
	bool has_value;
	struct bytes value;
	struct event_header headers[EVENT_HEADERS_MAX];
	size_t header_count;
	bool headers_cut; /* it had more than EVENT_HEADERS_MAX */
};

enum { KAFKA_OFFSET_BEGINNING = -2, KAFKA_OFFSET_END = -1 }; /* as librdkafka's logical offsets */

/* A place in the log: where to start, or what comes next. */
struct kafka_partition {
	const char *topic; /* given out by a consumer: lives as long as it */
	int32_t partition;
	int64_t offset;
};

/* A record to be written. partition -1: by murmur2 of the key, as Java clients do. */
struct kafka_message {
	const char *topic;
	int32_t partition;
	struct bytes key; /* empty: no key */
	struct bytes value;
	const struct event_header *headers;
	size_t header_count;
};

#endif
