#include "ops/ctl/record_json.h"

#include "common/clock.h"
#include "common/event_pull.h"

static json_t *item_json(struct event_pull *pull, const struct event_item *item, int depth);

static json_t *text_json(struct bytes text)
{
	json_t *string = json_stringn((const char *)text.data, text.len);
	return string != NULL ? string : json_null();
}

static json_t *next_json(struct event_pull *pull, int depth)
{
	struct event_item item;
	return depth < EVENT_DEPTH_MAX && event_pull_next(pull, &item) ? item_json(pull, &item, depth) : NULL;
}

static json_t *array_json(struct event_pull *pull, uint32_t count, int depth)
{
	json_t *array = json_array();
	for (uint32_t i = 0; array != NULL && i < count; i++) {
		json_t *element = next_json(pull, depth + 1);
		if (element == NULL || json_array_append_new(array, element) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *map_json(struct event_pull *pull, uint32_t count, int depth)
{
	json_t *object = json_object();
	for (uint32_t i = 0; object != NULL && i < count; i++) {
		struct event_item key;
		json_t *value = NULL;
		if (event_pull_next(pull, &key) && key.kind == EVENT_ITEM_STRING)
			value = next_json(pull, depth + 1);
		if (value == NULL ||
		    json_object_setn_new(object, (const char *)key.bytes.data, key.bytes.len, value) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_t *item_json(struct event_pull *pull, const struct event_item *item, int depth)
{
	switch (item->kind) {
	case EVENT_ITEM_BOOL:
		return json_boolean(item->flag);
	case EVENT_ITEM_I64:
		return json_integer(item->i64);
	case EVENT_ITEM_STRING:
		return text_json(item->bytes);
	case EVENT_ITEM_ARRAY:
		return array_json(pull, item->count, depth);
	case EVENT_ITEM_MAP:
		return map_json(pull, item->count, depth);
	case EVENT_ITEM_NIL:
	case EVENT_ITEM_BIG:
	case EVENT_ITEM_FLOAT:
	case EVENT_ITEM_BINARY:
	case EVENT_ITEM_EXTENSION:
		break; /* no event of ours has them */
	}
	return json_null();
}

json_t *record_json_value(struct bytes value)
{
	struct event_pull pull = event_pull_make(value);
	json_t *json = next_json(&pull, 0);
	if (json != NULL && event_pull_left(&pull) != 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *time_json(int64_t wall_ms)
{
	char text[CLOCK_TEXT_BYTES];
	if (wall_ms < 0)
		return json_null();
	clock_format_ms(wall_ms, text);
	return json_string(text);
}

json_t *record_json(const struct kafka_record *record)
{
	struct event_head head;
	struct err ignored;
	bool has_head = event_head_read(record->headers, record->header_count, &head, &ignored);
	json_t *data = record->has_value ? record_json_value(record->value) : NULL;
	bool undecodable = !has_head || !json_is_object(data);
	json_t *json = json_pack("{s:s, s:i, s:I, s:o}", "topic", record->topic, "partition", (int)record->partition,
				 "offset", (json_int_t)record->offset, "recorded_at", time_json(record->timestamp_ms));
	bool done = json != NULL;
	if (done && has_head)
		done = json_object_set_new(json, "id", text_json(head.id)) == 0 &&
		       json_object_set_new(json, "type", text_json(head.type)) == 0 &&
		       json_object_set_new(json, "source", text_json(head.source)) == 0 &&
		       json_object_set_new(json, "occurred_at", time_json(head.time_ms)) == 0;
	done = done && json_object_set_new(json, "key", record->has_key ? text_json(record->key) : json_null()) == 0;
	done = done && json_object_set_new(json, "data", data != NULL ? json_incref(data) : json_null()) == 0;
	if (done && undecodable)
		done = json_object_set_new(json, "undecodable", json_true()) == 0;
	json_decref(data);
	if (done)
		return json;
	json_decref(json);
	return NULL;
}
