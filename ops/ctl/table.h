/*
 * Rows for a person or for a script.
 *
 *   human  columns aligned by spaces, numbers to the right
 *   plain  columns separated by one tab, a line of names first: for pipes
 *   JSON   an array of objects, or one object
 *
 * Control bytes in values never reach a terminal: they are shown as \xNN. JSON keeps them, escaped.
 *
 * Owns: its cells, copied. Thread: one. A table that runs out of memory or passes TABLE_BYTES_MAX remembers it, and
 * printing fails with ERR_FULL.
 */
#ifndef WATCHPOST_OPS_CTL_TABLE_H
#define WATCHPOST_OPS_CTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/bytes.h"
#include "common/err.h"
#include "common/pg.h"

struct table;

enum table_kind { TABLE_TEXT, TABLE_NUMBER, TABLE_BOOL };
enum table_style { TABLE_HUMAN, TABLE_PLAIN, TABLE_JSON };
enum table_shape { TABLE_LIST, TABLE_RECORD };

struct table_column {
	const char *name; /* snake_case, the key in JSON */
	enum table_kind kind;
};

enum { TABLE_COLUMNS_MAX = 16 };

/* `columns` must outlive the table. NULL without memory: ctl_print and the others take that as a failed table. */
MUSTCHECK struct table *table_new(const struct table_column *columns, size_t count);
void table_free(struct table *table);

/* Cells, from left to right, row after row. */
void table_text(struct table *table, const char *text); /* NULL: no value */
void table_view(struct table *table, struct bytes text);
void table_i64(struct table *table, int64_t value);
void table_bool(struct table *table, bool value);
void table_null(struct table *table);
/* All rows of a result that has as many columns as the table. */
void table_result(struct table *table, const struct pg_result *result);

size_t table_rows(const struct table *table);

/* A record has exactly one row. ERR_FULL as above, ERR_IO when `to` cannot be written. */
MUSTCHECK bool table_print(const struct table *table, FILE *to, enum table_style style, enum table_shape shape,
			   struct err *err);

#endif
