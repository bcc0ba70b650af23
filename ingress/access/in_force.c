#include "ingress/access/in_force.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ingress/loop_private.h"
#include "ingress/request_private.h"

_Static_assert(ACCESS_LEASE_MS < ACCESS_WAIT_MS, "R5: who waits this long outlives every lease");

static const int64_t NS_PER_MS = 1000000;

struct waiting;

/* A call under way. It comes back whatever happens, also when nobody waits for it any more. */
struct question {
	struct store_ticket ticket;
	struct waiting *asker; /* NULL: the request has ended */
};

struct waiting {
	struct request_kept kept;
	struct request *req;
	enum store_call call;
	struct pg_params *params;
	void (*done)(struct request *req, const struct in_force *result);
	void (*next)(struct waiting *waiting); /* what the timer goes on with */
	struct timer timer;
	struct question *question; /* NULL: nothing is under way */
	int64_t began_ns;
	int64_t committed_ns;
	bool sent; /* the change, at least once: its outcome may be unknown */
	struct in_force result;
};

/* In the order in which they happen; make and look may come again. */
static void make(struct waiting *waiting);
static void made(struct waiting *waiting, const struct pg_ticket *ticket);
static void look(struct waiting *waiting);
static void looked(struct waiting *waiting, const struct pg_ticket *ticket);
static void finish(struct waiting *waiting);

static int64_t since_ms(const struct waiting *waiting, int64_t then_ns)
{
	return (clock_mono_ns(loop_clock(waiting->req->loop)) - then_ns) / NS_PER_MS;
}

/* --- waiting ---------------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
	struct waiting *waiting = CONTAINER_OF(timer, struct waiting, timer);
	waiting->next(waiting);
}

/* Goes on with `next` after a while. */
static void pause_before(struct waiting *waiting, void (*next)(struct waiting *waiting))
{
	waiting->next = next;
	timer_start(&waiting->req->loop->timers, &waiting->timer, loop_now_ns(waiting->req->loop), IN_FORCE_POLL_MS);
}

static void release(struct request_kept *kept)
{
	struct waiting *waiting = CONTAINER_OF(kept, struct waiting, kept);
	timer_stop(&waiting->timer);
	if (waiting->question != NULL)
		waiting->question->asker = NULL;
	pg_params_free(waiting->params);
	free(waiting);
}

/* --- a question and its answer ---------------------------------------------------------------------- */

static void came_back(struct store_ticket *ticket)
{
	struct question *question = CONTAINER_OF(ticket, struct question, ticket);
	struct waiting *waiting = question->asker;
	if (waiting != NULL) {
		waiting->question = NULL;
		timer_stop(&waiting->timer);
		if (waiting->committed_ns == 0)
			made(waiting, &ticket->pg);
		else
			looked(waiting, &ticket->pg);
	}
	if (ticket->pg.outcome == PG_DONE)
		pg_result_free(ticket->pg.result);
	free(question);
}

/* False: it could not be sent. */
static bool ask(struct waiting *waiting, enum store_call call, const struct pg_params *params)
{
	struct store *store = waiting->req->loop->store;
	struct question *question = calloc(1, sizeof(*question));
	assert(waiting->question == NULL);
	if (question == NULL)
		return false;
	question->ticket.done = came_back;
	question->asker = waiting;
	if (store == NULL || !store_send(store, call, params, &question->ticket)) {
		free(question);
		return false;
	}
	waiting->question = question;
	return true;
}

/* --- the change (R4) -------------------------------------------------------------------------------- */

static void make(struct waiting *waiting)
{
	if (ask(waiting, waiting->call, waiting->params)) {
		waiting->sent = true;
		return; /* the store gives every call back in time */
	}
	if (!waiting->sent)
		request_unavailable(waiting->req, "postgres_down");
	else if (since_ms(waiting, waiting->began_ns) >= IN_FORCE_UNKNOWN_MS)
		request_unavailable(waiting->req, "outcome_unknown");
	else
		pause_before(waiting, make);
}

static void made(struct waiting *waiting, const struct pg_ticket *ticket)
{
	struct in_force *result = &waiting->result;
	if (ticket->outcome == PG_FAILED && strncmp(ticket->sqlstate, "WP", 2) == 0) {
		result->refused = true;
		result->code = ticket->code;
		waiting->committed_ns = clock_mono_ns(loop_clock(waiting->req->loop));
		finish(waiting);
		return;
	}
	if (ticket->outcome != PG_DONE || ticket->result == NULL || pg_rows(ticket->result) != 1 ||
	    !pg_get_i64(ticket->result, 0, 0, &result->number)) {
		if (since_ms(waiting, waiting->began_ns) >= IN_FORCE_UNKNOWN_MS)
			request_unavailable(waiting->req, "outcome_unknown");
		else
			pause_before(waiting, make);
		return;
	}
	waiting->committed_ns = clock_mono_ns(loop_clock(waiting->req->loop));
	look(waiting);
}

/* --- in force (R5) ---------------------------------------------------------------------------------- */

/* Also while a question is under way, so that one that hangs does not hold the answer back. */
static void look(struct waiting *waiting)
{
	if (since_ms(waiting, waiting->committed_ns) >= ACCESS_WAIT_MS) {
		finish(waiting);
		return;
	}
	pause_before(waiting, look);
	if (waiting->question != NULL)
		return;
	struct pg_params *params = pg_params_new(1);
	if (params == NULL)
		return;
	pg_params_i64(params, waiting->result.number);
	(void)ask(waiting, STORE_ACCESS_IN_FORCE, params);
	pg_params_free(params);
}

static void looked(struct waiting *waiting, const struct pg_ticket *ticket)
{
	struct in_force *result = &waiting->result;
	int64_t of = 0, nodes = 0;
	if (ticket->outcome == PG_DONE && ticket->result != NULL && pg_rows(ticket->result) == 1 &&
	    pg_get_i64(ticket->result, 0, 0, &of) && pg_get_i64(ticket->result, 0, 1, &nodes)) {
		result->of = of;
		result->nodes = nodes;
		if (nodes == of) {
			finish(waiting);
			return;
		}
	}
	pause_before(waiting, look);
}

static void finish(struct waiting *waiting)
{
	struct request *req = waiting->req;
	waiting->result.after_ms = since_ms(waiting, waiting->committed_ns);
	timer_stop(&waiting->timer);
	request_set_state(req, REQUEST_HANDLING);
	waiting->done(req, &waiting->result);
}

void in_force_make(struct request *req, enum store_call call, struct pg_params *params,
		   void (*done)(struct request *req, const struct in_force *result))
{
	struct waiting *waiting = params != NULL ? calloc(1, sizeof(*waiting)) : NULL;
	if (waiting == NULL) {
		pg_params_free(params);
		request_unavailable(req, "memory");
		return;
	}
	waiting->kept.release = release;
	waiting->req = req;
	waiting->call = call;
	waiting->params = params;
	waiting->done = done;
	waiting->timer.fire = on_timer;
	waiting->began_ns = clock_mono_ns(loop_clock(req->loop));
	request_keep(req, &waiting->kept);
	request_set_state(req, REQUEST_WAITING);
	make(waiting);
}
