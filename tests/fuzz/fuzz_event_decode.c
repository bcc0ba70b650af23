/*
 * The generated msgpack decoders: what decodes can be encoded, and decodes to the same again.
 *
 * Each input is tried as every event type.
 */
#include <assert.h>
#include <stdlib.h>

#include "events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_same_field(const struct event_field *field, const uint8_t *a, const uint8_t *b)
{
	if (field->presence != EVENT_REQUIRED) {
		assert(a[field->has_offset] == b[field->has_offset]);
		if (!a[field->has_offset])
			return;
	}
	struct bytes texts[2];
	switch (field->type) {
	case EVENT_FIELD_STRING:
		memcpy(&texts[0], a + field->offset, sizeof(texts[0]));
		memcpy(&texts[1], b + field->offset, sizeof(texts[1]));
		assert(texts[0].len <= field->bytes_max && bytes_equal(texts[0], texts[1]));
		return;
	case EVENT_FIELD_I64:
		assert(memcmp(a + field->offset, b + field->offset, sizeof(int64_t)) == 0);
		return;
	case EVENT_FIELD_BOOL:
		assert(memcmp(a + field->offset, b + field->offset, sizeof(bool)) == 0);
		return;
	}
}

static void try_type(const struct event_layout *layout, struct bytes value)
{
	struct err err = {0};
	struct buf encoded;
	uint8_t *first = calloc(1, layout->struct_bytes);
	uint8_t *second = calloc(1, layout->struct_bytes);

	assert(first != NULL && second != NULL);
	buf_init(&encoded, EVENT_VALUE_BYTES_MAX);
	if (!event_decode(layout, value, first, &err)) {
		assert(err.code == ERR_INVALID || err.code == ERR_TOO_LARGE);
		assert(err.text[0] != '\0');
		goto out;
	}
	bool done = event_encode(layout, first, &encoded);
	assert(done);
	done = event_decode(layout, buf_bytes(&encoded), second, &err);
	assert(done);
	for (size_t i = 0; i < layout->field_count; i++)
		assert_same_field(&layout->fields[i], first, second);
out:
	buf_free(&encoded);
	free(second);
	free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int id = 0; id < EVENT_TYPE_COUNT; id++)
		try_type(event_type_get((enum event_type_id)id)->layout, bytes_make(data, size));
	return 0;
}
