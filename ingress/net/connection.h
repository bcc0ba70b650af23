/*
 * One client connection: the socket, TLS, its buffers and its deadlines. It knows bytes, not requests: what bytes mean
 * is ingress/receive.h, what an answer is ingress/finish.c.
 *
 *   PROXY -> HANDSHAKE -> OPEN -> (LINGER ->) CLOSED -> freed at the end of the loop's turn
 *
 * One request at a time. While one waits, its connection is not read (the kernel's buffer pushes back), but a reset
 * is noticed and a half-closed peer still gets its answer. Answers go out together once per turn of the loop.
 *
 * Deadlines: head (from the accept, or from the first byte of a later request, to the end of the head), body, idle,
 * write (from the first byte that the socket did not take until all are gone); none of them is moved by a byte that
 * trickles in.
 *
 * Owns: the socket, the buffers and the request that is not yet answered. Thread: the loop's.
 */
#ifndef WATCHPOST_INGRESS_NET_CONNECTION_H
#define WATCHPOST_INGRESS_NET_CONNECTION_H

#include "ingress/net/address.h"
#include "ingress/net/block.h"

struct connection;
struct loop;
struct request;

enum connection_kind {
	CONNECTION_PUBLIC,  /* the route table */
	CONNECTION_REDIRECT /* plain: every request is sent to https */
};

/* Takes an accepted, non-blocking socket over; closes it when a limit or memory refuses. */
void connection_open(struct loop *loop, int fd, enum connection_kind kind, const struct net_address *peer);

/* What of the input was not consumed; the views of a head in it are rebased when it moves. */
struct block_buf *connection_in(struct connection *conn);
/* Room for `len` bytes of output behind the end; NULL when memory or the bound refuses: the connection is closed. */
MUSTCHECK struct block_buf *connection_out(struct connection *conn, size_t len);

struct request *connection_request(const struct connection *conn);
void connection_set_request(struct connection *conn, struct request *req);
enum connection_kind connection_kind(const struct connection *conn);
const struct net_address *connection_address(const struct connection *conn);
/* The client's side is encrypted, by us or by the balancer that speaks PROXY. */
bool connection_secure(const struct connection *conn);
struct loop *connection_loop(const struct connection *conn);
/* A further request may be read from what is there: nothing closes and the answers are not piling up. */
bool connection_takes_requests(const struct connection *conn);
/* The next of the loop's connections; NULL: it is the last. */
struct connection *connection_next(const struct connection *conn);

/* The request's answer stands in the output; the output is written at the end of the turn at the latest. */
enum connection_after {
	CONNECTION_GOES_ON, /* what follows in the input is the next request */
	CONNECTION_CLOSES,  /* no further request */
	CONNECTION_CUTS_OFF /* nor was this one read to its end: the rest is read and thrown away for a while */
};
/* `used` bytes of input were the request's. */
void connection_answered(struct connection *conn, size_t used, enum connection_after after);
/* An interim answer (100) stands in the output. */
void connection_flush_soon(struct connection *conn);

/* Thread: the loop's, at the end of a turn. Goes on with pipelined requests and writes. */
void connection_turn(struct connection *conn);
/* Closes at once what is idle; the rest after its present answer, or when no first request comes within a second. */
void connection_drain(struct connection *conn);
/* Closes at once; a request under way is logged as gone. */
void connection_close(struct connection *conn);
/* It stands in the list of what goes on at the end of this turn, or of the next one. */
bool connection_touched(const struct connection *conn);
/* Frees what connection_close closed, when it is not touched. */
void connection_free(struct connection *conn);

#endif
