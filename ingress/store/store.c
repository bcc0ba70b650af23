#include "ingress/store/store.h"

#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"

static const struct pg_statement STATEMENTS[] = {
	[STORE_AGENT_LOOKUP] = {"agent_lookup",
				"select number, epoch, agent_id, agent_state, account_id, account_state "
				"from api.agent_lookup($1)"},
	[STORE_AGENT_SELF] = {"agent_self", "select agent_id, name, machine, token_prefix, state, "
					    "(extract(epoch from created_at) * 1000)::bigint, "
					    "(extract(epoch from last_used_at) * 1000)::bigint, account_id, "
					    "account_state from api.agent_self($1)"},
	[STORE_AGENT_DISCONNECT] = {"agent_disconnect", "select number, agent_id from api.agent_disconnect($1)"},
	[STORE_ACCESS_IN_FORCE] = {"access_in_force", "select nodes, in_force from api.access_in_force($1)"},
};
_Static_assert(ARRAY_LEN(STATEMENTS) == STORE_CALL_COUNT, "every call has its statement");

/* Postgres answers a connection's calls in order: one that waits, for a lock or for the synchronous standby, holds up
 * all behind it. So what changes something goes its own way. */
enum line_kind { LINE_ASK, LINE_CHANGE, LINES };

static enum line_kind line_of(enum store_call call)
{
	return call == STORE_AGENT_DISCONNECT ? LINE_CHANGE : LINE_ASK;
}

struct line {
	struct store *store;
	struct pg_pipe *pipe;
	struct event socket;
	bool watching; /* `socket` is added */
	uint64_t serial;
	unsigned interest;
	struct event timer;
	atomic_bool was_up;
};

struct store {
	struct loop *loop;
	struct line lines[LINES];
};

static void turn(struct line *line, unsigned ready);

static void hand_out(struct pg_ticket *list)
{
	while (list != NULL) {
		struct pg_ticket *next = list->next;
		struct store_ticket *ticket = CONTAINER_OF(list, struct store_ticket, pg);
		ticket->done(ticket);
		list = next;
	}
}

static void on_socket(evutil_socket_t fd, short what, void *cookie)
{
	(void)fd;
	turn(cookie, ((what & EV_READ) != 0 ? PG_PIPE_READ : 0u) | ((what & EV_WRITE) != 0 ? PG_PIPE_WRITE : 0u));
}

static void on_timer(evutil_socket_t fd, short what, void *cookie)
{
	(void)fd;
	(void)what;
	turn(cookie, 0);
}

/* Registers what the pipe waits for now; most turns change nothing. */
static void watch(struct line *line)
{
	struct loop *loop = line->store->loop;
	struct pg_watch wanted;
	pg_pipe_watch(line->pipe, &wanted);
	bool same =
		line->watching && wanted.fd >= 0 && wanted.serial == line->serial && wanted.interest == line->interest;
	if (!same) {
		if (line->watching)
			(void)event_del(&line->socket);
		line->watching = false;
		short what = (short)(EV_PERSIST | ((wanted.interest & PG_PIPE_READ) != 0 ? EV_READ : 0) |
				     ((wanted.interest & PG_PIPE_WRITE) != 0 ? EV_WRITE : 0));
		if (wanted.fd >= 0 && wanted.interest != 0)
			line->watching =
				event_assign(&line->socket, loop->base, wanted.fd, what, on_socket, line) == 0 &&
				event_add(&line->socket, NULL) == 0;
		line->serial = wanted.serial;
		line->interest = wanted.interest;
	}
	if (wanted.wake_ns == INT64_MAX) {
		(void)evtimer_del(&line->timer);
	} else {
		int64_t now_ns = clock_mono_ns(loop_clock(loop));
		int64_t wait_us = wanted.wake_ns > now_ns ? (wanted.wake_ns - now_ns) / 1000 + 1 : 0;
		const struct timeval tv = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
		(void)evtimer_add(&line->timer, &tv);
	}
	atomic_store_explicit(&line->was_up, pg_pipe_up(line->pipe), memory_order_relaxed);
}

static void turn(struct line *line, unsigned ready)
{
	hand_out(pg_pipe_turn(line->pipe, ready));
	watch(line);
}

static bool line_open(struct line *line, struct store *store, struct err *err)
{
	struct loop *loop = store->loop;
	line->store = store;
	line->pipe = pg_pipe_open(&(struct pg_pipe_options){.config = loop->settings->config,
							    .program = "watchpost-ingress",
							    .clock = loop_clock(loop),
							    .statements = STATEMENTS,
							    .statement_count = ARRAY_LEN(STATEMENTS),
							    .waiting_max = STORE_WAITING_MAX,
							    .timeout_ms = STORE_TIMEOUT_MS},
				  err);
	if (line->pipe == NULL)
		return false;
	if (evtimer_assign(&line->timer, loop->base, on_timer, line) != 0)
		return err_set(err, ERR_INTERNAL, "libevent could not make a timer");
	return true;
}

struct store *store_open(struct loop *loop, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a loop's connections to Postgres");
		return NULL;
	}
	store->loop = loop;
	for (size_t i = 0; i < LINES; i++) {
		if (!line_open(&store->lines[i], store, err)) {
			store_close(store);
			return NULL;
		}
	}
	/* The first turn starts to connect. */
	for (size_t i = 0; i < LINES; i++)
		turn(&store->lines[i], 0);
	return store;
}

static void line_close(struct line *line)
{
	if (line->watching)
		(void)event_del(&line->socket);
	if (event_initialized(&line->timer))
		(void)evtimer_del(&line->timer);
	if (line->pipe != NULL)
		hand_out(pg_pipe_close(line->pipe));
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	for (size_t i = 0; i < LINES; i++)
		line_close(&store->lines[i]);
	free(store);
}

void store_reload(struct store *store, const struct config *config)
{
	struct err err;
	for (size_t i = 0; i < LINES; i++)
		if (!pg_pipe_set_config(store->lines[i].pipe, config, &err))
			LOG(ERROR, "reload_refused", F_ERR(&err));
}

bool store_up(const struct store *store, enum store_call call)
{
	return pg_pipe_up(store->lines[line_of(call)].pipe);
}

bool store_was_up(const struct store *store)
{
	for (size_t i = 0; i < LINES; i++)
		if (!atomic_load_explicit(&store->lines[i].was_up, memory_order_relaxed))
			return false;
	return true;
}

bool store_send(struct store *store, enum store_call call, const struct pg_params *params, struct store_ticket *ticket)
{
	assert(call < STORE_CALL_COUNT && ticket->done != NULL);
	struct line *line = &store->lines[line_of(call)];
	enum pg_send_result result = pg_pipe_send(line->pipe, call, params, &ticket->pg);
	if (result == PG_SEND_REFUSED)
		LOG(ERROR, "store_refused", F_TEXT("call", STATEMENTS[call].name), F_TEXT("error", ticket->pg.failure));
	watch(line);
	return result == PG_SEND_QUEUED;
}

/* --- requests ------------------------------------------------------------------------------------- */

static void request_back(struct store_ticket *ticket)
{
	struct request *req = CONTAINER_OF(ticket, struct request, store_ticket);
	if (request_resume(req)) {
		req->on_store(req, &ticket->pg);
		return;
	}
	/* Answered meanwhile. */
	if (ticket->pg.outcome == PG_DONE)
		pg_result_free(ticket->pg.result);
}

void store_request(struct request *req, enum store_call call, const struct pg_params *params,
		   void (*done)(struct request *req, struct pg_ticket *ticket))
{
	req->store_ticket = (struct store_ticket){.done = request_back};
	req->on_store = done;
	if (req->loop->store == NULL || !store_send(req->loop->store, call, params, &req->store_ticket)) {
		request_unavailable(req, "postgres_down");
		return;
	}
	request_wait(req, STORE_TIMEOUT_MS, "deadline_passed");
}
