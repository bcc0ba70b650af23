/*
 * W3: the one table of routes. A route is a row; a family of routes is a file under ingress/routes/.
 */
#ifndef WATCHPOST_INGRESS_ROUTE_H
#define WATCHPOST_INGRESS_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "ingress/net/head.h"
#include "ingress/request.h"

/* Who may call; decides what W4 checks before the body is read. */
enum route_caller {
	ROUTE_ANYBODY,
	ROUTE_STRIPE, /* authenticated by the signature over the body, in the handler */
	ROUTE_AGENT,  /* bearer token */
	ROUTE_OWNER   /* session cookie */
};

/* body_bytes_max: the setting webhook_body_bytes_max. */
#define ROUTE_BODY_BY_SETTING SIZE_MAX

struct route {
	const char *name;        /* for log and metrics: "stripe_webhook" */
	enum http_method method; /* HTTP_GET answers HEAD too */
	const char *path;        /* exact */
	enum route_caller caller;
	size_t body_bytes_max; /* 0: a body is refused */
	void (*handle)(struct request *req);
	bool serves_paused; /* ROUTE_AGENT: also a paused agent, and one of a suspended account */
};

enum route_match { ROUTE_FOUND, ROUTE_NO_PATH /* 404 */, ROUTE_NO_METHOD /* 405 */ };

/* The limit in force for this route's body. */
size_t route_body_bytes_max(const struct route *route, const struct config *config);

/* The longest Allow header: every method, ", " between. */
enum { ROUTE_ALLOW_BYTES = 64 };

/* allow: text for the Allow header, NUL-terminated; set with ROUTE_NO_METHOD. */
MUSTCHECK enum route_match route_find(const struct http_head *head, const struct route **route,
				      char allow[ROUTE_ALLOW_BYTES]);

/* Every row, for metrics and tests. */
const struct route *route_table(size_t *count);

#endif
