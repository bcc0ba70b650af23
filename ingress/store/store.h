/*
 * W7 through Postgres: two pipelined connections of each loop (common/pg_pipe.h), one that asks and one that changes,
 * and the one table of what the ingress calls. Nothing here waits. Calls of one connection are answered in order, and
 * those of both at the same time: who needs the answer to a change sends what builds on it afterwards.
 *
 * A request calls one function and is answered after its commit: store_request. Who has no request (look-ups of tokens)
 * sends tickets of its own: store_send.
 *
 * Owns: a ticket is its owner's, who keeps it alive from STORE_SENT until `done` was called. Parameters are copied.
 * Thread: the loop's.
 * Errors: as in the ticket of common/pg_pipe.h. A request whose call cannot be sent is finished with 503.
 */
#ifndef WATCHPOST_INGRESS_STORE_STORE_H
#define WATCHPOST_INGRESS_STORE_STORE_H

#include "common/pg_pipe.h"
#include "ingress/request.h"

struct store;
struct loop;

enum store_call {
	STORE_AGENT_LOOKUP,     /* api.agent_lookup(token hash) */
	STORE_AGENT_SELF,       /* api.agent_self(token hash) */
	STORE_AGENT_DISCONNECT, /* api.agent_disconnect(token hash) */
	STORE_ACCESS_IN_FORCE,  /* api.access_in_force(number) */
	STORE_CALL_COUNT
};

struct store_ticket {
	struct pg_ticket pg;
	void (*done)(struct store_ticket *ticket); /* on the loop's thread; pg.result is the callee's to free */
};

/* Does not connect yet. */
MUSTCHECK struct store *store_open(struct loop *loop, struct err *err);
/* What is under way comes back failed. NULL is legal. */
void store_close(struct store *store);
/* After a reload. */
void store_reload(struct store *store, const struct config *config);

/* What this call goes through is connected, and its statement prepared. */
bool store_up(const struct store *store, enum store_call call);
/* Any thread: all is, as it was at the loop's last turn with it. */
bool store_was_up(const struct store *store);

/* False: not sent (no connection, too much under way); `done` is not called. */
MUSTCHECK bool store_send(struct store *store, enum store_call call, const struct pg_params *params,
			  struct store_ticket *ticket);

/* The request waits; then `done` is called with the request unanswered, and must finish it or wait again. Finishes it
 * itself when the call cannot be sent or the time (STORE_TIMEOUT_MS) is over; then the outcome of a call that was
 * sent is unknown. */
void store_request(struct request *req, enum store_call call, const struct pg_params *params,
		   void (*done)(struct request *req, struct pg_ticket *ticket));

#endif
