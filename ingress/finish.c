/* W8 and W9: the one exit of a request. Nothing else answers, logs or counts one. */
#include <assert.h>
#include <stdio.h>

#include "common/log.h"
#include "ingress/counters.h"
#include "ingress/loop_private.h"
#include "ingress/problem.h"
#include "ingress/request_private.h"
#include "ingress/route.h"

enum { STATUS_CLIENT_GONE = 499 }; /* never sent; nginx's number for the same */

#define SAME_FOR_ALL "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
#define HSTS         "Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n"

struct phrase {
	int status;
	const char *line;
};
static const struct phrase PHRASES[] = {
	{200, "HTTP/1.1 200 OK\r\n"},
	{202, "HTTP/1.1 202 Accepted\r\n"},
	{204, "HTTP/1.1 204 No Content\r\n"},
	{308, "HTTP/1.1 308 Permanent Redirect\r\n"},
	{400, "HTTP/1.1 400 Bad Request\r\n"},
	{401, "HTTP/1.1 401 Unauthorized\r\n"},
	{403, "HTTP/1.1 403 Forbidden\r\n"},
	{404, "HTTP/1.1 404 Not Found\r\n"},
	{405, "HTTP/1.1 405 Method Not Allowed\r\n"},
	{408, "HTTP/1.1 408 Request Timeout\r\n"},
	{409, "HTTP/1.1 409 Conflict\r\n"},
	{413, "HTTP/1.1 413 Content Too Large\r\n"},
	{414, "HTTP/1.1 414 URI Too Long\r\n"},
	{417, "HTTP/1.1 417 Expectation Failed\r\n"},
	{422, "HTTP/1.1 422 Unprocessable Content\r\n"},
	{429, "HTTP/1.1 429 Too Many Requests\r\n"},
	{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
	{500, "HTTP/1.1 500 Internal Server Error\r\n"},
	{501, "HTTP/1.1 501 Not Implemented\r\n"},
	{503, "HTTP/1.1 503 Service Unavailable\r\n"},
	{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
};

static const char *status_line(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(PHRASES); i++) {
		if (PHRASES[i].status == status)
			return PHRASES[i].line;
	}
	assert(false); /* a status without a phrase */
	return "HTTP/1.1 500 Internal Server Error\r\n";
}

/* --- W8: the answer ------------------------------------------------------------------------------- */

static void put(struct block_buf *out, const void *bytes, size_t len)
{
	assert(len <= block_buf_room(out));
	memcpy(out->data + out->end, bytes, len);
	out->end += len;
}

static void put_text(struct block_buf *out, const char *text)
{
	put(out, text, strlen(text));
}

static void put_number(struct block_buf *out, const char *name, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);
	digits[--at] = '\n';
	digits[--at] = '\r';
	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	put_text(out, name);
	put(out, digits + at, sizeof(digits) - at);
}

/* What becomes of the connection. */
static enum connection_after after(const struct request *req, const struct answer *answer)
{
	/* Refused before the body was read: what follows could be taken for a request. */
	if (!req->body_complete)
		return CONNECTION_CUTS_OFF;
	if (answer->close || !req->head.keep_alive || req->loop->draining)
		return CONNECTION_CLOSES;
	return CONNECTION_GOES_ON;
}

static void put_connection(struct block_buf *out, const struct request *req, bool close)
{
	if (close)
		put_text(out, "Connection: close\r\n");
	else if (req->head.version_minor == 0)
		put_text(out, "Connection: keep-alive\r\n");
}

/* Writes the whole answer into the connection's output. False: there is nobody to write to. */
static bool write_answer(struct request *req, const struct answer *answer, bool close)
{
	size_t headers_len = answer->headers != NULL ? strlen(answer->headers) : 0;
	assert(headers_len <= HTTP_RESPONSE_HEAD_BYTES_MAX / 2);
	assert(answer->content_type != NULL || answer->body.len == 0);
	struct block_buf *out = connection_out(req->connection, HTTP_RESPONSE_HEAD_BYTES_MAX + answer->body.len);
	if (out == NULL)
		return false;
	put_text(out, status_line(answer->status));
	put_text(out, loop_date_line(req->loop));
	put_text(out, SAME_FOR_ALL);
	if (connection_secure(req->connection))
		put_text(out, HSTS);
	put_text(out, "Watchpost-Request-Id: ");
	put_text(out, req->id);
	put_text(out, "\r\n");
	put_connection(out, req, close);
	if (answer->retry_after_s > 0)
		put_number(out, "Retry-After: ", (uint64_t)answer->retry_after_s);
	if (answer->headers != NULL)
		put(out, answer->headers, headers_len);
	if (answer->content_type != NULL) {
		put_text(out, "Content-Type: ");
		put_text(out, answer->content_type);
		put_text(out, "\r\n");
	}
	if (answer->status != 204) /* RFC 9110, 8.6 */
		put_number(out, "Content-Length: ", answer->body.len);
	put_text(out, "\r\n");
	if (answer->body.len > 0 && !(req->head_read && req->head.method == HTTP_HEAD))
		put(out, answer->body.data, answer->body.len);
	return true;
}

/* --- W9: the log line ------------------------------------------------------------------------------ */

static void write_log(const struct request *req, int status, const char *reason, int64_t age_us)
{
	struct log_field fields[7 + REQUEST_NOTES_MAX];
	size_t count = 0;
	if (!log_level_on(LOG_LEVEL_INFO))
		return;
	fields[count++] = F_TEXT("id", req->id);
	fields[count++] = F_TEXT("route", req->route != NULL ? req->route->name : "none");
	fields[count++] = F_TEXT("method", req->head_read ? http_method_name(req->head.method) : "none");
	fields[count++] = F_I64("status", status);
	fields[count++] = F_TEXT("reason", reason);
	fields[count++] = F_I64("age_us", age_us);
	fields[count++] = F_U64("bytes", req->head_bytes + req->body_bytes);
	for (size_t i = 0; i < req->note_count; i++)
		fields[count++] = F_TEXT(req->notes[i].key, req->notes[i].value);
	log_write(LOG_LEVEL_INFO, "request", fields, count);
}

/* The line, the numbers, and the end: the request is freed at the end of the turn, or when what it waits for is
 * back. */
static void end(struct request *req, int status, const char *reason)
{
	int64_t age_us = (clock_mono_ns(loop_clock(req->loop)) - req->started_ns) / 1000;
	write_log(req, status, reason, age_us);
	counter_request(req->route, status, age_us);
	timer_stop(&req->deadline);
	auth_forget(req);
	if (req->kept != NULL)
		req->kept->release(req->kept);
	req->kept = NULL;
	req->connection = NULL;
	request_set_state(req, REQUEST_ANSWERED);
	if (!req->held)
		loop_bury_request(req->loop, req);
}

void request_finish(struct request *req, const struct answer *answer)
{
	struct connection *conn = req->connection;
	assert(req->state != REQUEST_ANSWERED && conn != NULL && answer->reason != NULL);
	enum connection_after then = after(req, answer);
	size_t used = req->head_bytes + (req->body_complete ? req->body_bytes : 0);
	bool written = write_answer(req, answer, then != CONNECTION_GOES_ON);
	end(req, written ? answer->status : STATUS_CLIENT_GONE, written ? answer->reason : "client_gone");
	connection_answered(conn, used, then);
}

void request_fail(struct request *req, const struct problem *problem)
{
	char body[PROBLEM_BODY_BYTES];
	size_t len = problem_write(problem, req->id, body);
	assert(problem->status != 503 || problem->retry_after_s > 0);
	request_finish(req, &(struct answer){.status = problem->status,
					     .reason = problem->reason != NULL ? problem->reason : problem->code,
					     .content_type = "application/problem+json",
					     .body = bytes_make(body, len),
					     .headers = problem->headers,
					     .retry_after_s = problem->retry_after_s,
					     .close = problem->close});
}

void request_gone(struct request *req)
{
	struct connection *conn = req->connection;
	assert(req->state != REQUEST_ANSWERED && conn != NULL);
	end(req, STATUS_CLIENT_GONE, "client_gone");
	connection_answered(conn, 0, CONNECTION_CUTS_OFF);
}
