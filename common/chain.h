/*
 * The hash chain over the records of one topic partition, as Kafka has them.
 *
 *   genesis = SHA-256("watchpost chain genesis 1\n" ‖ bytes(cluster id) ‖ bytes(topic) ‖ u32(partition))
 *   link    = SHA-256(previous link ‖ canonical(record))
 *   canonical(record) = "watchpost record 1\n" ‖ bytes(topic) ‖ u32(partition) ‖ u64(offset) ‖ u64(timestamp ms)
 *                       ‖ optional(key) ‖ u8(headers cut) ‖ u32(number of headers)
 *                       ‖ for each header: bytes(name) ‖ bytes(value)
 *                       ‖ optional(value)
 *
 * bytes(x) = u32(length) ‖ x; optional(x) = u8(0) when absent, else u8(1) ‖ bytes(x); integers are big-endian, negative
 * ones in two's complement. Headers are sorted by the bytes of their name (shorter first where one begins the other),
 * then of their value; a null header value counts as empty. Of more than EVENT_HEADERS_MAX headers the first ones of
 * the log count, and "headers cut" is 1. So every field has one length or says it, and no two records share a form.
 * Vectors: docs/events.md.
 *
 * Owns: nothing. Thread: any. Errors: a buffer that refuses.
 */
#ifndef WATCHPOST_COMMON_CHAIN_H
#define WATCHPOST_COMMON_CHAIN_H

#include "common/buf.h"
#include "common/digest.h"
#include "common/kafka.h"

enum { CHAIN_LINK_BYTES = SHA256_BYTES };

/* The head of a chain that holds no record yet. */
MUSTCHECK bool chain_genesis(const char *cluster_id, const char *topic, int32_t partition,
			     uint8_t out[CHAIN_LINK_BYTES], struct err *err);

/* Appends canonical(record). */
MUSTCHECK bool chain_canonical(const struct kafka_record *record, struct buf *out, struct err *err);

/* head = link(head, record). `scratch` is cleared and used; give the same one to save allocations. */
MUSTCHECK bool chain_advance(uint8_t head[CHAIN_LINK_BYTES], const struct kafka_record *record, struct buf *scratch,
			     struct err *err);

/* A scratch buffer's bound: the largest record that Kafka gives us, its headers, and the fixed fields. */
enum { CHAIN_SCRATCH_BYTES_MAX = 4 * KAFKA_MESSAGE_BYTES_MAX };

#endif
