/*
 * Requests per second of one client address: a token bucket each, in a table of RATE_ADDRESSES_MAX.
 *
 * A bucket holds one second's worth. The table is set-associative: a new address takes the place of the longest
 * unused one of its set, whose bucket is full again by then unless somebody uses many addresses at once, who then gets
 * more than one address would; the limit on connections in all bounds that.
 *
 * Owns: the table. Thread: any; a lock per stripe, held for a few instructions.
 */
#ifndef WATCHPOST_INGRESS_RATE_H
#define WATCHPOST_INGRESS_RATE_H

#include "common/err.h"
#include "ingress/net/address.h"

struct rate_table;

MUSTCHECK struct rate_table *rate_table_new(struct err *err);
void rate_table_free(struct rate_table *table);

/* Takes one token; false: there is none, and *retry_after_s says when there is. rate_per_s 0: no limit. */
MUSTCHECK bool rate_take(struct rate_table *table, const struct net_address *address, int64_t rate_per_s,
			 int64_t now_ns, int *retry_after_s);

#endif
