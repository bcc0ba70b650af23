#include "ingress/agent/report.h"

#include <assert.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/free_text.h"
#include "common/id.h"
#include "common/json_scan.h"

#define OCCURRED_MIN_MS INT64_C(946684800000) /* the year 2000 */

enum { TIME_CHARS_MIN = 20, TIME_CHARS_MAX = 48, NO_INDEX = -1 };

struct reader {
	struct json_scan scan;
	int64_t now_ms;
	int index; /* in the list; NO_INDEX: the report is the body */
	struct agent_fault *fault;
};

/* Takes a value, whose first token is `first`. False: the fault is filled in. */
typedef bool take_value(struct reader *reader, enum json_token first, struct agent_report *out);

static take_value take_id;
static take_value take_type;
static take_value take_occurred_at;
static take_value take_decision_id;
static take_value take_amount;
static take_value take_currency;
static take_value take_text;

static const struct member {
	const char *name;
	take_value *take;
} MEMBERS[] = {
	{"type", take_type},
	{"id", take_id},
	{"occurred_at", take_occurred_at},
	{"decision_id", take_decision_id},
	{"amount", take_amount},
	{"currency", take_currency},
	{"text", take_text},
};

/* --- faults ----------------------------------------------------------------------------------------- */

/* "events[3].amount", "amount", "events[3]" or "". */
static bool fault_at(struct reader *reader, enum agent_fault_kind kind, const char *member, const char *detail)
{
	struct agent_fault *fault = reader->fault;
	int len;

	fault->kind = kind;
	fault->detail = detail;
	if (reader->index == NO_INDEX)
		len = snprintf(fault->field, sizeof(fault->field), "%s", member);
	else
		len = snprintf(fault->field, sizeof(fault->field), "events[%d]%s%s", reader->index,
			       member[0] != '\0' ? "." : "", member);
	assert(len >= 0 && (size_t)len < sizeof(fault->field));
	(void)len;
	return false;
}

static bool not_json(struct reader *reader)
{
	*reader->fault = (struct agent_fault){.kind = AGENT_FAULT_NOT_JSON};
	return false;
}

static bool invalid(struct reader *reader, const char *member, const char *detail)
{
	return fault_at(reader, AGENT_FAULT_INVALID, member, detail);
}

/* A value of another type; JSON that ends here is no JSON. */
static bool mistyped(struct reader *reader, enum json_token first, const char *member, const char *detail)
{
	return first == JSON_SCAN_ERROR ? not_json(reader) : invalid(reader, member, detail);
}

/* A member that is not known is named only when it cannot be anything but a word. */
static bool unknown(struct reader *reader)
{
	enum { WORD_CHARS_MAX = 24 };
	static const char DETAIL[] =
		"a member that is not known; known are id, type, occurred_at, decision_id, amount, "
		"currency, text";
	char word[WORD_CHARS_MAX + 1];
	size_t len = 0;

	if (!json_scan_text(&reader->scan, word, WORD_CHARS_MAX, &len))
		len = 0;
	for (size_t i = 0; i < len; i++)
		if ((word[i] < 'a' || word[i] > 'z') && word[i] != '_')
			len = 0;
	word[len] = '\0';
	(void)invalid(reader, word, DETAIL);
	explicit_bzero(word, sizeof(word));
	return false;
}

/* --- values ----------------------------------------------------------------------------------------- */

/* A string of at most `cap` - 1 bytes, NUL-terminated. *len is over `cap` when it is longer. */
static void short_text(const struct reader *reader, char *out, size_t cap, size_t *len)
{
	if (!json_scan_text(&reader->scan, out, cap - 1, len))
		*len = cap + 1;
	else
		out[*len] = '\0';
}

static bool check_typed(struct reader *reader, struct bytes text, const char *member)
{
	switch (free_text_check(text)) {
	case FREE_TEXT_FINE:
		return true;
	case FREE_TEXT_SECRET:
		return fault_at(reader, AGENT_FAULT_SECRET, member, NULL);
	case FREE_TEXT_CARD:
		return fault_at(reader, AGENT_FAULT_CARD, member, NULL);
	case FREE_TEXT_TOO_LONG:
		break;
	}
	return invalid(reader, member, "too long");
}

static bool take_id(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char DETAIL[] = "not 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'";
	size_t len = 0;

	if (first != JSON_SCAN_STRING)
		return mistyped(reader, first, "id", DETAIL);
	short_text(reader, out->id, sizeof(out->id), &len);
	if (len == 0 || len > AGENT_REPORT_ID_BYTES_MAX)
		return invalid(reader, "id", DETAIL);
	for (size_t i = 0; i < len; i++) {
		char c = out->id[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
		      c == '_' || c == '-'))
			return invalid(reader, "id", DETAIL);
	}
	return check_typed(reader, bytes_make(out->id, len), "id");
}

static bool take_type(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char *const KINDS[] = {"purchase.completed", "purchase.failed", "note"};
	static const char DETAIL[] = "none of purchase.completed, purchase.failed and note";

	for (size_t i = 0; first == JSON_SCAN_STRING && i < ARRAY_LEN(KINDS); i++)
		if (json_scan_key_is(&reader->scan, KINDS[i]))
			out->kind = KINDS[i];
	return out->kind != NULL || mistyped(reader, first, "type", DETAIL);
}

static bool take_occurred_at(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char DETAIL[] = "not an RFC 3339 time from 2000 to a day ahead, as 2026-11-27T18:35:09Z";
	char text[TIME_CHARS_MAX + 1];
	size_t len = 0;

	if (first != JSON_SCAN_STRING)
		return mistyped(reader, first, "occurred_at", DETAIL);
	short_text(reader, text, sizeof(text), &len);
	out->has_occurred_at = len >= TIME_CHARS_MIN && len <= TIME_CHARS_MAX && strlen(text) == len &&
			       clock_parse_ms(text, &out->occurred_at_ms) && out->occurred_at_ms >= OCCURRED_MIN_MS &&
			       out->occurred_at_ms <= reader->now_ms + AGENT_AHEAD_MS;
	explicit_bzero(text, sizeof(text));
	return out->has_occurred_at || invalid(reader, "occurred_at", DETAIL);
}

static bool take_decision_id(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char DETAIL[] = "not dec_ and 26 characters";
	size_t len = 0;

	if (first != JSON_SCAN_STRING)
		return mistyped(reader, first, "decision_id", DETAIL);
	short_text(reader, out->decision_id, sizeof(out->decision_id), &len);
	return (len < sizeof(out->decision_id) && id_valid(bytes_make(out->decision_id, len), "dec")) ||
	       invalid(reader, "decision_id", DETAIL);
}

static bool take_amount(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char DETAIL[] = "not an integer of minor units from 0 to 999999999999";

	if (first != JSON_SCAN_NUMBER)
		return mistyped(reader, first, "amount", DETAIL);
	out->has_amount =
		json_scan_i64(&reader->scan, &out->amount) && out->amount >= 0 && out->amount <= AGENT_AMOUNT_MAX;
	return out->has_amount || invalid(reader, "amount", DETAIL);
}

static bool take_currency(struct reader *reader, enum json_token first, struct agent_report *out)
{
	static const char DETAIL[] = "not three lower-case letters (ISO 4217)";
	size_t len = 0;

	if (first != JSON_SCAN_STRING)
		return mistyped(reader, first, "currency", DETAIL);
	short_text(reader, out->currency, sizeof(out->currency), &len);
	if (len != AGENT_CURRENCY_CHARS)
		return invalid(reader, "currency", DETAIL);
	for (size_t i = 0; i < AGENT_CURRENCY_CHARS; i++)
		if (out->currency[i] < 'a' || out->currency[i] > 'z')
			return invalid(reader, "currency", DETAIL);
	return true;
}

/* The scanner saw to valid UTF-8. */
static size_t characters(struct bytes text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += (text.data[i] & 0xC0) != 0x80;
	return count;
}

static bool check_text(struct reader *reader, struct bytes text)
{
	if (characters(text) > AGENT_TEXT_CHARS_MAX)
		return invalid(reader, "text", "over 1000 characters");
	if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		return invalid(reader, "text", "holds U+0000");
	return check_typed(reader, text, "text");
}

static bool take_text(struct reader *reader, enum json_token first, struct agent_report *out)
{
	char text[AGENT_TEXT_BYTES_MAX];
	size_t len = sizeof(text);

	if (first != JSON_SCAN_STRING)
		return mistyped(reader, first, "text", "not a text");
	out->has_text = json_scan_text(&reader->scan, text, sizeof(text), &len)
				? check_text(reader, bytes_make(text, len))
				: invalid(reader, "text", "over 1000 characters");
	out->text_json = bytes_make(reader->scan.raw.data - 1, reader->scan.raw.len + 2);
	explicit_bzero(text, sizeof(text)); /* what is refused leaves no copy on the stack */
	return out->has_text;
}

size_t agent_report_text(const struct agent_report *report, char out[AGENT_TEXT_BYTES_MAX])
{
	struct json_scan scan;
	size_t len = 0;

	assert(report->has_text);
	json_scan_init(&scan, report->text_json);
	bool read = json_scan_next(&scan) == JSON_SCAN_STRING && json_scan_text(&scan, out, AGENT_TEXT_BYTES_MAX, &len);
	assert(read); /* agent_reports_read has read it before */
	(void)read;
	return len;
}

/* --- a report --------------------------------------------------------------------------------------- */

/* A key was taken. */
static bool take_member(struct reader *reader, struct agent_report *out, unsigned *seen)
{
	for (size_t i = 0; i < ARRAY_LEN(MEMBERS); i++) {
		if (!json_scan_key_is(&reader->scan, MEMBERS[i].name))
			continue;
		if ((*seen & 1u << i) != 0)
			return invalid(reader, MEMBERS[i].name, "stands twice");
		*seen |= 1u << i;
		return MEMBERS[i].take(reader, json_scan_next(&reader->scan), out);
	}
	return unknown(reader);
}

/* From behind the opening brace, whose next token is `token`, to the closing one. */
static bool take_report(struct reader *reader, enum json_token token, struct agent_report *out)
{
	unsigned seen = 0;

	memset(out, 0, sizeof(*out));
	for (; token == JSON_SCAN_KEY; token = json_scan_next(&reader->scan))
		if (!take_member(reader, out, &seen))
			return false;
	if (token != JSON_SCAN_OBJECT_CLOSE)
		return not_json(reader);
	return out->kind != NULL || invalid(reader, "type", "missing");
}

/* --- the body --------------------------------------------------------------------------------------- */

/* The key "events" was taken. */
static bool take_list(struct reader *reader, struct agent_reports *out)
{
	enum json_token token = json_scan_next(&reader->scan);

	if (token != JSON_SCAN_ARRAY_OPEN)
		return mistyped(reader, token, "events", "not a list of 1 to 100 events");
	while ((token = json_scan_next(&reader->scan)) != JSON_SCAN_ARRAY_CLOSE) {
		reader->index = (int)out->count;
		if (out->count == AGENT_EVENTS_MAX) {
			reader->index = NO_INDEX;
			return mistyped(reader, token, "events", "not a list of 1 to 100 events");
		}
		if (token != JSON_SCAN_OBJECT_OPEN)
			return mistyped(reader, token, "", "not an object");
		if (!take_report(reader, json_scan_next(&reader->scan), &out->items[out->count]))
			return false;
		out->count++;
	}
	reader->index = NO_INDEX;
	if (out->count == 0)
		return invalid(reader, "events", "not a list of 1 to 100 events");
	token = json_scan_next(&reader->scan);
	if (token == JSON_SCAN_KEY)
		return invalid(reader, "events", "stands beside another member");
	return token == JSON_SCAN_OBJECT_CLOSE || not_json(reader);
}

static bool take_body(struct reader *reader, struct agent_reports *out)
{
	enum json_token token = json_scan_next(&reader->scan);

	if (token != JSON_SCAN_OBJECT_OPEN)
		return mistyped(reader, token, "", "not an object");
	token = json_scan_next(&reader->scan);
	if (token == JSON_SCAN_KEY && json_scan_key_is(&reader->scan, "events")) {
		if (!take_list(reader, out))
			return false;
	} else {
		if (!take_report(reader, token, &out->items[0]))
			return false;
		out->count = 1;
	}
	return json_scan_next(&reader->scan) == JSON_SCAN_END || not_json(reader);
}

static bool is_json(struct bytes body)
{
	struct json_scan scan;

	json_scan_init(&scan, body);
	return json_scan_skip(&scan) && json_scan_next(&scan) == JSON_SCAN_END;
}

bool agent_reports_read(struct bytes body, int64_t now_ms, struct agent_reports *out, struct agent_fault *fault)
{
	struct reader reader = {.now_ms = now_ms, .index = NO_INDEX, .fault = fault};

	out->count = 0;
	json_scan_init(&reader.scan, body);
	if (take_body(&reader, out)) {
		assert(out->count > 0 && out->count <= AGENT_EVENTS_MAX);
		return true;
	}
	explicit_bzero(out, sizeof(*out));
	/* A fault of a field may stand in what is no JSON further on: that is said first, whatever the order. */
	return is_json(body) ? false : not_json(&reader);
}
