/*
 * The chunked body (W5): however the input is cut, the verdict and the decoded bytes are the same, and no more is
 * written than was read.
 *
 * The first byte seeds the cuts.
 */
#include <assert.h>
#include <stdlib.h>

#include "ingress/net/body.h"

enum { LIMIT = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct decoded {
	enum http_body_result result;
	const char *reason;
	size_t used;
	size_t len;
	uint8_t *body;
};

/* In place, as a connection does: the body grows where the raw bytes were. */
static struct decoded decode(struct bytes in, unsigned seed)
{
	struct http_chunked chunked;
	struct decoded d = {.result = HTTP_BODY_MORE, .body = malloc(in.len + 1)};

	assert(d.body != NULL);
	http_chunked_init(&chunked, LIMIT);
	while (d.result == HTTP_BODY_MORE && d.used < in.len) {
		size_t len = in.len - d.used;
		size_t used = 0;
		size_t written = 0;
		if (seed != 0) {
			seed = seed * 1103515245u + 12345u;
			size_t cut = 1 + (seed >> 16) % 7;
			len = cut < len ? cut : len;
		}
		memcpy(d.body + d.len, in.data + d.used, len);
		d.result =
			http_chunked_decode(&chunked, bytes_make(d.body + d.len, len), d.body + d.len, &used, &written);
		assert(used <= len && written <= used);
		assert(d.result != HTTP_BODY_MORE || used == len);
		d.used += used;
		d.len += written;
		assert(d.len <= LIMIT && d.len <= chunked.total_bytes);
	}
	d.reason = chunked.reason;
	assert((d.result == HTTP_BODY_BAD) == (d.reason != NULL));
	return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct bytes in = bytes_make(data + 1, size - 1);
	struct decoded whole = decode(in, 0);
	struct decoded pieces = decode(in, 1u + data[0]);

	assert(whole.result == pieces.result && whole.reason == pieces.reason && whole.used == pieces.used);
	assert(whole.len == pieces.len && memcmp(whole.body, pieces.body, whole.len) == 0);
	free(whole.body);
	free(pieces.body);
	return 0;
}
