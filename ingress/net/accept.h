/*
 * W1: a listening socket of one loop. Every loop has its own on the same port (SO_REUSEPORT); the kernel spreads
 * connections over them.
 *
 * Owns: its socket. Thread: the loop's, but listener_open, which runs before the loop starts.
 */
#ifndef WATCHPOST_INGRESS_NET_ACCEPT_H
#define WATCHPOST_INGRESS_NET_ACCEPT_H

#include "common/compiler.h"
#include "common/err.h"
#include "ingress/net/connection.h"

struct listener;

/* *port 0 takes a free one and sets it. A port that another process listens on is refused by the first loop. */
MUSTCHECK struct listener *listener_open(struct loop *loop, const char *address, int *port, enum connection_kind kind,
					 struct err *err);
/* Accepts what the kernel has already queued, then closes the socket. NULL is legal. */
void listener_close(struct listener *listener);

#endif
