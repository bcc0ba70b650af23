/*
 * W1: TLS 1.2 and 1.3 on a non-blocking socket, through OpenSSL.
 *
 * A context is one certificate with its key; it is never written after it was made. Sessions are resumed by tickets
 * (no memory per client here; ingress/net/tickets.h). ALPN: http/1.1; a
 * client that offers only other protocols is refused. No renegotiation, no compression, no early data.
 *
 * A struct tls is read ahead of: one read of the socket per burst of bytes, and none while the last one came back
 * short and no new event was seen (tls_readable).
 *
 * Owns: a struct tls holds a reference on its context's certificate, so a reload does not touch it; the socket stays
 * the caller's. Thread: context any; struct tls the loop's.
 */
#ifndef WATCHPOST_INGRESS_NET_TLS_H
#define WATCHPOST_INGRESS_NET_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "common/compiler.h"
#include "common/err.h"
#include "ingress/net/tickets.h"

struct tls_context;
struct tls;

/* `tickets` must outlive the context and its connections. Errors: ERR_INVALID naming the file. */
MUSTCHECK struct tls_context *tls_context_new(const char *certificate_file, const char *key_file,
					      struct tickets *tickets, struct err *err);
void tls_context_free(struct tls_context *context);

enum tls_result {
	TLS_DONE,
	TLS_AGAIN,  /* wait for the next event */
	TLS_CLOSED, /* the peer closed, orderly or not */
	TLS_BROKEN  /* a protocol error; close the socket */
};

/* NULL: out of memory. */
MUSTCHECK struct tls *tls_new(const struct tls_context *context, int fd);
void tls_free(struct tls *tls);

/* The socket may have bytes again. */
void tls_readable(struct tls *tls);
/* The socket has bytes, as far as is known. */
bool tls_has_input(const struct tls *tls);
MUSTCHECK enum tls_result tls_handshake(struct tls *tls);
/* *got > 0 when DONE. */
MUSTCHECK enum tls_result tls_read(struct tls *tls, uint8_t *to, size_t cap, size_t *got);
/* *put > 0 when DONE; it may be less than len. After AGAIN the same bytes are offered again. */
MUSTCHECK enum tls_result tls_write(struct tls *tls, const uint8_t *from, size_t len, size_t *put);
/* Sends close_notify if the socket takes it; does not wait for the peer's. */
void tls_shutdown(struct tls *tls);

#endif
