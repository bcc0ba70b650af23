#include "workers/subscription_sync/refresh.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/pg.h"
#include "common/stripe_refresh.h"

enum { PARAMS_MAX = 4, ROWS_MAX = 20, LEASE_S = 60, FIRST_PAUSE_S = 2, LAST_PAUSE_S = 3600, DENIED_PAUSE_S = 300 };

struct refresh {
	pthread_t thread;
	atomic_bool cancel;
	const struct config *config;
	struct pg *pg;
	struct pg_params *params;
	struct stripe_api *api;
};

int refresh_pause_s(int64_t failures)
{
	int pause_s = FIRST_PAUSE_S;
	while (failures-- > 0 && pause_s < LAST_PAUSE_S)
		pause_s *= 2;
	return pause_s < LAST_PAUSE_S ? pause_s : LAST_PAUSE_S;
}

static bool cancelled(const struct refresh *refresh)
{
	return atomic_load_explicit(&refresh->cancel, memory_order_relaxed);
}

static bool write_answer(struct refresh *refresh, const struct stripe_refreshed *answer, struct err *err)
{
	struct pg_result *rows = stripe_refresh_write(refresh->pg, refresh->config, answer, 1, false, err);
	if (rows == NULL)
		return false;
	LOG(INFO, "subscription_refreshed", F_TEXT("subscription", answer->subscription.id),
	    F_BYTES("outcome", pg_get(rows, 0, 1)));
	pg_result_free(rows);
	return true;
}

static bool write_failure(struct refresh *refresh, const char *id, int64_t version, int64_t failures,
			  const struct err *why, struct err *err)
{
	pg_params_clear(refresh->params);
	pg_params_text(refresh->params, id);
	pg_params_i64(refresh->params, version);
	pg_params_text(refresh->params, err_code_name(why->code));
	if (why->code == ERR_NOT_FOUND)
		pg_params_null(refresh->params);
	else
		pg_params_i64(refresh->params, why->code == ERR_DENIED ? DENIED_PAUSE_S : refresh_pause_s(failures));
	/* bigint first: the statement is prepared with the types of its first call, and a null has none. */
	LOG(WARN, "subscription_not_refreshed", F_TEXT("subscription", id), F_ERR(why));
	return pg_run(refresh->pg, "select api.subscription_refresh_failed($1, $2, $3, $4::bigint::integer)",
		      refresh->params, err);
}

/* What one row cannot help: everything is tried again later. Any other failure is that row's own, and the next ones
 * must not wait for it. */
static bool is_away(const struct err *err)
{
	return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
}

static bool refresh_row(struct refresh *refresh, const struct pg_result *rows, int row, struct err *err)
{
	struct stripe_refreshed answer;
	struct err why;
	int64_t failures = 0;
	const char *id = pg_get_text(rows, row, 0);
	if (!pg_get_i64(rows, row, 1, &answer.version) || !pg_get_i64(rows, row, 2, &failures))
		return err_set(err, ERR_INTERNAL, "a row to refresh is not whole");
	if (stripe_api_subscription(refresh->api, id, &answer.subscription, &why)) {
		if (write_answer(refresh, &answer, &why))
			return true;
		if (is_away(&why)) {
			*err = why;
			return false;
		}
	}
	if (cancelled(refresh))
		return true; /* its lease runs out */
	return write_failure(refresh, id, answer.version, failures, &why, err);
}

/* All that is due, a few rows at a time. */
static bool turn(struct refresh *refresh, struct err *err)
{
	int taken = ROWS_MAX;
	while (taken == ROWS_MAX && !cancelled(refresh)) {
		pg_params_clear(refresh->params);
		pg_params_i64(refresh->params, ROWS_MAX);
		pg_params_i64(refresh->params, LEASE_S);
		struct pg_result *rows = pg_call(refresh->pg,
						 "select stripe_subscription_id, version, refresh_failures from "
						 "api.subscription_refresh_due($1::integer, $2::integer)",
						 refresh->params, err);
		if (rows == NULL)
			return false;
		taken = pg_rows(rows);
		bool good = true;
		for (int row = 0; good && row < taken && !cancelled(refresh); row++)
			good = refresh_row(refresh, rows, row, err);
		pg_result_free(rows);
		if (!good)
			return false;
	}
	return true;
}

static void nap_ms(const struct refresh *refresh, int64_t ms)
{
	const struct timespec step = {.tv_nsec = 10000000};
	for (int64_t slept = 0; slept < ms && !cancelled(refresh); slept += 10)
		(void)nanosleep(&step, NULL);
}

static void *refresh_main(void *owner)
{
	struct refresh *refresh = owner;
	struct err err;
	int64_t failures = 0;
	while (!cancelled(refresh)) {
		if (turn(refresh, &err)) {
			failures = 0;
			nap_ms(refresh, refresh->config->refresh_interval_ms);
		} else {
			LOG(WARN, "refresher_waits", F_ERR(&err));
			nap_ms(refresh, 1000 * (int64_t)refresh_pause_s(failures < 4 ? failures++ : failures));
		}
	}
	return NULL;
}

static void refresh_free(struct refresh *refresh)
{
	stripe_api_free(refresh->api);
	pg_params_free(refresh->params);
	pg_free(refresh->pg);
	free(refresh);
}

struct refresh *refresh_start(const struct config *config, struct err *err)
{
	sigset_t all, before;
	if (config->stripe_api_key_file.hidden_len == 0)
		return NULL;
	struct refresh *refresh = calloc(1, sizeof(*refresh));
	if (refresh == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the refresher");
		return NULL;
	}
	refresh->config = config;
	const struct pg_options pg_options = {.config = config, .program = "watchpost-subscription-refresh"};
	const struct stripe_api_options api_options = {.base = config->stripe_api_base,
						       .key = &config->stripe_api_key_file,
						       .rate_per_s = (int)config->stripe_api_rate_per_s,
						       .cancel = &refresh->cancel};
	refresh->params = pg_params_new(PARAMS_MAX);
	if (refresh->params == NULL)
		(void)err_set(err, ERR_FULL, "no memory for the refresher");
	if (refresh->params == NULL || (refresh->pg = pg_new(&pg_options, err)) == NULL ||
	    (refresh->api = stripe_api_new(&api_options, err)) == NULL)
		goto fail;
	/* Signals are for the worker's thread. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&refresh->thread, NULL, refresh_main, refresh);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed == 0)
		return refresh;
	(void)err_set(err, ERR_FULL, "no thread for the refresher");
fail:
	refresh_free(refresh);
	return NULL;
}

void refresh_stop(struct refresh *refresh)
{
	if (refresh == NULL)
		return;
	atomic_store_explicit(&refresh->cancel, true, memory_order_relaxed);
	(void)pthread_join(refresh->thread, NULL);
	refresh_free(refresh);
}
