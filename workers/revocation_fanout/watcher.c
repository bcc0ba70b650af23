#include "workers/revocation_fanout/watcher.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "common/log.h"
#include "common/pg.h"
#include "workers/revocation_fanout/silence.h"

enum {
	PARAMS_MAX = 2,
	PENDING_MS = 3, /* while a completion is open: what it adds to the time that is recorded */
	IDLE_MS = 200,
	EAGER_TURNS = 40, /* after expect: what was announced may be committed a little later */
	AWAY_MS = 500,
	NODES_MS = 1000,
	TRIM_MS = 10000,
	LOG_KEPT_S = 3600, /* a node that was away for longer starts over anyway */
	TRIM_ROWS_MAX = 10000,
	NS_PER_MS = 1000000
};

struct watcher {
	struct pg *pg;
	struct pg_params *params;
	const struct clock *clock;
	pthread_t thread;
	bool away; /* said once in the log */
	int eager; /* turns to come that do not rest long */
	int64_t nodes_due_ns, trim_due_ns;
	struct silence silence;

	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool expecting; /* look now; under lock */
	bool stopping;
};

/* Closes what can be closed. *pending: something is still open. */
static bool complete(struct watcher *watcher, bool *pending, struct err *err)
{
	int64_t open = 0;
	pg_params_clear(watcher->params);
	pg_params_i64(watcher->params, ACCESS_WAIT_MS);
	struct pg_result *row = pg_call(watcher->pg, "select completed, pending from api.access_complete($1::integer)",
					watcher->params, err);
	if (row == NULL)
		return false;
	*pending = pg_get_i64(row, 0, 1, &open) && open > 0;
	pg_result_free(row);
	return true;
}

static bool forget(struct watcher *watcher, struct bytes id, int64_t polls, struct err *err)
{
	pg_params_clear(watcher->params);
	pg_params_array_begin(watcher->params, PG_ARRAY_TEXT);
	pg_params_array_bytes(watcher->params, id);
	pg_params_array_end(watcher->params);
	pg_params_array_begin(watcher->params, PG_ARRAY_I64);
	pg_params_array_i64(watcher->params, polls);
	pg_params_array_end(watcher->params);
	LOG(INFO, "node_forgotten", F_BYTES("node", id));
	return pg_run(watcher->pg, "select api.node_forget($1, $2)", watcher->params, err);
}

static bool look_at_nodes(struct watcher *watcher, struct err *err)
{
	bool well = true;
	struct pg_result *rows = pg_call(watcher->pg, "select node_id, polls from api.node_polls()", NULL, err);
	if (rows == NULL)
		return false;
	silence_begin(&watcher->silence);
	for (int i = 0; well && i < pg_rows(rows); i++) {
		int64_t polls = 0;
		if (pg_get_i64(rows, i, 1, &polls) &&
		    silence_seen(&watcher->silence, pg_get(rows, i, 0), polls, clock_mono_ns(watcher->clock)))
			well = forget(watcher, pg_get(rows, i, 0), polls, err);
	}
	silence_end(&watcher->silence);
	pg_result_free(rows);
	return well;
}

static bool trim(struct watcher *watcher, struct err *err)
{
	pg_params_clear(watcher->params);
	pg_params_i64(watcher->params, LOG_KEPT_S);
	pg_params_i64(watcher->params, TRIM_ROWS_MAX);
	return pg_run(watcher->pg, "select api.access_trim($1::integer, $2::integer)", watcher->params, err);
}

/* Returns how long to rest. */
static int turn(struct watcher *watcher)
{
	struct err err;
	bool pending = false;
	int64_t now_ns = clock_mono_ns(watcher->clock);
	bool well = complete(watcher, &pending, &err);
	if (well && now_ns >= watcher->nodes_due_ns) {
		watcher->nodes_due_ns = now_ns + (int64_t)NODES_MS * NS_PER_MS;
		well = look_at_nodes(watcher, &err);
	}
	if (well && now_ns >= watcher->trim_due_ns) {
		watcher->trim_due_ns = now_ns + (int64_t)TRIM_MS * NS_PER_MS;
		well = trim(watcher, &err);
	}
	if (!well && !watcher->away)
		LOG(WARN, "watcher_waits", F_ERR(&err));
	watcher->away = !well;
	if (!well) {
		/* While nobody could look, nobody was silent: nodes are given their time anew. */
		watcher->silence.count = 0;
		return AWAY_MS;
	}
	if (watcher->eager > 0)
		watcher->eager--;
	return pending || watcher->eager > 0 ? PENDING_MS : IDLE_MS;
}

/* False: stop. */
static bool rest(struct watcher *watcher, int ms)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t at_ns = until.tv_nsec + (int64_t)ms * NS_PER_MS;
	until.tv_sec += at_ns / 1000000000;
	until.tv_nsec = at_ns % 1000000000;
	pthread_mutex_lock(&watcher->lock);
	while (!watcher->expecting && !watcher->stopping) {
		if (pthread_cond_timedwait(&watcher->woken, &watcher->lock, &until) != 0)
			break;
	}
	if (watcher->expecting)
		watcher->eager = EAGER_TURNS;
	watcher->expecting = false;
	bool go_on = !watcher->stopping;
	pthread_mutex_unlock(&watcher->lock);
	return go_on;
}

static void *run(void *cookie)
{
	struct watcher *watcher = cookie;
	int rest_ms = 0;
	while (rest(watcher, rest_ms))
		rest_ms = turn(watcher);
	return NULL;
}

static void free_all(struct watcher *watcher)
{
	pg_free(watcher->pg);
	pg_params_free(watcher->params);
	pthread_mutex_destroy(&watcher->lock);
	pthread_cond_destroy(&watcher->woken);
	free(watcher);
}

struct watcher *watcher_start(const struct config *config, const struct clock *clock, struct err *err)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));
	pthread_condattr_t attributes;
	if (watcher == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the watcher");
		return NULL;
	}
	pthread_mutex_init(&watcher->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watcher->woken, &attributes);
	pthread_condattr_destroy(&attributes);
	watcher->clock = clock;
	watcher->params = pg_params_new(PARAMS_MAX);
	if (watcher->params == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the watcher");
		goto fail;
	}
	watcher->pg =
		pg_new(&(struct pg_options){.config = config, .program = "watchpost-revocation-fanout-watch"}, err);
	if (watcher->pg == NULL)
		goto fail;
	if (pthread_create(&watcher->thread, NULL, run, watcher) != 0) {
		(void)err_set(err, ERR_IO, "could not start the watcher's thread");
		goto fail;
	}
	return watcher;
fail:
	free_all(watcher);
	return NULL;
}

void watcher_stop(struct watcher *watcher)
{
	if (watcher == NULL)
		return;
	pthread_mutex_lock(&watcher->lock);
	watcher->stopping = true;
	pthread_cond_signal(&watcher->woken);
	pthread_mutex_unlock(&watcher->lock);
	(void)pthread_join(watcher->thread, NULL);
	free_all(watcher);
}

void watcher_expect(struct watcher *watcher)
{
	pthread_mutex_lock(&watcher->lock);
	watcher->expecting = true;
	pthread_cond_signal(&watcher->woken);
	pthread_mutex_unlock(&watcher->lock);
}
