/* `account create`, `list`, `show`, `link`, `suspend` and `resume`. */
#include <assert.h>
#include <string.h>

#include "common/id.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/in_force.h"
#include "ops/ctl/rows.h"

enum { PARAMETERS_MAX = 5 };

#define ACCOUNT_COLUMNS "account_id, name, state, stripe_customer_id, " ROWS_TIME("created_at")

static const struct table_column COLUMNS[] = {
	{"account_id", TABLE_TEXT},         {"name", TABLE_TEXT},       {"state", TABLE_TEXT},
	{"stripe_customer_id", TABLE_TEXT}, {"created_at", TABLE_TEXT},
};
static const struct rows ACCOUNTS = {COLUMNS, ARRAY_LEN(COLUMNS)};

static bool account_id_given(const struct ctl *ctl, const char **out, struct err *err)
{
	*out = ctl_argument(ctl, 0);
	assert(*out != NULL);
	return rows_account_id(*out, err);
}

bool account_create_run(struct ctl *ctl, struct err *err)
{
	char id[ID_TEXT_BYTES];
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);

	if (params == NULL)
		return false;
	id_new("acct", clock_system(), id);
	pg_params_text(params, id);
	pg_params_text(params, ctl_argument(ctl, 0));
	bool ok = rows_show(ctl, &ACCOUNTS, "select " ACCOUNT_COLUMNS " from api.account_create($1, $2)", params, err);
	pg_params_free(params);
	/* The outcome of a lost call can be looked up by the id. */
	return ok || err_context(err, "while creating %s", id);
}

bool account_show_run(struct ctl *ctl, struct err *err)
{
	const char *id;

	if (!account_id_given(ctl, &id, err))
		return false;
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
	pg_params_text(params, id);
	bool ok = rows_show(ctl, &ACCOUNTS, "select " ACCOUNT_COLUMNS " from api.account_show($1)", params, err);
	pg_params_free(params);
	return ok;
}

bool account_list_run(struct ctl *ctl, struct err *err)
{
	return rows_list(ctl, &ACCOUNTS, "select " ACCOUNT_COLUMNS " from api.account_list($1, $2::integer)", NULL, 0,
			 err);
}

static bool link_account(struct ctl *ctl, const char *id, const char *customer, struct err *err)
{
	static const struct table_column LINK_COLUMNS[] = {
		{"account_id", TABLE_TEXT}, {"stripe_customer_id", TABLE_TEXT}, {"outcome", TABLE_TEXT}};
	static const struct rows LINK = {LINK_COLUMNS, ARRAY_LEN(LINK_COLUMNS)};
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);

	if (params == NULL)
		return false;
	pg_params_text(params, id);
	pg_params_text(params, customer);
	pg_params_bool(params, ctl_switch(ctl, "replace"));
	pg_params_bool(params, ctl_config(ctl)->require_subscription);
	pg_params_i64(params, ctl_config(ctl)->past_due_grace_h);
	bool ok = rows_show(ctl, &LINK, "select $1, $2, api.account_link($1::text, $2::text, $3, $4, $5::integer)",
			    params, err);
	pg_params_free(params);
	return ok;
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
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
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
