#include "common/event_json.h"

#include <assert.h>
#include <stdlib.h>

#include "common/json_scan.h"

/* Payload and decoded strings while they are read. */
struct reading {
	const struct event_layout *layout;
	struct json_scan scan;
	uint8_t *payload; /* layout->struct_bytes */
	char *strings;    /* as many bytes as the text has: decoding makes nothing longer */
	size_t strings_len;
	size_t strings_cap;
	uint64_t seen; /* a bit for each field */
};
_Static_assert(EVENT_FIELDS_MAX <= 64, "a bit for each field");

static const struct event_field *find_field(const struct reading *r, size_t *place)
{
	for (size_t i = 0; i < r->layout->field_count; i++) {
		if (json_scan_key_is(&r->scan, r->layout->fields[i].name)) {
			*place = i;
			return &r->layout->fields[i];
		}
	}
	return NULL;
}

static bool wrong(const struct event_field *field, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "field %s: %s", field->name, what);
}

static bool read_string(struct reading *r, const struct event_field *field, struct err *err)
{
	size_t len = 0;
	char *at = r->strings + r->strings_len;
	if (!json_scan_text(&r->scan, at, r->strings_cap - r->strings_len, &len) || len > field->bytes_max)
		return wrong(field, "too long", err);
	struct bytes value = bytes_make(at, len);
	r->strings_len += len;
	memcpy(r->payload + field->offset, &value, sizeof(value));
	return true;
}

/* *present: it was not null. */
static bool read_value(struct reading *r, const struct event_field *field, bool *present, struct err *err)
{
	enum json_token token = json_scan_next(&r->scan);
	int64_t number;
	bool truth = token == JSON_SCAN_TRUE;
	*present = token != JSON_SCAN_NULL;
	if (token == JSON_SCAN_NULL)
		return true;
	switch (field->type) {
	case EVENT_FIELD_STRING:
		return token == JSON_SCAN_STRING ? read_string(r, field, err) : wrong(field, "not a string", err);
	case EVENT_FIELD_I64:
		if (token != JSON_SCAN_NUMBER || !json_scan_i64(&r->scan, &number))
			return wrong(field, "not an integer", err);
		memcpy(r->payload + field->offset, &number, sizeof(number));
		return true;
	case EVENT_FIELD_BOOL:
		if (!truth && token != JSON_SCAN_FALSE)
			return wrong(field, "not true or false", err);
		memcpy(r->payload + field->offset, &truth, sizeof(truth));
		return true;
	}
	return wrong(field, "of an unknown type", err);
}

static bool read_field(struct reading *r, struct err *err)
{
	size_t place = 0;
	bool present = false;
	const struct event_field *field = find_field(r, &place);
	if (field == NULL)
		return err_set(err, ERR_INVALID, "a field that the schema does not have");
	if ((r->seen >> place & 1) != 0)
		return wrong(field, "twice", err);
	if (!read_value(r, field, &present, err))
		return false;
	if (!present)
		return true;
	r->seen |= (uint64_t)1 << place;
	if (field->presence != EVENT_REQUIRED)
		memcpy(r->payload + field->has_offset, &present, sizeof(present));
	return true;
}

static bool read_object(struct reading *r, struct err *err)
{
	if (json_scan_next(&r->scan) != JSON_SCAN_OBJECT_OPEN)
		return err_set(err, ERR_INVALID, "not a JSON object");
	for (;;) {
		enum json_token token = json_scan_next(&r->scan);
		if (token == JSON_SCAN_OBJECT_CLOSE)
			break;
		if (token != JSON_SCAN_KEY)
			return err_set(err, ERR_INVALID, "not JSON");
		if (!read_field(r, err))
			return false;
	}
	if (json_scan_next(&r->scan) != JSON_SCAN_END)
		return err_set(err, ERR_INVALID, "not JSON");
	for (size_t i = 0; i < r->layout->field_count; i++) {
		const struct event_field *field = &r->layout->fields[i];
		if (field->presence != EVENT_OPTIONAL && (r->seen >> i & 1) == 0)
			return wrong(field, "missing", err);
	}
	return true;
}

bool event_json_encode(const struct event_layout *layout, struct bytes json, struct buf *out, struct err *err)
{
	struct reading r = {.layout = layout, .strings_cap = json.len};
	bool encoded = false;
	if (json.len > EVENT_VALUE_BYTES_MAX)
		return err_set(err, ERR_INVALID, "over %d bytes", EVENT_VALUE_BYTES_MAX);
	json_scan_init(&r.scan, json);
	r.payload = calloc(1, layout->struct_bytes);
	r.strings = malloc(json.len + 1);
	if (r.payload == NULL || r.strings == NULL)
		(void)err_set(err, ERR_FULL, "no memory for a payload");
	else if (read_object(&r, err))
		encoded = event_encode(layout, r.payload, out) ||
			  err_set(err, ERR_INVALID, "a field that may not stand in an event");
	free(r.payload);
	free(r.strings);
	return encoded;
}
