/*
 * The keys of TLS session tickets: a client that comes back shows its ticket instead of a whole handshake.
 *
 * Keys live in memory alone and change every TICKET_KEY_S; the one before is still read, for clients that come back
 * later, and such a client gets a new ticket. So a key that leaks opens at most what was said in two such times (and
 * with TLS 1.3 nothing, since resumption there makes new secrets). All contexts of the process share them, so sessions
 * survive a reload of the certificate; another node does a whole handshake.
 *
 * Owns: the keys, wiped when they go. Thread: any; a lock that is held for a copy.
 */
#ifndef WATCHPOST_INGRESS_NET_TICKETS_H
#define WATCHPOST_INGRESS_NET_TICKETS_H

#include "common/clock.h"
#include "common/err.h"

struct tickets;

MUSTCHECK struct tickets *tickets_new(const struct clock *clock, struct err *err);
void tickets_free(struct tickets *tickets); /* NULL is legal; after the last context that uses them */

/* What OpenSSL's callback works with. */
enum { TICKET_NAME_BYTES = 16, TICKET_KEY_BYTES = 32 };
struct ticket_key {
	uint8_t name[TICKET_NAME_BYTES];
	uint8_t cipher[TICKET_KEY_BYTES];
	uint8_t mac[TICKET_KEY_BYTES];
};

/* The key to write tickets with; the caller wipes its copy. */
void tickets_current(struct tickets *tickets, struct ticket_key *out);
/* The key of that name; *renew: it is not the current one. False: neither of the two. */
MUSTCHECK bool tickets_find(struct tickets *tickets, const uint8_t name[TICKET_NAME_BYTES], struct ticket_key *out,
			    bool *renew);

#endif
