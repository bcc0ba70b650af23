#include "ingress/routes/stripe_webhook.h"

#include <assert.h>
#include <stdatomic.h>

#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/stripe/event.h"
#include "ingress/stripe/projection.h"

static _Atomic uint64_t failures_total[STRIPE_SIGNATURE_COUNT];

/* In the order in which they happen. */
static bool check_signature(struct request *req);
static bool read_event(struct request *req, struct stripe_projection *projection);
static void publish_event(struct request *req, const struct stripe_projection *projection);
static void delivered(struct request *req, const struct kafka_ticket *ticket);

uint64_t stripe_webhook_failures_total(enum stripe_signature reason)
{
	assert((unsigned)reason < STRIPE_SIGNATURE_COUNT);
	return atomic_load_explicit(&failures_total[reason], memory_order_relaxed);
}

void stripe_webhook_handle(struct request *req)
{
	struct stripe_projection projection;

	if (check_signature(req) && read_event(req, &projection))
		publish_event(req, &projection);
}

static enum stripe_signature signature_of(struct request *req, const struct stripe_verifier *verifier)
{
	bool many = false;
	const struct http_header *header = http_head_find(request_head(req), "stripe-signature", &many);

	if (many)
		return STRIPE_SIGNATURE_REPEATED;
	return stripe_verify(verifier, header != NULL ? header->value : bytes_make(NULL, 0), request_body(req),
			     clock_wall_ms(loop_clock(request_loop(req))) / 1000);
}

/* W4. Finishes the request when it returns false. */
static bool check_signature(struct request *req)
{
	const struct stripe_verifier *verifier = loop_settings(request_loop(req))->stripe;

	if (stripe_verifier_empty(verifier)) {
		request_unavailable(req, "stripe_secret_missing");
		return false;
	}
	enum stripe_signature result = signature_of(req, verifier);
	if (result == STRIPE_SIGNATURE_GOOD)
		return true;
	atomic_fetch_add_explicit(&failures_total[result], 1, memory_order_relaxed);
	request_fail(req, &(struct problem){
				  .status = 400, .code = "signature_invalid", .reason = stripe_signature_name(result)});
	return false;
}

/* W5, W6. Finishes the request when it returns false. */
static bool read_event(struct request *req, struct stripe_projection *projection)
{
	const char *field = NULL;
	const char *detail = NULL;
	const char *code = "event_invalid";

	switch (stripe_project(request_body(req), projection, &field)) {
	case STRIPE_PROJECTION_DONE:
		request_note(req, "stripe_event", projection->id);
		request_note(req, "stripe_type", projection->type);
		return true;
	case STRIPE_PROJECTION_NOT_JSON:
		code = "json_invalid";
		break;
	case STRIPE_PROJECTION_REPEATED_KEY:
		detail = "a key stands twice in its object";
		break;
	case STRIPE_PROJECTION_FIELD:
		detail = "a field is missing or not of the expected form";
		break;
	}
	request_fail(req, &(struct problem){.status = 400, .code = code, .detail = detail, .field = field});
	return false;
}

/* W7. Everything that the message points at is copied before publish_request returns. */
static void publish_event(struct request *req, const struct stripe_projection *projection)
{
	struct loop *loop = request_loop(req);
	const struct ingress *ingress = loop_ingress(loop);
	struct stripe_event event;
	struct event_headers headers;
	struct buf value;
	const char *field;

	buf_init(&value, STRIPE_EVENT_BYTES_MAX);
	if (!stripe_event_build(projection, loop_settings(loop)->config->stripe_livemode, &value, &event, &field)) {
		if (field == NULL)
			request_unavailable(req, "memory");
		else
			request_fail(req, &(struct problem){.status = 400, .code = "event_invalid", .field = field});
		goto out;
	}
	event_headers_write(&(struct event_head){.id = projection->id,
						 .type = bytes_of(event.type->name),
						 .source = bytes_of(ingress->source),
						 .dataschema = bytes_of(event.type->dataschema),
						 .time_ms = projection->created_s * 1000},
			    &headers);
	publish_request(ingress->publisher, req,
			&(struct kafka_message){.topic = ingress->stripe_topic,
						.partition = -1,
						.key = event.key,
						.value = buf_bytes(&value),
						.headers = headers.items,
						.header_count = headers.count},
			delivered);
out:
	buf_free(&value);
}

/* W8: the promise that a 2xx means it is kept is kept here. */
static void delivered(struct request *req, const struct kafka_ticket *ticket)
{
	static const char BODY[] = "{\"received\":true}\n";

	assert(ticket->delivery != KAFKA_DELIVERY_WAITING);
	if (ticket->delivery != KAFKA_DELIVERY_DONE) {
		request_unavailable(req, "kafka_failed");
		return;
	}
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "kept",
					     .content_type = "application/json",
					     .body = bytes_make(BODY, sizeof(BODY) - 1)});
}
