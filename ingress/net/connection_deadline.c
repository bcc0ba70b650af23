/* Deadlines of a connection (W1): none of them is moved by a byte that trickles in. */
#include "ingress/counters.h"
#include "ingress/net/connection_private.h"
#include "ingress/receive.h"
#include "ingress/request_private.h"

static enum connection_deadline wanted_by(const struct connection *conn)
{
	if (conn->state == STATE_LINGER)
		return DEADLINE_LINGER;
	if (block_buf_len(&conn->out) > 0)
		return DEADLINE_WRITE;
	if (conn->state != STATE_OPEN || (conn->request == NULL && !conn->served))
		return DEADLINE_HEAD;
	if (conn->request == NULL)
		return DEADLINE_IDLE;
	if (conn->request->state == REQUEST_HEAD)
		return DEADLINE_HEAD;
	return conn->request->state == REQUEST_BODY ? DEADLINE_BODY : DEADLINE_NONE;
}

void connection_end_deadline(struct connection *conn, enum connection_deadline deadline)
{
	if (conn->deadline != deadline)
		return;
	timer_stop(&conn->timer);
	conn->deadline = DEADLINE_NONE;
}

void connection_update_deadline(struct connection *conn)
{
	const struct config *config = loop_settings(conn->loop)->config;
	enum connection_deadline wanted = wanted_by(conn);
	const int64_t duration_ms[] = {
		[DEADLINE_HEAD] = config->head_timeout_ms, [DEADLINE_BODY] = config->body_timeout_ms,
		[DEADLINE_IDLE] = config->idle_timeout_ms, [DEADLINE_WRITE] = config->write_timeout_ms,
		[DEADLINE_LINGER] = CONNECTION_LINGER_MS,
	};
	if (wanted == conn->deadline)
		return;
	connection_end_deadline(conn, conn->deadline);
	conn->deadline = wanted;
	if (wanted != DEADLINE_NONE)
		timer_start(&conn->loop->timers, &conn->timer, loop_now_ns(conn->loop), (int)duration_ms[wanted]);
}

void connection_on_deadline(struct timer *timer)
{
	struct connection *conn = CONTAINER_OF(timer, struct connection, timer);
	enum connection_deadline passed = conn->deadline;
	conn->deadline = DEADLINE_NONE;
	assert(conn->state != STATE_CLOSED && passed != DEADLINE_NONE);
	if ((passed == DEADLINE_HEAD || passed == DEADLINE_BODY) && conn->request != NULL) {
		receive_timeout(conn->request);
		return;
	}
	static const unsigned SERIES[] = {
		[DEADLINE_HEAD] = COUNTER_TIMEOUT_HEAD,     [DEADLINE_BODY] = COUNTER_TIMEOUT_BODY,
		[DEADLINE_IDLE] = COUNTER_TIMEOUT_IDLE,     [DEADLINE_WRITE] = COUNTER_TIMEOUT_WRITE,
		[DEADLINE_LINGER] = COUNTER_TIMEOUT_LINGER,
	};
	counter_add(COUNTER_CONNECTION_TIMEOUTS, SERIES[passed]);
	/* What the client would not take is not offered once more by TLS. */
	conn->broken = passed == DEADLINE_WRITE;
	connection_close(conn);
}
