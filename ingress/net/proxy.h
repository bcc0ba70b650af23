/*
 * W1: the PROXY protocol header, version 2 (haproxy.org/download/2.8/doc/proxy-protocol.txt), read only from trusted
 * peers, and required from them. A pure function of bytes.
 *
 * Owns: nothing. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_NET_PROXY_H
#define WATCHPOST_INGRESS_NET_PROXY_H

#include "common/bytes.h"
#include "ingress/net/address.h"

enum proxy_result {
	PROXY_PARTIAL, /* *need bytes in all are needed to go on */
	PROXY_DONE,    /* *need bytes were the header */
	PROXY_BAD      /* not version 2, a bad length, or a command or family that means nothing over TCP */
};

enum { PROXY_FIXED_BYTES = 16 };

/* On DONE *has_client tells whether the header names a client (command PROXY over TCP); without one (LOCAL, or an
 * unspecified family: the balancer's own health checks) the socket's peer is the client. Type-length-value fields
 * behind the addresses are passed over. */
MUSTCHECK enum proxy_result proxy_parse(struct bytes text, size_t *need, bool *has_client, struct net_address *client);

#endif
