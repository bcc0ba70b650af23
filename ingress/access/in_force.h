/*
 * R4 and R5: a request that takes access away, and the answer that is withheld until it is in force on every node.
 *
 * The change is one call of Postgres whose first column is the change's number. An outcome that is not known (time
 * over, connection lost) is never answered but asked again: the functions return the stored number when they are
 * repeated. When the change is committed, the nodes are counted every IN_FORCE_POLL_MS until all show the number, or
 * until ACCESS_WAIT_MS have passed on this process's clock since the commit returned; by then no lease is older than
 * the change.
 *
 *   in_force_make → the call, again while its outcome is unknown → committed → count, count … → done
 *
 * Nothing here blocks: the request waits while the loop goes on. A client that goes away ends the waiting, not the
 * change.
 *
 * Owns: the waiting belongs to the request and ends with it; the parameters are taken over.
 * Thread: the request's loop. Errors: finishes the request with 503 when nothing was sent, or when the outcome stays
 * unknown for IN_FORCE_UNKNOWN_MS (the client calls again).
 */
#ifndef WATCHPOST_INGRESS_ACCESS_IN_FORCE_H
#define WATCHPOST_INGRESS_ACCESS_IN_FORCE_H

#include "ingress/request.h"
#include "ingress/store/store.h"

struct in_force {
	bool refused; /* the function said no (SQLSTATE WP…): nothing was changed, `code` says why */
	enum err_code code;
	int64_t number;   /* of the change */
	int64_t nodes;    /* that show it … */
	int64_t of;       /* … of so many */
	int64_t after_ms; /* since the commit returned */
};

/* Makes the change and waits; then done(req, result) is called with the request unanswered, and must finish it. */
void in_force_make(struct request *req, enum store_call call, struct pg_params *params,
		   void (*done)(struct request *req, const struct in_force *result));

#endif
