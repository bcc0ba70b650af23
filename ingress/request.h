/*
 * One HTTP request from its head to its log line: what routes see.
 *
 * Routes never touch sockets. A route's handler gets a request whose head is parsed (W2), whose caller was
 * checked (W4) and whose body is whole (W5); it answers by request_finish, now or later, exactly once.
 *
 *   HEAD -> (AUTH ->) BODY -> HANDLING -> (WAITING ->) ANSWERED -> freed at the end of the loop's turn
 *
 * request_set_state() is the only door between states (STYLE 15); request_finish() the only exit (W8, W9): it
 * writes the answer, the one log line and the metrics. A handler that hands the request to somebody
 * (Kafka) calls request_wait first: from then on the request lives until request_resume, even when the deadline
 * (W7) answered 503 or the client went away in between; request_resume returns false then and the
 * request must not be touched again.
 *
 * Owns: the request owns its head, body and answer; views are valid until request_finish returns.
 * Thread: the loop thread that accepted the connection, only.
 */
#ifndef WATCHPOST_INGRESS_REQUEST_H
#define WATCHPOST_INGRESS_REQUEST_H

#include <stdint.h>

#include "common/buf.h"
#include "common/bytes.h"
#include "common/compiler.h"
#include "common/id.h"
#include "common/kafka_producer.h"
#include "ingress/net/head.h"

struct loop;
struct route;
struct request;

/* AUTH: the head is whole and its caller is not known yet (W4); nothing more is read until he is. */
enum request_state { REQUEST_HEAD, REQUEST_BODY, REQUEST_AUTH, REQUEST_HANDLING, REQUEST_WAITING, REQUEST_ANSWERED };

/* An answer. Everything is borrowed until request_finish returns. */
struct answer {
	int status;
	const char *reason;       /* stable snake_case word for the log and metrics: "kept", "signature_wrong" */
	const char *content_type; /* NULL: no body */
	struct bytes body;
	const char *headers; /* more header lines, each ending in CRLF, or NULL */
	int retry_after_s;   /* > 0: Retry-After */
	bool close;          /* close the connection after this answer */
};

void request_set_state(struct request *req, enum request_state state);

/* What the handler may look at. */
const struct http_head *request_head(const struct request *req);
const struct route *request_route(const struct request *req);
struct bytes request_body(const struct request *req);
const char *request_id(const struct request *req);
struct loop *request_loop(const struct request *req);
int64_t request_started_ns(const struct request *req);
/* A word for the log line, e.g. the Stripe event's id: letters, digits, '_', '-', '.', cut at 64. */
void request_note(struct request *req, const char *key, struct bytes value);

/* W8 and W9. Exactly once per request. Every answer carries Date, Content-Length, Cache-Control: no-store,
 * X-Content-Type-Options, Watchpost-Request-Id and, where the client's side is encrypted, Strict-Transport-Security.
 * The log line: event=request id= route= method= status= reason= age_us= bytes= (of the request: head and decoded
 * body), then the notes; a client that went away before its answer has status 499 and reason client_gone. */
void request_finish(struct request *req, const struct answer *answer);
/* W8 with an RFC 9457 problem: status, stable code, title from the table in ingress/problem.c; detail and field may be
 * NULL. `reason` is what the log says; NULL means the code (a signature's real fault stays in the log). */
struct problem {
	int status;
	const char *code;
	const char *detail;
	const char *field;
	const char *reason;
	const char *headers; /* as in struct answer */
	int retry_after_s;   /* required with 503 */
	bool close;
};
void request_fail(struct request *req, const struct problem *problem);
/* 503: nothing is wrong with the request; it may be sent again in a second. */
static inline void request_unavailable(struct request *req, const char *reason)
{
	request_fail(req,
		     &(struct problem){.status = 503, .code = "unavailable", .reason = reason, .retry_after_s = 1});
}

/* Memory of the handler's that lives as long as the request is unanswered: released once it was answered (an answer's
 * body may stand in it) or its client went away. One per request. */
struct request_kept {
	void (*release)(struct request_kept *kept);
};
void request_keep(struct request *req, struct request_kept *kept);
/* What was kept. */
struct request_kept *request_kept(const struct request *req);

/* The request's own ticket for Kafka; one outstanding at a time. */
struct kafka_ticket *request_ticket(struct request *req);
struct request *request_of_ticket(struct kafka_ticket *ticket);

/* What the loop calls, on its own thread, when the ticket comes back to a request that is still unanswered; it must
 * finish the request. Set before the ticket is handed to Kafka. (The loop calls request_resume itself.) */
void request_on_ticket(struct request *req, void (*done)(struct request *req, const struct kafka_ticket *ticket));

/* HANDLING -> WAITING: keeps the request alive; starts its own deadline, after which the answer is 503
 * `deadline_code`. */
void request_wait(struct request *req, int deadline_ms, const char *deadline_code);
/* The one it waited for has come back. True: still unanswered, the caller goes on and must finish it. False: it was
 * answered meanwhile (deadline, client gone, shutdown); it is being freed. */
MUSTCHECK bool request_resume(struct request *req);

#endif
