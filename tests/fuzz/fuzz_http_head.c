/*
 * The request head (W2): no cut of the input changes the verdict, and every view lies within the text.
 *
 * Each input is parsed whole and then byte by byte with the remembered position.
 */
#include <assert.h>
#include <stdlib.h>

#include "ingress/net/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
	enum http_head_result result;
	int status;
	const char *reason;
	size_t used;
	size_t at; /* how much of the text had been given */
};

static struct verdict parse(struct bytes text, size_t *scanned, struct http_head *head)
{
	struct verdict v = {.at = text.len};

	v.result = http_head_parse(text, scanned, head, &v.used, &v.status, &v.reason);
	assert(*scanned <= text.len);
	return v;
}

static void assert_within(struct bytes view, struct bytes text)
{
	assert(view.len == 0 || (view.data >= text.data && view.data + view.len <= text.data + text.len));
}

static void assert_head(const struct http_head *head, struct bytes text)
{
	assert(head->header_count <= HTTP_HEADERS_MAX && head->method < HTTP_METHOD_COUNT);
	assert(head->version_minor == 0 || head->version_minor == 1);
	assert(!(head->chunked && head->has_length) && (head->has_length || head->content_length == 0));
	assert(head->path.len > 0 && head->path.data[0] == '/');
	assert_within(head->path, text);
	assert_within(head->query, text);
	for (size_t i = 0; i < head->header_count; i++) {
		assert(head->headers[i].name.len > 0);
		assert_within(head->headers[i].name, text);
		assert_within(head->headers[i].value, text);
		assert(memchr(head->headers[i].value.data, '\r', head->headers[i].value.len) == NULL);
		assert(memchr(head->headers[i].value.data, '\n', head->headers[i].value.len) == NULL);
	}
}

/* A copy of exactly `len` bytes, so that the address sanitizer sees a byte read beyond it. */
static struct verdict parse_copy(const uint8_t *data, size_t len, size_t *scanned, struct http_head *head)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	struct bytes text = bytes_make(copy, len);
	struct verdict v = parse(text, scanned, head);
	if (v.result == HTTP_HEAD_DONE) {
		assert(v.used > 0 && v.used <= len);
		assert_head(head, bytes_make(copy, v.used));
	}
	free(copy);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	struct verdict piece = {.result = HTTP_HEAD_PARTIAL};
	size_t scanned = 0;
	struct verdict whole = parse_copy(data, size, &scanned, &head);

	scanned = 0;
	/* Long inputs in larger steps: the cost would be quadratic. */
	size_t step = 1 + size / 512;
	for (size_t len = 0; piece.result == HTTP_HEAD_PARTIAL && len <= size; len += step)
		piece = parse_copy(data, len, &scanned, &head);
	if (piece.result == HTTP_HEAD_PARTIAL && piece.at < size)
		piece = parse_copy(data, size, &scanned, &head);
	assert(piece.result == whole.result);
	if (whole.result == HTTP_HEAD_BAD)
		assert(piece.status == whole.status && piece.reason == whole.reason && whole.status >= 400);
	if (whole.result == HTTP_HEAD_DONE)
		assert(piece.used == whole.used);
	return 0;
}
