#include "common/event_codec.h"

#include <assert.h>
#include <msgpack/pack.h>

#include "common/event_pull.h"
#include "common/utf8.h"

/* The longest heads that msgpack writes for what we write. */
enum { MAP_HEAD_BYTES = 5, STRING_HEAD_BYTES = 5, SCALAR_BYTES = 9 };

/* --- writing ------------------------------------------------------------------------------------ */

static struct bytes get_string(const struct event_field *field, const uint8_t *payload)
{
	struct bytes text;
	memcpy(&text, payload + field->offset, sizeof(text));
	return text;
}

static bool is_given(const struct event_field *field, const uint8_t *payload)
{
	bool given = true;
	if (field->presence != EVENT_REQUIRED)
		memcpy(&given, payload + field->has_offset, sizeof(given));
	return given;
}

/* Adds up how many bytes the payload may take; false when a reader would refuse it. */
static bool check_payload(const struct event_layout *layout, const uint8_t *payload, size_t *bytes, uint32_t *count)
{
	*bytes = MAP_HEAD_BYTES;
	*count = 0;
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct event_field *field = &layout->fields[i];
		if (!is_given(field, payload)) {
			if (field->presence == EVENT_WRITTEN)
				return false;
			continue;
		}
		*count += 1;
		*bytes += (size_t)field->name_len + STRING_HEAD_BYTES + SCALAR_BYTES;
		if (field->type != EVENT_FIELD_STRING)
			continue;
		struct bytes text = get_string(field, payload);
		if (text.len > field->bytes_max || !utf8_text_valid(text))
			return false;
		*bytes += text.len;
	}
	return true;
}

/* msgpack-c's writer. The room was reserved before, so it cannot fail half way. */
static int write_reserved(void *data, const char *bytes, size_t len)
{
	struct buf *out = data;
	assert(out->cap - out->len >= len);
	if (len > 0)
		memcpy(out->data + out->len, bytes, len);
	out->len += len;
	return 0;
}

static void pack_string(msgpack_packer *packer, struct bytes text)
{
	msgpack_pack_str(packer, text.len);
	msgpack_pack_str_body(packer, text.data, text.len);
}

static void pack_field(msgpack_packer *packer, const struct event_field *field, const uint8_t *payload)
{
	int64_t number;
	bool flag;

	pack_string(packer, bytes_make(field->name, field->name_len));
	switch (field->type) {
	case EVENT_FIELD_STRING:
		pack_string(packer, get_string(field, payload));
		return;
	case EVENT_FIELD_I64:
		memcpy(&number, payload + field->offset, sizeof(number));
		msgpack_pack_int64(packer, number);
		return;
	case EVENT_FIELD_BOOL:
		memcpy(&flag, payload + field->offset, sizeof(flag));
		if (flag)
			msgpack_pack_true(packer);
		else
			msgpack_pack_false(packer);
		return;
	}
}

bool event_encode(const struct event_layout *layout, const void *payload, struct buf *out)
{
	size_t bytes;
	uint32_t count;
	msgpack_packer packer;

	assert(layout->field_count <= EVENT_FIELDS_MAX);
	if (!check_payload(layout, payload, &bytes, &count) || bytes > EVENT_VALUE_BYTES_MAX ||
	    !buf_reserve(out, bytes))
		return false;
	size_t before = out->len;
	msgpack_packer_init(&packer, out, write_reserved);
	msgpack_pack_map(&packer, count);
	for (size_t i = 0; i < layout->field_count; i++) {
		if (is_given(&layout->fields[i], payload))
			pack_field(&packer, &layout->fields[i], payload);
	}
	assert(out->len - before <= bytes);
	return true;
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Writers of ours keep the schema's order, so the field after the last one is nearly always the right guess. */
static const struct event_field *find_field(const struct event_layout *layout, struct bytes name, size_t *guess)
{
	for (size_t i = 0; i < layout->field_count; i++) {
		size_t index = *guess + i < layout->field_count ? *guess + i : *guess + i - layout->field_count;
		const struct event_field *field = &layout->fields[index];
		if (name.len == field->name_len && memcmp(name.data, field->name, name.len) == 0) {
			*guess = index + 1 < layout->field_count ? index + 1 : 0;
			return field;
		}
	}
	return NULL;
}

static bool wrong(const struct event_field *field, const char *how, struct err *err)
{
	return err_set(err, ERR_INVALID, "field %s: %s", field->name, how);
}

static bool set_string(const struct event_field *field, const struct event_item *item, uint8_t *payload,
		       struct err *err)
{
	if (item->kind != EVENT_ITEM_STRING)
		return wrong(field, "not a string", err);
	if (item->bytes.len > field->bytes_max)
		return err_set(err, ERR_INVALID, "field %s: longer than %u bytes", field->name, field->bytes_max);
	if (!utf8_text_valid(item->bytes))
		return wrong(field, "not UTF-8 text", err);
	memcpy(payload + field->offset, &item->bytes, sizeof(item->bytes));
	return true;
}

static bool set_value(const struct event_field *field, const struct event_item *item, uint8_t *payload, struct err *err)
{
	switch (field->type) {
	case EVENT_FIELD_STRING:
		return set_string(field, item, payload, err);
	case EVENT_FIELD_I64:
		if (item->kind == EVENT_ITEM_BIG)
			return wrong(field, "too large an integer", err);
		if (item->kind != EVENT_ITEM_I64)
			return wrong(field, "not an integer", err);
		memcpy(payload + field->offset, &item->i64, sizeof(item->i64));
		return true;
	case EVENT_FIELD_BOOL:
		if (item->kind != EVENT_ITEM_BOOL)
			return wrong(field, "not a boolean", err);
		memcpy(payload + field->offset, &item->flag, sizeof(item->flag));
		return true;
	}
	return err_set(err, ERR_INTERNAL, "field %s: a type that no schema has", field->name);
}

struct decoding {
	const struct event_layout *layout;
	struct event_pull pull;
	uint8_t *payload;
	uint64_t seen; /* a bit per field of the layout */
	size_t guess;
};
_Static_assert(EVENT_FIELDS_MAX <= 64, "decoding.seen has a bit per field");

/* One name and its value. */
static bool decode_entry(struct decoding *d, struct err *err)
{
	struct event_item name;
	struct event_item value;

	if (!event_pull_next(&d->pull, &name))
		return err_set(err, ERR_INVALID, "msgpack: broken or cut short");
	if (name.kind != EVENT_ITEM_STRING)
		return err_set(err, ERR_INVALID, "a field's name is not a string");
	const struct event_field *field = find_field(d->layout, name.bytes, &d->guess);
	if (!event_pull_next(&d->pull, &value))
		return err_set(err, ERR_INVALID, "msgpack: broken or cut short");
	if (field == NULL) {
		if (!event_pull_skip(&d->pull, &value))
			return err_set(err, ERR_INVALID, "an unknown field is broken, cut short or nested too deep");
		return true;
	}
	uint64_t bit = UINT64_C(1) << (field - d->layout->fields);
	if ((d->seen & bit) != 0)
		return wrong(field, "given twice", err);
	d->seen |= bit;
	if (!set_value(field, &value, d->payload, err))
		return false;
	if (field->presence != EVENT_REQUIRED)
		d->payload[field->has_offset] = true;
	return true;
}

static bool check_required(const struct decoding *d, struct err *err)
{
	for (size_t i = 0; i < d->layout->field_count; i++) {
		const struct event_field *field = &d->layout->fields[i];
		if (field->presence == EVENT_REQUIRED && (d->seen & UINT64_C(1) << i) == 0)
			return wrong(field, "missing", err);
	}
	return true;
}

bool event_decode(const struct event_layout *layout, struct bytes value, void *payload, struct err *err)
{
	struct decoding d = {.layout = layout, .pull = event_pull_make(value), .payload = payload};
	struct event_item map;

	assert(layout->field_count > 0 && layout->field_count <= EVENT_FIELDS_MAX);
	if (value.len > EVENT_VALUE_BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "the value is over %d bytes", EVENT_VALUE_BYTES_MAX);
	memset(payload, 0, layout->struct_bytes);
	if (!event_pull_next(&d.pull, &map) || map.kind != EVENT_ITEM_MAP)
		return err_set(err, ERR_INVALID, "not a msgpack map");
	if (map.count > EVENT_FIELDS_MAX)
		return err_set(err, ERR_INVALID, "more than %d fields", EVENT_FIELDS_MAX);
	for (uint32_t i = 0; i < map.count; i++) {
		if (!decode_entry(&d, err))
			return false;
	}
	if (event_pull_left(&d.pull) > 0)
		return err_set(err, ERR_INVALID, "bytes after the end of the map");
	return check_required(&d, err);
}
