#include "ingress/routes/agent_events.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "events.h"
#include "ingress/agent/report.h"
#include "ingress/auth/auth.h"
#include "ingress/ingress.h"
#include "ingress/loop.h"

enum {
	EVENT_ID_BYTES = ID_TEXT_BYTES + AGENT_REPORT_ID_BYTES_MAX + 1, /* acct_… / id */
	ANSWER_HEAD_BYTES = 64,                                         /* {"accepted":100,"events":[]} */
	ANSWER_ITEM_BYTES = EVENT_ID_BYTES + 16                         /* ,{"id":"…"} */
};
_Static_assert(EVENT_ID_BYTES <= 255, "a header's text (common/event.c)");

/* One report on its way. Texts of the message point into the batch. */
struct item {
	char id[EVENT_ID_BYTES];
	struct event_headers headers;
	size_t value_at; /* in the batch's values, which move while they grow */
	size_t value_len;
};

/* On the stack of a loop's thread: everything is sent, hence copied, before the handler returns. */
struct batch {
	const struct caller *caller;
	int64_t received_ms;
	struct buf values;
	size_t count;
	char count_text[8];
	struct item items[AGENT_EVENTS_MAX];
	struct kafka_message messages[AGENT_EVENTS_MAX];
};

/* The answer waits for Kafka. */
struct said {
	struct request_kept kept;
	size_t len;
	char body[];
};

/* In the order in which they happen. */
static void read_events(struct request *req);
static bool build(struct request *req, const struct agent_reports *reports, struct batch *batch);
static void publish(struct request *req, const struct batch *batch);
static void delivered(struct request *req, const struct kafka_ticket *ticket);

void agent_events_handle(struct request *req)
{
	request_note(req, "agent", bytes_of(request_caller(req)->agent_id));
	auth_require(req, read_events);
}

/* W5 */
static void refuse(struct request *req, const struct agent_fault *fault)
{
	static const struct {
		int status;
		const char *code;
	} ANSWERS[] = {
		[AGENT_FAULT_NOT_JSON] = {400, "json_invalid"},
		[AGENT_FAULT_INVALID] = {422, "event_invalid"},
		[AGENT_FAULT_SECRET] = {422, "secret_refused"},
		[AGENT_FAULT_CARD] = {422, "card_data_refused"},
	};
	request_fail(req, &(struct problem){.status = ANSWERS[fault->kind].status,
					    .code = ANSWERS[fault->kind].code,
					    .detail = fault->detail,
					    .field = fault->field[0] != '\0' ? fault->field : NULL});
}

static void read_events(struct request *req)
{
	struct agent_reports reports;
	struct agent_fault fault = {0};
	struct batch batch; /* filled in as far as it is used */

	batch.caller = request_caller(req);
	batch.received_ms = clock_wall_ms(loop_clock(request_loop(req)));
	if (!agent_reports_read(request_body(req), batch.received_ms, &reports, &fault)) {
		refuse(req, &fault);
		return;
	}
	batch.count = reports.count;
	(void)snprintf(batch.count_text, sizeof(batch.count_text), "%zu", reports.count);
	request_note(req, "events", bytes_of(batch.count_text));
	buf_init(&batch.values, reports.count * EVENT_AGENT_REPORT_BYTES_MAX);
	if (build(req, &reports, &batch))
		publish(req, &batch);
	else
		request_unavailable(req, "memory");
	buf_free(&batch.values);
}

/* --- W6 --------------------------------------------------------------------------------------------- */

static bool encode(const struct batch *batch, const struct agent_report *report, struct buf *values)
{
	char text[AGENT_TEXT_BYTES_MAX];
	size_t text_len = report->has_text ? agent_report_text(report, text) : 0;
	const struct event_agent_report event = {
		.account_id = bytes_of(batch->caller->account_id),
		.agent_id = bytes_of(batch->caller->agent_id),
		.report_id = bytes_of(report->id),
		.has_report_id = report->id[0] != '\0',
		.kind = bytes_of(report->kind),
		.occurred_at_ms = report->occurred_at_ms,
		.has_occurred_at_ms = report->has_occurred_at,
		.received_at_ms = batch->received_ms,
		.decision_id = bytes_of(report->decision_id),
		.has_decision_id = report->decision_id[0] != '\0',
		.amount = report->amount,
		.has_amount = report->has_amount,
		.currency = bytes_of(report->currency),
		.has_currency = report->currency[0] != '\0',
		.text = bytes_make(text, text_len),
		.has_text = report->has_text,
	};
	return event_agent_report_encode(&event, values);
}

static char *append(char *at, const char *text)
{
	size_t len = strlen(text);
	memcpy(at, text, len);
	return at + len;
}

/* The event's id is account and report id, so that a report that is sent again is the same event. */
static void name(const struct request *req, const struct batch *batch, const struct agent_report *report,
		 char out[EVENT_ID_BYTES])
{
	if (report->id[0] == '\0') {
		id_new("evt", loop_clock(request_loop(req)), out);
		return;
	}
	char *end = append(append(append(out, batch->caller->account_id), "/"), report->id);
	assert(end < out + EVENT_ID_BYTES);
	*end = '\0';
}

static void address(const struct request *req, const struct batch *batch, const struct agent_report *report,
		    struct item *item, struct kafka_message *message)
{
	const struct ingress *ingress = loop_ingress(request_loop(req));
	const struct event_type *type = event_type_get(EVENT_TYPE_AGENT_REPORT);

	event_headers_write(
		&(struct event_head){.id = bytes_of(item->id),
				     .type = bytes_of(type->name),
				     .source = bytes_of(ingress->source),
				     .dataschema = bytes_of(type->dataschema),
				     .time_ms = report->has_occurred_at ? report->occurred_at_ms : batch->received_ms},
		&item->headers);
	*message = (struct kafka_message){.topic = ingress->agent_topic,
					  .partition = -1,
					  .key = bytes_of(batch->caller->account_id),
					  .value = bytes_make(batch->values.data + item->value_at, item->value_len),
					  .headers = item->headers.items,
					  .header_count = item->headers.count};
}

/* False: no memory. */
static bool build(struct request *req, const struct agent_reports *reports, struct batch *batch)
{
	for (size_t i = 0; i < reports->count; i++) {
		struct item *item = &batch->items[i];
		name(req, batch, &reports->items[i], item->id);
		item->value_at = batch->values.len;
		if (!encode(batch, &reports->items[i], &batch->values))
			return false;
		item->value_len = batch->values.len - item->value_at;
	}
	for (size_t i = 0; i < reports->count; i++)
		address(req, batch, &reports->items[i], &batch->items[i], &batch->messages[i]);
	return true;
}

/* --- W7 --------------------------------------------------------------------------------------------- */

static void forget_said(struct request_kept *kept)
{
	free(CONTAINER_OF(kept, struct said, kept));
}

/* The ids are plain ASCII: nothing is escaped. NULL: no memory. */
static struct said *say(const struct batch *batch)
{
	size_t cap = ANSWER_HEAD_BYTES + batch->count * ANSWER_ITEM_BYTES;
	struct said *said = malloc(sizeof(*said) + cap);

	if (said == NULL)
		return NULL;
	said->kept.release = forget_said;
	char *end = append(append(said->body, "{\"accepted\":"), batch->count_text);
	end = append(end, ",\"events\":[");
	for (size_t i = 0; i < batch->count; i++)
		end = append(append(append(end, i > 0 ? ",{\"id\":\"" : "{\"id\":\""), batch->items[i].id), "\"}");
	end = append(end, "]}\n");
	said->len = (size_t)(end - said->body);
	assert(said->len <= cap);
	return said;
}

/* Everything that the messages point at is copied before this returns. */
static void publish(struct request *req, const struct batch *batch)
{
	struct publisher *publisher = loop_ingress(request_loop(req))->publisher;
	struct said *said = say(batch);

	if (said == NULL) {
		request_unavailable(req, "memory");
		return;
	}
	request_keep(req, &said->kept);
	if (batch->count == 1)
		publish_request(publisher, req, &batch->messages[0], delivered);
	else
		publish_batch(publisher, req, batch->messages, batch->count, delivered);
}

/* W8: the promise that a 2xx means it is kept is kept here. */
static void delivered(struct request *req, const struct kafka_ticket *ticket)
{
	const struct said *said = CONTAINER_OF(request_kept(req), struct said, kept);

	assert(ticket->delivery != KAFKA_DELIVERY_WAITING);
	if (ticket->delivery != KAFKA_DELIVERY_DONE) {
		request_unavailable(req, "kafka_failed");
		return;
	}
	request_finish(req, &(struct answer){.status = 202,
					     .reason = "kept",
					     .content_type = "application/json",
					     .body = bytes_make(said->body, said->len)});
}
