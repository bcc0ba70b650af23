#include "workers/subscription_sync/sync.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/subscription.h"
#include "events.h"
#include "workers/subscription_sync/groups.h"
#include "workers/subscription_sync/refresh.h"

enum {
	PARAMS_MAX = 16,
	FORGET_INTERVAL_MS = 60000,
	GRACE_INTERVAL_MS = 10000,
	ROWS_PER_TICK_MAX = 5000, /* some ten milliseconds between two batches */
	NS_PER_MS = 1000000
};

/* What decode keeps of one item. */
struct sync_item {
	enum { SYNC_NOTHING, SYNC_SUBSCRIPTION, SYNC_LINK } kind;
	bool fresh;
	struct bytes subscription, customer, account; /* account: of a link */
	bool livemode;
	struct subscription_event event;
};

struct sync {
	struct worker_state base;
	struct sync_item items[BATCH_ITEMS_MAX];
	struct groups *groups;
	struct pg_params *params;
	struct refresh *refresh; /* NULL: no key is configured */
	int64_t forget_due_ns;
	int64_t grace_due_ns;
};

static struct sync *sync_of(struct worker_state *state)
{
	return CONTAINER_OF(state, struct sync, base);
}

/* --- C2 --- */

static bool decode_subscription(struct bytes value, struct sync_item *out, struct err *err)
{
	struct event_stripe_subscription e;
	if (!event_stripe_subscription_decode(value, &e, err))
		return false;
	if (e.has_account)
		return true;
	enum subscription_status status = subscription_status_parse(e.status);
	if (bytes_equal_text(e.stripe_type, "customer.subscription.deleted") && !subscription_status_terminal(status))
		status = SUBSCRIPTION_CANCELED;
	if (status == SUBSCRIPTION_UNKNOWN)
		return err_set(err, ERR_INVALID, "field status: a word that this version does not know");
	if (!e.has_customer)
		return err_set(err, ERR_INVALID, "field customer: missing");
	*out = (struct sync_item){
		.kind = SYNC_SUBSCRIPTION,
		.subscription = e.subscription,
		.customer = e.customer,
		.livemode = e.livemode,
		.event =
			{
				.created_s = e.created_s,
				.phase = bytes_equal_text(e.stripe_type, "customer.subscription.created")
						 ? SUBSCRIPTION_PHASE_CREATED
						 : SUBSCRIPTION_PHASE_UPDATED,
				.status = status,
				.previous_status = e.has_previous_status ? subscription_status_parse(e.previous_status)
									 : SUBSCRIPTION_UNKNOWN,
				.period_end_s = e.has_current_period_end_s ? e.current_period_end_s : 0,
				.cancel_at_period_end = e.has_cancel_at_period_end && e.cancel_at_period_end,
			},
	};
	return true;
}

static bool decode_checkout(struct bytes value, struct sync_item *out, struct err *err)
{
	struct event_stripe_checkout e;
	if (!event_stripe_checkout_decode(value, &e, err))
		return false;
	if (!e.has_account && e.has_client_reference_id && e.has_customer)
		*out = (struct sync_item){.kind = SYNC_LINK,
					  .account = e.client_reference_id,
					  .customer = e.customer,
					  .livemode = e.livemode};
	return true;
}

static bool sync_decode(struct worker_state *state, const struct worker_item *item, struct err *err)
{
	struct sync_item *out = &sync_of(state)->items[item->place];
	*out = (struct sync_item){.kind = SYNC_NOTHING};
	const struct event_type *type = event_type_find(item->head.type);
	if (type != NULL && type->id == EVENT_TYPE_STRIPE_SUBSCRIPTION)
		return decode_subscription(item->record->value, out, err);
	if (type != NULL && type->id == EVENT_TYPE_STRIPE_CHECKOUT)
		return decode_checkout(item->record->value, out, err);
	return true;
}

/* --- C3: the steps, in their order --- */

static bool acts_on(const struct sync *sync, const struct worker_item *item)
{
	return !item->undecodable && sync->items[item->place].kind != SYNC_NOTHING;
}

/* Which events are new. Every other one is a duplicate. */
static bool remember_events(struct sync *sync, struct pg *pg, const struct worker_batch *batch, size_t *acted,
			    struct err *err)
{
	size_t placed[BATCH_ITEMS_MAX], count = 0;
	pg_params_clear(sync->params);
	pg_params_array_begin(sync->params, PG_ARRAY_TEXT);
	for (size_t i = 0; i < batch->count; i++) {
		const struct worker_item *item = &batch->items[i];
		if (!acts_on(sync, item))
			continue;
		sync->items[item->place].fresh = false;
		placed[count++] = item->place;
		pg_params_array_bytes(sync->params, item->head.id);
	}
	pg_params_array_end(sync->params);
	*acted = count;
	if (count == 0)
		return true;
	struct pg_result *rows = pg_call(pg, "select api.subscription_sync_seen($1)", sync->params, err);
	if (rows == NULL)
		return false;
	for (int row = 0; row < pg_rows(rows); row++) {
		int64_t place = 0;
		if (pg_get_i64(rows, row, 0, &place) && place >= 1 && (size_t)place <= count)
			sync->items[placed[place - 1]].fresh = true;
	}
	pg_result_free(rows);
	return true;
}

static void group_events(struct sync *sync, const struct worker_batch *batch)
{
	groups_clear(sync->groups);
	for (size_t i = 0; i < batch->count; i++) {
		const struct sync_item *item = &sync->items[batch->items[i].place];
		if (!acts_on(sync, &batch->items[i]) || item->kind != SYNC_SUBSCRIPTION || !item->fresh)
			continue;
		struct group *group = groups_take(sync->groups, item->subscription);
		if (group->customer.len == 0) {
			group->customer = item->customer;
			group->livemode = item->livemode;
		}
	}
}

static bool row_to_group(struct sync *sync, const struct pg_result *rows, int row, struct err *err)
{
	int64_t place = 0, version = 0;
	uint8_t state[SUBSCRIPTION_STATE_BYTES_MAX];
	/* bytea in hex: "\x" and two digits a byte. */
	struct bytes hex = pg_get(rows, row, 2);
	size_t len = hex.len > 2 ? (hex.len - 2) / 2 : 0;
	if (!pg_get_i64(rows, row, 0, &place) || place < 1 || (size_t)place > groups_count(sync->groups) ||
	    !pg_get_i64(rows, row, 1, &version) || len > sizeof(state) || !pg_get_bytea(rows, row, 2, state, len))
		return err_set(err, ERR_INTERNAL, "a locked subscription row is not whole");
	struct group *group = groups_at(sync->groups, (size_t)place - 1);
	group->version = version;
	if (!subscription_decode(bytes_make(state, len), &group->state))
		return err_set(err, ERR_INTERNAL, "subscription %.*s: its stored state is of another version",
			       (int)group->subscription.len, (const char *)group->subscription.data);
	return true;
}

static bool lock_rows(struct sync *sync, struct pg *pg, struct err *err)
{
	pg_params_clear(sync->params);
	pg_params_array_begin(sync->params, PG_ARRAY_TEXT);
	for (size_t i = 0; i < groups_count(sync->groups); i++)
		pg_params_array_bytes(sync->params, groups_at(sync->groups, i)->subscription);
	pg_params_array_end(sync->params);
	struct pg_result *rows = pg_call(pg, "select place, version, merge_state from api.subscription_sync_lock($1)",
					 sync->params, err);
	if (rows == NULL)
		return false;
	bool good = true;
	for (int row = 0; good && row < pg_rows(rows); row++)
		good = row_to_group(sync, rows, row, err);
	pg_result_free(rows);
	return good;
}

static void merge_events(struct sync *sync, struct worker_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct worker_item *item = &batch->items[i];
		if (!acts_on(sync, item)) {
			item->outcome = WORKER_IGNORED;
			continue;
		}
		const struct sync_item *found = &sync->items[item->place];
		item->outcome = found->fresh ? WORKER_APPLIED : WORKER_DUPLICATE;
		if (!found->fresh || found->kind != SYNC_SUBSCRIPTION)
			continue;
		struct group *group = groups_take(sync->groups, found->subscription);
		struct subscription one;
		subscription_of_event(&found->event, &one);
		if (subscription_merge(&group->state, &one))
			group->changed = true;
		else
			item->outcome = WORKER_STALE;
	}
}

/* One column of the groups that changed. */
typedef void (*column)(struct pg_params *params, const struct group *group, const struct subscription_view *view);

static void column_id(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)view;
	pg_params_array_bytes(params, group->subscription);
}
static void column_version(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)view;
	pg_params_array_i64(params, group->version);
}
static void column_customer(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)view;
	pg_params_array_bytes(params, group->customer);
}
static void column_status(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)group;
	pg_params_array_bytes(params, bytes_of(subscription_status_name(view->status)));
}
static void column_period_end(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)group;
	if (view->period_end_s == 0)
		pg_params_array_null(params);
	else
		pg_params_array_i64(params, view->period_end_s);
}
static void column_cancel(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)group;
	pg_params_array_i64(params, view->cancel_at_period_end);
}
static void column_livemode(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)view;
	pg_params_array_i64(params, group->livemode);
}
static void column_needs_refresh(struct pg_params *params, const struct group *group,
				 const struct subscription_view *view)
{
	(void)group;
	pg_params_array_i64(params, view->needs_refresh);
}
static void column_event_s(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	(void)view;
	pg_params_array_i64(params, group->state.created_s);
}
static void column_state(struct pg_params *params, const struct group *group, const struct subscription_view *view)
{
	uint8_t state[SUBSCRIPTION_STATE_BYTES_MAX];
	(void)view;
	pg_params_array_bytes(params, bytes_make(state, subscription_encode(&group->state, state)));
}

static void add_column(struct sync *sync, enum pg_array_kind kind, column fill)
{
	pg_params_array_begin(sync->params, kind);
	for (size_t i = 0; i < groups_count(sync->groups); i++) {
		const struct group *group = groups_at(sync->groups, i);
		struct subscription_view view;
		if (!group->changed)
			continue;
		subscription_view(&group->state, &view);
		fill(sync->params, group, &view);
	}
	pg_params_array_end(sync->params);
}

static bool write_groups(struct sync *sync, struct pg *pg, struct err *err)
{
	pg_params_clear(sync->params);
	add_column(sync, PG_ARRAY_TEXT, column_id);
	add_column(sync, PG_ARRAY_I64, column_version);
	add_column(sync, PG_ARRAY_TEXT, column_customer);
	add_column(sync, PG_ARRAY_TEXT, column_status);
	add_column(sync, PG_ARRAY_I64, column_period_end);
	add_column(sync, PG_ARRAY_BOOL, column_cancel);
	add_column(sync, PG_ARRAY_BOOL, column_livemode);
	add_column(sync, PG_ARRAY_BOOL, column_needs_refresh);
	add_column(sync, PG_ARRAY_I64, column_event_s);
	add_column(sync, PG_ARRAY_BYTEA, column_state);
	return pg_run(pg, "select api.subscription_sync_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", sync->params,
		      err);
}

/* Links of this batch as two arrays; returns how many. */
static size_t add_links(struct sync *sync, const struct worker_batch *batch)
{
	size_t count = 0;
	for (int customers = 0; customers < 2; customers++) {
		pg_params_array_begin(sync->params, PG_ARRAY_TEXT);
		for (size_t i = 0; i < batch->count; i++) {
			const struct sync_item *item = &sync->items[batch->items[i].place];
			if (!acts_on(sync, &batch->items[i]) || item->kind != SYNC_LINK || !item->fresh)
				continue;
			pg_params_array_bytes(sync->params, customers ? item->customer : item->account);
			count += customers ? 1 : 0;
		}
		pg_params_array_end(sync->params);
	}
	return count;
}

static void log_links(const struct pg_result *rows)
{
	for (int row = 0; row < pg_rows(rows); row++) {
		struct bytes outcome = pg_get(rows, row, 1);
		if (!bytes_equal_text(outcome, "linked") && !bytes_equal_text(outcome, "unchanged"))
			LOG(WARN, "link_refused", F_BYTES("outcome", outcome),
			    F_TEXT("hint", "watchpostctl account link"));
	}
}

static bool settle_accounts(struct sync *sync, struct pg *pg, const struct worker_batch *batch, size_t changed,
			    struct err *err)
{
	const struct config *config = worker_config(sync->base.worker);
	pg_params_clear(sync->params);
	size_t links = add_links(sync, batch);
	if (links == 0 && (changed == 0 || !config->require_subscription))
		return true;
	add_column(sync, PG_ARRAY_TEXT, column_customer);
	pg_params_bool(sync->params, config->require_subscription);
	pg_params_i64(sync->params, config->past_due_grace_h);
	struct pg_result *rows =
		pg_call(pg, "select place, outcome from api.subscription_sync_accounts($1, $2, $3, $4, $5::integer)",
			sync->params, err);
	if (rows == NULL)
		return false;
	log_links(rows);
	pg_result_free(rows);
	return true;
}

static bool sync_apply(struct worker_state *state, struct pg *pg, struct worker_batch *batch, struct err *err)
{
	struct sync *sync = sync_of(state);
	size_t acted = 0, changed = 0;
	if (!remember_events(sync, pg, batch, &acted, err))
		return false;
	group_events(sync, batch);
	if (groups_count(sync->groups) > 0 && !lock_rows(sync, pg, err))
		return false;
	merge_events(sync, batch);
	for (size_t i = 0; i < groups_count(sync->groups); i++)
		changed += groups_at(sync->groups, i)->changed;
	if (changed > 0 && !write_groups(sync, pg, err))
		return false;
	return acted == 0 || settle_accounts(sync, pg, batch, changed, err);
}

/* --- between batches --- */

/* A call that does at most ROWS_PER_TICK_MAX of some upkeep; *more: it did so many, there may be others. `setting`
 * NULL: SQL's null. */
static bool upkeep(struct sync *sync, const char *sql, const int64_t *setting, bool *more, struct err *err)
{
	int64_t done = 0;
	pg_params_clear(sync->params);
	if (setting != NULL)
		pg_params_i64(sync->params, *setting);
	else
		pg_params_null(sync->params);
	pg_params_i64(sync->params, ROWS_PER_TICK_MAX);
	struct pg_result *row = pg_call(worker_pg(sync->base.worker), sql, sync->params, err);
	if (row == NULL)
		return false;
	*more = pg_get_i64(row, 0, 0, &done) && done == ROWS_PER_TICK_MAX;
	pg_result_free(row);
	return true;
}

static bool forget_events(struct sync *sync, int64_t now_ns, struct err *err)
{
	bool more;
	if (!upkeep(sync, "select api.subscription_sync_forget($1::bigint::integer, $2::integer)",
		    &worker_config(sync->base.worker)->dedupe_days, &more, err))
		return false;
	/* There is more: at the next tick, or more would come in than goes. */
	sync->forget_due_ns = more ? now_ns : now_ns + (int64_t)FORGET_INTERVAL_MS * NS_PER_MS;
	return true;
}

/* Nobody sends an event when the grace for a late payment runs out, or when a setting changes. */
static bool settle_grace(struct sync *sync, int64_t now_ns, struct err *err)
{
	const struct config *config = worker_config(sync->base.worker);
	const int64_t *grace_h = config->require_subscription ? &config->past_due_grace_h : NULL;
	bool more = false;
	/* bigint first: the statement is prepared with the types of its first call, and a null has none. */
	if (!upkeep(sync, "select api.subscription_grace_settle($1::bigint::integer, $2::integer)", grace_h, &more,
		    err))
		return false;
	sync->grace_due_ns = more ? now_ns : now_ns + (int64_t)GRACE_INTERVAL_MS * NS_PER_MS;
	return true;
}

static bool sync_tick(struct worker_state *state, struct err *err)
{
	struct sync *sync = sync_of(state);
	int64_t now_ns = clock_mono_ns(worker_clock(state->worker));
	return (now_ns < sync->forget_due_ns || forget_events(sync, now_ns, err)) &&
	       (now_ns < sync->grace_due_ns || settle_grace(sync, now_ns, err));
}

static void start_refresher(struct sync *sync, const struct config *config)
{
	struct err err = {.code = ERR_NONE};
	sync->refresh = refresh_start(config, &err);
	if (err.code != ERR_NONE)
		LOG(ERROR, "refresher_not_started", F_ERR(&err));
}

static void sync_reload(struct worker_state *state)
{
	struct sync *sync = sync_of(state);
	refresh_stop(sync->refresh);
	start_refresher(sync, worker_config(state->worker));
}

static void sync_stop(struct worker_state *state)
{
	struct sync *sync = sync_of(state);
	refresh_stop(sync->refresh);
	groups_free(sync->groups);
	pg_params_free(sync->params);
	free(sync);
}

static struct worker_state *sync_start(struct worker *worker, struct err *err)
{
	struct sync *sync = calloc(1, sizeof(*sync));
	if (sync == NULL)
		goto full;
	sync->base.worker = worker;
	sync->groups = groups_new();
	sync->params = pg_params_new(PARAMS_MAX);
	if (sync->groups == NULL || sync->params == NULL) {
		sync_stop(&sync->base);
		goto full;
	}
	start_refresher(sync, worker_config(worker));
	return &sync->base;
full:
	(void)err_set(err, ERR_FULL, "no memory for subscription-sync");
	return NULL;
}

static const enum event_topic SYNC_TOPICS[] = {EVENT_TOPIC_STRIPE};

const struct worker_spec sync_spec = {
	.name = "subscription-sync",
	.summary = "keeps the state of Stripe subscriptions from the topic stripe",
	.program = CONFIG_SUBSCRIPTION_SYNC,
	.topics = SYNC_TOPICS,
	.topic_count = ARRAY_LEN(SYNC_TOPICS),
	.start = sync_start,
	.decode = sync_decode,
	.apply = sync_apply,
	.tick = sync_tick,
	.reload = sync_reload,
	.stop = sync_stop,
};
