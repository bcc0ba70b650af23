#include "common/event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/utf8.h"

#define SPECVERSION  "1.0"
#define CONTENT_TYPE "application/msgpack"

enum { HEADER_TEXT_BYTES_MAX = 255 }; /* ce_id is the longest: a Stripe id */
_Static_assert(HEADER_TEXT_BYTES_MAX >= STRIPE_ID_BYTES_MAX, "an event's id may be a Stripe id");
_Static_assert(EVENT_TYPE_BYTES_MAX <= HEADER_TEXT_BYTES_MAX, "a type's name is bound more tightly");

/* The order on the wire; readers take any. The last may be absent. */
enum header {
	SPECVERSION_AT,
	ID_AT,
	TYPE_AT,
	SOURCE_AT,
	TIME_AT,
	DATASCHEMA_AT,
	CONTENT_TYPE_AT,
	SEQUENCE_AT,
	HEADER_COUNT
};
static const char *const header_names[] = {
	"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema", "content-type", "ce_sequence",
};
_Static_assert(ARRAY_LEN(header_names) == HEADER_COUNT, "a name per header");
_Static_assert((int)HEADER_COUNT <= EVENT_HEADERS_MAX, "ours fit into struct event_headers");

void event_headers_write(const struct event_head *head, struct event_headers *out)
{
	assert(head->id.len > 0 && head->type.len > 0 && head->source.len > 0 && head->dataschema.len > 0);
	assert(head->sequence >= 0);
	clock_format_ms(head->time_ms, out->time_text);
	int len = snprintf(out->sequence_text, sizeof(out->sequence_text), "%" PRId64, head->sequence);
	assert(len > 0 && (size_t)len < sizeof(out->sequence_text));
	const struct bytes values[HEADER_COUNT] = {
		[SPECVERSION_AT] = bytes_of(SPECVERSION),
		[ID_AT] = head->id,
		[TYPE_AT] = head->type,
		[SOURCE_AT] = head->source,
		[TIME_AT] = bytes_of(out->time_text),
		[DATASCHEMA_AT] = head->dataschema,
		[CONTENT_TYPE_AT] = bytes_of(CONTENT_TYPE),
		[SEQUENCE_AT] = bytes_make(out->sequence_text, (size_t)len),
	};
	out->count = head->sequence > 0 ? HEADER_COUNT : SEQUENCE_AT;
	for (size_t i = 0; i < out->count; i++)
		out->items[i] = (struct event_header){.name = header_names[i], .value = values[i]};
}

/* --- reading ------------------------------------------------------------------------------------ */

static bool wrong(enum header which, const char *how, struct err *err)
{
	return err_set(err, ERR_INVALID, "header %s: %s", header_names[which], how);
}

/* Sorts the record's headers into `values`; what is absent stays with data NULL. */
static bool gather(const struct event_header *headers, size_t count, struct bytes values[HEADER_COUNT], struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < HEADER_COUNT; k++) {
			if (strcmp(headers[i].name, header_names[k]) != 0)
				continue;
			if (values[k].data != NULL)
				return wrong((enum header)k, "given twice", err);
			values[k] = headers[i].value;
		}
	}
	return true;
}

static bool check_text(enum header which, struct bytes value, size_t bytes_max, struct err *err)
{
	if (value.data == NULL)
		return wrong(which, "missing", err);
	if (value.len == 0)
		return wrong(which, "empty", err);
	if (value.len > bytes_max)
		return wrong(which, "too long", err);
	return utf8_text_valid(value) || wrong(which, "not UTF-8 text", err);
}

static bool read_time(struct bytes value, int64_t *time_ms, struct err *err)
{
	char text[HEADER_TEXT_BYTES_MAX + 1];

	assert(value.len < sizeof(text));
	memcpy(text, value.data, value.len);
	text[value.len] = '\0';
	return clock_parse_ms(text, time_ms) || wrong(TIME_AT, "not an RFC 3339 time", err);
}

/* One form per number, so that readers of other make may compare texts. */
static bool read_sequence(struct bytes value, int64_t *sequence, struct err *err)
{
	int64_t number = 0;

	if (value.data == NULL) {
		*sequence = 0;
		return true;
	}
	if (value.len == 0 || (value.len > 1 && value.data[0] == '0'))
		return wrong(SEQUENCE_AT, "not a decimal number", err);
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return wrong(SEQUENCE_AT, "not a decimal number", err);
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, value.data[i] - '0', &number))
			return wrong(SEQUENCE_AT, "too large", err);
	}
	*sequence = number;
	return true;
}

bool event_head_read(const struct event_header *headers, size_t count, struct event_head *out, struct err *err)
{
	struct bytes values[HEADER_COUNT] = {0};

	assert(count == 0 || headers != NULL);
	if (!gather(headers, count, values, err))
		return false;
	for (size_t k = 0; k < SEQUENCE_AT; k++) {
		size_t bytes_max = k == TYPE_AT ? EVENT_TYPE_BYTES_MAX : HEADER_TEXT_BYTES_MAX;
		if (!check_text((enum header)k, values[k], bytes_max, err))
			return false;
	}
	if (!bytes_equal_text(values[SPECVERSION_AT], SPECVERSION))
		return wrong(SPECVERSION_AT, "not " SPECVERSION, err);
	if (!bytes_equal_text(values[CONTENT_TYPE_AT], CONTENT_TYPE))
		return wrong(CONTENT_TYPE_AT, "not " CONTENT_TYPE, err);
	int64_t time_ms = 0, sequence = 0;
	if (!read_time(values[TIME_AT], &time_ms, err) || !read_sequence(values[SEQUENCE_AT], &sequence, err))
		return false;
	*out = (struct event_head){
		.id = values[ID_AT],
		.type = values[TYPE_AT],
		.source = values[SOURCE_AT],
		.dataschema = values[DATASCHEMA_AT],
		.time_ms = time_ms,
		.sequence = sequence,
	};
	return true;
}

/* --- names -------------------------------------------------------------------------------------- */

static const char *const topic_names[] = {
	[EVENT_TOPIC_STRIPE] = "stripe",
	[EVENT_TOPIC_AGENT] = "agent",
	[EVENT_TOPIC_SPEND] = "spend",
	[EVENT_TOPIC_ACCESS] = "access",
	[EVENT_TOPIC_ACCESS_CHANGES] = "access-changes",
	[EVENT_TOPIC_DEAD_LETTER] = "dead-letter",
};
_Static_assert(ARRAY_LEN(topic_names) == EVENT_TOPIC_COUNT, "a name per topic");

void event_topic_name(enum event_topic topic, enum environment environment, char out[KAFKA_TOPIC_BYTES_MAX + 1])
{
	assert(topic < EVENT_TOPIC_COUNT && environment != ENVIRONMENT_NONE);
	int len = snprintf(out, KAFKA_TOPIC_BYTES_MAX + 1, "watchpost.%s.%s", environment_name(environment),
			   topic_names[topic]);
	assert(len > 0 && len <= KAFKA_TOPIC_BYTES_MAX);
	(void)len;
}

void event_source_name(enum environment environment, const char *program, char *out, size_t cap)
{
	assert(environment != ENVIRONMENT_NONE && program[0] != '\0');
	int len = snprintf(out, cap, "//watchpost.systems/%s/%s", environment_name(environment), program);
	assert(len > 0 && (size_t)len < cap);
	(void)len;
}
