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

struct store {
	struct loop *loop;
	struct pg_pipe *pipe;
	struct event socket;
	bool watching; /* `socket` is added */
	uint64_t serial;
	unsigned interest;
	struct event timer;
	atomic_bool was_up;
};

static void turn(struct store *store, unsigned ready);

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
static void watch(struct store *store)
{
	struct pg_watch wanted;
	pg_pipe_watch(store->pipe, &wanted);
	bool same = store->watching && wanted.fd >= 0 && wanted.serial == store->serial &&
		    wanted.interest == store->interest;
	if (!same) {
		if (store->watching)
			(void)event_del(&store->socket);
		store->watching = false;
		short what = (short)(EV_PERSIST | ((wanted.interest & PG_PIPE_READ) != 0 ? EV_READ : 0) |
				     ((wanted.interest & PG_PIPE_WRITE) != 0 ? EV_WRITE : 0));
		if (wanted.fd >= 0 && wanted.interest != 0)
			store->watching = event_assign(&store->socket, store->loop->base, wanted.fd, what, on_socket,
						       store) == 0 &&
					  event_add(&store->socket, NULL) == 0;
		store->serial = wanted.serial;
		store->interest = wanted.interest;
	}
	if (wanted.wake_ns == INT64_MAX) {
		(void)evtimer_del(&store->timer);
	} else {
		int64_t now_ns = clock_mono_ns(loop_clock(store->loop));
		int64_t wait_us = wanted.wake_ns > now_ns ? (wanted.wake_ns - now_ns) / 1000 + 1 : 0;
		const struct timeval tv = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
		(void)evtimer_add(&store->timer, &tv);
	}
	atomic_store_explicit(&store->was_up, pg_pipe_up(store->pipe), memory_order_relaxed);
}

static void turn(struct store *store, unsigned ready)
{
	hand_out(pg_pipe_turn(store->pipe, ready));
	watch(store);
}

struct store *store_open(struct loop *loop, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a loop's connection to Postgres");
		return NULL;
	}
	store->loop = loop;
	store->pipe = pg_pipe_open(&(struct pg_pipe_options){.config = loop->settings->config,
							     .program = "watchpost-ingress",
							     .clock = loop_clock(loop),
							     .statements = STATEMENTS,
							     .statement_count = ARRAY_LEN(STATEMENTS),
							     .waiting_max = STORE_WAITING_MAX,
							     .timeout_ms = STORE_TIMEOUT_MS},
				   err);
	if (store->pipe == NULL || evtimer_assign(&store->timer, loop->base, on_timer, store) != 0) {
		store_close(store);
		return NULL;
	}
	/* The first turn starts to connect. */
	turn(store, 0);
	return store;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	if (store->watching)
		(void)event_del(&store->socket);
	if (event_initialized(&store->timer))
		(void)evtimer_del(&store->timer);
	hand_out(pg_pipe_close(store->pipe));
	free(store);
}

void store_reload(struct store *store, const struct config *config)
{
	struct err err;
	if (!pg_pipe_set_config(store->pipe, config, &err))
		LOG(ERROR, "reload_refused", F_ERR(&err));
}

bool store_up(const struct store *store)
{
	return pg_pipe_up(store->pipe);
}

bool store_was_up(const struct store *store)
{
	return atomic_load_explicit(&store->was_up, memory_order_relaxed);
}

bool store_send(struct store *store, enum store_call call, const struct pg_params *params, struct store_ticket *ticket)
{
	assert(call < STORE_CALL_COUNT && ticket->done != NULL);
	enum pg_send_result result = pg_pipe_send(store->pipe, call, params, &ticket->pg);
	if (result == PG_SEND_REFUSED)
		LOG(ERROR, "store_refused", F_TEXT("call", STATEMENTS[call].name), F_TEXT("error", ticket->pg.failure));
	watch(store);
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
		request_fail(req, &(struct problem){.status = 503,
						    .code = "unavailable",
						    .reason = "postgres_down",
						    .retry_after_s = 1});
		return;
	}
	request_wait(req, STORE_TIMEOUT_MS, "deadline_passed");
}
