#include "ingress/receive.h"

#include <assert.h>

#include "ingress/auth/auth.h"
#include "ingress/counters.h"
#include "ingress/loop_private.h"
#include "ingress/problem.h"
#include "ingress/rate.h"
#include "ingress/request_private.h"
#include "ingress/route.h"
#include "ingress/routes/redirect.h"

/* In the order in which a request goes through them. Each returns false when it must wait for more bytes; one that
 * refuses finishes the request and returns true. */
static bool receive_head(struct request *req);
static void find_route(struct request *req);
static void check_caller(struct request *req);
static void caller_accepted(struct request *req);
static void accept_body(struct request *req);
static bool receive_body(struct request *req);

static bool answered(const struct request *req)
{
	return req->state == REQUEST_ANSWERED;
}

/* What the engine itself refuses: the code goes by the status, the reason is for the log. */
static void refuse(struct request *req, int status, const char *reason)
{
	request_fail(req, &(struct problem){
				  .status = status, .code = problem_code(status), .reason = reason, .close = true});
}

void receive(struct connection *conn)
{
	for (;;) {
		struct request *req = connection_request(conn);
		if (req == NULL) {
			if (!connection_takes_requests(conn) || block_buf_len(connection_in(conn)) == 0)
				return;
			req = request_new(connection_loop(conn), conn);
			if (req == NULL) {
				counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_MEMORY);
				connection_close(conn);
				return;
			}
			connection_set_request(conn, req);
		}
		if (req->state == REQUEST_HEAD && !receive_head(req))
			return;
		if (req->state == REQUEST_BODY && !receive_body(req))
			return;
		if (connection_request(conn) != NULL)
			return; /* it waits */
	}
}

size_t receive_input_bytes_max(const struct request *req)
{
	if (req == NULL || req->state == REQUEST_HEAD)
		return HTTP_HEAD_BYTES_MAX;
	return req->head_bytes + req->body_bytes_max + CONNECTION_BLOCK_BYTES;
}

void receive_timeout(struct request *req)
{
	refuse(req, 408, req->state == REQUEST_HEAD ? "head_timeout" : "body_timeout");
}

void receive_no_room(struct request *req)
{
	request_unavailable(req, "memory");
}

/* W2. */
static bool receive_head(struct request *req)
{
	struct bytes text = block_buf_bytes(connection_in(req->connection));
	int status = 0;
	const char *reason = NULL;
	switch (http_head_parse(text, &req->scanned, &req->head, &req->head_bytes, &status, &reason)) {
	case HTTP_HEAD_PARTIAL:
		return false;
	case HTTP_HEAD_BAD:
		refuse(req, status, reason);
		return true;
	case HTTP_HEAD_DONE:
		break;
	}
	req->head_read = true;
	req->body_complete = !req->head.chunked && req->head.content_length == 0;
	if (connection_kind(req->connection) == CONNECTION_REDIRECT)
		redirect_answer(req);
	else
		find_route(req);
	return true;
}

/* W3. */
static void find_route(struct request *req)
{
	char allow[ROUTE_ALLOW_BYTES];
	switch (route_find(&req->head, &req->route, allow)) {
	case ROUTE_FOUND:
		check_caller(req);
		break;
	case ROUTE_NO_PATH:
		request_fail(req, &(struct problem){.status = 404, .code = "not_found"});
		break;
	case ROUTE_NO_METHOD: {
		char header[ROUTE_ALLOW_BYTES + 16];
		int len = snprintf(header, sizeof(header), "Allow: %s\r\n", allow);
		assert(len > 0 && (size_t)len < sizeof(header));
		(void)len;
		request_fail(req, &(struct problem){.status = 405, .code = "method_not_allowed", .headers = header});
		break;
	}
	}
}

/* Stripe's signature needs the body; until then the rate limit stands. */
static bool take_webhook(struct request *req)
{
	const struct loop *loop = req->loop;
	const struct net_address client = net_address_client(connection_address(req->connection));
	int retry_after_s = 0;
	if (rate_take(loop->ingress->webhook_rate, client.bytes, loop->settings->config->webhook_rate_per_s,
		      loop_now_ns(req->loop), &retry_after_s))
		return true;
	request_fail(req, &(struct problem){.status = 429, .code = "rate_limited", .retry_after_s = retry_after_s});
	return false;
}

/* W4: who calls, before the body is read. */
static void check_caller(struct request *req)
{
	switch (req->route->caller) {
	case ROUTE_AGENT:
		auth_begin(req, caller_accepted);
		break;
	case ROUTE_STRIPE:
		if (take_webhook(req))
			accept_body(req);
		break;
	case ROUTE_ANYBODY:
	case ROUTE_OWNER:
		accept_body(req);
		break;
	}
}

/* At once, or after a look-up: then the connection goes on reading at the end of the turn. */
static void caller_accepted(struct request *req)
{
	bool waited = req->state == REQUEST_AUTH;
	struct connection *conn = req->connection;
	accept_body(req);
	if (waited)
		connection_flush_soon(conn);
}

/* The body's framing and declared length (W5), and the interim answer to who asks for it first. */
static void accept_body(struct request *req)
{
	req->body_bytes_max = route_body_bytes_max(req->route, req->loop->settings->config);
	if (req->head.content_length > req->body_bytes_max || (req->head.chunked && req->body_bytes_max == 0)) {
		refuse(req, 413, "body_declared_large");
		return;
	}
	if (req->head.chunked)
		http_chunked_init(&req->chunked, req->body_bytes_max);
	request_set_state(req, REQUEST_BODY);
	bool nothing_yet = block_buf_len(connection_in(req->connection)) == req->head_bytes;
	if (req->head.expect_continue && !req->body_complete && nothing_yet) {
		static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
		struct block_buf *out = connection_out(req->connection, sizeof(CONTINUE) - 1);
		if (out == NULL)
			return;
		memcpy(out->data + out->end, CONTINUE, sizeof(CONTINUE) - 1);
		out->end += sizeof(CONTINUE) - 1;
		connection_flush_soon(req->connection);
	}
}

/* Decodes in place: the body grows behind the head, the raw bytes behind it shrink. */
static bool decode_chunks(struct request *req)
{
	struct block_buf *in = connection_in(req->connection);
	uint8_t *raw = block_buf_at(in) + req->head_bytes + req->body_bytes;
	size_t raw_len = block_buf_len(in) - req->head_bytes - req->body_bytes;
	size_t used = 0;
	size_t written = 0;
	enum http_body_result result =
		http_chunked_decode(&req->chunked, bytes_make(raw, raw_len), raw, &used, &written);
	memmove(raw + written, raw + used, raw_len - used);
	block_buf_cut(in, in->end - (used - written));
	req->body_bytes += written;
	assert(req->body_bytes <= req->body_bytes_max);
	switch (result) {
	case HTTP_BODY_MORE:
		break;
	case HTTP_BODY_DONE:
		req->body_complete = true;
		break;
	case HTTP_BODY_BAD:
		refuse(req, 400, req->chunked.reason);
		break;
	case HTTP_BODY_TOO_LARGE:
		refuse(req, 413, "body_counted_large");
		break;
	}
	return result != HTTP_BODY_MORE;
}

/* W5. */
static bool receive_body(struct request *req)
{
	size_t have = block_buf_len(connection_in(req->connection)) - req->head_bytes;
	if (req->head.chunked) {
		if (!decode_chunks(req))
			return false;
	} else {
		req->body_complete = have >= req->head.content_length;
		req->body_bytes = req->body_complete ? (size_t)req->head.content_length : have;
	}
	if (answered(req))
		return true;
	if (!req->body_complete)
		return false;
	request_set_state(req, REQUEST_HANDLING);
	req->route->handle(req);
	return true;
}
