/*
 * What the files of common/pg*.c share; nobody else includes this.
 *
 * Thread: as the connection's. Owns: as stated.
 */
#ifndef WATCHPOST_COMMON_PG_INTERNAL_H
#define WATCHPOST_COMMON_PG_INTERNAL_H

#include <libpq-fe.h>

#include "common/pg.h"

enum { SQLSTATE_BYTES = PG_SQLSTATE_BYTES, PG_STATEMENT_NAME_BYTES = 12 };

/* --- pg_params.c --- */

/* What libpq takes; valid until the next change of the builder. A NULL builder has none. */
struct pg_arguments {
	int count;
	const char *values[PG_PARAMS_MAX];
	const int *lengths;
	const int *formats;
	const Oid *types;
};

/* false: the builder remembers a failure (see common/pg.h); `sqlstate` is set for those that are the item's fault. */
MUSTCHECK bool pg_params_arguments(const struct pg_params *params, struct pg_arguments *out,
				   char sqlstate[SQLSTATE_BYTES], struct err *err);

/* --- pg_error.c --- */

/* Code for a server error (C6). */
MUSTCHECK enum err_code pg_error_code(const char *sqlstate);
/* Class 22 or 23. */
MUSTCHECK bool pg_error_by_item(const char *sqlstate);
/* Sets err and sqlstate from a failed result; always returns false. `conn` tells whether it was lost. */
bool pg_error_from_result(const PGconn *conn, const PGresult *raw, char sqlstate[SQLSTATE_BYTES], struct err *err);
/* Sets err from a connection that could not be made or was lost: ERR_UNAVAILABLE; always returns false. */
bool pg_error_from_connection(const PGconn *conn, const char *action, struct err *err);

/* --- pg_session.c: how a connection begins --- */

struct pg_session_options {
	struct pg_options options;
	int statement_timeout_ms;
};

/* Starts to connect without waiting (PQconnectPoll goes on). NULL without memory. Owns: PQfinish by the caller. */
MUSTCHECK PGconn *pg_session_start(const struct pg_session_options *options, struct err *err);
/* *ended becomes true when the server says, between calls, that it ends the connection. NULL: nobody asks. */
void pg_session_watch_end(PGconn *conn, bool *ended);

/* One statement that sets the session up and asks for the environment, to be sent first. Text results. */
MUSTCHECK bool pg_session_greet(PGconn *conn, const struct pg_session_options *options, struct err *err);
/* Judges its result. */
MUSTCHECK bool pg_session_check(const PGconn *conn, const PGresult *raw, const struct pg_session_options *options,
				char sqlstate[SQLSTATE_BYTES], struct err *err);

/* --- pg.c --- */

/* What a statement prepared in this place is called on its connection. */
void pg_statement_name(size_t place, char out[PG_STATEMENT_NAME_BYTES]);
/* Prepares a statement in the next place; the types of its parameters are what the SQL says. */
MUSTCHECK bool pg_prepare_next(struct pg *pg, const char *sql, struct err *err);
/* Hands the connection over; `pg` is as if it had never connected. */
MUSTCHECK PGconn *pg_release(struct pg *pg);

#endif
