#include "ingress/stripe/projection.h"

#include <assert.h>
#include <stddef.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/json_scan.h"
#include "common/limits.h"
#include "ingress/stripe/shape.h"

/*
 * The body is read by tables: an object is a list of the fields that are looked at, and a field says how its value is
 * taken. The tables nest six deep and never in a circle, so reading is bounded by them and not by the body.
 */
struct reader;
struct field;

/* Takes the value whose first token is `first`, and leaves the scan behind it. False: the reader failed. */
typedef bool take_value(struct reader *reader, const struct field *field, enum json_token first);

struct field {
	const char *key;
	size_t key_len;
	take_value *take;
	size_t offset;              /* of a text in struct reader */
	enum stripe_shape shape;    /* of a text */
	const struct object *inner; /* of an object, or of an array's items */
};

struct object {
	const struct field *fields;
	size_t count;
};

struct reader {
	struct json_scan scan;
	enum stripe_projection_result result;
	const char *field;
	struct stripe_projection out;
	/* Known only when all was read. */
	struct bytes event_object;
	struct bytes context;
	struct bytes related_id;
	struct bytes reference;
	bool has_created, has_livemode;
	bool has_items_end;
	int64_t items_end_s;
};

static take_value take_text;
static take_value take_id_or_object;
static take_value take_created;
static take_value take_livemode;
static take_value take_cancel_at_period_end;
static take_value take_period_end;
static take_value take_item_period_end;
static take_value take_object;
static take_value take_array;

#define TEXT(key, shape, member)                                                                                       \
	{                                                                                                              \
		key, sizeof(key) - 1, take_text, offsetof(struct reader, member), STRIPE_SHAPE_##shape, NULL           \
	}
#define ID_OR_OBJECT(key, member)                                                                                      \
	{                                                                                                              \
		key, sizeof(key) - 1, take_id_or_object, offsetof(struct reader, member), STRIPE_SHAPE_ID, NULL        \
	}
#define VALUE(key, take)                                                                                               \
	{                                                                                                              \
		key, sizeof(key) - 1, take, 0, STRIPE_SHAPE_COUNT, NULL                                                \
	}
#define NESTED(key, take, inner)                                                                                       \
	{                                                                                                              \
		key, sizeof(key) - 1, take, 0, STRIPE_SHAPE_COUNT, inner                                               \
	}
#define OBJECT(fields)                                                                                                 \
	{                                                                                                              \
		fields, ARRAY_LEN(fields)                                                                              \
	}

static const struct field ITEM_FIELDS[] = {VALUE("current_period_end", take_item_period_end)};
static const struct object ITEM = OBJECT(ITEM_FIELDS);

static const struct field ITEMS_FIELDS[] = {NESTED("data", take_array, &ITEM)};
static const struct object ITEMS = OBJECT(ITEMS_FIELDS);

static const struct field SNAPSHOT_FIELDS[] = {
	TEXT("id", ID, out.object_id),
	TEXT("object", WORD, out.object),
	ID_OR_OBJECT("customer", out.customer),
	ID_OR_OBJECT("subscription", out.subscription),
	TEXT("status", WORD, out.status),
	TEXT("client_reference_id", ID, reference),
	TEXT("mode", WORD, out.mode),
	VALUE("current_period_end", take_period_end),
	VALUE("cancel_at_period_end", take_cancel_at_period_end),
	NESTED("items", take_object, &ITEMS),
};
static const struct object SNAPSHOT = OBJECT(SNAPSHOT_FIELDS);

static const struct field PREVIOUS_FIELDS[] = {TEXT("status", WORD, out.previous_status)};
static const struct object PREVIOUS = OBJECT(PREVIOUS_FIELDS);

static const struct field DATA_FIELDS[] = {
	NESTED("object", take_object, &SNAPSHOT),
	NESTED("previous_attributes", take_object, &PREVIOUS),
};
static const struct object DATA = OBJECT(DATA_FIELDS);

static const struct field RELATED_FIELDS[] = {TEXT("id", ID, related_id)};
static const struct object RELATED = OBJECT(RELATED_FIELDS);

static const struct field EVENT_FIELDS[] = {
	TEXT("id", ID, out.id),
	TEXT("object", WORD, event_object),
	TEXT("type", TYPE, out.type),
	VALUE("created", take_created),
	VALUE("livemode", take_livemode),
	TEXT("api_version", VERSION, out.api_version),
	TEXT("account", ID, out.account),
	TEXT("context", ID, context),
	NESTED("data", take_object, &DATA),
	NESTED("related_object", take_object, &RELATED),
};
static const struct object EVENT = OBJECT(EVENT_FIELDS);

static bool fail(struct reader *reader, enum stripe_projection_result result, const char *field)
{
	reader->result = result;
	reader->field = field;
	return false;
}

static bool pass_over(struct reader *reader, enum json_token first)
{
	if (json_scan_skip_rest(&reader->scan, first))
		return true;
	return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
}

static bool key_is(const struct json_scan *scan, const struct field *field)
{
	if (scan->raw_escaped)
		return json_scan_key_is(scan, field->key);
	return scan->raw.len == field->key_len && memcmp(scan->raw.data, field->key, field->key_len) == 0;
}

static const struct field *field_find(const struct json_scan *scan, const struct object *object, size_t *index)
{
	for (*index = 0; *index < object->count; ++*index)
		if (key_is(scan, &object->fields[*index]))
			return &object->fields[*index];
	return NULL;
}

/* The rest of an object whose brace was just taken. */
static bool read_object(struct reader *reader, const struct object *object)
{
	uint32_t seen = 0;

	assert(object->count <= 32);
	for (;;) {
		enum json_token token = json_scan_next(&reader->scan);
		if (token == JSON_SCAN_OBJECT_CLOSE)
			return true;
		if (token != JSON_SCAN_KEY)
			return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
		size_t index;
		const struct field *field = field_find(&reader->scan, object, &index);
		if (field == NULL) {
			if (!json_scan_skip(&reader->scan))
				return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
			continue;
		}
		if ((seen & (1u << index)) != 0)
			return fail(reader, STRIPE_PROJECTION_REPEATED_KEY, field->key);
		seen |= 1u << index;
		token = json_scan_next(&reader->scan);
		if (token == JSON_SCAN_ERROR)
			return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
		if (!field->take(reader, field, token))
			return false;
	}
}

/* The raw text is looked at: one with escapes fits no shape, and Stripe writes none of these with escapes. */
static bool take_text(struct reader *reader, const struct field *field, enum json_token first)
{
	struct bytes *slot = (struct bytes *)(void *)((char *)reader + field->offset);

	if (first != JSON_SCAN_STRING)
		return pass_over(reader, first);
	if (stripe_shape_fits(field->shape, reader->scan.raw))
		*slot = reader->scan.raw;
	return true;
}

static bool take_id_or_object(struct reader *reader, const struct field *field, enum json_token first)
{
	if (first != JSON_SCAN_OBJECT_OPEN)
		return take_text(reader, field, first);
	const struct field id = {"id", 2, take_text, field->offset, STRIPE_SHAPE_ID, NULL};
	const struct object expanded = {&id, 1};
	return read_object(reader, &expanded);
}

static bool time_in_range(int64_t time_s)
{
	return time_s > 0 && time_s <= STRIPE_TIME_S_MAX;
}

static bool time_from_text(struct bytes text, int64_t *time_s)
{
	char copy[64];
	int64_t ms;

	if (text.len >= sizeof(copy) || memchr(text.data, 0, text.len) != NULL)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (!clock_parse_ms(copy, &ms))
		return false;
	*time_s = ms / 1000;
	return true;
}

static bool take_created(struct reader *reader, const struct field *field, enum json_token first)
{
	int64_t time_s = 0;
	bool fits;

	(void)field;
	if (first == JSON_SCAN_NUMBER)
		fits = json_scan_i64(&reader->scan, &time_s);
	else if (first == JSON_SCAN_STRING)
		fits = time_from_text(reader->scan.raw, &time_s);
	else
		return pass_over(reader, first);
	if (fits && time_in_range(time_s)) {
		reader->has_created = true;
		reader->out.created_s = time_s;
	}
	return true;
}

static bool take_livemode(struct reader *reader, const struct field *field, enum json_token first)
{
	(void)field;
	if (first != JSON_SCAN_TRUE && first != JSON_SCAN_FALSE)
		return pass_over(reader, first);
	reader->has_livemode = true;
	reader->out.livemode = first == JSON_SCAN_TRUE;
	return true;
}

static bool take_cancel_at_period_end(struct reader *reader, const struct field *field, enum json_token first)
{
	(void)field;
	if (first != JSON_SCAN_TRUE && first != JSON_SCAN_FALSE)
		return pass_over(reader, first);
	reader->out.has_cancel_at_period_end = true;
	reader->out.cancel_at_period_end = first == JSON_SCAN_TRUE;
	return true;
}

static bool take_period_end(struct reader *reader, const struct field *field, enum json_token first)
{
	int64_t time_s;

	(void)field;
	if (first != JSON_SCAN_NUMBER)
		return pass_over(reader, first);
	if (json_scan_i64(&reader->scan, &time_s) && time_in_range(time_s)) {
		reader->out.has_current_period_end = true;
		reader->out.current_period_end_s = time_s;
	}
	return true;
}

static bool take_item_period_end(struct reader *reader, const struct field *field, enum json_token first)
{
	int64_t time_s;

	(void)field;
	if (first != JSON_SCAN_NUMBER)
		return pass_over(reader, first);
	if (json_scan_i64(&reader->scan, &time_s) && time_in_range(time_s) &&
	    (!reader->has_items_end || time_s < reader->items_end_s)) {
		reader->has_items_end = true;
		reader->items_end_s = time_s;
	}
	return true;
}

static bool take_object(struct reader *reader, const struct field *field, enum json_token first)
{
	if (first != JSON_SCAN_OBJECT_OPEN)
		return pass_over(reader, first);
	return read_object(reader, field->inner);
}

static bool take_array(struct reader *reader, const struct field *field, enum json_token first)
{
	if (first != JSON_SCAN_ARRAY_OPEN)
		return pass_over(reader, first);
	for (;;) {
		enum json_token token = json_scan_next(&reader->scan);
		if (token == JSON_SCAN_ARRAY_CLOSE)
			return true;
		if (token == JSON_SCAN_ERROR || token == JSON_SCAN_END)
			return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
		if (!take_object(reader, field, token))
			return false;
	}
}

/* The texts that mean one thing or another depending on what stood elsewhere. */
static void settle(struct reader *reader)
{
	struct stripe_projection *out = &reader->out;

	out->thin = bytes_equal_text(reader->event_object, "v2.core.event");
	if (out->thin) {
		out->object_id = reader->related_id;
		if (out->account.len == 0)
			out->account = reader->context;
	}
	if (out->customer.len == 0 && bytes_equal_text(out->object, "customer"))
		out->customer = out->object_id;
	if (id_valid(reader->reference, "acct"))
		out->client_reference_id = reader->reference;
	if (!out->has_current_period_end && reader->has_items_end) {
		out->has_current_period_end = true;
		out->current_period_end_s = reader->items_end_s;
	}
}

static bool check_required(struct reader *reader)
{
	const struct {
		const char *field;
		bool there;
	} required[] = {
		{"id", reader->out.id.len > 0},
		{"type", reader->out.type.len > 0},
		{"created", reader->has_created},
		{"livemode", reader->has_livemode},
	};

	for (size_t i = 0; i < ARRAY_LEN(required); i++)
		if (!required[i].there)
			return fail(reader, STRIPE_PROJECTION_FIELD, required[i].field);
	return true;
}

static bool read_event(struct reader *reader)
{
	enum json_token first = json_scan_next(&reader->scan);

	if (first == JSON_SCAN_OBJECT_OPEN) {
		if (!read_object(reader, &EVENT))
			return false;
	} else if (first == JSON_SCAN_ERROR || !pass_over(reader, first)) {
		return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
	}
	if (json_scan_next(&reader->scan) != JSON_SCAN_END)
		return fail(reader, STRIPE_PROJECTION_NOT_JSON, NULL);
	settle(reader);
	return check_required(reader);
}

enum stripe_projection_result stripe_project(struct bytes body, struct stripe_projection *out, const char **field)
{
	struct reader reader = {.result = STRIPE_PROJECTION_DONE};

	json_scan_init(&reader.scan, body);
	if (read_event(&reader))
		*out = reader.out;
	*field = reader.field;
	return reader.result;
}
