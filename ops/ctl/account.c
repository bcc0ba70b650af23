/* `account create`, `list`, `show`, `link`, `suspend` and `resume`. */
#include <assert.h>
#include <string.h>

#include "common/id.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/in_force.h"

enum { PARAMETERS_MAX = 5 };

#define ACCOUNT_COLUMNS                                                                                                \
	"account_id, name, state, stripe_customer_id, "                                                                \
	"to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static const struct table_column columns[] = {
	{"account_id", TABLE_TEXT},         {"name", TABLE_TEXT},       {"state", TABLE_TEXT},
	{"stripe_customer_id", TABLE_TEXT}, {"created_at", TABLE_TEXT},
};

static bool out_of_memory(struct err *err)
{
	return err_set(err, ERR_FULL, "no memory for the command");
}

static bool account_id_given(const struct ctl *ctl, const char **out, struct err *err)
{
	*out = ctl_argument(ctl, 0);
	assert(*out != NULL);
	return id_valid(bytes_of(*out), "acct") ||
	       err_set(err, ERR_INVALID, "an account's id is acct_ and 26 characters, as `account list` shows it");
}

/* Calls with the parameters and shows the one account that comes back. */
static bool call_and_show(struct ctl *ctl, const char *sql, const struct pg_params *params, struct err *err)
{
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_result *result = pg != NULL ? pg_call(pg, sql, params, err) : NULL;
	struct table *table;

	if (result == NULL)
		return false;
	assert(pg_rows(result) == 1);
	table = table_new(columns, ARRAY_LEN(columns));
	table_result(table, result);
	pg_result_free(result);
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

bool account_create_run(struct ctl *ctl, struct err *err)
{
	char id[ID_TEXT_BYTES];
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	bool ok;

	if (params == NULL)
		return out_of_memory(err);
	id_new("acct", clock_system(), id);
	pg_params_text(params, id);
	pg_params_text(params, ctl_argument(ctl, 0));
	ok = call_and_show(ctl, "select " ACCOUNT_COLUMNS " from api.account_create($1, $2)", params, err);
	pg_params_free(params);
	/* The outcome of a lost call can be looked up by the id. */
	return ok || err_context(err, "while creating %s", id);
}

bool account_show_run(struct ctl *ctl, struct err *err)
{
	const char *id;
	struct pg_params *params;
	bool ok;

	if (!account_id_given(ctl, &id, err))
		return false;
	params = pg_params_new(PARAMETERS_MAX);
	if (params == NULL)
		return out_of_memory(err);
	pg_params_text(params, id);
	ok = call_and_show(ctl, "select " ACCOUNT_COLUMNS " from api.account_show($1)", params, err);
	pg_params_free(params);
	return ok;
}

/* One page after `after`; *rows is how many came, and `after` their last id. */
static bool list_page(struct pg *pg, struct pg_params *params, char after[ID_TEXT_BYTES], struct table *table,
		      int *rows, struct err *err)
{
	struct pg_result *result;
	struct bytes last;

	pg_params_clear(params);
	pg_params_text(params, after[0] != '\0' ? after : NULL);
	pg_params_i64(params, CTL_PAGE_ROWS);
	result = pg_call(pg, "select " ACCOUNT_COLUMNS " from api.account_list($1, $2::integer)", params, err);
	if (result == NULL)
		return false;
	table_result(table, result);
	*rows = pg_rows(result);
	if (*rows > 0) {
		last = pg_get(result, *rows - 1, 0);
		assert(last.len < ID_TEXT_BYTES);
		memcpy(after, last.data, last.len + 1); /* libpq ends values with a NUL */
	}
	pg_result_free(result);
	return true;
}

bool account_list_run(struct ctl *ctl, struct err *err)
{
	char after[ID_TEXT_BYTES] = "";
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	struct pg *pg = ctl_pg(ctl, err);
	int rows = CTL_PAGE_ROWS;
	bool ok = pg != NULL;

	if (params == NULL || table == NULL)
		ok = out_of_memory(err);
	while (ok && rows == CTL_PAGE_ROWS)
		ok = list_page(pg, params, after, table, &rows, err);
	pg_params_free(params);
	if (ok)
		return ctl_print(ctl, table, TABLE_LIST, err);
	table_free(table);
	return false;
}

static bool link_account(struct ctl *ctl, const char *id, const char *customer, struct err *err)
{
	static const struct table_column link_columns[] = {
		{"account_id", TABLE_TEXT}, {"stripe_customer_id", TABLE_TEXT}, {"outcome", TABLE_TEXT}};
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_result *result = NULL;
	struct table *table;

	if (params == NULL)
		return out_of_memory(err);
	pg_params_text(params, id);
	pg_params_text(params, customer);
	pg_params_bool(params, ctl_switch(ctl, "replace"));
	pg_params_bool(params, ctl_config(ctl)->require_subscription);
	pg_params_i64(params, ctl_config(ctl)->past_due_grace_h);
	if (pg != NULL)
		result = pg_call(pg, "select $1, $2, api.account_link($1::text, $2::text, $3, $4, $5::integer)", params,
				 err);
	pg_params_free(params);
	if (result == NULL)
		return false;
	table = table_new(link_columns, ARRAY_LEN(link_columns));
	table_result(table, result);
	pg_result_free(result);
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

bool account_link_run(struct ctl *ctl, struct err *err)
{
	const char *id, *customer = ctl_value(ctl, "customer");

	if (!account_id_given(ctl, &id, err))
		return false;
	if (customer == NULL)
		return err_set(err, ERR_INVALID, "--customer is missing: cus_…, Stripe's id of the customer");
	if (strncmp(customer, "cus_", strlen("cus_")) != 0 || strlen(customer) > STRIPE_ID_BYTES_MAX)
		return err_set(err, ERR_INVALID, "--customer: Stripe's id of a customer begins with cus_");
	return link_account(ctl, id, customer, err);
}

/* The operator's part of the state (R4, R5). */
static bool change_state(struct ctl *ctl, const char *what, struct err *err)
{
	const char *id, *reason;

	if (!account_id_given(ctl, &id, err) || !in_force_reason(ctl, &reason, err))
		return false;
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	if (params == NULL)
		return out_of_memory(err);
	pg_params_text(params, id);
	pg_params_text(params, what);
	pg_params_text(params, reason);
	bool done = in_force_change_and_show(ctl, "select number, changed from api.account_change($1, $2, $3)", params,
					     what, id, err);
	pg_params_free(params);
	return done;
}

bool account_suspend_run(struct ctl *ctl, struct err *err)
{
	return change_state(ctl, "suspend", err);
}

bool account_resume_run(struct ctl *ctl, struct err *err)
{
	return change_state(ctl, "resume", err);
}
