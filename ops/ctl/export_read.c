/*
 * Reads the export stream (ops/ctl/export_file.h). Not through msgpack-c's unpacker: that allocates what an array
 * claims to hold before it has seen it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/event_pull.h"
#include "common/kafka_admin.h"
#include "ops/ctl/export_file.h"

enum { READ_BYTES = 1 << 16, OBJECT_BYTES_MAX = 4 * KAFKA_MESSAGE_BYTES_MAX, FIELDS_MAX = 16 };

/* One entry of an object's map; `inside` stands before the first item of an array. */
struct field {
	struct bytes name;
	struct event_item item;
	struct event_pull inside;
};

struct object {
	struct field fields[FIELDS_MAX];
	size_t count;
};

struct reader {
	const struct export_visitor *visitor;
	bool started, ended;
	uint64_t records;
};

static bool bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "not an export of audit records: %s", what);
}

static const struct field *entry(const struct object *object, const char *name)
{
	for (size_t i = 0; i < object->count; i++)
		if (bytes_equal_text(object->fields[i].name, name))
			return &object->fields[i];
	return NULL;
}

static bool take_i64(const struct object *object, const char *name, int64_t *out)
{
	const struct field *field = entry(object, name);
	if (field == NULL || field->item.kind != EVENT_ITEM_I64)
		return false;
	*out = field->item.i64;
	return true;
}

static bool take_partition(const struct object *object, int32_t *out)
{
	int64_t number;
	if (!take_i64(object, "partition", &number) || number < 0 || number > INT32_MAX)
		return false;
	*out = (int32_t)number;
	return true;
}

/* Below INT64_MAX, so that the one behind it is a number, too. */
static bool take_offset(const struct object *object, const char *name, int64_t *out)
{
	return take_i64(object, name, out) && *out >= 0 && *out < INT64_MAX;
}

/* Copies a text with a NUL behind it. */
static bool copy_text(const struct event_item *item, char *out, size_t cap)
{
	if (item->kind != EVENT_ITEM_STRING || item->bytes.len >= cap ||
	    (item->bytes.len > 0 && memchr(item->bytes.data, '\0', item->bytes.len) != NULL))
		return false;
	if (item->bytes.len > 0)
		memcpy(out, item->bytes.data, item->bytes.len);
	out[item->bytes.len] = '\0';
	return true;
}

static bool take_text(const struct object *object, const char *name, char *out, size_t cap)
{
	const struct field *field = entry(object, name);
	return field != NULL && copy_text(&field->item, out, cap);
}

/* bin, or nil where `present` may become false. */
static bool take_bin(const struct object *object, const char *name, bool *present, struct bytes *out)
{
	const struct field *field = entry(object, name);
	if (field == NULL || (field->item.kind != EVENT_ITEM_BINARY && field->item.kind != EVENT_ITEM_NIL))
		return false;
	*present = field->item.kind == EVENT_ITEM_BINARY;
	*out = *present ? field->item.bytes : bytes_make(NULL, 0);
	return true;
}

static bool take_fixed(const struct object *object, const char *name, uint8_t *out, size_t len)
{
	bool present;
	struct bytes bytes;
	if (!take_bin(object, name, &present, &bytes) || bytes.len != len)
		return false;
	memcpy(out, bytes.data, len);
	return true;
}

static bool take_flag(const struct object *object, const char *name, bool *out)
{
	const struct field *field = entry(object, name);
	if (field == NULL || field->item.kind != EVENT_ITEM_BOOL)
		return false;
	*out = field->item.flag;
	return true;
}

static bool read_seal(struct reader *reader, const struct object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct seal seal = {.topic = topic};
	if (!take_text(map, "topic", topic, sizeof(topic)) || !take_partition(map, &seal.partition) ||
	    !take_offset(map, "last_offset", &seal.last_offset) || !take_i64(map, "sealed_at_ms", &seal.sealed_at_ms) ||
	    !take_fixed(map, "head", seal.head, sizeof(seal.head)) ||
	    !take_fixed(map, "previous", seal.previous, sizeof(seal.previous)) ||
	    !take_fixed(map, "signature", seal.signature, sizeof(seal.signature)))
		return bad(err, "a seal lacks a field or has one of another form");
	return reader->visitor->seal(reader->visitor->owner, &seal, err);
}

static bool take_span(const struct object *map, struct export_span *out, char topic[KAFKA_TOPIC_BYTES_MAX + 1],
		      struct err *err)
{
	out->topic = topic;
	return (take_text(map, "topic", topic, KAFKA_TOPIC_BYTES_MAX + 1) && take_partition(map, &out->partition) &&
		take_offset(map, "from", &out->from) && take_offset(map, "to", &out->to) && out->from <= out->to) ||
	       bad(err, "a gap or a range lacks a field or has one of another form");
}

static bool read_gap(struct reader *reader, const struct object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct export_span span;
	return take_span(map, &span, topic, err) && reader->visitor->gap(reader->visitor->owner, &span, err);
}

static bool read_range(struct reader *reader, const struct object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct export_span span;
	return take_span(map, &span, topic, err) && reader->visitor->range(reader->visitor->owner, &span, err);
}

static bool take_header(struct event_pull *pull, struct event_header *out, char name[EVENT_HEADER_NAME_BYTES_MAX + 1])
{
	struct event_item pair, text, value;
	if (!event_pull_next(pull, &pair) || pair.kind != EVENT_ITEM_ARRAY || pair.count != 2 ||
	    !event_pull_next(pull, &text) || !copy_text(&text, name, EVENT_HEADER_NAME_BYTES_MAX + 1) ||
	    !event_pull_next(pull, &value) || value.kind != EVENT_ITEM_BINARY)
		return false;
	*out = (struct event_header){.name = name, .value = value.bytes};
	return true;
}

static bool take_headers(const struct object *map, struct kafka_record *record,
			 char names[EVENT_HEADERS_MAX][EVENT_HEADER_NAME_BYTES_MAX + 1])
{
	const struct field *field = entry(map, "headers");
	if (field == NULL || field->item.kind != EVENT_ITEM_ARRAY || field->item.count > EVENT_HEADERS_MAX)
		return false;
	struct event_pull pull = field->inside;
	for (uint32_t i = 0; i < field->item.count; i++)
		if (!take_header(&pull, &record->headers[i], names[i]))
			return false;
	record->header_count = field->item.count;
	return true;
}

static bool read_record(struct reader *reader, const struct object *map, struct err *err)
{
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	char names[EVENT_HEADERS_MAX][EVENT_HEADER_NAME_BYTES_MAX + 1];
	struct kafka_record record = {.topic = topic};
	if (!take_text(map, "topic", topic, sizeof(topic)) || !take_partition(map, &record.partition) ||
	    !take_offset(map, "offset", &record.offset) || !take_i64(map, "timestamp_ms", &record.timestamp_ms) ||
	    !take_bin(map, "key", &record.has_key, &record.key) ||
	    !take_bin(map, "value", &record.has_value, &record.value) ||
	    !take_flag(map, "headers_cut", &record.headers_cut) || !take_headers(map, &record, names))
		return bad(err, "a record lacks a field or has one of another form");
	reader->records++;
	return reader->visitor->record(reader->visitor->owner, &record, err);
}

static bool read_start(struct reader *reader, const struct object *map, struct err *err)
{
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	int64_t version;
	if (!take_i64(map, "version", &version) || version != 1)
		return bad(err, "its version is not 1");
	if (!take_text(map, "cluster_id", cluster_id, sizeof(cluster_id)))
		return bad(err, "no cluster id");
	reader->started = true;
	return reader->visitor->start(reader->visitor->owner, cluster_id, err);
}

static bool read_end(struct reader *reader, const struct object *map, struct err *err)
{
	int64_t records;
	reader->ended = true;
	if (!take_i64(map, "records", &records) || (uint64_t)records != reader->records)
		return bad(err, "it does not hold as many records as it says");
	return true;
}

static bool read_object(struct reader *reader, const struct object *map, struct err *err)
{
	char kind[16];
	if (!take_text(map, "kind", kind, sizeof(kind)))
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
	if (strcmp(kind, "range") == 0)
		return read_range(reader, map, err);
	if (strcmp(kind, "end") == 0)
		return read_end(reader, map, err);
	return bad(err, "an object of an unknown kind");
}

/* One map from the bytes: false when they hold no whole map of at most FIELDS_MAX entries (yet). */
static bool parse_object(struct event_pull *pull, struct object *object)
{
	struct event_item map, name;
	if (!event_pull_next(pull, &map) || map.kind != EVENT_ITEM_MAP || map.count > FIELDS_MAX)
		return false;
	object->count = map.count;
	for (uint32_t i = 0; i < map.count; i++) {
		struct field *field = &object->fields[i];
		if (!event_pull_next(pull, &name) || name.kind != EVENT_ITEM_STRING ||
		    !event_pull_next(pull, &field->item))
			return false;
		field->name = name.bytes;
		field->inside = *pull;
		if (!event_pull_skip(pull, &field->item))
			return false;
	}
	return true;
}

/* Every whole object in the window; what is left of the last one stays in it. */
static bool drain(struct buf *window, struct reader *reader, struct err *err)
{
	struct event_pull pull = event_pull_make(buf_bytes(window));
	struct object object;
	while (event_pull_left(&pull) > 0) {
		struct event_pull ahead = pull;
		if (!parse_object(&ahead, &object))
			break;
		if (!read_object(reader, &object, err))
			return false;
		pull = ahead;
	}
	buf_consume(window, window->len - event_pull_left(&pull));
	return true;
}

static bool read_more(FILE *from, struct buf *window, size_t *n, struct err *err)
{
	if (!buf_reserve(window, READ_BYTES))
		return bad(err, "it is not such a stream, or an object is too large");
	*n = fread(window->data + window->len, 1, READ_BYTES, from);
	window->len += *n;
	return !ferror(from) || err_set(err, ERR_IO, "the export cannot be read: %m");
}

bool export_read(FILE *from, const struct export_visitor *visitor, struct err *err)
{
	struct reader reader = {.visitor = visitor};
	struct buf window;
	bool good = true;
	size_t n = 1;
	buf_init(&window, OBJECT_BYTES_MAX);
	while (good && n > 0)
		good = read_more(from, &window, &n, err) && drain(&window, &reader, err);
	if (good && (!reader.ended || window.len > 0))
		good = bad(err, "it was cut off before its end, or holds something else");
	buf_free(&window);
	return good;
}
