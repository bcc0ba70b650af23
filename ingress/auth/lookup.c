#include "ingress/auth/lookup.h"

#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "ingress/auth/auth_private.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"
#include "ingress/store/store.h"

struct lookup {
	struct store_ticket ticket;
	struct lookups *owner;
	bool busy;
	uint64_t sending;    /* which one of this loop's it is, from 1 */
	uint64_t generation; /* of the cache, when it was sent */
	uint8_t token_hash[SHA256_BYTES];
	struct wait_list waiting;
};

struct lookups {
	struct loop *loop;
	struct auth *auth;
	struct pg_params *params;
	struct wait_list queue; /* for a slot */
	size_t waiting;
	uint64_t sendings;
	struct lookup slots[AUTH_LOOKUPS_MAX];
};

/* What the primary said. */
struct finding {
	bool known; /* somebody's token */
	int64_t number;
	struct bytes epoch;
	struct caller caller;
};

static void answered(struct store_ticket *ticket);

/* --- lists ---------------------------------------------------------------------------------------- */

static void list_add(struct wait_list *list, struct request *req)
{
	struct request_auth *auth = &req->auth;
	assert(auth->list == NULL);
	auth->list = list;
	auth->next = NULL;
	auth->prev = list->last;
	if (list->last != NULL)
		list->last->auth.next = req;
	else
		list->first = req;
	list->last = req;
}

static void list_remove(struct request *req)
{
	struct request_auth *auth = &req->auth;
	struct wait_list *list = auth->list;
	if (auth->prev != NULL)
		auth->prev->auth.next = auth->next;
	else
		list->first = auth->next;
	if (auth->next != NULL)
		auth->next->auth.prev = auth->prev;
	else
		list->last = auth->prev;
	auth->list = NULL;
}

/* --- life ----------------------------------------------------------------------------------------- */

struct lookups *lookups_new(struct loop *loop, struct err *err)
{
	struct lookups *lookups = calloc(1, sizeof(*lookups));
	struct pg_params *params = pg_params_new(1);
	if (lookups == NULL || params == NULL) {
		free(lookups);
		pg_params_free(params);
		(void)err_set(err, ERR_FULL, "no memory for look-ups of tokens");
		return NULL;
	}
	lookups->loop = loop;
	lookups->auth = loop->ingress->auth;
	lookups->params = params;
	return lookups;
}

void lookups_free(struct lookups *lookups)
{
	if (lookups == NULL)
		return;
	assert(lookups->waiting == 0);
	pg_params_free(lookups->params);
	free(lookups);
}

/* --- sending -------------------------------------------------------------------------------------- */

/* The look-up of this token that is under way, or a free slot (*busy tells which); NULL: all are under way. */
static struct lookup *find_slot(struct lookups *lookups, const uint8_t token_hash[SHA256_BYTES])
{
	struct lookup *unused = NULL;
	for (size_t i = 0; i < lookups->auth->lookups_max; i++) {
		struct lookup *lookup = &lookups->slots[i];
		if (!lookup->busy)
			unused = lookup;
		else if (memcmp(lookup->token_hash, token_hash, SHA256_BYTES) == 0)
			return lookup;
	}
	return unused;
}

static bool send_lookup(struct lookups *lookups, struct lookup *lookup, const uint8_t token_hash[SHA256_BYTES])
{
	memcpy(lookup->token_hash, token_hash, SHA256_BYTES);
	lookup->owner = lookups;
	lookup->generation = cache_generation(lookups->auth->cache);
	lookup->ticket = (struct store_ticket){.done = answered};
	pg_params_clear(lookups->params);
	pg_params_bytea(lookups->params, bytes_make(token_hash, SHA256_BYTES));
	lookup->busy = store_send(lookups->loop->store, STORE_AGENT_LOOKUP, lookups->params, &lookup->ticket);
	lookup->sending = ++lookups->sendings;
	if (lookup->busy)
		atomic_fetch_add_explicit(&lookups->auth->lookups_total, 1, memory_order_relaxed);
	return lookup->busy;
}

/* It was looked up in vain: that is not the caller's doing, and not charged to the address. */
static void unavailable(struct request *req, const char *reason)
{
	auth_discharge(req);
	request_unavailable(req, reason);
}

/* Joins or sends its look-up. False: all slots are under way, it stays queued. */
static bool begin(struct lookups *lookups, struct request *req)
{
	struct lookup *lookup = find_slot(lookups, req->auth.caller.token_hash);
	if (lookup == NULL)
		return false;
	list_remove(req);
	if (!lookup->busy && !send_lookup(lookups, lookup, req->auth.caller.token_hash)) {
		lookups->waiting--;
		unavailable(req, "postgres_down");
		return true;
	}
	req->auth.fresh = lookup->sending > req->auth.sendings;
	list_add(&lookup->waiting, req);
	return true;
}

static void on_deadline(struct timer *timer)
{
	struct request *req = CONTAINER_OF(timer, struct request, auth.timer);
	assert(req->auth.list != NULL);
	unavailable(req, "lookup_timeout");
}

void lookup_want(struct request *req)
{
	struct lookups *lookups = req->loop->lookups;
	if (!store_up(req->loop->store, STORE_AGENT_LOOKUP)) {
		unavailable(req, "postgres_down");
		return;
	}
	if (!auth_charge(req))
		return;
	if (lookups->waiting >= lookups->auth->waiting_max || req->auth.tries >= AUTH_TRIES_MAX) {
		unavailable(req, "lookups_full");
		return;
	}
	/* Its bytes are read; what is sent from here on is of a younger snapshot, also when another one sends it. */
	if (req->auth.tries++ == 0)
		req->auth.sendings = lookups->sendings;
	if (req->state == REQUEST_HEAD)
		request_set_state(req, REQUEST_AUTH);
	lookups->waiting++;
	list_add(&lookups->queue, req);
	req->auth.timer.fire = on_deadline;
	if (!timer_running(&req->auth.timer))
		timer_start(&req->loop->timers, &req->auth.timer, loop_now_ns(req->loop), STORE_TIMEOUT_MS);
	(void)begin(lookups, req);
}

void lookup_forget(struct request *req)
{
	if (req->auth.list == NULL)
		return;
	list_remove(req);
	req->loop->lookups->waiting--;
}

/* --- the answer ----------------------------------------------------------------------------------- */

static bool read_id(const struct pg_result *row, int column, char out[ID_TEXT_BYTES])
{
	struct bytes text = pg_get(row, 0, column);
	if (text.len == 0 || text.len >= ID_TEXT_BYTES)
		return false;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

/* False: not what the function promises. */
static bool read_row(const struct pg_result *row, const uint8_t token_hash[SHA256_BYTES], struct finding *out)
{
	*out = (struct finding){0};
	if (pg_rows(row) != 1 || !pg_get_i64(row, 0, 0, &out->number))
		return false;
	out->epoch = pg_get(row, 0, 1);
	out->known = !pg_is_null(row, 0, 2);
	memcpy(out->caller.token_hash, token_hash, SHA256_BYTES);
	return !out->known || (read_id(row, 2, out->caller.agent_id) && read_id(row, 4, out->caller.account_id) &&
			       agent_state_parse(pg_get(row, 0, 3), &out->caller.state) &&
			       account_state_parse(pg_get(row, 0, 5), &out->caller.account_suspended));
}

/* R6 */
static void fill(const struct lookup *lookup, const struct finding *finding)
{
	struct auth *auth = lookup->owner->auth;
	if (!finding->known || !view_takes_fills(&auth->view, finding->epoch))
		return;
	if (!cache_fill(auth->cache, &finding->caller, finding->number, lookup->generation))
		TRACE(HTTP, "fill_thrown_away", F_I64("number", finding->number));
}

/* One that waited goes on. NULL finding: the primary did not say. */
static void resolve(struct request *req, const struct finding *finding)
{
	struct auth *auth = req->loop->lookups->auth;
	struct caller caller;
	bool first_use = false;
	if (finding == NULL)
		unavailable(req, "postgres_failed");
	else if (!finding->known)
		auth_refuse(req, "token_unknown");
	else if (req->auth.fresh)
		auth_decide(req, &finding->caller, true);
	else if (auth_find(auth, req->auth.caller.token_hash, &caller, &first_use))
		auth_decide(req, &caller, first_use);
	else
		lookup_want(req);
}

static void answered(struct store_ticket *ticket)
{
	struct lookup *lookup = CONTAINER_OF(ticket, struct lookup, ticket);
	struct lookups *lookups = lookup->owner;
	struct pg_result *row = ticket->pg.outcome == PG_DONE ? ticket->pg.result : NULL;
	struct finding finding;
	bool found = row != NULL && read_row(row, lookup->token_hash, &finding);
	struct wait_list waiting = lookup->waiting;
	assert(lookup->busy);
	bool disowned = found && view_disowns(&lookups->auth->view, finding.epoch);
	if (found && !disowned)
		fill(lookup, &finding);
	else
		LOG(WARN, "lookup_failed",
		    F_TEXT("error", disowned      ? "a server of another history"
				    : row != NULL ? "not a row"
						  : ticket->pg.failure));
	/* The slot is free before those who waited go on: they may want it again. */
	lookup->busy = false;
	lookup->waiting = (struct wait_list){0};
	for (struct request *req = waiting.first; req != NULL; req = req->auth.next)
		req->auth.list = &waiting;
	while (waiting.first != NULL) {
		struct request *req = waiting.first;
		list_remove(req);
		lookups->waiting--;
		resolve(req, found && !disowned ? &finding : NULL);
	}
	pg_result_free(row);
	while (lookups->queue.first != NULL && begin(lookups, lookups->queue.first))
		;
}
