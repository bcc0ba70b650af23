/*
 * Requests per second of one client, whatever names him (an address, the digest of a token): a token bucket each, in a
 * table of RATE_CLIENTS_MAX.
 *
 * A bucket holds one second's worth. The table is set-associative: a new client takes the place of the longest
 * unused one of its set, whose bucket is full again by then unless somebody uses many names at once, who then gets
 * more than one would; the limit on connections in all bounds that.
 *
 * Owns: the table. Thread: any; a lock per stripe, held for a few instructions.
 */
#ifndef WATCHPOST_INGRESS_RATE_H
#define WATCHPOST_INGRESS_RATE_H

#include <stdint.h>

#include "common/compiler.h"
#include "common/err.h"

enum { RATE_KEY_BYTES = 16 };

struct rate_table;

MUSTCHECK struct rate_table *rate_table_new(struct err *err);
void rate_table_free(struct rate_table *table);

/* Takes one token of the client that these bytes name (an address: net_address_client first); false: there is none, and
 * *retry_after_s says when there is. rate_per_s 0: no limit. */
MUSTCHECK bool rate_take(struct rate_table *table, const uint8_t key[RATE_KEY_BYTES], int64_t rate_per_s,
			 int64_t now_ns, int *retry_after_s);
/* Gives one back that turned out not to be due. */
void rate_give(struct rate_table *table, const uint8_t key[RATE_KEY_BYTES], int64_t rate_per_s);

#endif
