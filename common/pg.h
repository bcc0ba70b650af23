/*
 * Postgres. Only common/pg*.c know libpq.
 *
 * struct pg is one connection with calls that wait, each bounded by a deadline: for workers and tools.
 * (Loop threads use struct pg_pipe, common/pg_pipe.h.) At connect it checks that the database carries
 * the configuration's environment (api.environment()) and that the server is a primary.
 *
 * The deadline is the setting postgres_timeout_ms unless pg_set_timeout_ms says otherwise: the server
 * itself ends a statement then (statement_timeout); when it does not answer within PG_GRACE_MS more, the
 * connection is dropped.
 *
 * Owns: a result belongs to the caller until pg_result_free; views into it live as long. The
 * configuration must outlive the connection. Thread: one at a time per connection.
 * Errors: every failure sets err and, when the server spoke, pg_sqlstate. By class (C6):
 *   22, 23             ERR_INVALID: the item's own fault; pg_failed_by_item
 *   40, 57, 08         ERR_UNAVAILABLE, as lost connections: try again
 *   55P03              ERR_CONFLICT: a lock was not to be had in time
 *   WP400 403 404 409  ERR_INVALID, _DENIED, _NOT_FOUND, _CONFLICT: refusals of functions in schema api
 *   anything else      ERR_INTERNAL
 * A deadline that passed is ERR_TIMEOUT and the outcome unknown. Error texts never carry values: those of
 * class 22 end where the server would quote one.
 *
 * After a lost connection or a time-out the next call reconnects. Inside pg_begin … pg_commit it does not:
 * the transaction is gone, and every call fails with ERR_UNAVAILABLE until pg_rollback.
 */
#ifndef WATCHPOST_COMMON_PG_H
#define WATCHPOST_COMMON_PG_H

#include <stdint.h>

#include "common/bytes.h"
#include "common/config.h"
#include "common/err.h"

struct pg;
struct pg_result; /* the tag is libpq's: its PGresult, opaque here */

enum { PG_SQLSTATE_BYTES = 6 }; /* five characters and NUL */

/* --- parameters --- */

/* The parameters $1, $2 … of a call, in order. Holds copies; may be used again after pg_params_clear.
 * `count_max` is at most PG_PARAMS_MAX. Thread: one. */
struct pg_params;
MUSTCHECK struct pg_params *pg_params_new(size_t count_max);
void pg_params_free(struct pg_params *params);
void pg_params_clear(struct pg_params *params);
/* Each adds the next parameter. A builder that runs out of memory or room remembers it, and the call that
 * uses it fails with ERR_FULL; a text with a NUL in it or an integer that does not fit makes that call fail
 * with ERR_INVALID, class 22, as the server would.
 * Texts take the type that the statement gives them ($1::jsonb, a function's argument); the others have their
 * own: int8, bool, bytea and arrays of them. */
void pg_params_text(struct pg_params *params, const char *text); /* NULL: SQL null */
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

/* --- the connection --- */

struct pg_options {
	const struct config *config;
	const char *program;                /* application_name; must outlive the connection */
	int lock_timeout_ms;                /* 0: the role's or the database's */
	int idle_in_transaction_timeout_ms; /* 0: the role's or the database's */
	bool skip_environment_check;        /* for migrate, before the database has one */
};

/* Connects lazily: the first call does. ERR_INVALID when the configuration names no environment. */
MUSTCHECK struct pg *pg_new(const struct pg_options *options, struct err *err);
void pg_free(struct pg *pg);
/* Connects now and runs the checks. ERR_CONFLICT: the database belongs to another environment. */
MUSTCHECK bool pg_connect(struct pg *pg, struct err *err);
bool pg_connected(const struct pg *pg);
/* How often it has connected: what a session holds (LISTEN, advisory locks) is gone when this has moved. */
uint64_t pg_session(const struct pg *pg);
/* For calls from now on; 0: the configuration's. Reconnects, so not inside a transaction. */
void pg_set_timeout_ms(struct pg *pg, int timeout_ms);
/* After a reload: used from the next connect on. */
void pg_set_config(struct pg *pg, const struct config *config);

/* --- calls --- */

/* Runs one statement, prepared on first use and keyed by the pointer of `sql`, which must be a literal. `params` may
 * be NULL. */
MUSTCHECK struct pg_result *pg_call(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err);
/* The same, dropping the result. */
MUSTCHECK bool pg_run(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err);
/* A script of several statements without parameters (migrations). */
MUSTCHECK bool pg_script(struct pg *pg, const char *sql, struct err *err);

MUSTCHECK bool pg_begin(struct pg *pg, struct err *err);
/* ERR_TIMEOUT or ERR_UNAVAILABLE from here mean: the outcome is unknown. ERR_INTERNAL: an earlier statement had
 * failed, so the server rolled back. The transaction is over either way. */
MUSTCHECK bool pg_commit(struct pg *pg, struct err *err);
/* Legal at any time. */
void pg_rollback(struct pg *pg);
/* What the server says: false after a script that ended the transaction itself. */
bool pg_in_transaction(const struct pg *pg);

/* Five characters and NUL of the last server error; "" when the server said nothing. */
const char *pg_sqlstate(const struct pg *pg);
/* The last error is the item's own fault (class 22 or 23; C6). */
bool pg_failed_by_item(const struct pg *pg);

/* --- results --- */

int pg_rows(const struct pg_result *result);
int pg_columns(const struct pg_result *result);
/* Rows that an insert, update or delete touched; 0 for other statements. */
int64_t pg_affected(const struct pg_result *result);
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

/* Waits for at most timeout_ms on NOTIFY (LISTEN by pg_run), or until `wake_fd` can be read (-1: no such); true when
 * one of them came. Not connected: on the latter alone. */
bool pg_wait_notify(struct pg *pg, int wake_fd, int timeout_ms);

#endif
