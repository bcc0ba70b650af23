/*
 * The request as the engine sees it (request.c, receive.c, finish.c, connection.c). Routes use ingress/request.h.
 */
#ifndef WATCHPOST_INGRESS_REQUEST_PRIVATE_H
#define WATCHPOST_INGRESS_REQUEST_PRIVATE_H

#include "ingress/auth/auth_private.h"
#include "ingress/net/body.h"
#include "ingress/net/connection.h"
#include "ingress/request.h"
#include "ingress/store/store.h"
#include "ingress/timer.h"

struct request_note {
	const char *key;
	char value[REQUEST_NOTE_BYTES_MAX + 1];
};

struct request {
	struct request *next; /* in the loop's spare or dead list */
	struct loop *loop;
	struct connection *connection; /* NULL once answered or gone */
	const struct route *route;     /* NULL until W3 */
	enum request_state state;
	bool held;          /* between request_wait and request_resume */
	bool head_read;     /* `head` is valid */
	bool body_complete; /* implies head_read; what follows in the input is the next request's */
	int64_t started_ns;
	size_t head_bytes;
	size_t body_bytes; /* decoded, so far */
	size_t body_bytes_max;
	size_t scanned; /* http_head_parse */
	struct http_chunked chunked;
	struct kafka_ticket ticket;
	void (*on_ticket)(struct request *req, const struct kafka_ticket *ticket);
	struct store_ticket store_ticket;
	void (*on_store)(struct request *req, struct pg_ticket *ticket);
	struct request_kept *kept; /* NULL: nothing */
	struct timer deadline;
	const char *deadline_code;
	size_t note_count;
	struct request_note notes[REQUEST_NOTES_MAX];
	char id[ID_TEXT_BYTES];
	struct request_auth auth;
	struct http_head head; /* last: 2 KiB that a new request need not clear */
};

/* NULL: out of memory. */
MUSTCHECK struct request *request_new(struct loop *loop, struct connection *conn);
void request_free(struct request *req);

/* Its bytes are still being read. */
static inline bool request_reading(const struct request *req)
{
	return req->state == REQUEST_HEAD || req->state == REQUEST_BODY;
}

/* A ticket came back to its loop: request_resume, then what request_on_ticket set. */
void request_ticket_back(struct kafka_ticket *ticket);

/* W8/W9 without an answer: the client went away. The connection is closing or closed. */
void request_gone(struct request *req);

#endif
