/*
 * The admin listener of every server: a small HTTP/1.1 server on a thread of its own, for operators and their tools.
 *
 *   GET  /healthz    200 "alive", or 503: the program's loops do not turn (restart it)
 *   GET  /readyz     200 "ready", or 503 and a reason per line (send no traffic yet)
 *   GET  /metrics    Prometheus text format 0.0.4
 *   GET  /log/level  the level; POST sets it: the body is error, warn, info or debug
 *   GET  /log/trace  the topics; POST sets them: the body is "http,kafka" …, "none" or "all"
 *
 * HEAD is answered like GET. A POST with an Origin header is refused with 403, so that no web page changes anything
 * through a browser on the same machine. One request per connection; at most ADMIN_CONNECTIONS_MAX at a time, each
 * closed after ADMIN_TIMEOUT_MS.
 *
 * Owns: admin_start's result, freed by admin_stop. Thread: callbacks run on the listener's thread, one at a time.
 */
#ifndef WATCHPOST_COMMON_ADMIN_H
#define WATCHPOST_COMMON_ADMIN_H

#include "common/buf.h"
#include "common/err.h"

struct admin;

struct admin_options {
	const char *address; /* numeric; used until admin_start returns */
	int port;            /* 0: a free one */
	void *cookie;        /* passed to the callbacks */
	bool (*alive)(void *cookie);
	/* Appends one line per reason not to be ready; true when there is none. */
	bool (*ready)(void *cookie, struct buf *reasons);
	/* Appends samples; false: memory or the bound refused, and the answer is 500. */
	bool (*metrics)(void *cookie, struct buf *out);
};

/* Errors: ERR_INVALID for the address, ERR_IO for the port. */
MUSTCHECK struct admin *admin_start(const struct admin_options *options, struct err *err);
int admin_port(const struct admin *admin);
/* Ends the thread; no callback runs after it. NULL is legal. */
void admin_stop(struct admin *admin);

#endif
