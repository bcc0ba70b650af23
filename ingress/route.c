#include "ingress/route.h"

#include <assert.h>
#include <stdio.h>

#include "ingress/routes/agent_events.h"
#include "ingress/routes/agent_self.h"
#include "ingress/routes/stripe_webhook.h"
#include "ingress/routes/wellknown.h"

/* Most used first: the table is short and looked through in order. */
static const struct route TABLE[] = {
	{"stripe_webhook", HTTP_POST, "/webhooks/stripe", ROUTE_STRIPE, ROUTE_BODY_BY_SETTING, stripe_webhook_handle,
	 false},
	{"agent_events", HTTP_POST, "/v1/events", ROUTE_AGENT, AGENT_EVENTS_BODY_BYTES_MAX, agent_events_handle, false},
	{"agent", HTTP_GET, "/v1/agent", ROUTE_AGENT, 0, agent_self_get, true},
	{"agent_disconnect", HTTP_DELETE, "/v1/agent", ROUTE_AGENT, 0, agent_self_delete, true},
	{"security_txt", HTTP_GET, "/.well-known/security.txt", ROUTE_ANYBODY, 0, wellknown_security_txt, false},
	{"security_page", HTTP_GET, "/security", ROUTE_ANYBODY, 0, wellknown_security_page, false},
	{"openapi", HTTP_GET, "/v1/openapi.json", ROUTE_ANYBODY, 0, wellknown_openapi, false},
};

const struct route *route_table(size_t *count)
{
	*count = ARRAY_LEN(TABLE);
	return TABLE;
}

size_t route_body_bytes_max(const struct route *route, const struct config *config)
{
	if (route->body_bytes_max == ROUTE_BODY_BY_SETTING)
		return (size_t)config->webhook_body_bytes_max;
	return route->body_bytes_max;
}

static void add_method(char allow[ROUTE_ALLOW_BYTES], const char *method)
{
	size_t len = strlen(allow);
	int added = snprintf(allow + len, ROUTE_ALLOW_BYTES - len, "%s%s", len > 0 ? ", " : "", method);
	assert(added > 0 && (size_t)added < ROUTE_ALLOW_BYTES - len);
	(void)added;
}

enum route_match route_find(const struct http_head *head, const struct route **route, char allow[ROUTE_ALLOW_BYTES])
{
	enum http_method method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
	enum route_match match = ROUTE_NO_PATH;
	allow[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
		if (!bytes_equal_text(head->path, TABLE[i].path))
			continue;
		if (TABLE[i].method == method) {
			*route = &TABLE[i];
			return ROUTE_FOUND;
		}
		add_method(allow, http_method_name(TABLE[i].method));
		if (TABLE[i].method == HTTP_GET)
			add_method(allow, "HEAD");
		match = ROUTE_NO_METHOD;
	}
	return match;
}
