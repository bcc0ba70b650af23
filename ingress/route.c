#include "ingress/route.h"

#include "ingress/routes/stripe_webhook.h"
#include "ingress/routes/wellknown.h"

/* Most used first: the table is short and looked through in order. */
static const struct route TABLE[] = {
	{"stripe_webhook", HTTP_POST, "/webhooks/stripe", ROUTE_STRIPE, ROUTE_BODY_BY_SETTING, stripe_webhook_handle,
	 false},
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

/* The methods of a path, for the Allow header of a 405. */
static const char *allowed(const struct route *route)
{
	static const char *const ALLOW[] = {
		[HTTP_GET] = "GET, HEAD", [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",       [HTTP_PUT] = "PUT",
		[HTTP_PATCH] = "PATCH",   [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
	};
	_Static_assert(ARRAY_LEN(ALLOW) == HTTP_METHOD_COUNT, "every method has a text");
	return ALLOW[route->method];
}

enum route_match route_find(const struct http_head *head, const struct route **route, const char **allow)
{
	enum http_method method = head->method == HTTP_HEAD ? HTTP_GET : head->method;
	enum route_match match = ROUTE_NO_PATH;
	for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
		if (!bytes_equal_text(head->path, TABLE[i].path))
			continue;
		if (TABLE[i].method == method) {
			*route = &TABLE[i];
			return ROUTE_FOUND;
		}
		*allow = allowed(&TABLE[i]);
		match = ROUTE_NO_METHOD;
	}
	return match;
}
