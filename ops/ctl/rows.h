/*
 * Rows of the database as a table: what commands that show or list something of it have in common.
 *
 * To show or list another kind of thing, write down its columns and the SELECT list that fills them, with what tells
 * one from the other first, and call rows_show or rows_list.
 *
 * Thread: one. Errors: as pg_call and ctl_print.
 */
#ifndef WATCHPOST_OPS_CTL_ROWS_H
#define WATCHPOST_OPS_CTL_ROWS_H

#include "ops/ctl/command.h"

/* A time, as every table shows one: 2026-11-23T15:37:00.123Z. */
#define ROWS_TIME(COLUMN) "to_char(" COLUMN " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

struct rows {
	const struct table_column *columns;
	size_t count;
};

/* An id of an account is well formed; ERR_INVALID says how one looks. */
MUSTCHECK bool rows_account_id(const char *id, struct err *err);

/* Room for parameters; NULL and ERR_FULL without memory. pg_params_free when done. */
MUSTCHECK struct pg_params *rows_params(size_t count, struct err *err);

/* Calls, and prints what comes back: as one record, which it must be, or as a list. */
MUSTCHECK bool rows_show(struct ctl *ctl, const struct rows *rows, const char *sql, const struct pg_params *params,
			 struct err *err);
MUSTCHECK bool rows_show_all(struct ctl *ctl, const struct rows *rows, const char *sql, const struct pg_params *params,
			     struct err *err);

/* Prints a list that may be long, fetched by pages in the order of its first column. The statement takes the last one
 * seen as $1 (NULL at first), how many as $2, and the filters as $3 … */
MUSTCHECK bool rows_list(struct ctl *ctl, const struct rows *rows, const char *sql, const char *const *filters,
			 size_t filter_count, struct err *err);

#endif
