/* `stripe reconcile`: what Stripe has of every subscription, beside what is kept of it. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/stripe_refresh.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/progress.h"
#include "ops/ctl/rows.h"

enum {
	KNOWN_PAGES_MAX = 5000,   /* × CTL_PAGE_ROWS: five million rows of ours */
	STRIPE_PAGES_MAX = 50000, /* × STRIPE_API_PAGE_MAX: as many of Stripe's */
	SHOWN_MAX = 10000,        /* rows of the table; all are counted */
	TRIES = 5,
	FIRST_PAUSE_S = 1
};

enum outcome { SAME, INSERTED, CHANGED, CHANGED_MEANWHILE, TERMINAL, OTHER_MODE, REFUSED, OUTCOMES };
static const char *const OUTCOME_NAMES[] = {
	[SAME] = "same",         [INSERTED] = "inserted",
	[CHANGED] = "changed",   [CHANGED_MEANWHILE] = "changed_meanwhile",
	[TERMINAL] = "terminal", [OTHER_MODE] = "other_mode",
	[REFUSED] = "refused",
};
_Static_assert(ARRAY_LEN(OUTCOME_NAMES) == OUTCOMES, "every outcome has a name");

static const struct table_column COLUMNS[] = {{"stripe_subscription_id", TABLE_TEXT},
					      {"stripe_customer_id", TABLE_TEXT},
					      {"status", TABLE_TEXT},
					      {"outcome", TABLE_TEXT}};

/* Our rows as they were before Stripe was asked: (id, version), in the order of the ids. */
struct known {
	struct pg_result **pages;
	size_t count;
};

struct reconcile {
	struct ctl *ctl;
	struct pg *pg;
	struct stripe_api *api;
	struct known known;
	struct table *table;
	struct progress progress;
	uint64_t counts[OUTCOMES];
	struct stripe_subscription page[STRIPE_API_PAGE_MAX];
	struct stripe_refreshed answers[STRIPE_API_PAGE_MAX];
};

/* --- what is kept --------------------------------------------------------------------------------- */

static bool add_page(struct known *known, struct pg_result *page, struct err *err)
{
	struct pg_result **pages = known->count < KNOWN_PAGES_MAX
					   ? realloc(known->pages, (known->count + 1) * sizeof(struct pg_result *))
					   : NULL;
	if (pages == NULL) {
		pg_result_free(page);
		return err_set(err, ERR_FULL, "more subscriptions than one reconcile can hold");
	}
	known->pages = pages;
	known->pages[known->count++] = page;
	return true;
}

static bool read_known(struct reconcile *r, struct err *err)
{
	struct pg_params *params = rows_params(2, err);
	const char *after = NULL;
	int rows = CTL_PAGE_ROWS;
	bool good = params != NULL;
	while (good && rows == CTL_PAGE_ROWS) {
		pg_params_clear(params);
		pg_params_text(params, after);
		pg_params_i64(params, CTL_PAGE_ROWS);
		struct pg_result *page = pg_call(r->pg,
						 "select stripe_subscription_id, version from "
						 "api.subscription_versions($1, $2::integer)",
						 params, err);
		rows = page != NULL ? pg_rows(page) : 0;
		good = page != NULL && add_page(&r->known, page, err);
		if (good && rows > 0)
			after = pg_get_text(page, rows - 1, 0);
	}
	pg_params_free(params);
	return good;
}

static void known_free(struct known *known)
{
	for (size_t i = 0; i < known->count; i++)
		pg_result_free(known->pages[i]);
	free(known->pages);
}

/* 0: not kept. */
static int64_t known_version(const struct known *known, const char *id)
{
	size_t low = 0, high = known->count * CTL_PAGE_ROWS;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pg_result *page = known->pages[middle / CTL_PAGE_ROWS];
		int row = (int)(middle % CTL_PAGE_ROWS);
		int order =
			row < pg_rows(page) ? strcmp(pg_get_text(page, row, 0), id) : 1; /* only the last is short */
		int64_t version = 0;
		if (order == 0)
			return pg_get_i64(page, row, 1, &version) ? version : -1;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* --- what Stripe has ------------------------------------------------------------------------------ */

static void count_outcome(struct reconcile *r, const struct stripe_subscription *s, enum outcome outcome)
{
	r->counts[outcome]++;
	if (outcome == SAME || table_rows(r->table) == SHOWN_MAX)
		return;
	table_text(r->table, s->id);
	table_text(r->table, s->customer);
	table_text(r->table, subscription_status_name(s->status));
	table_text(r->table, OUTCOME_NAMES[outcome]);
}

static const struct stripe_subscription *find_answer(const struct stripe_refreshed *answers, size_t count,
						     struct bytes id)
{
	for (size_t i = 0; i < count; i++)
		if (bytes_equal_text(id, answers[i].subscription.id))
			return &answers[i].subscription;
	return NULL;
}

static bool take_outcomes(struct reconcile *r, const struct stripe_refreshed *answers, size_t count,
			  const struct pg_result *rows, struct err *err)
{
	for (int row = 0; row < pg_rows(rows); row++) {
		const struct stripe_subscription *s = find_answer(answers, count, pg_get(rows, row, 0));
		enum outcome outcome = SAME;
		while (outcome < OUTCOMES && !bytes_equal_text(pg_get(rows, row, 1), OUTCOME_NAMES[outcome]))
			outcome++;
		if (s == NULL || outcome == OUTCOMES)
			return err_set(err, ERR_INTERNAL, "the database answers otherwise than promised");
		count_outcome(r, s, outcome);
	}
	return true;
}

/* Answers that the database does not take are the item's own fault, and hold nothing else up. */
static bool write_answers(struct reconcile *r, const struct stripe_refreshed *answers, size_t count, struct err *err)
{
	struct pg_result *rows =
		stripe_refresh_write(r->pg, ctl_config(r->ctl), answers, count, ctl_switch(r->ctl, "dry-run"), err);
	if (rows != NULL) {
		bool good = take_outcomes(r, answers, count, rows, err);
		pg_result_free(rows);
		return good;
	}
	if (err->code != ERR_INVALID)
		return false;
	if (count == 1) {
		count_outcome(r, &answers->subscription, REFUSED);
		return true;
	}
	for (size_t i = 0; i < count; i++)
		if (!write_answers(r, &answers[i], 1, err))
			return false;
	return true;
}

/* One of Stripe's pages, in r->page. */
static bool apply(struct reconcile *r, size_t count, struct err *err)
{
	size_t ours = 0;
	for (size_t i = 0; i < count; i++) {
		const struct stripe_subscription *s = &r->page[i];
		if (s->livemode != ctl_config(r->ctl)->stripe_livemode)
			count_outcome(r, s, OTHER_MODE);
		else
			r->answers[ours++] = (struct stripe_refreshed){*s, known_version(&r->known, s->id)};
	}
	return ours == 0 || write_answers(r, r->answers, ours, err);
}

/* A page that Stripe does not give for the moment is asked for again, some times. */
static bool ask(struct reconcile *r, const char *after, size_t *count, bool *more, struct err *err)
{
	struct timespec pause = {.tv_sec = FIRST_PAUSE_S};
	for (int try = 1;; try++) {
		if (stripe_api_list(r->api, after, r->page, STRIPE_API_PAGE_MAX, count, more, err))
			return true;
		bool passes = err->code == ERR_FULL || err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
		if (!passes || try == TRIES)
			return false;
		progress_end(&r->progress);
		ctl_note(r->ctl, "%s; asking again in %lld s", err->text, (long long)pause.tv_sec);
		(void)nanosleep(&pause, NULL);
		pause.tv_sec *= 2;
	}
}

static bool ask_all(struct reconcile *r, struct err *err)
{
	char after[STRIPE_ID_BYTES_MAX + 1] = "";
	uint64_t done = 0;
	bool more = true;
	progress_begin(&r->progress, "subscriptions");
	for (int pages = 0; more; pages++) {
		size_t count;
		if (pages == STRIPE_PAGES_MAX)
			return err_set(err, ERR_FULL, "Stripe has more subscriptions than one reconcile can ask for");
		if (!ask(r, after[0] != '\0' ? after : NULL, &count, &more, err) ||
		    (count > 0 && !apply(r, count, err)))
			return err_context(err, "after %" PRIu64 " subscriptions", done);
		if (more && count == 0)
			return err_set(err, ERR_INVALID,
				       "Stripe answers with an empty page and says that there is more");
		if (count > 0)
			memcpy(after, r->page[count - 1].id, sizeof(after));
		done += count;
		progress_update(&r->progress, done, 0);
	}
	return true;
}

/* --- the command ---------------------------------------------------------------------------------- */

static void summarise(const struct reconcile *r)
{
	const uint64_t *n = r->counts;
	uint64_t shown = 0;
	for (enum outcome i = SAME + 1; i < OUTCOMES; i++)
		shown += n[i];
	if (shown > SHOWN_MAX)
		ctl_note(r->ctl, "the first %d of %" PRIu64 " are shown", SHOWN_MAX, shown);
	ctl_note(r->ctl, "%s%" PRIu64 " inserted, %" PRIu64 " changed, %" PRIu64 " the same",
		 ctl_switch(r->ctl, "dry-run") ? "nothing was written; would be: " : "", n[INSERTED], n[CHANGED],
		 n[SAME]);
	if (n[CHANGED_MEANWHILE] > 0)
		ctl_note(r->ctl,
			 "%" PRIu64 " changed while Stripe was asked and were left alone; run it again to see to them",
			 n[CHANGED_MEANWHILE]);
	if (n[TERMINAL] > 0)
		ctl_note(r->ctl, "%" PRIu64 " live at Stripe, but their end was told here, and an end stands",
			 n[TERMINAL]);
	if (n[REFUSED] > 0)
		ctl_note(r->ctl, "%" PRIu64 " were not taken by the database", n[REFUSED]);
	if (n[OTHER_MODE] > 0)
		ctl_note(r->ctl, "%" PRIu64 " were left out: stripe_livemode is %s and theirs is not", n[OTHER_MODE],
			 ctl_config(r->ctl)->stripe_livemode ? "true" : "false");
}

static bool check_settings(const struct config *config, struct err *err)
{
	if (config->stripe_api_key_file.hidden_len == 0)
		return err_set(err, ERR_INVALID,
			       "stripe_api_key_file is not set: it names a file with a restricted Stripe key "
			       "(subscriptions: read)");
	if (config->environment == ENVIRONMENT_PRODUCTION && strncmp(config->stripe_api_base, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "stripe_api_base must begin with https:// in production");
	return true;
}

static struct stripe_api *open_api(const struct config *config, struct err *err)
{
	if (!check_settings(config, err))
		return NULL;
	return stripe_api_new(&(struct stripe_api_options){.base = config->stripe_api_base,
							   .key = &config->stripe_api_key_file,
							   .rate_per_s = (int)config->stripe_api_rate_per_s},
			      err);
}

bool stripe_reconcile_run(struct ctl *ctl, struct err *err)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	bool good = false;
	if (r == NULL)
		return err_set(err, ERR_FULL, "no memory for the command");
	r->ctl = ctl;
	r->api = open_api(ctl_config(ctl), err);
	r->pg = r->api != NULL ? ctl_pg(ctl, err) : NULL;
	r->table = table_new(COLUMNS, ARRAY_LEN(COLUMNS));
	if (r->pg != NULL && r->table == NULL)
		(void)err_set(err, ERR_FULL, "no memory for the table");
	else if (r->pg != NULL)
		good = read_known(r, err) && ask_all(r, err);
	progress_end(&r->progress);
	if (good) {
		summarise(r);
		good = ctl_print(ctl, r->table, TABLE_LIST, err);
		r->table = NULL;
	}
	table_free(r->table);
	known_free(&r->known);
	stripe_api_free(r->api);
	free(r);
	return good;
}
