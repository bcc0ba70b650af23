/*
 * One Postgres connection in libpq's pipeline mode, for loop threads: nothing here ever waits.
 *
 * Calls are sent as they come, each followed by its own Sync, and answered in order, so many are under way at once
 * and one that fails takes no other with it. The owner watches a descriptor and a time (pg_pipe_watch) with
 * whatever event library it has and calls pg_pipe_turn when either is due; that gives finished tickets back.
 *
 *   pg_pipe_open → { pg_pipe_send …; pg_pipe_watch; pg_pipe_turn → tickets } … → pg_pipe_close
 *
 * The connection is made by a thread of its own (names are looked up, TLS and SCRAM are computed there), checked
 * as common/pg.h says (environment, primary), and every statement is prepared before the pipe is up. A lost
 * connection gives every waiting ticket back as failed and is made anew, after a pause that doubles from
 * PG_PIPE_BACKOFF_MS_MIN to _MAX.
 *
 * Deadlines: a ticket comes back failed with ERR_TIMEOUT when its time is over, whatever the server does; its late
 * answer is dropped. A server that does not end a call by itself (statement_timeout) loses the connection.
 *
 * Transactions: pg_pipe_send_steps puts several calls in front of one Sync: { begin, call 1 }, and later { call 2,
 * commit } (D7). Between the two the connection holds a transaction, so nothing else may be sent on such a pipe:
 * use it for that alone, with one pair under way. When a step fails inside a transaction the pipe rolls back by
 * itself before anything sent later runs; when the time of one is over the connection is given up, and the transaction
 * with it. `idle_in_transaction_timeout_ms` ends one whose second half never comes. The statements are called "begin"
 * and "commit", exactly so.
 *
 * Owns: the caller owns a ticket and keeps it alive from PG_SEND_QUEUED until turn or close gives it back; parameters
 * are copied. The configuration may go away after open and pg_pipe_set_config; statements and program may not.
 * Thread: the one loop that owns it.
 * Errors: in the ticket. ERR_TIMEOUT and ERR_UNAVAILABLE mean: the outcome is unknown; others as in common/pg.h.
 */
#ifndef WATCHPOST_COMMON_PG_PIPE_H
#define WATCHPOST_COMMON_PG_PIPE_H

#include "common/clock.h"
#include "common/pg.h"

struct pg_pipe;

/* Prepared at every connect; a call names it by its place in the list. Parameter types are what the SQL says: casts
 * ($1::bigint) or the arguments of a function; an integer of pg_params is a bigint. */
struct pg_statement {
	const char *name; /* for the log */
	const char *sql;
};

struct pg_pipe_options {
	const struct config *config;
	const char *program; /* application_name */
	const struct clock *clock;
	const struct pg_statement *statements;
	size_t statement_count;             /* at most PG_STATEMENTS_MAX */
	size_t waiting_max;                 /* calls under way, at most PG_PIPE_WAITING_MAX */
	int timeout_ms;                     /* of a call; 0: postgres_timeout_ms */
	int lock_timeout_ms;                /* 0: the role's or the database's */
	int idle_in_transaction_timeout_ms; /* 0: the role's or the database's */
};

enum pg_send_result {
	PG_SEND_QUEUED, /* the ticket is the pipe's until it comes back */
	PG_SEND_FULL,   /* waiting_max reached */
	PG_SEND_DOWN,   /* no connection now */
	PG_SEND_REFUSED /* the parameters are bad: code, sqlstate and failure of the ticket say how */
};

enum pg_outcome { PG_WAITING, PG_DONE, PG_FAILED };

/* Embedded in what the caller waits with; CONTAINER_OF leads back. */
struct pg_ticket {
	struct pg_ticket *next; /* the list that turn and close return */
	enum pg_outcome outcome;
	struct pg_result
		*result;    /* PG_DONE: the last result with columns, the caller's to free; NULL: there was none */
	enum err_code code; /* PG_FAILED, and PG_SEND_REFUSED */
	char sqlstate[PG_SQLSTATE_BYTES];
	const char *failure; /* static text */
};

/* One call of several that share a Sync. */
struct pg_step {
	size_t statement;
	const struct pg_params *params; /* NULL: none */
};

enum { PG_PIPE_READ = 1, PG_PIPE_WRITE = 2 };

/* What to wait for. */
struct pg_watch {
	int fd;            /* -1: none now */
	unsigned interest; /* PG_PIPE_READ and PG_PIPE_WRITE, or 0 */
	uint64_t serial;   /* another one means another socket, even where the number is the same: register anew */
	int64_t wake_ns;   /* on the clock's mono; call turn at the latest then. 0: at once; INT64_MAX: never */
};

/* Does not connect yet; the first turn starts to. ERR_INVALID: settings are missing. */
MUSTCHECK struct pg_pipe *pg_pipe_open(const struct pg_pipe_options *options, struct err *err);
/* Closes and frees; every ticket that was waiting, in order, as failed. NULL pipe is legal. */
MUSTCHECK struct pg_ticket *pg_pipe_close(struct pg_pipe *pipe);
/* After a reload; used from the next connect on. ERR_FULL without memory: the old one goes on. */
MUSTCHECK bool pg_pipe_set_config(struct pg_pipe *pipe, const struct config *config, struct err *err);

MUSTCHECK enum pg_send_result pg_pipe_send(struct pg_pipe *pipe, size_t statement, const struct pg_params *params,
					   struct pg_ticket *ticket);
/* `count` is 1 to PG_PIPE_STEPS_MAX. Done only when every step was; a commit that rolled back is a failure. */
MUSTCHECK enum pg_send_result pg_pipe_send_steps(struct pg_pipe *pipe, const struct pg_step *steps, size_t count,
						 struct pg_ticket *ticket);

/* After every call of send and turn. */
void pg_pipe_watch(const struct pg_pipe *pipe, struct pg_watch *out);
/* Does what is due: `ready` is what the descriptor is ready for (0: the time came). Returns finished tickets in order,
 * linked by next; NULL when none. */
MUSTCHECK struct pg_ticket *pg_pipe_turn(struct pg_pipe *pipe, unsigned ready);

/* Connected, checked and prepared. */
bool pg_pipe_up(const struct pg_pipe *pipe);
/* Calls under way, those that timed out but were not answered yet included. */
size_t pg_pipe_waiting(const struct pg_pipe *pipe);
/* Why it is not up (/readyz); "" while it is. */
const char *pg_pipe_down_reason(const struct pg_pipe *pipe);

#endif
