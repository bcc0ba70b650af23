/* A connection's life: opened, stepped through its states, closed. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ingress/counters.h"
#include "ingress/net/admission.h"
#include "ingress/net/connection_private.h"
#include "ingress/net/proxy.h"
#include "ingress/net/tls.h"
#include "ingress/receive.h"
#include "ingress/request_private.h"

static const char *const STATE_NAMES[] = {"proxy", "handshake", "open", "linger", "closed"};

static void on_event(evutil_socket_t fd, short what, void *cookie);
static void advance(struct connection *conn);

/* The legal ways, as bits of the states that may follow. */
static const unsigned FOLLOWS[] = {
	[STATE_PROXY] = 1u << STATE_HANDSHAKE | 1u << STATE_OPEN | 1u << STATE_CLOSED,
	[STATE_HANDSHAKE] = 1u << STATE_OPEN | 1u << STATE_CLOSED,
	[STATE_OPEN] = 1u << STATE_LINGER | 1u << STATE_CLOSED,
	[STATE_LINGER] = 1u << STATE_CLOSED,
	[STATE_CLOSED] = 0,
};

static void set_state(struct connection *conn, enum connection_state state)
{
	assert((FOLLOWS[conn->state] & 1u << state) != 0);
	TRACE(HTTP, "connection_state", F_I64("fd", conn->fd), F_TEXT("from", STATE_NAMES[conn->state]),
	      F_TEXT("to", STATE_NAMES[state]));
	conn->state = state;
}

static const struct config *config_of(const struct connection *conn)
{
	return loop_settings(conn->loop)->config;
}

/* --- what others may ask ------------------------------------------------------------------------- */

struct block_buf *connection_in(struct connection *conn)
{
	return &conn->in;
}

struct request *connection_request(const struct connection *conn)
{
	return conn->request;
}

void connection_set_request(struct connection *conn, struct request *req)
{
	assert((conn->request == NULL) != (req == NULL));
	conn->request = req;
	/* A head that begins now has its whole time, also behind a pipelined one. */
	if (conn->served)
		connection_end_deadline(conn, DEADLINE_HEAD);
}

enum connection_kind connection_kind(const struct connection *conn)
{
	return conn->kind;
}

const struct net_address *connection_address(const struct connection *conn)
{
	return &conn->address;
}

bool connection_secure(const struct connection *conn)
{
	return conn->secure;
}

struct loop *connection_loop(const struct connection *conn)
{
	return conn->loop;
}

struct connection *connection_next(const struct connection *conn)
{
	return conn->next;
}

bool connection_touched(const struct connection *conn)
{
	return conn->touched;
}

bool connection_takes_requests(const struct connection *conn)
{
	return conn->state == STATE_OPEN && !conn->closing && !conn->broken &&
	       block_buf_len(&conn->out) < CONNECTION_OUT_BYTES_MAX;
}

/* --- life ----------------------------------------------------------------------------------------- */

static void list_add(struct connection *conn)
{
	struct connection_list *list = &conn->loop->connections;
	conn->next = list->first;
	if (list->first != NULL)
		list->first->prev = conn;
	list->first = conn;
	list->count++;
}

static void list_remove(struct connection *conn)
{
	struct connection_list *list = &conn->loop->connections;
	assert(list->count > 0);
	if (conn->prev != NULL)
		conn->prev->next = conn->next;
	else
		list->first = conn->next;
	if (conn->next != NULL)
		conn->next->prev = conn->prev;
	list->count--;
}

void connection_touch(struct connection *conn)
{
	if (conn->touched || conn->state == STATE_CLOSED)
		return;
	conn->touched = true;
	loop_touch(conn->loop, &conn->touched_link);
}

/* Counted under the client's address from now on. */
static bool admit(struct connection *conn)
{
	int64_t most = config_of(conn)->connections_per_address_max;
	conn->admitted = admission_add_address(loop_ingress(conn->loop)->admission, &conn->address, most);
	if (!conn->admitted)
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_ADDRESS);
	return conn->admitted;
}

/* PROXY is over or was not asked for: the client's address is known. */
static bool begin(struct connection *conn)
{
	const struct tls_context *context = loop_settings(conn->loop)->tls;
	if (!admit(conn))
		return false;
	if (conn->kind == CONNECTION_REDIRECT || context == NULL) {
		set_state(conn, STATE_OPEN);
		return true;
	}
	conn->tls = tls_new(context, conn->fd);
	conn->secure = true;
	set_state(conn, STATE_HANDSHAKE);
	if (conn->tls == NULL)
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_MEMORY);
	return conn->tls != NULL;
}

void connection_open(struct loop *loop, int fd, enum connection_kind kind, const struct net_address *peer)
{
	const struct ingress *ingress = loop_ingress(loop);
	bool proxied = net_blocks_contain(&ingress->balancers, peer);
	struct connection *conn = calloc(1, sizeof(*conn));
	struct connection_proxy *proxy = proxied ? malloc(sizeof(*proxy)) : NULL;
	int on = 1;
	if (conn == NULL || (proxied && proxy == NULL)) {
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_MEMORY);
		free(conn);
		free(proxy);
		(void)close(fd);
		admission_remove(ingress->admission);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*conn = (struct connection){.loop = loop, .fd = fd, .kind = kind, .address = *peer, .proxy = proxy};
	conn->timer.fire = connection_on_deadline;
	conn->touched_link.conn = conn;
	conn->dead_link.conn = conn;
	conn->readable = true;
	list_add(conn);
	if (proxied) {
		proxy->len = 0;
		proxy->need = PROXY_FIXED_BYTES;
		conn->secure = kind == CONNECTION_PUBLIC;
	} else if (!begin(conn)) {
		goto refused;
	}
	/* Edge-triggered and persistent: one epoll_ctl in the life of a connection. */
	if (event_assign(&conn->event, loop->base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event,
			 conn) != 0 ||
	    event_add(&conn->event, NULL) != 0)
		goto refused;
	counter_add(COUNTER_CONNECTIONS, 0);
	conn->deadline = DEADLINE_HEAD;
	timer_start(&loop->timers, &conn->timer, loop_now_ns(loop), (int)config_of(conn)->head_timeout_ms);
	return;
refused:
	connection_close(conn);
}

void connection_close(struct connection *conn)
{
	struct loop *loop = conn->loop;
	if (conn->state == STATE_CLOSED)
		return;
	set_state(conn, STATE_CLOSED);
	if (conn->request != NULL)
		request_gone(conn->request);
	assert(conn->request == NULL);
	timer_stop(&conn->timer);
	if (event_initialized(&conn->event))
		(void)event_del(&conn->event);
	if (conn->tls != NULL && !conn->broken)
		tls_shutdown(conn->tls);
	tls_free(conn->tls);
	conn->tls = NULL;
	(void)close(conn->fd);
	conn->fd = -1;
	block_buf_release(&conn->in, &loop->blocks);
	block_buf_release(&conn->out, &loop->blocks);
	free(conn->proxy);
	conn->proxy = NULL;
	if (conn->admitted)
		admission_remove_address(loop_ingress(loop)->admission, &conn->address);
	admission_remove(loop_ingress(loop)->admission);
	list_remove(conn);
	loop_bury_connection(loop, &conn->dead_link);
}

void connection_free(struct connection *conn)
{
	assert(conn->state == STATE_CLOSED && conn->request == NULL && !conn->touched);
	free(conn);
}

void connection_flush_soon(struct connection *conn)
{
	if (!conn->advancing)
		connection_touch(conn);
}

void connection_answered(struct connection *conn, size_t used, enum connection_after after)
{
	assert(conn->request != NULL);
	conn->request = NULL;
	conn->served = true;
	/* The request's own time is over. That of answers which nobody takes goes on: one more does not move it. */
	if (conn->deadline != DEADLINE_WRITE)
		connection_end_deadline(conn, conn->deadline);
	conn->closing = conn->closing || after != CONNECTION_GOES_ON;
	conn->cut_off = after == CONNECTION_CUTS_OFF;
	block_buf_drop(&conn->in, used);
	connection_flush_soon(conn);
}

/* The request under way is still being read, or the next one may be. */
static bool wants_input(const struct connection *conn)
{
	if (!connection_takes_requests(conn) || conn->ended)
		return false;
	return conn->request == NULL || request_reading(conn->request);
}

/* --- steps, in the order of the states -------------------------------------------------------------- */

/* Reads exactly the header, so that what follows is left to TLS. */
static void step_proxy(struct connection *conn)
{
	struct connection_proxy *proxy = conn->proxy;
	bool has_client = false;
	struct net_address client;
	enum proxy_result result = PROXY_PARTIAL;
	while (result == PROXY_PARTIAL) {
		ssize_t got = recv(conn->fd, proxy->bytes + proxy->len, proxy->need - proxy->len, 0);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0)
			break;
		proxy->len += (size_t)got;
		result = proxy_parse(bytes_make(proxy->bytes, proxy->len), &proxy->need, &has_client, &client);
	}
	if (result != PROXY_DONE) {
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_PROXY);
		connection_close(conn);
		return;
	}
	if (has_client)
		conn->address = client;
	free(conn->proxy);
	conn->proxy = NULL;
	if (!begin(conn))
		connection_close(conn);
}

static void step_handshake(struct connection *conn)
{
	tls_readable(conn->tls);
	switch (tls_handshake(conn->tls)) {
	case TLS_DONE:
		conn->readable = tls_has_input(conn->tls) || conn->hanging_up;
		set_state(conn, STATE_OPEN);
		break;
	case TLS_AGAIN:
		break;
	default:
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_TLS);
		connection_close(conn);
		break;
	}
}

/* The answer went out before all of the input was read. Closing now would reset the connection and could take the
 * answer from the client (RFC 9112, 9.6), so our side ends and the rest is read and thrown away for a while. */
static void step_linger(struct connection *conn)
{
	for (size_t i = 0; i < CONNECTION_READS_PER_TURN; i++) {
		/* tcp(7): MSG_TRUNC throws away without copying, so none of it comes into our memory (promise 4). */
		ssize_t got = recv(conn->fd, NULL, CONNECTION_BLOCK_BYTES, MSG_TRUNC);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0 || (conn->lingered_bytes += (size_t)got) > CONNECTION_LINGER_BYTES_MAX) {
			connection_close(conn);
			return;
		}
	}
	connection_touch(conn);
}

/* All is written and no request follows. */
static void end(struct connection *conn)
{
	bool unread = conn->cut_off || conn->readable || block_buf_len(&conn->in) > 0;
	assert(conn->request == NULL || conn->broken || conn->ended);
	if (conn->broken || conn->ended || !unread) {
		connection_close(conn);
		return;
	}
	if (conn->tls != NULL)
		tls_shutdown(conn->tls);
	(void)shutdown(conn->fd, SHUT_WR);
	block_buf_release(&conn->in, &conn->loop->blocks);
	set_state(conn, STATE_LINGER);
	step_linger(conn);
}

/* While a request waits nothing is read, but a reset means that nobody is there any more. */
static void look_for_reset(struct connection *conn)
{
	int fault = 0;
	socklen_t len = sizeof(fault);
	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &fault, &len) == 0 && fault != 0)
		conn->broken = true;
}

static void step_open(struct connection *conn)
{
	bool more = true;
	for (size_t i = 0; more && i < CONNECTION_READS_PER_TURN; i++) {
		receive(conn);
		more = wants_input(conn) && conn->readable && connection_fill(conn);
		if (!more && !conn->written_full)
			connection_flush(conn);
		/* Answers that piled up are out: what was read ahead goes on. */
		more = more || (block_buf_len(&conn->in) > 0 && conn->request == NULL && wants_input(conn));
	}
	if (more)
		connection_touch(conn);
}

static bool is_over(const struct connection *conn)
{
	if (conn->broken)
		return true;
	if (block_buf_len(&conn->out) > 0)
		return false;
	if (conn->closing)
		return conn->request == NULL;
	/* A drain closes what is idle, but not before what is there already was read and answered. */
	if (conn->loop->draining && conn->served && conn->request == NULL && !conn->readable &&
	    block_buf_len(&conn->in) == 0)
		return true;
	/* The input ended before the request did. One that is whole is still answered. */
	return conn->ended && (conn->request == NULL || request_reading(conn->request));
}

static void advance(struct connection *conn)
{
	conn->advancing = true;
	if (conn->state == STATE_PROXY)
		step_proxy(conn);
	if (conn->state == STATE_HANDSHAKE)
		step_handshake(conn);
	if (conn->state == STATE_OPEN) {
		step_open(conn);
		if (is_over(conn))
			end(conn);
	} else if (conn->state == STATE_LINGER) {
		step_linger(conn);
	}
	conn->advancing = false;
	if (conn->state == STATE_CLOSED)
		return;
	if (block_buf_len(&conn->in) == 0 && conn->request == NULL)
		block_buf_release(&conn->in, &conn->loop->blocks);
	connection_update_deadline(conn);
}

/* --- what the loop calls --------------------------------------------------------------------------- */

static void on_event(evutil_socket_t fd, short what, void *cookie)
{
	struct connection *conn = cookie;
	(void)fd;
	assert(conn->state != STATE_CLOSED);
	if ((what & (EV_READ | EV_CLOSED)) != 0) {
		conn->readable = true;
		if (conn->tls != NULL)
			tls_readable(conn->tls);
	}
	if ((what & EV_CLOSED) != 0)
		conn->hanging_up = true;
	if ((what & EV_WRITE) != 0)
		conn->written_full = false;
	if (conn->request != NULL && !request_reading(conn->request))
		look_for_reset(conn);
	advance(conn);
}

void connection_turn(struct connection *conn)
{
	conn->touched = false;
	if (conn->state != STATE_CLOSED)
		advance(conn);
}

void connection_drain(struct connection *conn)
{
	assert(conn->loop->draining);
	/* One that never sent anything has not long to begin. */
	if (!conn->served && conn->request == NULL && conn->deadline == DEADLINE_HEAD)
		timer_start(&conn->loop->timers, &conn->timer, loop_now_ns(conn->loop), CONNECTION_DRAIN_HEAD_MS);
	connection_touch(conn);
}
