/*
 * W5: the chunked body, decoded strictly (RFC 9112, section 7.1). A pure function of bytes and a small state.
 *
 * Refused as ambiguous: a size that is not plain hexadecimal digits directly followed by CRLF or ';', white space
 * around it, a chunk line over HTTP_CHUNK_LINE_BYTES_MAX, bare CR or LF anywhere, control or non-ASCII bytes in
 * extensions, data not followed by CRLF, a malformed trailer line, trailers over HTTP_TRAILER_BYTES_MAX. Extensions and
 * trailers mean nothing here and are passed over.
 *
 * Owns: nothing. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_NET_BODY_H
#define WATCHPOST_INGRESS_NET_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/limits.h"

enum http_body_result {
	HTTP_BODY_MORE,     /* all input was used; so far nothing is wrong */
	HTTP_BODY_DONE,     /* the body is whole; input behind it was not used */
	HTTP_BODY_BAD,      /* 400 and close */
	HTTP_BODY_TOO_LARGE /* 413 and close */
};

/* The decoder's place; written by the functions below alone. */
struct http_chunked {
	uint8_t state;
	bool size_seen;      /* at least one digit of the present size */
	uint64_t left_bytes; /* of the present chunk */
	size_t total_bytes;  /* declared so far */
	size_t total_bytes_max;
	size_t line_bytes; /* of the present chunk line */
	size_t trailer_bytes;
	const char *reason; /* static word when BAD */
};

void http_chunked_init(struct http_chunked *chunked, size_t body_bytes_max);

/* Decodes `in` to `out`, which may be the same memory or lie before it, and holds in.len bytes. *used and *written
 * are set whatever the result. After DONE, BAD or TOO_LARGE it is not called again. */
MUSTCHECK enum http_body_result http_chunked_decode(struct http_chunked *chunked, struct bytes in, uint8_t *out,
						    size_t *used, size_t *written);

#endif
