#include "ops/ctl/rows.h"

#include <assert.h>
#include <string.h>

#include "common/id.h"
#include "common/limits.h"

bool rows_account_id(const char *id, struct err *err)
{
	return id_valid(bytes_of(id), "acct") ||
	       err_set(err, ERR_INVALID, "an account's id is acct_ and 26 characters, as `account list` shows it");
}

struct pg_params *rows_params(size_t count, struct err *err)
{
	struct pg_params *params = pg_params_new(count);
	if (params == NULL)
		(void)err_set(err, ERR_FULL, "no memory for the command");
	return params;
}

static bool show(struct ctl *ctl, const struct rows *rows, const char *sql, const struct pg_params *params,
		 enum table_shape shape, struct err *err)
{
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_result *result = pg != NULL ? pg_call(pg, sql, params, err) : NULL;
	if (result == NULL)
		return false;
	assert(shape == TABLE_LIST || pg_rows(result) == 1);
	struct table *table = table_new(rows->columns, rows->count);
	table_result(table, result);
	pg_result_free(result);
	return ctl_print(ctl, table, shape, err);
}

bool rows_show(struct ctl *ctl, const struct rows *rows, const char *sql, const struct pg_params *params,
	       struct err *err)
{
	return show(ctl, rows, sql, params, TABLE_RECORD, err);
}

bool rows_show_all(struct ctl *ctl, const struct rows *rows, const char *sql, const struct pg_params *params,
		   struct err *err)
{
	return show(ctl, rows, sql, params, TABLE_LIST, err);
}

/* Where a list stands. */
struct pages {
	const char *sql;
	const char *const *filters;
	size_t filter_count;
	struct pg_params *params;
	char after[ID_TEXT_BYTES]; /* "": at the start */
	bool more;
};

static bool fetch_page(struct pg *pg, struct pages *pages, struct table *table, struct err *err)
{
	pg_params_clear(pages->params);
	pg_params_text(pages->params, pages->after[0] != '\0' ? pages->after : NULL);
	pg_params_i64(pages->params, CTL_PAGE_ROWS);
	for (size_t i = 0; i < pages->filter_count; i++)
		pg_params_text(pages->params, pages->filters[i]);
	struct pg_result *result = pg_call(pg, pages->sql, pages->params, err);
	if (result == NULL)
		return false;
	table_result(table, result);
	int count = pg_rows(result);
	if (count > 0) {
		struct bytes last = pg_get(result, count - 1, 0);
		assert(last.len < sizeof(pages->after));
		memcpy(pages->after, last.data, last.len + 1); /* libpq ends values with a NUL */
	}
	pages->more = count == CTL_PAGE_ROWS;
	pg_result_free(result);
	return true;
}

bool rows_list(struct ctl *ctl, const struct rows *rows, const char *sql, const char *const *filters,
	       size_t filter_count, struct err *err)
{
	struct pages pages = {.sql = sql, .filters = filters, .filter_count = filter_count, .more = true};
	struct pg *pg = ctl_pg(ctl, err);
	if (pg == NULL)
		return false;
	pages.params = rows_params(2 + filter_count, err);
	if (pages.params == NULL)
		return false;
	struct table *table = table_new(rows->columns, rows->count);
	bool ok = true;
	while (ok && pages.more)
		ok = fetch_page(pg, &pages, table, err);
	pg_params_free(pages.params);
	if (ok)
		return ctl_print(ctl, table, TABLE_LIST, err);
	table_free(table);
	return false;
}
