/* common/event_codec.c through the generated functions of build/gen/events.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <msgpack/pack.h>

#include "events.h"

static struct event_stripe_subscription sample(void)
{
	return (struct event_stripe_subscription){
		.event_id = bytes_of("evt_1"),
		.stripe_type = bytes_of("customer.subscription.updated"),
		.created_s = 1686089970,
		.livemode = true,
		.customer = bytes_of("cus_1"),
		.has_customer = true,
		.subscription = bytes_of("sub_1"),
		.status = bytes_of("active"),
		.current_period_end_s = -1,
		.has_current_period_end_s = true,
	};
}

/* A map that a test builds by hand, in any order and with any mistake. */
struct map {
	struct buf buf;
	msgpack_packer packer;
};

static int map_write(void *data, const char *bytes, size_t len)
{
	assert_true(buf_append(data, bytes, len));
	return 0;
}

static void map_open(struct map *map, size_t count)
{
	buf_init(&map->buf, 2 * EVENT_VALUE_BYTES_MAX);
	msgpack_packer_init(&map->packer, &map->buf, map_write);
	msgpack_pack_map(&map->packer, count);
}

static void map_text(struct map *map, const char *text)
{
	msgpack_pack_str(&map->packer, strlen(text));
	msgpack_pack_str_body(&map->packer, text, strlen(text));
}

static void map_pair(struct map *map, const char *name, const char *value)
{
	map_text(map, name);
	map_text(map, value);
}

/* The required fields of watchpost.stripe.other, last one first, but `without`. */
static void map_required(struct map *map, const char *without)
{
	if (strcmp(without, "livemode") != 0) {
		map_text(map, "livemode");
		msgpack_pack_false(&map->packer);
	}
	if (strcmp(without, "created_s") != 0) {
		map_text(map, "created_s");
		msgpack_pack_int64(&map->packer, 7);
	}
	if (strcmp(without, "stripe_type") != 0)
		map_pair(map, "stripe_type", "charge.succeeded");
	if (strcmp(without, "event_id") != 0)
		map_pair(map, "event_id", "evt_1");
}

/* Decodes what the map holds and frees it; `error` is the text of the refusal, NULL when it must succeed. */
static void map_decodes(struct map *map, const char *error)
{
	struct event_stripe_other event;
	struct err err = {0};
	bool done = event_stripe_other_decode(buf_bytes(&map->buf), &event, &err);
	buf_free(&map->buf);
	if (error == NULL) {
		assert_string_equal(err.text, "");
		assert_true(done);
		return;
	}
	assert_false(done);
	assert_string_equal(err.text, error);
}

/* Why: this is the wire; other languages read it. How: the bytes of one event as any msgpack library makes them, which
 * docs/events.md shows too. */
static void test_bytes_on_the_wire(void **state)
{
	(void)state;
	static const char want[] = "\x84\xA8"
				   "event_id\xA5"
				   "evt_1\xAB"
				   "stripe_type\xB0"
				   "charge.succeeded\xA9"
				   "created_s\xCE\x64\x7F\xAF\xF2\xA8"
				   "livemode\xC2";
	struct event_stripe_other event = {
		.event_id = bytes_of("evt_1"),
		.stripe_type = bytes_of("charge.succeeded"),
		.created_s = 1686089714,
	};
	struct buf out;
	buf_init(&out, EVENT_STRIPE_OTHER_BYTES_MAX);
	assert_true(event_stripe_other_encode(&event, &out));
	assert_true(bytes_equal(buf_bytes(&out), bytes_make(want, sizeof(want) - 1)));
	buf_free(&out);
}

/* Why: what the ingress writes is what workers read. How: every kind of field, given and not given, there and back. */
static void test_round_trip(void **state)
{
	(void)state;
	struct event_stripe_subscription before = sample();
	struct event_stripe_subscription after;
	struct err err;
	struct buf out;
	buf_init(&out, EVENT_STRIPE_SUBSCRIPTION_BYTES_MAX);
	assert_true(event_stripe_subscription_encode(&before, &out));
	memset(&after, 0xA5, sizeof(after));
	assert_true(event_stripe_subscription_decode(buf_bytes(&out), &after, &err));
	assert_true(bytes_equal(after.event_id, before.event_id));
	assert_true(bytes_equal(after.stripe_type, before.stripe_type));
	assert_true(bytes_equal(after.subscription, before.subscription));
	assert_true(bytes_equal(after.status, before.status));
	assert_int_equal(after.created_s, before.created_s);
	assert_true(after.livemode);
	assert_true(after.has_customer && bytes_equal(after.customer, before.customer));
	assert_true(after.has_current_period_end_s && after.current_period_end_s == -1);
	assert_false(after.has_account || after.has_api_version || after.has_previous_status || after.has_object_id);
	assert_false(after.has_cancel_at_period_end);
	buf_free(&out);
}

/* Why: a message that no reader takes must not be written, because a 2xx means it is kept (promise 1). How: a string
 * one byte over its bound, bad UTF-8, a NUL, and a buffer that is too small; the buffer stays as it was. */
static void test_encode_refuses(void **state)
{
	(void)state;
	char longest[256];
	memset(longest, 'a', sizeof(longest));
	const struct {
		struct bytes status;
		size_t room;
		bool done;
	} cases[] = {
		{bytes_make(longest, 64), 4096, true}, {bytes_make(longest, 65), 4096, false},
		{bytes_make("\xC3", 1), 4096, false},  {bytes_make("a\0b", 3), 4096, false},
		{bytes_make(longest, 64), 64, false},  {bytes_make(NULL, 0), 4096, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct event_stripe_subscription event = sample();
		struct buf out;
		event.status = cases[i].status;
		buf_init(&out, cases[i].room);
		assert_true(buf_append_text(&out, "kept"));
		assert_true(event_stripe_subscription_encode(&event, &out) == cases[i].done);
		assert_true(cases[i].done ? out.len > 4 : out.len == 4);
		buf_free(&out);
	}
}

/* Why: the bound in the header is what callers size their buffers with. How: every string at its bound fits into it. */
static void test_largest_value_fits(void **state)
{
	(void)state;
	char text[255];
	memset(text, 'a', sizeof(text));
	struct bytes full = bytes_make(text, sizeof(text));
	struct event_stripe_checkout event = {
		.event_id = full,
		.stripe_type = full,
		.created_s = INT64_MIN,
		.api_version = bytes_make(text, 64),
		.has_api_version = true,
		.account = full,
		.has_account = true,
		.customer = full,
		.has_customer = true,
		.object_id = full,
		.has_object_id = true,
		.client_reference_id = bytes_make(text, 31),
		.has_client_reference_id = true,
		.subscription = full,
		.has_subscription = true,
		.mode = bytes_make(text, 32),
		.has_mode = true,
	};
	struct buf out;
	buf_init(&out, EVENT_STRIPE_CHECKOUT_BYTES_MAX);
	assert_true(event_stripe_checkout_encode(&event, &out));
	struct err err;
	assert_true(event_stripe_checkout_decode(buf_bytes(&out), &event, &err));
	buf_free(&out);
}

/* Why: a required field that is missing is an error that names it (C2). How: each one left out in turn; the order of
 * the fields does not matter. */
static void test_missing(void **state)
{
	(void)state;
	static const char *const names[] = {"event_id", "stripe_type", "created_s", "livemode"};
	static const char *const errors[] = {"field event_id: missing", "field stripe_type: missing",
					     "field created_s: missing", "field livemode: missing"};
	struct map map;
	map_open(&map, 4);
	map_required(&map, "none");
	map_decodes(&map, NULL);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		map_open(&map, 3);
		map_required(&map, names[i]);
		map_decodes(&map, errors[i]);
	}
}

/* Why: newer writers add fields; old readers go on. How: unknown fields of every kind between known ones, the same
 * unknown one twice, and nesting at the bound and over it. */
static void test_unknown_fields(void **state)
{
	(void)state;
	for (int depth = EVENT_DEPTH_MAX; depth <= EVENT_DEPTH_MAX + 1; depth++) {
		struct map map;
		map_open(&map, 8);
		map_pair(&map, "event_ie", "not ours");
		map_pair(&map, "", "no name");
		map_text(&map, "new_map");
		msgpack_pack_map(&map.packer, 1);
		msgpack_pack_int(&map.packer, 1);
		msgpack_pack_nil(&map.packer);
		map_text(&map, "new_map");
		for (int i = 0; i < depth; i++)
			msgpack_pack_array(&map.packer, 1);
		msgpack_pack_double(&map.packer, 1.5);
		map_required(&map, "none");
		map_decodes(&map, depth == EVENT_DEPTH_MAX
					  ? NULL
					  : "an unknown field is broken, cut short or nested too deep");
	}
}

/* Why: what two readers could read differently is refused. How: a field given twice, a wrong type of every field type,
 * a string over its bound, bad UTF-8, a nil where a value belongs. */
static void test_wrong_fields(void **state)
{
	(void)state;
	char text[257] = {0};
	memset(text, 'a', 256);
	struct map map;

	map_open(&map, 5);
	map_required(&map, "none");
	map_pair(&map, "event_id", "evt_1");
	map_decodes(&map, "field event_id: given twice");

	static const struct {
		const char *name;
		const char *value;
		const char *error;
	} strings[] = {
		{"created_s", "7", "field created_s: not an integer"},
		{"livemode", "true", "field livemode: not a boolean"},
		{"event_id", "\xED\xA0\x80", "field event_id: not UTF-8 text"},
	};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		map_open(&map, 4);
		map_required(&map, strings[i].name);
		map_pair(&map, strings[i].name, strings[i].value);
		map_decodes(&map, strings[i].error);
	}
	map_open(&map, 4);
	map_required(&map, "event_id");
	map_pair(&map, "event_id", text);
	map_decodes(&map, "field event_id: longer than 255 bytes");
	map_open(&map, 4);
	map_required(&map, "event_id");
	map_text(&map, "event_id");
	msgpack_pack_int(&map.packer, 1);
	map_decodes(&map, "field event_id: not a string");
	map_open(&map, 5);
	map_required(&map, "none");
	map_text(&map, "customer");
	msgpack_pack_nil(&map.packer);
	map_decodes(&map, "field customer: not a string");
	map_open(&map, 4);
	map_required(&map, "created_s");
	map_text(&map, "created_s");
	msgpack_pack_uint64(&map.packer, UINT64_MAX);
	map_decodes(&map, "field created_s: too large an integer");
}

/* Why: bytes that are not one whole map are dead letters (C2). How: nothing, another item, trailing bytes, a name that
 * is no string, too many fields, a value over the bound, and every proper prefix of a good one. */
static void test_broken_values(void **state)
{
	(void)state;
	struct event_stripe_other event;
	struct err err;
	struct map map;

	assert_false(event_stripe_other_decode(bytes_make(NULL, 0), &event, &err));
	assert_string_equal(err.text, "not a msgpack map");
	assert_false(event_stripe_other_decode(bytes_make("\x90", 1), &event, &err));
	assert_string_equal(err.text, "not a msgpack map");
	assert_false(event_stripe_other_decode(bytes_make("\x81\x01\x01", 3), &event, &err));
	assert_string_equal(err.text, "a field's name is not a string");

	map_open(&map, 4);
	map_required(&map, "none");
	msgpack_pack_nil(&map.packer);
	map_decodes(&map, "bytes after the end of the map");
	map_open(&map, EVENT_FIELDS_MAX + 1);
	map_required(&map, "none");
	map_decodes(&map, "more than 64 fields");
	map_open(&map, 4);
	map_required(&map, "none");
	for (size_t i = 0; i < EVENT_VALUE_BYTES_MAX; i++)
		assert_true(buf_append_byte(&map.buf, 0));
	map_decodes(&map, "the value is over 65536 bytes");

	map_open(&map, 4);
	map_required(&map, "none");
	for (size_t len = 0; len < map.buf.len; len++)
		assert_false(event_stripe_other_decode(bytes_make(map.buf.data, len), &event, &err));
	map_decodes(&map, NULL);
}

/* Why: workers choose by type, writers take topic and schema from the table. How: every row is found by its own name,
 * and near misses are not. */
static void test_types(void **state)
{
	(void)state;
	for (int id = 0; id < EVENT_TYPE_COUNT; id++) {
		const struct event_type *type = event_type_get((enum event_type_id)id);
		assert_int_equal(type->id, id);
		assert_ptr_equal(event_type_find(bytes_of(type->name)), type);
		assert_null(event_type_find(bytes_make(type->name, strlen(type->name) - 1)));
		assert_true(strlen(type->name) <= EVENT_TYPE_BYTES_MAX);
	}
	const struct event_type *type = event_type_find(bytes_of("watchpost.stripe.subscription"));
	assert_non_null(type);
	assert_int_equal(type->topic, EVENT_TOPIC_STRIPE);
	assert_string_equal(type->dataschema, "urn:watchpost:schema:watchpost.stripe.subscription:1");
	assert_null(event_type_find(bytes_make(NULL, 0)));
	assert_null(event_type_find(bytes_of("watchpost.stripe.Subscription")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_on_the_wire),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_largest_value_fits),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_unknown_fields),
		cmocka_unit_test(test_wrong_fields),
		cmocka_unit_test(test_broken_values),
		cmocka_unit_test(test_types),
	};
	return cmocka_run_group_tests_name("event_codec", tests, NULL, NULL);
}
