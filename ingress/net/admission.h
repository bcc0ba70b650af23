/*
 * W1: how many connections there may be, in all and of one client address.
 *
 * Addresses stand in a table of 2 × connections_max cells: a connection has at most one, so it never fills, and what
 * it takes is known from the start. It is shared by the loops under a lock that is held for a few instructions.
 *
 * Owns: the table. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_NET_ADMISSION_H
#define WATCHPOST_INGRESS_NET_ADMISSION_H

#include "common/err.h"
#include "ingress/net/address.h"

struct admission;

MUSTCHECK struct admission *admission_new(size_t connections_max, struct err *err);
void admission_free(struct admission *admission);

/* One more connection, if that is within connections_max. */
MUSTCHECK bool admission_add(struct admission *admission);
void admission_remove(struct admission *admission);
size_t admission_count(const struct admission *admission);

/* One more of this client (net_address_client), if that is within address_max; 0: no limit, and true. */
MUSTCHECK bool admission_add_address(struct admission *admission, const struct net_address *address,
				     int64_t address_max);
/* After an add that was true, with the same address. */
void admission_remove_address(struct admission *admission, const struct net_address *address);

#endif
