#include "common/stripe_refresh.h"

#include <assert.h>

enum { PARAMS = 11 };

static void add_texts(struct pg_params *params, const struct stripe_refreshed *answers, size_t count,
		      const char *(*text)(const struct stripe_subscription *s))
{
	pg_params_array_begin(params, PG_ARRAY_TEXT);
	for (size_t i = 0; i < count; i++)
		pg_params_array_bytes(params, bytes_of(text(&answers[i].subscription)));
	pg_params_array_end(params);
}

static const char *id(const struct stripe_subscription *s)
{
	return s->id;
}

static const char *customer(const struct stripe_subscription *s)
{
	return s->customer;
}

static const char *status(const struct stripe_subscription *s)
{
	return subscription_status_name(s->status);
}

static void add_numbers(struct pg_params *params, enum pg_array_kind kind, const struct stripe_refreshed *answers,
			size_t count, int64_t (*number)(const struct stripe_refreshed *a))
{
	pg_params_array_begin(params, kind);
	for (size_t i = 0; i < count; i++)
		pg_params_array_i64(params, number(&answers[i]));
	pg_params_array_end(params);
}

static int64_t version(const struct stripe_refreshed *a)
{
	return a->version;
}

static int64_t cancel(const struct stripe_refreshed *a)
{
	return a->subscription.cancel_at_period_end;
}

static int64_t livemode(const struct stripe_refreshed *a)
{
	return a->subscription.livemode;
}

static int64_t created(const struct stripe_refreshed *a)
{
	return a->subscription.created_s;
}

static void add_period_ends(struct pg_params *params, const struct stripe_refreshed *answers, size_t count)
{
	pg_params_array_begin(params, PG_ARRAY_I64);
	for (size_t i = 0; i < count; i++) {
		if (answers[i].subscription.period_end_s != 0)
			pg_params_array_i64(params, answers[i].subscription.period_end_s);
		else
			pg_params_array_null(params);
	}
	pg_params_array_end(params);
}

struct pg_result *stripe_refresh_write(struct pg *pg, const struct config *config,
				       const struct stripe_refreshed *answers, size_t count, bool dry_run,
				       struct err *err)
{
	struct pg_params *params = pg_params_new(PARAMS);
	assert(count > 0 && count <= STRIPE_API_PAGE_MAX);
	if (params == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for Stripe's answers");
		return NULL;
	}
	add_texts(params, answers, count, id);
	add_numbers(params, PG_ARRAY_I64, answers, count, version);
	add_texts(params, answers, count, customer);
	add_texts(params, answers, count, status);
	add_period_ends(params, answers, count);
	add_numbers(params, PG_ARRAY_BOOL, answers, count, cancel);
	add_numbers(params, PG_ARRAY_BOOL, answers, count, livemode);
	add_numbers(params, PG_ARRAY_I64, answers, count, created);
	pg_params_bool(params, config->require_subscription);
	pg_params_i64(params, config->past_due_grace_h);
	pg_params_bool(params, dry_run);
	struct pg_result *rows =
		pg_call(pg,
			"select stripe_subscription_id, outcome from "
			"api.subscription_refresh_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::integer, $11)",
			params, err);
	pg_params_free(params);
	return rows;
}
