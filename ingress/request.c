#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"

static const char *const STATE_NAMES[] = {"head", "body", "auth", "handling", "waiting", "answered"};

static void on_deadline(struct timer *timer);

/* The legal ways, as bits of the states that may follow. */
static const unsigned FOLLOWS[] = {
	[REQUEST_HEAD] = 1u << REQUEST_AUTH | 1u << REQUEST_BODY | 1u << REQUEST_ANSWERED,
	[REQUEST_AUTH] = 1u << REQUEST_BODY | 1u << REQUEST_ANSWERED,
	[REQUEST_BODY] = 1u << REQUEST_HANDLING | 1u << REQUEST_ANSWERED,
	[REQUEST_HANDLING] = 1u << REQUEST_WAITING | 1u << REQUEST_ANSWERED,
	[REQUEST_WAITING] = 1u << REQUEST_HANDLING | 1u << REQUEST_ANSWERED,
	[REQUEST_ANSWERED] = 0,
};
_Static_assert(ARRAY_LEN(FOLLOWS) == ARRAY_LEN(STATE_NAMES), "every state has a name");

void request_set_state(struct request *req, enum request_state state)
{
	assert((FOLLOWS[req->state] & 1u << state) != 0);
	TRACE(HTTP, "request_state", F_TEXT("id", req->id), F_TEXT("from", STATE_NAMES[req->state]),
	      F_TEXT("to", STATE_NAMES[state]));
	req->state = state;
}

struct request *request_new(struct loop *loop, struct connection *conn)
{
	struct request *req = loop->spare_requests;
	if (req != NULL) {
		loop->spare_requests = req->next;
		loop->spare_request_count--;
	} else {
		req = malloc(sizeof(*req));
	}
	if (req == NULL)
		return NULL;
	memset(req, 0, offsetof(struct request, head));
	req->head.header_count = 0;
	req->loop = loop;
	req->connection = conn;
	req->started_ns = loop_now_ns(loop);
	req->deadline.fire = on_deadline;
	id_new("req", loop_clock(loop), req->id);
	return req;
}

void request_free(struct request *req)
{
	struct loop *loop = req->loop;
	assert(req->state == REQUEST_ANSWERED && !req->held && !timer_running(&req->deadline));
	if (loop->spare_request_count == REQUESTS_KEPT_MAX) {
		free(req);
		return;
	}
	req->next = loop->spare_requests;
	loop->spare_requests = req;
	loop->spare_request_count++;
}

/* --- what a handler may look at ------------------------------------------------------------------- */

const struct http_head *request_head(const struct request *req)
{
	assert(req->head_read);
	return &req->head;
}

const struct route *request_route(const struct request *req)
{
	return req->route;
}

struct bytes request_body(const struct request *req)
{
	assert(req->body_complete && req->connection != NULL);
	return bytes_make(block_buf_at(connection_in(req->connection)) + req->head_bytes, req->body_bytes);
}

const char *request_id(const struct request *req)
{
	return req->id;
}

struct loop *request_loop(const struct request *req)
{
	return req->loop;
}

int64_t request_started_ns(const struct request *req)
{
	return req->started_ns;
}

static bool is_word(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       byte == '_' || byte == '-' || byte == '.';
}

void request_note(struct request *req, const char *key, struct bytes value)
{
	assert(req->note_count < REQUEST_NOTES_MAX);
	struct request_note *note = &req->notes[req->note_count++];
	size_t len = 0;
	while (len < value.len && len < REQUEST_NOTE_BYTES_MAX && is_word(value.data[len])) {
		note->value[len] = (char)value.data[len];
		len++;
	}
	note->value[len] = '\0';
	note->key = key;
}

void request_keep(struct request *req, struct request_kept *kept)
{
	assert(req->kept == NULL && req->state != REQUEST_ANSWERED && kept->release != NULL);
	req->kept = kept;
}

struct request_kept *request_kept(const struct request *req)
{
	assert(req->kept != NULL);
	return req->kept;
}

/* --- waiting (W7) --------------------------------------------------------------------------------- */

struct kafka_ticket *request_ticket(struct request *req)
{
	return &req->ticket;
}

struct request *request_of_ticket(struct kafka_ticket *ticket)
{
	return CONTAINER_OF(ticket, struct request, ticket);
}

void request_on_ticket(struct request *req, void (*done)(struct request *req, const struct kafka_ticket *ticket))
{
	assert(!req->held);
	req->on_ticket = done;
}

void request_wait(struct request *req, int deadline_ms, const char *deadline_code)
{
	assert(!req->held && deadline_code != NULL);
	request_set_state(req, REQUEST_WAITING);
	req->held = true;
	req->deadline_code = deadline_code;
	timer_start(&req->loop->timers, &req->deadline, loop_now_ns(req->loop), deadline_ms);
}

/* The wait is bounded by our own clock: Kafka's time-outs come later (docs/design.md, W7). */
static void on_deadline(struct timer *timer)
{
	struct request *req = CONTAINER_OF(timer, struct request, deadline);
	assert(req->state == REQUEST_WAITING && req->held);
	request_unavailable(req, req->deadline_code);
}

bool request_resume(struct request *req)
{
	assert(req->held);
	req->held = false;
	timer_stop(&req->deadline);
	if (req->state == REQUEST_ANSWERED) {
		loop_bury_request(req->loop, req);
		return false;
	}
	request_set_state(req, REQUEST_HANDLING);
	return true;
}

void request_ticket_back(struct kafka_ticket *ticket)
{
	struct request *req = request_of_ticket(ticket);
	assert(req->on_ticket != NULL && ticket->delivery != KAFKA_DELIVERY_WAITING);
	if (request_resume(req))
		req->on_ticket(req, ticket);
}
