/*
 * The connection as its own files see it: connection.c (life and steps), connection_io.c (bytes in and out),
 * connection_deadline.c. Others use ingress/net/connection.h.
 */
#ifndef WATCHPOST_INGRESS_NET_CONNECTION_PRIVATE_H
#define WATCHPOST_INGRESS_NET_CONNECTION_PRIVATE_H

#include <event2/event_struct.h>

#include "ingress/loop_private.h"
#include "ingress/net/connection.h"
#include "ingress/timer.h"

enum connection_state { STATE_PROXY, STATE_HANDSHAKE, STATE_OPEN, STATE_LINGER, STATE_CLOSED };
enum connection_deadline {
	DEADLINE_NONE,
	DEADLINE_HEAD,
	DEADLINE_BODY,
	DEADLINE_IDLE,
	DEADLINE_WRITE,
	DEADLINE_LINGER
};

/* The header of PROXY v2 while it arrives; gone afterwards. */
struct connection_proxy {
	size_t len;
	size_t need;
	uint8_t bytes[PROXY_HEADER_BYTES_MAX];
};

struct connection {
	struct loop *loop;
	int fd;
	enum connection_kind kind;
	enum connection_state state;
	enum connection_deadline deadline; /* what `timer` runs for; NONE: it does not run */
	bool readable;                     /* the socket may have bytes or an end that we have not read */
	bool hanging_up;                   /* the peer sent its FIN: reads go on until the end is seen */
	bool ended;                        /* the end of input was read */
	bool closing;                      /* no further request; close when the output is written */
	bool cut_off;                      /* the last request was not read to its end */
	bool broken;                       /* the socket failed: nothing can be written */
	bool written_full;                 /* the socket took less than was there */
	bool touched;                      /* in the list of this turn's work */
	bool advancing;                    /* advance() is under way and will write */
	bool admitted;                     /* counted under its client's address */
	bool secure;                       /* the client's side is encrypted */
	bool served;                       /* one request was answered */
	struct event event;                /* edge-triggered: once registered, never changed */
	struct tls *tls;                   /* NULL: plain */
	struct connection_proxy *proxy;
	struct request *request;
	struct block_buf in;
	struct block_buf out;
	size_t lingered_bytes;
	struct timer timer;
	struct net_address address;
	struct connection *prev; /* the loop's list of all */
	struct connection *next;
	struct loop_link touched_link;
	struct loop_link dead_link;
};

/* connection.c: goes on at the end of this turn. */
void connection_touch(struct connection *conn);

/* connection_io.c: writes what the socket takes; conn->written_full or conn->broken say why something is left. */
void connection_flush(struct connection *conn);
/* connection_io.c: reads once into the input. False: nothing came (none there, the end, a failure, or no room). */
MUSTCHECK bool connection_fill(struct connection *conn);

/* connection_deadline.c: this one's time is over, if it runs: when it is asked for again, it begins anew. */
void connection_end_deadline(struct connection *conn, enum connection_deadline deadline);
/* connection_deadline.c: starts the deadline that the present state asks for, if it is another than before. */
void connection_update_deadline(struct connection *conn);
/* connection_deadline.c: the timer's callback: 408 for a request being read, else the connection closes. */
void connection_on_deadline(struct timer *timer);

#endif
