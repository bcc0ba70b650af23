/*
 * W5: the body of POST /v1/events, one report or a list of them.
 *
 *   {"id"?, "type", "occurred_at"?, "decision_id"?, "amount"?, "currency"?, "text"?}     or     {"events": [ …, … ]}
 *
 * Nothing else is taken: no unknown member, none twice, no null, no other type. All or nothing: the first fault refuses
 * the whole body, and names its place ("events[3].amount"). What was typed is checked for secrets and card numbers
 * (common/free_text.h). Faults never hold a byte of a value.
 *
 * Owns: nothing; texts are views into the body. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_AGENT_REPORT_H
#define WATCHPOST_INGRESS_AGENT_REPORT_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum { AGENT_CURRENCY_CHARS = 3 };

/* Texts are empty and flags false where the report does not say. */
struct agent_report {
	const char *kind; /* "purchase.completed", "purchase.failed" or "note" */
	char id[AGENT_REPORT_ID_BYTES_MAX + 1];
	char decision_id[ID_TEXT_BYTES];
	char currency[AGENT_CURRENCY_CHARS + 1];
	bool has_amount, has_occurred_at, has_text;
	int64_t amount; /* minor units, 0 to AGENT_AMOUNT_MAX */
	int64_t occurred_at_ms;
	struct bytes text_json; /* with its quotes, as the body has it: agent_report_text */
};

struct agent_reports {
	size_t count; /* 1 to AGENT_EVENTS_MAX */
	struct agent_report items[AGENT_EVENTS_MAX];
};

enum agent_fault_kind {
	AGENT_FAULT_NOT_JSON, /* 400 json_invalid */
	AGENT_FAULT_INVALID,  /* 422 event_invalid */
	AGENT_FAULT_SECRET,   /* 422 secret_refused */
	AGENT_FAULT_CARD      /* 422 card_data_refused */
};

struct agent_fault {
	enum agent_fault_kind kind;
	const char *detail;                /* static; NULL: the code says it all */
	char field[AGENT_FIELD_BYTES_MAX]; /* "events[3].amount"; "": the body as a whole */
};

/* `now_ms` is the wall's: what occurred is no more than AGENT_AHEAD_MS ahead of it. False: `fault` is filled in. */
MUSTCHECK bool agent_reports_read(struct bytes body, int64_t now_ms, struct agent_reports *out,
				  struct agent_fault *fault);

/* The text with its escapes undone, UTF-8 without U+0000, at most AGENT_TEXT_CHARS_MAX characters. Returns its length.
 */
size_t agent_report_text(const struct agent_report *report, char out[AGENT_TEXT_BYTES_MAX]);

#endif
