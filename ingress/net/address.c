#include "ingress/net/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
enum { MAPPED_BITS = 96, ADDRESS_BITS = 128 };

void net_address_of_v4(const uint8_t octets[4], struct net_address *out)
{
	memcpy(out->bytes, MAPPED, sizeof(MAPPED));
	memcpy(out->bytes + sizeof(MAPPED), octets, 4);
}

bool net_address_of(const struct sockaddr *sa, struct net_address *out)
{
	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, sa, sizeof(in));
		uint8_t octets[4];
		memcpy(octets, &in.sin_addr, sizeof(octets));
		net_address_of_v4(octets, out);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, sizeof(out->bytes));
		return true;
	}
	return false;
}

struct net_address net_address_client(const struct net_address *address)
{
	struct net_address client = *address;
	if (memcmp(address->bytes, MAPPED, sizeof(MAPPED)) != 0)
		memset(client.bytes + 8, 0, 8);
	return client;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* The finaliser of splitmix64, over the two halves. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t net_address_hash(const struct net_address *address, uint64_t seed)
{
	uint64_t half[2];
	memcpy(half, address->bytes, sizeof(half));
	return mix(mix(seed ^ half[0]) + half[1]);
}

static bool parse_block(const char *text, struct net_block *out)
{
	char address[INET6_ADDRSTRLEN + 1];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	uint8_t octets[4];
	if (len == 0 || len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	bool v4 = inet_pton(AF_INET, address, octets) == 1;
	if (v4)
		net_address_of_v4(octets, &out->address);
	else if (inet_pton(AF_INET6, address, out->address.bytes) != 1)
		return false;
	int most = v4 ? ADDRESS_BITS - MAPPED_BITS : ADDRESS_BITS;
	long bits = most;
	if (slash != NULL) {
		char *end = NULL;
		bits = strtol(slash + 1, &end, 10);
		if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
			return false;
	}
	out->prefix_bits = (int)bits + (v4 ? MAPPED_BITS : 0);
	return true;
}

bool net_blocks_parse(const char *text, struct net_blocks *out, struct err *err)
{
	char word[INET6_ADDRSTRLEN + 8];
	out->count = 0;
	while (*text != '\0') {
		size_t len = strcspn(text, ",");
		const char *next = text + len + (text[len] == ',' ? 1 : 0);
		while (len > 0 && *text == ' ') {
			text++;
			len--;
		}
		while (len > 0 && text[len - 1] == ' ')
			len--;
		if (out->count == NET_BLOCKS_MAX)
			return err_set(err, ERR_TOO_LARGE, "more than %d addresses", NET_BLOCKS_MAX);
		if (len == 0 || len >= sizeof(word))
			return err_set(err, ERR_INVALID, "not an address or a CIDR block");
		memcpy(word, text, len);
		word[len] = '\0';
		if (!parse_block(word, &out->items[out->count]))
			return err_set(err, ERR_INVALID, "\"%s\" is not an address or a CIDR block", word);
		out->count++;
		text = next;
	}
	return true;
}

static bool block_contains(const struct net_block *block, const struct net_address *address)
{
	size_t whole = (size_t)block->prefix_bits / 8;
	int rest = block->prefix_bits % 8;
	assert(block->prefix_bits >= 0 && block->prefix_bits <= ADDRESS_BITS);
	if (memcmp(block->address.bytes, address->bytes, whole) != 0)
		return false;
	if (rest == 0)
		return true;
	int mask = 0xff << (8 - rest);
	return ((block->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

bool net_blocks_contain(const struct net_blocks *blocks, const struct net_address *address)
{
	for (size_t i = 0; i < blocks->count; i++) {
		if (block_contains(&blocks->items[i], address))
			return true;
	}
	return false;
}
