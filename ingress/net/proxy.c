#include "ingress/net/proxy.h"

#include <assert.h>

static const uint8_t SIGNATURE[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum {
	VERSION_LOCAL = 0x20,
	VERSION_PROXY = 0x21,
	FAMILY_UNSPEC = 0x00,
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	TCP4_BYTES = 4 + 4 + 2 + 2,
	TCP6_BYTES = 16 + 16 + 2 + 2
};

/* The part behind the fixed bytes; `block` is whole. */
static enum proxy_result parse_addresses(uint8_t version, uint8_t family, struct bytes block, bool *has_client,
					 struct net_address *client)
{
	if (version == VERSION_LOCAL)
		return PROXY_DONE;
	switch (family) {
	case FAMILY_UNSPEC:
		return PROXY_DONE;
	case FAMILY_TCP4:
		if (block.len < TCP4_BYTES)
			return PROXY_BAD;
		net_address_of_v4(block.data, client);
		break;
	case FAMILY_TCP6:
		if (block.len < TCP6_BYTES)
			return PROXY_BAD;
		memcpy(client->bytes, block.data, sizeof(client->bytes));
		break;
	default:
		return PROXY_BAD;
	}
	*has_client = true;
	return PROXY_DONE;
}

enum proxy_result proxy_parse(struct bytes text, size_t *need, bool *has_client, struct net_address *client)
{
	size_t known = text.len < sizeof(SIGNATURE) ? text.len : sizeof(SIGNATURE);
	*has_client = false;
	*need = PROXY_FIXED_BYTES;
	if (known > 0 && memcmp(text.data, SIGNATURE, known) != 0)
		return PROXY_BAD;
	if (text.len > 12 && text.data[12] != VERSION_LOCAL && text.data[12] != VERSION_PROXY)
		return PROXY_BAD;
	if (text.len < PROXY_FIXED_BYTES)
		return PROXY_PARTIAL;
	size_t block_bytes = (size_t)text.data[14] << 8 | text.data[15];
	if (block_bytes > PROXY_HEADER_BYTES_MAX - PROXY_FIXED_BYTES)
		return PROXY_BAD;
	*need = PROXY_FIXED_BYTES + block_bytes;
	if (text.len < *need)
		return PROXY_PARTIAL;
	assert(*need <= PROXY_HEADER_BYTES_MAX);
	return parse_addresses(text.data[12], text.data[13], bytes_make(text.data + PROXY_FIXED_BYTES, block_bytes),
			       has_client, client);
}
