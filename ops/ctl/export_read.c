/* Reads the export stream (ops/ctl/export_file.h) through msgpack-c's streaming unpacker. */
#include <msgpack.h>
#include <string.h>

#include "common/kafka_admin.h"
#include "ops/ctl/export_file.h"

enum { READ_BYTES = 1 << 16, OBJECT_BYTES_MAX = 4 * KAFKA_MESSAGE_BYTES_MAX };

struct reader {
	const struct export_visitor *visitor;
	bool started, ended;
	uint64_t records;
};

static bool bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "not an export of audit records: %s", what);
}

static const msgpack_object *entry(const msgpack_object *map, const char *name)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		const msgpack_object *key = &map->via.map.ptr[i].key;
		if (key->type == MSGPACK_OBJECT_STR && key->via.str.size == strlen(name) &&
		    memcmp(key->via.str.ptr, name, key->via.str.size) == 0)
			return &map->via.map.ptr[i].val;
	}
	return NULL;
}

static bool take_i64(const msgpack_object *map, const char *name, int64_t *out)
{
	const msgpack_object *value = entry(map, name);
	if (value == NULL || (value->type != MSGPACK_OBJECT_NEGATIVE_INTEGER &&
			      (value->type != MSGPACK_OBJECT_POSITIVE_INTEGER || value->via.u64 > INT64_MAX)))
		return false;
	*out = value->via.i64;
	return true;
}

static bool take_partition(const msgpack_object *map, int32_t *out)
{
	int64_t number;
	if (!take_i64(map, "partition", &number) || number < 0 || number > INT32_MAX)
		return false;
	*out = (int32_t)number;
	return true;
}

/* Copies a text with a NUL behind it. */
static bool take_text(const msgpack_object *value, char *out, size_t cap)
{
	if (value == NULL || value->type != MSGPACK_OBJECT_STR || value->via.str.size >= cap ||
	    memchr(value->via.str.ptr, '\0', value->via.str.size) != NULL)
		return false;
	memcpy(out, value->via.str.ptr, value->via.str.size);
	out[value->via.str.size] = '\0';
	return true;
}

/* bin, or nil where `present` may become false. */
static bool take_bin(const msgpack_object *value, bool *present, struct bytes *out)
{
	if (value == NULL || (value->type != MSGPACK_OBJECT_BIN && value->type != MSGPACK_OBJECT_NIL))
		return false;
	*present = value->type == MSGPACK_OBJECT_BIN;
	*out = *present ? bytes_make(value->via.bin.ptr, value->via.bin.size) : bytes_make(NULL, 0);
	return true;
}

static bool take_fixed(const msgpack_object *map, const char *name, uint8_t *out, size_t len)
{
	bool present;
	struct bytes bytes;
	if (!take_bin(entry(map, name), &present, &bytes) || !present || bytes.len != len)
		return false;
	memcpy(out, bytes.data, len);
	return true;
}

static bool read_seal(struct reader *reader, const msgpack_object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct seal seal = {.topic = topic};
	if (!take_text(entry(map, "topic"), topic, sizeof(topic)) || !take_partition(map, &seal.partition) ||
	    !take_i64(map, "last_offset", &seal.last_offset) || !take_i64(map, "sealed_at_ms", &seal.sealed_at_ms) ||
	    !take_fixed(map, "head", seal.head, sizeof(seal.head)) ||
	    !take_fixed(map, "previous", seal.previous, sizeof(seal.previous)) ||
	    !take_fixed(map, "signature", seal.signature, sizeof(seal.signature)))
		return bad(err, "a seal lacks a field or has one of another form");
	return reader->visitor->seal(reader->visitor->owner, &seal, err);
}

static bool read_gap(struct reader *reader, const msgpack_object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	int64_t from, to;
	if (!take_text(entry(map, "topic"), topic, sizeof(topic)) || !take_partition(map, &partition) ||
	    !take_i64(map, "from", &from) || !take_i64(map, "to", &to) || from > to)
		return bad(err, "a gap lacks a field or has one of another form");
	return reader->visitor->gap(reader->visitor->owner, topic, partition, from, to, err);
}

static bool take_headers(const msgpack_object *value, struct kafka_record *record,
			 char names[EVENT_HEADERS_MAX][EVENT_HEADER_NAME_BYTES_MAX + 1])
{
	if (value == NULL || value->type != MSGPACK_OBJECT_ARRAY || value->via.array.size > EVENT_HEADERS_MAX)
		return false;
	for (uint32_t i = 0; i < value->via.array.size; i++) {
		const msgpack_object *pair = &value->via.array.ptr[i];
		bool present;
		if (pair->type != MSGPACK_OBJECT_ARRAY || pair->via.array.size != 2 ||
		    !take_text(&pair->via.array.ptr[0], names[i], EVENT_HEADER_NAME_BYTES_MAX + 1) ||
		    !take_bin(&pair->via.array.ptr[1], &present, &record->headers[i].value))
			return false;
		record->headers[i].name = names[i];
	}
	record->header_count = value->via.array.size;
	return true;
}

static bool read_record(struct reader *reader, const msgpack_object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	char names[EVENT_HEADERS_MAX][EVENT_HEADER_NAME_BYTES_MAX + 1];
	struct kafka_record record = {.topic = topic};
	const msgpack_object *cut = entry(map, "headers_cut");
	if (!take_text(entry(map, "topic"), topic, sizeof(topic)) || !take_partition(map, &record.partition) ||
	    !take_i64(map, "offset", &record.offset) || !take_i64(map, "timestamp_ms", &record.timestamp_ms) ||
	    !take_bin(entry(map, "key"), &record.has_key, &record.key) ||
	    !take_bin(entry(map, "value"), &record.has_value, &record.value) || cut == NULL ||
	    cut->type != MSGPACK_OBJECT_BOOLEAN || !take_headers(entry(map, "headers"), &record, names))
		return bad(err, "a record lacks a field or has one of another form");
	record.headers_cut = cut->via.boolean;
	reader->records++;
	return reader->visitor->record(reader->visitor->owner, &record, err);
}

static bool read_start(struct reader *reader, const msgpack_object *map, struct err *err)
{
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	int64_t version;
	if (!take_i64(map, "version", &version) || version != 1)
		return bad(err, "its version is not 1");
	if (!take_text(entry(map, "cluster_id"), cluster_id, sizeof(cluster_id)))
		return bad(err, "no cluster id");
	reader->started = true;
	return reader->visitor->start(reader->visitor->owner, cluster_id, err);
}

static bool read_end(struct reader *reader, const msgpack_object *map, struct err *err)
{
	int64_t records;
	reader->ended = true;
	if (!take_i64(map, "records", &records) || (uint64_t)records != reader->records)
		return bad(err, "it does not hold as many records as it says");
	return true;
}

static bool read_object(struct reader *reader, const msgpack_object *map, struct err *err)
{
	char kind[16];
	if (map->type != MSGPACK_OBJECT_MAP || !take_text(entry(map, "kind"), kind, sizeof(kind)))
		return bad(err, "an object without a kind");
	if (reader->ended)
		return bad(err, "something stands behind its end");
	if (strcmp(kind, "export") == 0 && !reader->started)
		return read_start(reader, map, err);
	if (!reader->started)
		return bad(err, "it does not begin as one");
	if (strcmp(kind, "record") == 0)
		return read_record(reader, map, err);
	if (strcmp(kind, "seal") == 0)
		return read_seal(reader, map, err);
	if (strcmp(kind, "gap") == 0)
		return read_gap(reader, map, err);
	if (strcmp(kind, "end") == 0)
		return read_end(reader, map, err);
	return bad(err, "an object of an unknown kind");
}

/* Every whole object that the unpacker has by now. */
static bool drain(msgpack_unpacker *unpacker, struct reader *reader, struct err *err)
{
	msgpack_unpacked object;
	msgpack_unpack_return result;
	bool good = true;
	msgpack_unpacked_init(&object);
	while (good && (result = msgpack_unpacker_next(unpacker, &object)) != MSGPACK_UNPACK_CONTINUE) {
		if (result == MSGPACK_UNPACK_SUCCESS)
			good = read_object(reader, &object.data, err);
		else
			good = bad(err, "it is not msgpack");
	}
	msgpack_unpacked_destroy(&object);
	if (good && msgpack_unpacker_message_size(unpacker) > OBJECT_BYTES_MAX)
		return bad(err, "an object is too large");
	return good;
}

bool export_read(FILE *from, const struct export_visitor *visitor, struct err *err)
{
	msgpack_unpacker unpacker;
	struct reader reader = {.visitor = visitor};
	bool good = true;
	size_t n = 1;
	if (!msgpack_unpacker_init(&unpacker, READ_BYTES))
		return err_set(err, ERR_FULL, "no memory to read the export");
	while (good && n > 0) {
		if (!msgpack_unpacker_reserve_buffer(&unpacker, READ_BYTES)) {
			good = err_set(err, ERR_FULL, "no memory to read the export");
			break;
		}
		n = fread(msgpack_unpacker_buffer(&unpacker), 1, READ_BYTES, from);
		msgpack_unpacker_buffer_consumed(&unpacker, n);
		good = drain(&unpacker, &reader, err);
	}
	msgpack_unpacker_destroy(&unpacker);
	if (good && ferror(from))
		return err_set(err, ERR_IO, "the export cannot be read: %m");
	if (good && !reader.ended)
		return bad(err, "it was cut off before its end");
	return good;
}
