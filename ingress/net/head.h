/*
 * W2: the request head, parsed strictly (RFC 9112, RFC 9110). A pure function of bytes.
 *
 * No ambiguity is repaired. Refused with 400 and close: bare CR or LF, obs-fold, white space before a
 * colon or before the request line's parts, empty or non-token names, NUL and control bytes, both
 * Content-Length and Transfer-Encoding, more than one of either, a length that is not 1*DIGIT or overflows, a
 * transfer coding other than exactly "chunked", Transfer-Encoding in HTTP/1.0, a missing, doubled or malformed
 * Host in HTTP/1.1, absolute-form, authority-form, asterisk-form or non-ASCII or fragment-bearing targets,
 * percent-encoded NUL, '/' or
 * '\\' and dot segments (routes are plain paths). 431: over HTTP_HEAD_BYTES_MAX or HTTP_HEADERS_MAX. 414:
 * target over HTTP_TARGET_BYTES_MAX. 505: not HTTP/1.0 or 1.1. 501: unknown method token.
 *
 * Owns: nothing; all views point into the text given.
 * Thread: any.
 */
#ifndef WATCHPOST_INGRESS_NET_HEAD_H
#define WATCHPOST_INGRESS_NET_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_METHOD_COUNT };

struct http_header {
	struct bytes name;  /* as received; compare with http_name_is */
	struct bytes value; /* outer white space removed */
};

struct http_head {
	enum http_method method;
	int version_minor;  /* HTTP/1.<minor>: 0 or 1 */
	struct bytes path;  /* from '/' up to '?' */
	struct bytes query; /* after '?', may be empty */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_count;
	bool chunked;
	bool has_length;
	uint64_t content_length; /* 0 when !has_length */
	bool keep_alive;         /* by version and Connection */
	bool expect_continue;    /* Expect: 100-continue; any other expectation is 417 */
};

enum http_head_result {
	HTTP_HEAD_PARTIAL, /* needs more bytes; so far nothing is wrong */
	HTTP_HEAD_DONE,    /* *used bytes made the head, CRLF CRLF included */
	HTTP_HEAD_BAD      /* *status and *reason say what to answer; the connection must close */
};

/* `scanned` remembers across calls how far the end was looked for (start with 0). */
MUSTCHECK enum http_head_result http_head_parse(struct bytes text, size_t *scanned, struct http_head *head,
						size_t *used, int *status, const char **reason);

/* ASCII case-insensitive. */
bool http_name_is(struct bytes name, const char *lower_case_name);
/* The only header of that name; NULL when there is none or (*many set) more than one. `many` may be NULL. */
const struct http_header *http_head_find(const struct http_head *head, const char *lower_case_name, bool *many);
/* After the text was moved from `from` to `to`: the views follow. */
void http_head_rebase(struct http_head *head, const uint8_t *from, const uint8_t *to);
const char *http_method_name(enum http_method method);

#endif
