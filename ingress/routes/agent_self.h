/*
 * GET and DELETE /v1/agent: an agent asks who it is, or disconnects itself. A paused agent, and one of a suspended
 * account, may do both.
 *
 *   GET     200 {"agent":{…},"account":{…}}, read from the primary
 *   DELETE  200 {"revoked":true,"in_force":{"nodes":N,"of":M,"after_ms":T}}, withheld until no node accepts the token
 * (R5)
 */
#ifndef WATCHPOST_INGRESS_ROUTES_AGENT_SELF_H
#define WATCHPOST_INGRESS_ROUTES_AGENT_SELF_H

#include "ingress/request.h"

/* Thread: the request's loop. */
void agent_self_get(struct request *req);
void agent_self_delete(struct request *req);

#endif
