/* Bytes of a connection, in and out: one read and one write of the socket per burst. */
#include <errno.h>
#include <sys/socket.h>

#include "ingress/net/connection_private.h"
#include "ingress/net/tls.h"
#include "ingress/receive.h"
#include "ingress/request_private.h"

struct block_buf *connection_out(struct connection *conn, size_t len)
{
	if (conn->state != STATE_OPEN || conn->broken)
		return NULL;
	/* The pipeline pauses at CONNECTION_OUT_BYTES_MAX; one answer may come on top. */
	if (!block_buf_reserve(&conn->out, &conn->loop->blocks, len, 2 * CONNECTION_OUT_BYTES_MAX)) {
		conn->broken = true;
		connection_flush_soon(conn);
		return NULL;
	}
	return &conn->out;
}

/* Bytes written; 0: the socket is full; -1: it failed. */
static ssize_t write_some(struct connection *conn)
{
	size_t len = block_buf_len(&conn->out);
	if (conn->tls == NULL) {
		ssize_t put = send(conn->fd, block_buf_at(&conn->out), len, MSG_NOSIGNAL);
		return put < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : put;
	}
	size_t put = 0;
	switch (tls_write(conn->tls, block_buf_at(&conn->out), len, &put)) {
	case TLS_DONE:
		return (ssize_t)put;
	case TLS_AGAIN:
		return 0;
	default:
		return -1;
	}
}

void connection_flush(struct connection *conn)
{
	while (block_buf_len(&conn->out) > 0 && !conn->broken) {
		ssize_t put = write_some(conn);
		conn->broken = put < 0;
		conn->written_full = put == 0;
		if (put <= 0)
			return;
		block_buf_drop(&conn->out, (size_t)put);
	}
	conn->written_full = false;
	/* The client has taken all: what is written later has its own time. */
	connection_end_deadline(conn, DEADLINE_WRITE);
	block_buf_release(&conn->out, &conn->loop->blocks);
}

/* Bytes read; 0: none now, or the end (conn->ended); -1: it failed. */
static ssize_t read_some(struct connection *conn, uint8_t *to, size_t cap)
{
	ssize_t got = 0;
	if (conn->tls == NULL) {
		got = recv(conn->fd, to, cap, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			conn->readable = errno == EINTR;
			return 0;
		}
		conn->ended = got == 0;
		/* A short read emptied the socket, unless its end stands behind the bytes. */
		conn->readable = got > 0 && ((size_t)got == cap || conn->hanging_up);
		return got;
	}
	if (conn->hanging_up)
		tls_readable(conn->tls);
	size_t tls_got = 0;
	enum tls_result result = tls_read(conn->tls, to, cap, &tls_got);
	conn->ended = result == TLS_CLOSED;
	conn->readable = result == TLS_DONE && (tls_has_input(conn->tls) || conn->hanging_up);
	if (result == TLS_BROKEN)
		return -1;
	return (ssize_t)tls_got;
}

bool connection_fill(struct connection *conn)
{
	struct block_buf *in = &conn->in;
	size_t most = receive_input_bytes_max(conn->request);
	const uint8_t *before = in->data != NULL ? block_buf_at(in) : NULL;
	if (block_buf_len(in) == 0 && in->data != NULL) {
		block_buf_cut(in, 0);
		in->start = 0;
	} else if (block_buf_len(in) >= most) {
		return false;
	}
	size_t more = block_buf_room(in) > 0 ? 1 : CONNECTION_BLOCK_BYTES / 2;
	if (!block_buf_reserve(in, &conn->loop->blocks, more, most + CONNECTION_BLOCK_BYTES)) {
		if (conn->request != NULL)
			receive_no_room(conn->request);
		else
			conn->broken = true;
		return false;
	}
	if (conn->request != NULL && conn->request->head_read && before != block_buf_at(in))
		http_head_rebase(&conn->request->head, before, block_buf_at(in));
	ssize_t got = read_some(conn, in->data + in->end, block_buf_room(in));
	conn->broken = conn->broken || got < 0;
	if (got <= 0)
		return false;
	in->end += (size_t)got;
	return true;
}
