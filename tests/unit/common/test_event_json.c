/*
 * From JSON to an event's payload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/event_json.h"
#include "events.h"

static bool encode(const char *json, struct buf *out, struct err *err)
{
	return event_json_encode(event_type_get(EVENT_TYPE_ACCESS_AGENT)->layout, bytes_of(json), out, err);
}

#define REQUIRED                                                                                                       \
	"\"account_id\":\"acct_1\",\"agent_id\":\"agent_1\",\"change\":\"revoked\",\"cause\":\"operator\",\"actor\":"  \
	"\"operator:x\""

/* Why: what the outbox holds must come out of Kafka. How: all kinds of fields, any order, escapes, a null; decoded by
 * the event's own decoder. */
static void an_object_becomes_the_payload(void **state)
{
	struct buf out;
	struct err err = {0};
	struct event_access_agent e;
	(void)state;
	buf_init(&out, 4096);
	assert_true(encode(
		"{ \"access_number\" : 12 , \"reason\" : \"lost \\u00e9\\\"\\n\", \"agent_name\":null," REQUIRED "}",
		&out, &err));
	assert_true(event_access_agent_decode(buf_bytes(&out), &e, &err));
	assert_true(bytes_equal_text(e.account_id, "acct_1") && bytes_equal_text(e.change, "revoked"));
	assert_true(e.has_access_number && e.access_number == 12);
	assert_true(e.has_reason && bytes_equal_text(e.reason, "lost \xc3\xa9\"\n"));
	assert_false(e.has_agent_name);
	buf_free(&out);
}

/* Why: a fault of ours must be named and must add nothing. How: each kind of fault. */
static void faults_name_the_field(void **state)
{
	static const struct {
		const char *json;
		const char *says;
	} CASES[] = {
		{"", "not a JSON object"},
		{"[]", "not a JSON object"},
		{"{" REQUIRED, "not JSON"},
		{"{" REQUIRED "}}", "not JSON"},
		{"{" REQUIRED ",\"token\":\"wp_SECRET\"}", "a field that the schema does not have"},
		{"{" REQUIRED ",\"access_number\":\"1\"}", "field access_number: not an integer"},
		{"{" REQUIRED ",\"access_number\":1.5}", "field access_number: not an integer"},
		{"{" REQUIRED ",\"reason\":1}", "field reason: not a string"},
		{"{" REQUIRED ",\"actor\":\"again\"}", "field actor: twice"},
		{"{\"account_id\":\"acct_1\"}", "field agent_id: missing"},
		{"{\"account_id\":null}", "field account_id: missing"},
	};
	struct buf out;
	(void)state;
	buf_init(&out, 4096);
	assert_true(buf_append_text(&out, "before"));
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
		struct err err = {0};
		assert_false(encode(CASES[i].json, &out, &err));
		assert_string_equal(err.text, CASES[i].says);
		assert_int_equal(out.len, 6);
	}
	buf_free(&out);
}

/* Why: every bound of a field holds here too. How: one byte more than it may have. */
static void bounds_are_kept(void **state)
{
	char json[2048];
	struct buf out;
	struct err err = {0};
	(void)state;
	buf_init(&out, 4096);
	(void)snprintf(json, sizeof(json), "{" REQUIRED ",\"reason\":\"%01025d\"}", 0);
	assert_false(encode(json, &out, &err));
	assert_string_equal(err.text, "field reason: too long");
	(void)snprintf(json, sizeof(json), "{" REQUIRED ",\"reason\":\"%01024d\"}", 0);
	assert_true(encode(json, &out, &err));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_becomes_the_payload),
		cmocka_unit_test(faults_name_the_field),
		cmocka_unit_test(bounds_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
