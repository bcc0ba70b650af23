#include "ingress/routes/redirect.h"

#include <assert.h>
#include <stdio.h>

#include "ingress/ingress.h"
#include "ingress/loop.h"

enum { HTTPS_PORT = 443, HOST_BYTES_MAX = 253 + 2 /* a DNS name, or an IPv6 address in brackets */ };

/* The host without its port; empty when it is too long. */
static struct bytes host_of(const struct http_head *head)
{
	const struct http_header *header = http_head_find(head, "host", NULL);
	if (header == NULL)
		return bytes_make(NULL, 0);
	struct bytes host = header->value;
	const uint8_t *from = memchr(host.data, ']', host.len);
	size_t start = from != NULL ? (size_t)(from - host.data) : 0;
	const uint8_t *colon = memchr(host.data + start, ':', host.len - start);
	if (colon != NULL)
		host.len = (size_t)(colon - host.data);
	return host.len <= HOST_BYTES_MAX ? host : bytes_make(NULL, 0);
}

void redirect_answer(struct request *req)
{
	const struct http_head *head = request_head(req);
	const struct ingress *ingress = loop_ingress(request_loop(req));
	char port[16] = "";
	char location[HTTP_RESPONSE_HEAD_BYTES_MAX / 2];
	struct bytes host = host_of(head);
	if (ingress->public_port != HTTPS_PORT)
		(void)snprintf(port, sizeof(port), ":%d", ingress->public_port);
	int len = snprintf(location, sizeof(location), "Location: https://%.*s%s%.*s%s%.*s\r\n", (int)host.len,
			   (const char *)host.data, port, (int)head->path.len, (const char *)head->path.data,
			   head->query.len > 0 ? "?" : "", (int)head->query.len, (const char *)head->query.data);
	if (host.len == 0 || len < 0 || (size_t)len >= sizeof(location)) {
		request_fail(req, &(struct problem){.status = 400,
						    .code = "bad_request",
						    .reason = "redirect_impossible",
						    .close = true});
		return;
	}
	request_finish(req,
		       &(struct answer){.status = 308, .reason = "redirected", .headers = location, .close = true});
}
