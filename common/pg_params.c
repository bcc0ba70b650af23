/* Parameters in Postgres' text and binary forms. */
#include "common/pg_internal.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

/* OIDs of built-in types, fixed for ever in the server's pg_type.dat. */
enum {
	OID_UNKNOWN = 0,
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_BOOL_ARRAY = 1000,
	OID_BYTEA_ARRAY = 1001,
	OID_INT4_ARRAY = 1007,
	OID_TEXT_ARRAY = 1009,
	OID_INT8_ARRAY = 1016
};

enum { FORMAT_TEXT = 0, FORMAT_BINARY = 1 };

static const struct {
	Oid array, element;
} array_types[] = {
	[PG_ARRAY_TEXT] = {OID_TEXT_ARRAY, OID_TEXT},    [PG_ARRAY_I64] = {OID_INT8_ARRAY, OID_INT8},
	[PG_ARRAY_I32] = {OID_INT4_ARRAY, OID_INT4},     [PG_ARRAY_BOOL] = {OID_BOOL_ARRAY, OID_BOOL},
	[PG_ARRAY_BYTEA] = {OID_BYTEA_ARRAY, OID_BYTEA},
};
_Static_assert(ARRAY_LEN(array_types) == PG_ARRAY_BYTEA + 1, "one row per kind");

/* The binary form of an array (array_recv in the server): this head for one dimension, then each element as
 * length and bytes. An empty array has no dimension and ends before `elements`. */
struct array_head {
	int32_t dimensions, has_null, element_type, elements, lower_bound;
};
_Static_assert(sizeof(struct array_head) == 20, "no padding");
enum { EMPTY_ARRAY_BYTES = offsetof(struct array_head, elements) };

struct pg_params {
	size_t count, count_max;
	struct buf arena;
	size_t at[PG_PARAMS_MAX]; /* offset into the arena, which moves as it grows */
	bool null[PG_PARAMS_MAX];
	int lengths[PG_PARAMS_MAX];
	int formats[PG_PARAMS_MAX];
	Oid types[PG_PARAMS_MAX];
	enum err_code failed; /* the first failure, ERR_NONE while all is well */
	const char *failure, *failed_sqlstate;
	bool in_array, array_has_null;
	enum pg_array_kind array_kind;
	int32_t array_elements;
};

struct pg_params *pg_params_new(size_t count_max)
{
	struct pg_params *params;

	assert(count_max > 0 && count_max <= PG_PARAMS_MAX);
	params = calloc(1, sizeof(*params));
	if (params == NULL)
		return NULL;
	params->count_max = count_max;
	buf_init(&params->arena, PG_PARAMS_BYTES_MAX);
	return params;
}

void pg_params_free(struct pg_params *params)
{
	if (params == NULL)
		return;
	buf_free(&params->arena);
	free(params);
}

void pg_params_clear(struct pg_params *params)
{
	buf_clear(&params->arena);
	params->count = 0;
	params->failed = ERR_NONE;
	params->in_array = false;
}

static void fail(struct pg_params *params, enum err_code code, const char *sqlstate, const char *failure)
{
	if (params->failed != ERR_NONE)
		return;
	params->failed = code;
	params->failed_sqlstate = sqlstate;
	params->failure = failure;
}

static void append(struct pg_params *params, const void *data, size_t len)
{
	if (params->failed == ERR_NONE && len > 0 && !buf_append(&params->arena, data, len))
		fail(params, ERR_FULL, "", "the parameters of a call are too large or memory is short");
}

/* Opens the next parameter; its bytes are appended after this. */
static void begin(struct pg_params *params, Oid type, int format)
{
	assert(!params->in_array);
	if (params->failed == ERR_NONE && params->count == params->count_max)
		fail(params, ERR_FULL, "", "a call has more parameters than its builder was made for");
	if (params->failed != ERR_NONE)
		return;
	params->at[params->count] = params->arena.len;
	params->null[params->count] = false;
	params->types[params->count] = type;
	params->formats[params->count] = format;
	params->count++;
}

/* Closes it. */
static void end(struct pg_params *params)
{
	size_t last;

	if (params->failed != ERR_NONE)
		return;
	assert(params->count > 0);
	last = params->count - 1;
	assert(params->arena.len >= params->at[last] && params->arena.len <= PG_PARAMS_BYTES_MAX);
	params->lengths[last] = (int)(params->arena.len - params->at[last]);
}

void pg_params_null(struct pg_params *params)
{
	begin(params, OID_UNKNOWN, FORMAT_TEXT);
	if (params->failed == ERR_NONE)
		params->null[params->count - 1] = true;
	end(params);
}

void pg_params_text(struct pg_params *params, const char *text)
{
	if (text == NULL)
		pg_params_null(params);
	else
		pg_params_text_view(params, bytes_of(text));
}

void pg_params_text_view(struct pg_params *params, struct bytes text)
{
	/* libpq would cut the text there without a word. */
	if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		fail(params, ERR_INVALID, "22021", "a text holds a NUL byte");
	begin(params, OID_UNKNOWN, FORMAT_TEXT);
	append(params, text.data, text.len);
	append(params, "", 1);
	end(params);
}

void pg_params_i64(struct pg_params *params, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	begin(params, OID_INT8, FORMAT_BINARY);
	append(params, &wire, sizeof(wire));
	end(params);
}

void pg_params_bool(struct pg_params *params, bool value)
{
	uint8_t wire = value ? 1 : 0;

	begin(params, OID_BOOL, FORMAT_BINARY);
	append(params, &wire, sizeof(wire));
	end(params);
}

void pg_params_bytea(struct pg_params *params, struct bytes bytes)
{
	begin(params, OID_BYTEA, FORMAT_BINARY);
	append(params, bytes.data, bytes.len);
	end(params);
}

void pg_params_array_begin(struct pg_params *params, enum pg_array_kind kind)
{
	struct array_head head = {0};

	begin(params, array_types[kind].array, FORMAT_BINARY);
	append(params, &head, sizeof(head)); /* filled in at the end, when the count is known */
	params->in_array = true;
	params->array_kind = kind;
	params->array_elements = 0;
	params->array_has_null = false;
}

static void append_element(struct pg_params *params, const void *data, size_t len)
{
	uint32_t wire = htobe32((uint32_t)len);

	if (len > PG_PARAMS_BYTES_MAX) {
		fail(params, ERR_FULL, "", "an array element is too large");
		return;
	}
	append(params, &wire, sizeof(wire));
	append(params, data, len);
	params->array_elements++;
}

void pg_params_array_bytes(struct pg_params *params, struct bytes value)
{
	assert(params->in_array);
	assert(params->array_kind == PG_ARRAY_TEXT || params->array_kind == PG_ARRAY_BYTEA);
	append_element(params, value.data, value.len);
}

void pg_params_array_i64(struct pg_params *params, int64_t value)
{
	uint64_t wire64 = htobe64((uint64_t)value);
	uint32_t wire32 = htobe32((uint32_t)value);
	uint8_t wire8 = value != 0 ? 1 : 0;

	assert(params->in_array);
	switch (params->array_kind) {
	case PG_ARRAY_I64:
		append_element(params, &wire64, sizeof(wire64));
		break;
	case PG_ARRAY_I32:
		if (value < INT32_MIN || value > INT32_MAX)
			fail(params, ERR_INVALID, "22003", "an integer does not fit in 32 bits");
		append_element(params, &wire32, sizeof(wire32));
		break;
	case PG_ARRAY_BOOL:
		append_element(params, &wire8, sizeof(wire8));
		break;
	default:
		assert(!"an integer in an array of bytes");
	}
}

void pg_params_array_null(struct pg_params *params)
{
	uint32_t wire = htobe32(UINT32_MAX); /* length -1 */

	assert(params->in_array);
	append(params, &wire, sizeof(wire));
	params->array_elements++;
	params->array_has_null = true;
}

void pg_params_array_end(struct pg_params *params)
{
	struct array_head head = {
		.dimensions = (int32_t)htobe32(params->array_elements > 0 ? 1 : 0),
		.has_null = (int32_t)htobe32(params->array_has_null ? 1 : 0),
		.element_type = (int32_t)htobe32(array_types[params->array_kind].element),
		.elements = (int32_t)htobe32((uint32_t)params->array_elements),
		.lower_bound = (int32_t)htobe32(1),
	};

	assert(params->in_array);
	params->in_array = false;
	if (params->failed != ERR_NONE)
		return;
	memcpy(params->arena.data + params->at[params->count - 1], &head, sizeof(head));
	end(params);
	if (params->array_elements == 0)
		params->lengths[params->count - 1] = EMPTY_ARRAY_BYTES;
}

bool pg_params_arguments(const struct pg_params *params, struct pg_arguments *out, char sqlstate[SQLSTATE_BYTES],
			 struct err *err)
{
	out->count = 0;
	out->lengths = out->formats = NULL;
	out->types = NULL;
	if (params == NULL)
		return true;
	assert(!params->in_array);
	if (params->failed != ERR_NONE) {
		memcpy(sqlstate, params->failed_sqlstate, strlen(params->failed_sqlstate) + 1);
		return err_set(err, params->failed, "%s", params->failure);
	}
	for (size_t i = 0; i < params->count; i++) {
		/* A bytea of no bytes needs a pointer all the same: NULL would be SQL null. */
		const char *base = params->arena.data != NULL ? (const char *)params->arena.data : "";

		out->values[i] = params->null[i] ? NULL : base + params->at[i];
	}
	out->count = (int)params->count;
	out->lengths = params->lengths;
	out->formats = params->formats;
	out->types = params->types;
	return true;
}
