/*
 * PROXY protocol v2 (W1): what is needed never shrinks and is bounded, no cut of the input changes the verdict, and a
 * client is named only by a header that is done.
 */
#include <assert.h>
#include <stdlib.h>

#include "ingress/net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
	enum proxy_result result;
	size_t need;
	bool has_client;
	struct net_address client;
};

static struct verdict parse(const uint8_t *data, size_t len)
{
	struct verdict v = {.result = PROXY_BAD};
	uint8_t *copy = malloc(len > 0 ? len : 1);

	assert(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	v.result = proxy_parse(bytes_make(copy, len), &v.need, &v.has_client, &v.client);
	free(copy);
	assert(v.need >= PROXY_FIXED_BYTES && v.need <= PROXY_HEADER_BYTES_MAX);
	assert(!v.has_client || v.result == PROXY_DONE);
	assert(v.result != PROXY_DONE || v.need <= len);
	assert(v.result != PROXY_PARTIAL || v.need > len);
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verdict whole = parse(data, size);
	struct verdict piece = {.result = PROXY_PARTIAL, .need = PROXY_FIXED_BYTES};

	for (size_t len = 0; piece.result == PROXY_PARTIAL && len <= size; len++) {
		size_t before = piece.need;
		piece = parse(data, len);
		assert(piece.need >= before || piece.result == PROXY_BAD);
	}
	assert(piece.result == whole.result && piece.has_client == whole.has_client);
	if (whole.result == PROXY_DONE)
		assert(piece.need == whole.need);
	if (whole.has_client)
		assert(net_address_equal(&piece.client, &whole.client));
	return 0;
}
