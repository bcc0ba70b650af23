/*
 * The body of POST /v1/events, for any bytes.
 *
 * Invariants: what is taken is JSON with one report to a hundred, each within its bounds, with nothing that the check
 * of free text refuses; its text, read again, is what the check saw. What is not taken names a field of our own, or a
 * word of lower-case letters, never another byte of the body; and it is "not JSON" exactly when it is not.
 */
#include <assert.h>
#include <string.h>

#include "common/free_text.h"
#include "common/id.h"
#include "common/json_scan.h"
#include "ingress/agent/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t NOW = 1795804509123;

static bool is_json(struct bytes body)
{
	struct json_scan scan;

	json_scan_init(&scan, body);
	return json_scan_skip(&scan) && json_scan_next(&scan) == JSON_SCAN_END;
}

static void assert_report(const struct agent_report *report)
{
	char text[AGENT_TEXT_BYTES_MAX];

	assert(report->kind != NULL && strlen(report->id) <= AGENT_REPORT_ID_BYTES_MAX);
	assert(free_text_check(bytes_of(report->id)) == FREE_TEXT_FINE);
	assert(report->decision_id[0] == '\0' || id_valid(bytes_of(report->decision_id), "dec"));
	assert(report->currency[0] == '\0' || strlen(report->currency) == AGENT_CURRENCY_CHARS);
	assert(!report->has_amount || (report->amount >= 0 && report->amount <= AGENT_AMOUNT_MAX));
	assert(!report->has_occurred_at || report->occurred_at_ms <= NOW + AGENT_AHEAD_MS);
	if (report->has_text) {
		size_t len = agent_report_text(report, text);
		assert(len <= sizeof(text) && memchr(text, '\0', len) == NULL);
		assert(free_text_check(bytes_make(text, len)) == FREE_TEXT_FINE);
	}
}

static void assert_fault(const struct agent_fault *fault, struct bytes body)
{
	size_t len = strlen(fault->field);

	assert((fault->kind == AGENT_FAULT_NOT_JSON) == !is_json(body));
	assert(len < sizeof(fault->field));
	for (size_t i = 0; i < len; i++) {
		char c = fault->field[i];
		assert((c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '[' || c == ']' ||
		       (c >= '0' && c <= '9'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct agent_reports reports;
	struct agent_fault fault;
	struct bytes body = bytes_make(data, size);

	memset(&fault, 0, sizeof(fault));
	if (!agent_reports_read(body, NOW, &reports, &fault)) {
		assert_fault(&fault, body);
		return 0;
	}
	assert(is_json(body) && reports.count >= 1 && reports.count <= AGENT_EVENTS_MAX);
	for (size_t i = 0; i < reports.count; i++)
		assert_report(&reports.items[i]);
	return 0;
}
