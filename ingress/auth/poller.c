#include "ingress/auth/poller.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/id.h"
#include "common/log.h"
#include "common/pg.h"
#include "ingress/auth/uses.h"
#include "ingress/auth/view.h"
#include "ingress/settings.h"

enum {
	PARAMS_MAX = 4,
	POLL_TIMEOUT_MS = 1000, /* of one call: a server that hangs is given up, and the next one asked */
	USES_PER_CALL_MAX = 1000,
	HOST_BYTES_MAX = 64,
	NS_PER_MS = 1000000
};

struct poller {
	struct settings *settings; /* a reference */
	struct pg *pg;
	struct pg_params *params;
	const struct clock *clock;
	struct view *view;
	struct uses *uses;
	pthread_t thread;
	uint64_t listening; /* pg_session() that listens; 0: none */
	bool registered;
	char node_id[ID_TEXT_BYTES];
	char name[HOST_BYTES_MAX + 1];
	int64_t uses_due_ns;
	bool failing; /* the last call failed: said once in the log */
	bool trusted; /* the lease was valid at the last look */
	bool draining;
	struct access_change *changes; /* ACCESS_POLL_ROWS_MAX */
	struct use *used;              /* USES_PER_CALL_MAX */

	int wake_fd; /* an eventfd: poll now, or stop */
	atomic_bool stopping;
	pthread_mutex_t lock;
	struct settings *fresh; /* a reference to newer settings, not yet taken; under lock */

	_Atomic int64_t applied;
	_Atomic uint64_t polls_total, failures_total, resets_total, wakes_total;
};

/* --- what comes back ------------------------------------------------------------------------------- */

static bool read_text(const struct pg_result *rows, int row, int column, char *out, size_t cap)
{
	struct bytes text = pg_get(rows, row, column);
	if (text.len >= cap)
		return false;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return true;
}

/* Columns as in POLL below, from number on. */
static bool read_change(const struct pg_result *rows, int row, struct access_change *out)
{
	*out = (struct access_change){.of_account = bytes_equal_text(pg_get(rows, row, 6), "account")};
	if (!pg_get_i64(rows, row, 5, &out->number) ||
	    !read_text(rows, row, 9, out->account_id, sizeof(out->account_id)))
		return false;
	if (out->of_account)
		return account_state_parse(pg_get(rows, row, 10), &out->suspended);
	return pg_get_bytea(rows, row, 7, out->token_hash, SHA256_BYTES) &&
	       read_text(rows, row, 8, out->agent_id, sizeof(out->agent_id)) &&
	       agent_state_parse(pg_get(rows, row, 10), &out->state);
}

/* False: not what the function promises, so nothing of it is believed. */
static bool read_answer(const struct pg_result *rows, int64_t applied, struct access_change *changes,
			struct access_answer *out)
{
	int count = pg_rows(rows);
	*out = (struct access_answer){.changes = changes};
	if (count < 1 || count > ACCESS_POLL_ROWS_MAX || !pg_get_i64(rows, 0, 0, &out->clock) ||
	    !read_text(rows, 0, 1, out->epoch, sizeof(out->epoch)))
		return false;
	out->known = pg_get_bool(rows, 0, 2);
	out->reset = pg_get_bool(rows, 0, 3);
	out->drain = pg_get_bool(rows, 0, 4);
	if (pg_is_null(rows, 0, 5))
		return true;
	int64_t before = applied;
	for (int i = 0; i < count; i++) {
		if (!read_change(rows, i, &changes[i]) || changes[i].number <= before || changes[i].number > out->clock)
			return false;
		before = changes[i].number;
	}
	out->change_count = (size_t)count;
	return true;
}

/* --- calls ----------------------------------------------------------------------------------------- */

static bool failed(struct poller *poller, const struct err *err)
{
	atomic_fetch_add_explicit(&poller->failures_total, 1, memory_order_relaxed);
	if (!poller->failing)
		LOG(WARN, "access_poll_failed", F_TEXT("node", poller->node_id), F_ERR(err));
	poller->failing = true;
	return false;
}

/* R1: the row is committed before the first poll; nothing is cached before that is answered, for there is no lease. */
static bool register_node(struct poller *poller)
{
	struct err err;
	char epoch[ACCESS_EPOCH_BYTES_MAX + 1];
	int64_t number = 0;
	id_new("node", poller->clock, poller->node_id);
	pg_params_clear(poller->params);
	pg_params_text(poller->params, poller->node_id);
	pg_params_text(poller->params, poller->name);
	struct pg_result *row =
		pg_call(poller->pg, "select number, epoch from api.node_register($1, $2)", poller->params, &err);
	if (row == NULL)
		return failed(poller, &err);
	poller->registered =
		pg_rows(row) == 1 && pg_get_i64(row, 0, 0, &number) && read_text(row, 0, 1, epoch, sizeof(epoch));
	pg_result_free(row);
	if (!poller->registered) {
		(void)err_set(&err, ERR_INTERNAL, "api.node_register answers otherwise than promised");
		return failed(poller, &err);
	}
	view_begin(poller->view, number, epoch);
	LOG(INFO, "node_registered", F_TEXT("node", poller->node_id), F_I64("number", number), F_TEXT("epoch", epoch));
	return true;
}

static struct pg_result *ask(struct poller *poller, struct err *err)
{
	static const char POLL[] = "select clock, epoch, known, reset, drain, number, kind, token_hash, agent_id, "
				   "account_id, state from api.access_poll($1, $2, $3, $4::integer)";
	pg_params_clear(poller->params);
	pg_params_text(poller->params, poller->node_id);
	pg_params_i64(poller->params, poller->view->applied);
	pg_params_text(poller->params, poller->view->epoch);
	pg_params_i64(poller->params, ACCESS_POLL_ROWS_MAX);
	return pg_call(poller->pg, POLL, poller->params, err);
}

static void drain(struct poller *poller)
{
	if (poller->draining)
		return;
	poller->draining = true;
	LOG(INFO, "drain_asked", F_TEXT("node", poller->node_id));
	(void)kill(getpid(), SIGTERM);
}

static void note_trust(struct poller *poller)
{
	bool trusted = lease_valid(poller->view->lease, poller->clock);
	if (trusted != poller->trusted) {
		if (trusted)
			LOG(INFO, "lease_gained", F_TEXT("node", poller->node_id),
			    F_I64("applied", poller->view->applied));
		else
			LOG(WARN, "lease_lost", F_TEXT("node", poller->node_id));
	}
	poller->trusted = trusted;
}

/* R2. What to do next; a failure waits. */
static enum view_next poll_once(struct poller *poller)
{
	struct err err;
	struct access_answer answer;
	/* Before the question is sent: the database's snapshot is younger than this. */
	int64_t t0_ns = clock_mono_ns(poller->clock);
	struct pg_result *rows = ask(poller, &err);
	if (rows == NULL) {
		(void)failed(poller, &err);
		return VIEW_WAIT;
	}
	bool read = read_answer(rows, poller->view->applied, poller->changes, &answer);
	pg_result_free(rows);
	if (!read) {
		(void)err_set(&err, ERR_INTERNAL, "api.access_poll answers otherwise than promised");
		(void)failed(poller, &err);
		return VIEW_WAIT;
	}
	poller->failing = false;
	if (answer.reset)
		LOG(WARN, "view_reset", F_TEXT("node", poller->node_id), F_I64("applied", poller->view->applied),
		    F_I64("clock", answer.clock), F_TEXT("epoch", answer.epoch));
	enum view_next next = view_take(poller->view, &answer, t0_ns);
	if (answer.drain)
		drain(poller);
	atomic_fetch_add_explicit(&poller->polls_total, 1, memory_order_relaxed);
	atomic_store_explicit(&poller->applied, poller->view->applied, memory_order_relaxed);
	atomic_store_explicit(&poller->resets_total, poller->view->resets_total, memory_order_relaxed);
	return next;
}

static void write_uses(struct poller *poller)
{
	struct err err;
	size_t count = uses_take(poller->uses, poller->used, USES_PER_CALL_MAX);
	if (count == 0)
		return;
	pg_params_clear(poller->params);
	pg_params_array_begin(poller->params, PG_ARRAY_BYTEA);
	for (size_t i = 0; i < count; i++)
		pg_params_array_bytes(poller->params, bytes_make(poller->used[i].token_hash, SHA256_BYTES));
	pg_params_array_end(poller->params);
	pg_params_array_begin(poller->params, PG_ARRAY_I64);
	for (size_t i = 0; i < count; i++)
		pg_params_array_i64(poller->params, poller->used[i].at_ms);
	pg_params_array_end(poller->params);
	if (!pg_run(poller->pg, "select api.agents_used($1, $2)", poller->params, &err))
		(void)failed(poller, &err);
	/* More of them: after the next poll, which must not wait for this. */
	if (count == USES_PER_CALL_MAX)
		poller->uses_due_ns = 0;
}

/* --- the thread ------------------------------------------------------------------------------------- */

/* The database says by itself that there are changes (wp.access_take); what is heard is only a reason to poll. */
static void listen_for_changes(struct poller *poller)
{
	struct err err;
	if (!pg_connected(poller->pg) || poller->listening == pg_session(poller->pg))
		return;
	if (pg_run(poller->pg, "listen watchpost_access", NULL, &err))
		poller->listening = pg_session(poller->pg);
	else
		(void)failed(poller, &err);
}

/* Until it is time, or somebody wakes. False: stop. */
static bool wait_until(struct poller *poller, int64_t until_ns)
{
	int64_t left_ms = (until_ns - clock_mono_ns(poller->clock)) / NS_PER_MS;
	uint64_t wakes;
	if (left_ms > 0)
		(void)pg_wait_notify(poller->pg, poller->wake_fd, (int)left_ms);
	/* Nothing to read is no fault: the time is up, or the database woke. */
	ssize_t got = read(poller->wake_fd, &wakes, sizeof(wakes));
	(void)got;
	return !atomic_load_explicit(&poller->stopping, memory_order_acquire);
}

static void take_settings(struct poller *poller)
{
	pthread_mutex_lock(&poller->lock);
	struct settings *fresh = poller->fresh;
	poller->fresh = NULL;
	pthread_mutex_unlock(&poller->lock);
	if (fresh == NULL)
		return;
	pg_set_config(poller->pg, fresh->config);
	settings_release(poller->settings);
	poller->settings = fresh;
}

/* One poll, or a new row and one poll. Returns when the next one is due. */
static int64_t turn(struct poller *poller)
{
	int64_t began_ns = clock_mono_ns(poller->clock);
	enum view_next next = VIEW_WAIT;
	take_settings(poller);
	if (poller->registered || register_node(poller))
		next = poll_once(poller);
	if (next == VIEW_REGISTER) {
		LOG(WARN, "node_forgotten", F_TEXT("node", poller->node_id));
		poller->registered = false;
	}
	note_trust(poller);
	listen_for_changes(poller);
	if (next == VIEW_WAIT && began_ns >= poller->uses_due_ns) {
		poller->uses_due_ns = began_ns + (int64_t)AUTH_USES_MS * NS_PER_MS;
		write_uses(poller);
	}
	return next == VIEW_WAIT ? began_ns + (int64_t)ACCESS_POLL_MS * NS_PER_MS : began_ns;
}

static void leave(struct poller *poller)
{
	struct err err;
	/* A database that is away is not waited for at the end. */
	if (!poller->registered || !pg_connected(poller->pg))
		return;
	write_uses(poller);
	pg_params_clear(poller->params);
	pg_params_text(poller->params, poller->node_id);
	if (!pg_run(poller->pg, "select api.node_leave($1)", poller->params, &err))
		(void)failed(poller, &err);
}

static void *run(void *cookie)
{
	struct poller *poller = cookie;
	int64_t due_ns = 0;
	while (wait_until(poller, due_ns))
		due_ns = turn(poller);
	leave(poller);
	return NULL;
}

static void name_node(struct poller *poller)
{
	if (gethostname(poller->name, sizeof(poller->name) - 16) != 0)
		poller->name[0] = '\0';
	poller->name[sizeof(poller->name) - 16] = '\0';
	size_t len = strlen(poller->name);
	(void)snprintf(poller->name + len, sizeof(poller->name) - len, "/%ld", (long)getpid());
}

static void free_all(struct poller *poller)
{
	pg_free(poller->pg);
	settings_release(poller->fresh);
	settings_release(poller->settings);
	pg_params_free(poller->params);
	free(poller->changes);
	free(poller->used);
	pthread_mutex_destroy(&poller->lock);
	if (poller->wake_fd >= 0)
		(void)close(poller->wake_fd);
	free(poller);
}

struct poller *poller_start(struct settings *settings, const struct clock *clock, struct view *view, struct uses *uses,
			    struct err *err)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	if (poller == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the poller");
		return NULL;
	}
	(void)pthread_mutex_init(&poller->lock, NULL);
	poller->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	settings_hold(settings);
	poller->settings = settings;
	poller->clock = clock;
	poller->view = view;
	poller->uses = uses;
	name_node(poller);
	poller->changes = calloc(ACCESS_POLL_ROWS_MAX, sizeof(*poller->changes));
	poller->used = calloc(USES_PER_CALL_MAX, sizeof(*poller->used));
	poller->params = pg_params_new(PARAMS_MAX);
	if (poller->changes == NULL || poller->used == NULL || poller->params == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the poller");
		goto fail;
	}
	if (poller->wake_fd < 0) {
		(void)err_set(err, ERR_IO, "no descriptor for the poller");
		goto fail;
	}
	poller->pg = pg_new(&(struct pg_options){.config = settings->config, .program = "watchpost-ingress-poll"}, err);
	if (poller->pg == NULL)
		goto fail;
	pg_set_timeout_ms(poller->pg, POLL_TIMEOUT_MS);
	if (pthread_create(&poller->thread, NULL, run, poller) != 0) {
		(void)err_set(err, ERR_IO, "could not start the poller's thread");
		goto fail;
	}
	return poller;
fail:
	free_all(poller);
	return NULL;
}

static void ring(struct poller *poller)
{
	const uint64_t one = 1;
	/* It fails only when the counter is full, after 2^64 rings. */
	ssize_t put = write(poller->wake_fd, &one, sizeof(one));
	(void)put;
}

void poller_stop(struct poller *poller)
{
	if (poller == NULL)
		return;
	atomic_store_explicit(&poller->stopping, true, memory_order_release);
	ring(poller);
	(void)pthread_join(poller->thread, NULL);
	free_all(poller);
}

void poller_reload(struct poller *poller, struct settings *settings)
{
	settings_hold(settings);
	pthread_mutex_lock(&poller->lock);
	struct settings *before = poller->fresh;
	poller->fresh = settings;
	pthread_mutex_unlock(&poller->lock);
	settings_release(before);
}

void poller_wake(struct poller *poller)
{
	atomic_fetch_add_explicit(&poller->wakes_total, 1, memory_order_relaxed);
	ring(poller);
}

void poller_stats(struct poller *poller, struct poller_stats *out)
{
	*out = (struct poller_stats){.applied = atomic_load_explicit(&poller->applied, memory_order_relaxed),
				     .polls_total = atomic_load_explicit(&poller->polls_total, memory_order_relaxed),
				     .failures_total =
					     atomic_load_explicit(&poller->failures_total, memory_order_relaxed),
				     .resets_total = atomic_load_explicit(&poller->resets_total, memory_order_relaxed),
				     .wakes_total = atomic_load_explicit(&poller->wakes_total, memory_order_relaxed)};
}
