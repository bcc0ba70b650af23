/*
 * Postgres. Only common/pg*.c know libpq.
 *
 * struct pg is one connection with calls that wait, each bounded by a deadline: for workers and tools.
 * (Loop threads use struct pg_pipe, common/pg_pipe.h.) At connect it checks that the database carries the configuration's
 * environment (api.environment()) and that the server is a primary, unless options say otherwise.
 *
 * Parameters are text or binary by pg_param; results are read by column number.
 *
 * Owns: a result belongs to the caller until pg_result_free; views into it live as long.
 * Thread: one at a time per connection.
 * Errors: every failure sets err and, when the server spoke, pg_sqlstate. By class (C6): 22 and 23 the item's
 * fault; 40, 57, 08 and lost connections ERR_UNAVAILABLE (retry); anything else ERR_INTERNAL. After a lost
 * connection or a time-out the next call reconnects; an open transaction is gone.
 */
#ifndef WATCHPOST_COMMON_PG_H
#define WATCHPOST_COMMON_PG_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/config.h"
#include "common/err.h"

struct pg;
struct pg_result;

/* One parameter. `type` is the Postgres OID; 0 lets the server infer it (text format only). */
struct pg_param {
	struct bytes value;
	uint32_t type;
	bool null;
	bool binary;
};

struct pg_param pg_text(const char *text);             /* NULL → SQL null */
struct pg_param pg_text_view(struct bytes text);       /* must hold no NUL */
struct pg_param pg_bytea(struct bytes bytes);
struct pg_param pg_null(void);

/* Integers and arrays need storage: a small arena that lives until pg_params_free. */
struct pg_params;
MUSTCHECK struct pg_params *pg_params_new(size_t count_max);
void pg_params_free(struct pg_params *params);
void pg_params_clear(struct pg_params *params);
/* Each adds the next parameter ($1, $2 …). A builder that runs out of memory or room remembers it, and the
 * pg_call that uses it fails with ERR_FULL. */
void pg_params_text(struct pg_params *params, const char *text);
void pg_params_text_view(struct pg_params *params, struct bytes text);
void pg_params_i64(struct pg_params *params, int64_t value);
void pg_params_bool(struct pg_params *params, bool value);
void pg_params_bytea(struct pg_params *params, struct bytes bytes);
void pg_params_null(struct pg_params *params);
/* Arrays in binary form, the fast way to hand a batch over: begin, then one call per element, then end. */
enum pg_array_kind { PG_ARRAY_TEXT, PG_ARRAY_I64, PG_ARRAY_I32, PG_ARRAY_BOOL, PG_ARRAY_BYTEA };
void pg_params_array_begin(struct pg_params *params, enum pg_array_kind kind);
void pg_params_array_bytes(struct pg_params *params, struct bytes value); /* TEXT, BYTEA */
void pg_params_array_i64(struct pg_params *params, int64_t value);        /* I64, I32, BOOL */
void pg_params_array_null(struct pg_params *params);
void pg_params_array_end(struct pg_params *params);

struct pg_options {
	const struct config *config;
	const char *program;         /* application_name */
	bool skip_environment_check; /* for migrate, before the database has one */
};

/* Connects lazily: the first call does. */
MUSTCHECK struct pg *pg_new(const struct pg_options *options, struct err *err);
void pg_free(struct pg *pg);
/* Connects now and runs the checks. */
MUSTCHECK bool pg_connect(struct pg *pg, struct err *err);
bool pg_connected(const struct pg *pg);

/* Runs one statement (prepared on first use, keyed by the pointer of `sql`, which must be a literal). `params` may be NULL. */
MUSTCHECK struct pg_result *pg_call(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err);
/* The same, dropping the result. */
MUSTCHECK bool pg_run(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err);
/* A script of several statements without parameters (migrations). */
MUSTCHECK bool pg_script(struct pg *pg, const char *sql, struct err *err);

MUSTCHECK bool pg_begin(struct pg *pg, struct err *err);
/* ERR_TIMEOUT or ERR_UNAVAILABLE from here mean: the outcome is unknown. */
MUSTCHECK bool pg_commit(struct pg *pg, struct err *err);
void pg_rollback(struct pg *pg);

/* Five characters and NUL of the last server error; "" when the server said nothing. */
const char *pg_sqlstate(const struct pg *pg);
/* The last server error is the item's own fault (class 22 or 23). */
bool pg_failed_by_item(const struct pg *pg);

int pg_rows(const struct pg_result *result);
int pg_columns(const struct pg_result *result);
const char *pg_column_name(const struct pg_result *result, int column);
bool pg_is_null(const struct pg_result *result, int row, int column);
/* Results come in text format. Empty view for null. */
struct bytes pg_get(const struct pg_result *result, int row, int column);
const char *pg_get_text(const struct pg_result *result, int row, int column);
/* false: null or not an integer. */
MUSTCHECK bool pg_get_i64(const struct pg_result *result, int row, int column, int64_t *out);
bool pg_get_bool(const struct pg_result *result, int row, int column);
/* bytea's hex form decoded; false when it is not, or not exactly len bytes. */
MUSTCHECK bool pg_get_bytea(const struct pg_result *result, int row, int column, uint8_t *out, size_t len);
void pg_result_free(struct pg_result *result);

/* Waits on NOTIFY for at most timeout_ms; true when one came. (LISTEN by pg_run.) */
bool pg_wait_notify(struct pg *pg, int timeout_ms);

#endif
