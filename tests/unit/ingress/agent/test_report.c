/* ingress/agent/report.c: what POST /v1/events takes, and how each refusal names its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ingress/agent/report.h"

#define NOW   INT64_C(1795804509123) /* 2026-11-27T18:35:09.123Z */
#define TOKEN "wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"

static struct agent_reports reports;
static struct agent_fault fault;

static bool reads(const char *body)
{
	memset(&fault, 0x55, sizeof(fault));
	return agent_reports_read(bytes_of(body), NOW, &reports, &fault);
}

/* Why: W5, the contract of API.md. How: a report with every member, each escaped somewhere, and the smallest one. */
static void test_one(void **state)
{
	(void)state;
	char text[AGENT_TEXT_BYTES_MAX];
	assert_true(reads("{\"id\":\"order-1.A_\\u0062\",\"type\":\"purchase.completed\","
			  "\"occurred_at\":\"2026-11-27T19:35:09.5+01:00\","
			  "\"decision_id\":\"dec_01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"amount\":999999999999,"
			  "\"currency\":\"us\\u0064\",\"text\":\"a\\n\\\"\\ud83d\\ude00 \xc3\xa9\"}"));
	const struct agent_report *report = &reports.items[0];
	assert_int_equal(reports.count, 1);
	assert_string_equal(report->id, "order-1.A_b");
	assert_string_equal(report->kind, "purchase.completed");
	assert_true(report->has_occurred_at && report->has_amount && report->has_text);
	assert_int_equal(report->occurred_at_ms, 1795804509500);
	assert_string_equal(report->decision_id, "dec_01ARZ3NDEKTSV4RRFFQ69G5FAV");
	assert_int_equal(report->amount, AGENT_AMOUNT_MAX);
	assert_string_equal(report->currency, "usd");
	assert_int_equal(agent_report_text(report, text), 10);
	assert_memory_equal(text, "a\n\"\xf0\x9f\x98\x80 \xc3\xa9", 10);

	assert_true(reads(" {\"t\\u0079pe\" : \"note\"}\n"));
	report = &reports.items[0];
	assert_string_equal(report->kind, "note");
	assert_true(report->id[0] == '\0' && report->decision_id[0] == '\0' && report->currency[0] == '\0');
	assert_false(report->has_occurred_at || report->has_amount || report->has_text);
	assert_true(reads("{\"type\":\"purchase.failed\",\"text\":\"\",\"amount\":0}"));
}

/* Why: lists hold up to 100. How: one, two, a hundred; every report of its own. */
static void test_lists(void **state)
{
	(void)state;
	static char body[16384];
	assert_true(reads("{\"events\":[{\"type\":\"note\"}]}"));
	assert_int_equal(reports.count, 1);
	assert_true(
		reads("{\"events\":[{\"type\":\"note\",\"id\":\"a\"},{\"type\":\"purchase.failed\",\"amount\":7}]}"));
	assert_int_equal(reports.count, 2);
	assert_string_equal(reports.items[0].id, "a");
	assert_false(reports.items[0].has_amount);
	assert_string_equal(reports.items[1].id, "");
	assert_int_equal(reports.items[1].amount, 7);
	for (int count = 100; count <= 101; count++) {
		size_t len = (size_t)snprintf(body, sizeof(body), "{\"events\":[");
		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(body + len, sizeof(body) - len, "%s{\"type\":\"note\",\"id\":\"n%d\"}",
						i > 0 ? "," : "", i);
		(void)snprintf(body + len, sizeof(body) - len, "]}");
		assert_int_equal(reads(body), count == 100);
		if (count > 100)
			break;
		assert_int_equal(reports.count, 100);
		assert_string_equal(reports.items[99].id, "n99");
	}
	assert_int_equal(fault.kind, AGENT_FAULT_INVALID);
	assert_string_equal(fault.field, "events");
}

static const struct {
	const char *member, *field;
	enum agent_fault_kind kind;
} FAULTS[] = {
	{"\"id\":\"\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"01234567890123456789012345678901234567890123456789012345678901234\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"a b\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"a/b\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"\xc3\xa9\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"a\\u0000\"", "id", AGENT_FAULT_INVALID},
	{"\"id\":7", "id", AGENT_FAULT_INVALID},
	{"\"id\":null", "id", AGENT_FAULT_INVALID},
	{"\"id\":\"" TOKEN "\"", "id", AGENT_FAULT_SECRET},
	{"\"id\":\"4242-4242-4242-4242\"", "id", AGENT_FAULT_CARD},
	{"\"id\":\"a\",\"id\":\"b\"", "id", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"yesterday\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"2026-11-27\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"1999-12-31T23:59:59Z\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"2026-11-28T18:35:10Z\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"2026-11-27T18:35:09Z\\u0000\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":\"2026-11-27T18:35:09.000000000000000000000000000000Z\"", "occurred_at", AGENT_FAULT_INVALID},
	{"\"occurred_at\":1795804509", "occurred_at", AGENT_FAULT_INVALID},
	{"\"decision_id\":\"dec_1\"", "decision_id", AGENT_FAULT_INVALID},
	{"\"decision_id\":\"agt_01ARZ3NDEKTSV4RRFFQ69G5FAV\"", "decision_id", AGENT_FAULT_INVALID},
	{"\"decision_id\":\"dec_01ARZ3NDEKTSV4RRFFQ69G5FAVX01ARZ3NDEKTSV4RRFFQ69G5FAV\"", "decision_id",
	 AGENT_FAULT_INVALID},
	{"\"decision_id\":{}", "decision_id", AGENT_FAULT_INVALID},
	{"\"amount\":-1", "amount", AGENT_FAULT_INVALID},
	{"\"amount\":1000000000000", "amount", AGENT_FAULT_INVALID},
	{"\"amount\":99999999999999999999999", "amount", AGENT_FAULT_INVALID},
	{"\"amount\":12.5", "amount", AGENT_FAULT_INVALID},
	{"\"amount\":1e3", "amount", AGENT_FAULT_INVALID},
	{"\"amount\":\"1250\"", "amount", AGENT_FAULT_INVALID},
	{"\"currency\":\"USD\"", "currency", AGENT_FAULT_INVALID},
	{"\"currency\":\"us\"", "currency", AGENT_FAULT_INVALID},
	{"\"currency\":\"usdx\"", "currency", AGENT_FAULT_INVALID},
	{"\"currency\":\"u\\u0000d\"", "currency", AGENT_FAULT_INVALID},
	{"\"currency\":[]", "currency", AGENT_FAULT_INVALID},
	{"\"text\":\"a\\u0000b\"", "text", AGENT_FAULT_INVALID},
	{"\"text\":true", "text", AGENT_FAULT_INVALID},
	{"\"text\":\"my token is " TOKEN "\"", "text", AGENT_FAULT_SECRET},
	{"\"text\":\"w\\u0070_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD\"", "text", AGENT_FAULT_SECRET},
	{"\"text\":\"4242 4242\\n4242 4242\"", "text", AGENT_FAULT_CARD},
	{"\"merchant\":\"x\"", "merchant", AGENT_FAULT_INVALID},
	{"\"events\":[]", "events", AGENT_FAULT_INVALID},
	{"\"Type\":\"note\"", "", AGENT_FAULT_INVALID},
	{"\"" TOKEN "\":1", "", AGENT_FAULT_INVALID},
	{"\"abcdefghijklmnopqrstuvwxy\":1", "", AGENT_FAULT_INVALID},
	{"\"\":1", "", AGENT_FAULT_INVALID},
};

/* Why: a 422 names the field (answers table). How: each rule broken, in a single report; then the same as the third of
 * a list, where the field has its index. */
static void test_faults_name_their_field(void **state)
{
	(void)state;
	char body[512], field[64];
	for (size_t i = 0; i < ARRAY_LEN(FAULTS); i++) {
		(void)snprintf(body, sizeof(body), "{\"type\":\"note\",%s}", FAULTS[i].member);
		assert_false(reads(body));
		if (fault.kind != FAULTS[i].kind || strcmp(fault.field, FAULTS[i].field) != 0)
			fail_msg("%s: kind %d, field %s", body, (int)fault.kind, fault.field);
		(void)snprintf(body, sizeof(body),
			       "{\"events\":[{\"type\":\"note\"},{\"type\":\"note\"},{%s,\"type\":\"note\"}]}",
			       FAULTS[i].member);
		(void)snprintf(field, sizeof(field), "events[2]%s%s", FAULTS[i].field[0] != '\0' ? "." : "",
			       FAULTS[i].field);
		assert_false(reads(body));
		if (fault.kind != FAULTS[i].kind || strcmp(fault.field, field) != 0)
			fail_msg("%s: kind %d, field %s", body, (int)fault.kind, fault.field);
	}
}

static void refused(const char *body, enum agent_fault_kind kind, const char *field)
{
	assert_false(reads(body));
	if (fault.kind != kind || (kind != AGENT_FAULT_NOT_JSON && strcmp(fault.field, field) != 0))
		fail_msg("%s: kind %d, field %s", body, (int)fault.kind, fault.field);
}

/* Why: 400 is for what is no JSON and 422 for the rest. How: bodies of other forms, types that are missing or not
 * known, lists of other things, and JSON that breaks behind a fault of a field. */
static void test_other_bodies(void **state)
{
	(void)state;
	static const char *const broken[] = {"",
					     " ",
					     "{",
					     "{\"type\":\"note\"",
					     "{\"type\":\"note\"}x",
					     "{\"type\":}",
					     "{\"type\":\"note\",}",
					     "{\"events\":[{\"type\":\"note\"}]",
					     "{\"events\":[",
					     "{\"type\":\"\xff\"}",
					     "{'type':'note'}",
					     "{\"amount\":-1,\"type\":\"note\"",
					     "{\"x\":1,}",
					     "{\"events\":[{\"type\":\"note\"},]}",
					     "\xef\xbb\xbf{}"};
	for (size_t i = 0; i < ARRAY_LEN(broken); i++)
		refused(broken[i], AGENT_FAULT_NOT_JSON, "");
	refused("[]", AGENT_FAULT_INVALID, "");
	refused("\"note\"", AGENT_FAULT_INVALID, "");
	refused("{}", AGENT_FAULT_INVALID, "type");
	refused("{\"amount\":1}", AGENT_FAULT_INVALID, "type");
	refused("{\"type\":\"purchase\"}", AGENT_FAULT_INVALID, "type");
	refused("{\"type\":null}", AGENT_FAULT_INVALID, "type");
	refused("{\"events\":[]}", AGENT_FAULT_INVALID, "events");
	refused("{\"events\":{}}", AGENT_FAULT_INVALID, "events");
	refused("{\"events\":[1]}", AGENT_FAULT_INVALID, "events[0]");
	refused("{\"events\":[{\"type\":\"note\"},[]]}", AGENT_FAULT_INVALID, "events[1]");
	refused("{\"events\":[{}]}", AGENT_FAULT_INVALID, "events[0].type");
	refused("{\"events\":[{\"type\":\"note\"}],\"type\":\"note\"}", AGENT_FAULT_INVALID, "events");
	refused("{\"events\":[{\"type\":\"note\"}],\"events\":[]}", AGENT_FAULT_INVALID, "events");
}

/* Why: 1,000 characters, whatever their bytes. How: the bound and one past it in ASCII, in four bytes each, and escaped
 * into twelve. */
static void test_text_is_bounded(void **state)
{
	(void)state;
	static const char *const characters[] = {"a", "\xf0\x9f\x98\x80", "\\ud83d\\ude00"};
	static char body[16384];
	char text[AGENT_TEXT_BYTES_MAX];
	for (size_t c = 0; c < ARRAY_LEN(characters); c++)
		for (int count = 1000; count <= 1001; count++) {
			size_t len = (size_t)snprintf(body, sizeof(body), "{\"type\":\"note\",\"text\":\"");
			for (int i = 0; i < count; i++)
				len += (size_t)snprintf(body + len, sizeof(body) - len, "%s", characters[c]);
			(void)snprintf(body + len, sizeof(body) - len, "\"}");
			assert_int_equal(reads(body), count == 1000);
			if (count == 1000)
				assert_int_equal(agent_report_text(&reports.items[0], text), c == 0 ? 1000 : 4000);
			else
				assert_string_equal(fault.field, "text");
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_faults_name_their_field),
		cmocka_unit_test(test_other_bodies),
		cmocka_unit_test(test_text_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
