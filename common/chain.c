#include "common/chain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char GENESIS_TAG[] = "watchpost chain genesis 1\n";
static const char RECORD_TAG[] = "watchpost record 1\n";

static bool put_u32(struct buf *out, uint32_t value)
{
	const uint8_t b[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
	return buf_append(out, b, sizeof(b));
}

static bool put_u64(struct buf *out, uint64_t value)
{
	return put_u32(out, (uint32_t)(value >> 32)) && put_u32(out, (uint32_t)value);
}

static bool put_bytes(struct buf *out, struct bytes value)
{
	return value.len <= UINT32_MAX && put_u32(out, (uint32_t)value.len) && buf_append(out, value.data, value.len);
}

static bool put_optional(struct buf *out, bool present, struct bytes value)
{
	return buf_append_byte(out, present ? 1 : 0) && (!present || put_bytes(out, value));
}

static int bytes_order(struct bytes a, struct bytes b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

static int header_order(const void *x, const void *y)
{
	const struct event_header *a = x, *b = y;
	int order = bytes_order(bytes_of(a->name), bytes_of(b->name));
	return order != 0 ? order : bytes_order(a->value, b->value);
}

static bool put_headers(struct buf *out, const struct kafka_record *record)
{
	struct event_header sorted[EVENT_HEADERS_MAX];
	assert(record->header_count <= EVENT_HEADERS_MAX);
	if (record->header_count > 0)
		memcpy(sorted, record->headers, record->header_count * sizeof(sorted[0]));
	qsort(sorted, record->header_count, sizeof(sorted[0]), header_order);
	bool done = buf_append_byte(out, record->headers_cut ? 1 : 0) && put_u32(out, (uint32_t)record->header_count);
	for (size_t i = 0; done && i < record->header_count; i++)
		done = put_bytes(out, bytes_of(sorted[i].name)) && put_bytes(out, sorted[i].value);
	return done;
}

bool chain_genesis(const char *cluster_id, const char *topic, int32_t partition, uint8_t out[CHAIN_LINK_BYTES],
		   struct err *err)
{
	struct buf text;
	buf_init(&text, 4096);
	bool done = buf_append(&text, GENESIS_TAG, sizeof(GENESIS_TAG) - 1) && put_bytes(&text, bytes_of(cluster_id)) &&
		    put_bytes(&text, bytes_of(topic)) && put_u32(&text, (uint32_t)partition);
	if (done) {
		const struct bytes part = buf_bytes(&text);
		digest_sha256(&part, 1, out);
	}
	buf_free(&text);
	return done || err_set(err, ERR_FULL, "no room for the genesis of a chain");
}

bool chain_canonical(const struct kafka_record *record, struct buf *out, struct err *err)
{
	if (buf_append(out, RECORD_TAG, sizeof(RECORD_TAG) - 1) && put_bytes(out, bytes_of(record->topic)) &&
	    put_u32(out, (uint32_t)record->partition) && put_u64(out, (uint64_t)record->offset) &&
	    put_u64(out, (uint64_t)record->timestamp_ms) && put_optional(out, record->has_key, record->key) &&
	    put_headers(out, record) && put_optional(out, record->has_value, record->value))
		return true;
	return err_set(err, ERR_FULL, "no room for the canonical form of a record");
}

bool chain_advance(uint8_t head[CHAIN_LINK_BYTES], const struct kafka_record *record, struct buf *scratch,
		   struct err *err)
{
	buf_clear(scratch);
	if (!chain_canonical(record, scratch, err))
		return false;
	const struct bytes parts[] = {bytes_make(head, CHAIN_LINK_BYTES), buf_bytes(scratch)};
	digest_sha256(parts, ARRAY_LEN(parts), head);
	return true;
}
