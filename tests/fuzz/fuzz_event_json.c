/*
 * From JSON to a payload (common/event_json.h): what is encoded decodes, what is refused adds nothing and quotes
 * nothing.
 *
 * Each input is tried as every event type.
 */
#include <assert.h>
#include <stdlib.h>

#include "common/event_json.h"
#include "events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_type(const struct event_type *type, struct bytes json)
{
	static const char BEFORE[] = "before";
	struct err err = {0};
	struct buf out;
	void *payload = calloc(1, type->layout->struct_bytes);

	assert(payload != NULL);
	buf_init(&out, EVENT_VALUE_BYTES_MAX + sizeof(BEFORE));
	bool done = buf_append_text(&out, BEFORE);
	assert(done);
	if (event_json_encode(type->layout, json, &out, &err)) {
		struct bytes value = bytes_make(out.data + sizeof(BEFORE) - 1, out.len - (sizeof(BEFORE) - 1));
		done = event_decode(type->layout, value, payload, &err);
		assert(done);
	} else {
		assert(err.code == ERR_INVALID && err.text[0] != '\0');
		assert(out.len == sizeof(BEFORE) - 1);
	}
	buf_free(&out);
	free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int id = 0; id < EVENT_TYPE_COUNT; id++)
		try_type(event_type_get((enum event_type_id)id), bytes_make(data, size));
	return 0;
}
