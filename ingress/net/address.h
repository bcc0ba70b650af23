/*
 * A client's IP address, and the blocks of addresses that are trusted to speak for clients.
 */
#ifndef WATCHPOST_INGRESS_NET_ADDRESS_H
#define WATCHPOST_INGRESS_NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/compiler.h"
#include "common/err.h"

/* IPv4 addresses stand in their IPv6-mapped form, so that there is one kind. */
struct net_address {
	uint8_t bytes[16];
};

/* False: not an IP address family; *out is all zero then. */
bool net_address_of(const struct sockaddr *sa, struct net_address *out);
void net_address_of_v4(const uint8_t octets[4], struct net_address *out);

/* What is counted and limited as one client: an IPv4 address, or an IPv6 /64, which one subscriber has whole. */
struct net_address net_address_client(const struct net_address *address);
bool net_address_equal(const struct net_address *a, const struct net_address *b);
/* Seeded per process (SipHash-like strength is not claimed: tables that use it are bounded). */
uint64_t net_address_hash(const struct net_address *address, uint64_t seed);

/* Addresses and CIDR blocks from a comma-separated text. */
struct net_blocks {
	struct net_block {
		struct net_address address;
		int prefix_bits;
	} items[NET_BLOCKS_MAX];
	size_t count;
};
MUSTCHECK bool net_blocks_parse(const char *text, struct net_blocks *out, struct err *err);
bool net_blocks_contain(const struct net_blocks *blocks, const struct net_address *address);

#endif
