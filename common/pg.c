#include "common/pg.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/pg_internal.h"

enum { NS_PER_MS = 1000000 };

struct pg {
	struct pg_options options;
	int timeout_ms; /* 0: the configuration's */
	PGconn *conn;   /* NULL: not connected */
	bool begun;     /* between pg_begin and its end; stays when the connection is lost */
	bool ended;     /* the server said farewell */
	uint64_t sessions;
	char sqlstate[SQLSTATE_BYTES];
	/* Prepared in this connection: the statement's literal; its name is its place. */
	const char *prepared[PG_STATEMENTS_MAX];
	size_t prepared_count;
};

struct pg *pg_new(const struct pg_options *options, struct err *err)
{
	struct pg *pg;

	assert(options->config != NULL && options->program != NULL);
	if (options->config->postgres_dsn == NULL || options->config->postgres_dsn[0] == '\0') {
		(void)err_set(err, ERR_INVALID, "the setting postgres_dsn is not given");
		return NULL;
	}
	if (options->config->environment == ENVIRONMENT_NONE) {
		(void)err_set(err, ERR_INVALID, "the setting environment is not given");
		return NULL;
	}
	pg = calloc(1, sizeof(*pg));
	if (pg == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a connection to Postgres");
		return NULL;
	}
	pg->options = *options;
	return pg;
}

static void drop_connection(struct pg *pg)
{
	PQfinish(pg->conn);
	pg->conn = NULL;
	pg->prepared_count = 0;
}

void pg_free(struct pg *pg)
{
	if (pg == NULL)
		return;
	drop_connection(pg);
	free(pg);
}

static int timeout_ms(const struct pg *pg)
{
	return pg->timeout_ms > 0 ? pg->timeout_ms : (int)pg->options.config->postgres_timeout_ms;
}

static int64_t deadline_from_now(const struct pg *pg)
{
	return clock_mono_ns(clock_system()) + ((int64_t)timeout_ms(pg) + PG_GRACE_MS) * NS_PER_MS;
}

/* Short calls do not make the handshake shorter. */
static int64_t connect_deadline_from_now(const struct pg *pg)
{
	int64_t least_ns = clock_mono_ns(clock_system()) + pg->options.config->postgres_timeout_ms * NS_PER_MS;
	int64_t deadline_ns = deadline_from_now(pg);

	return deadline_ns > least_ns ? deadline_ns : least_ns;
}

/* Waits for the socket; the connection is dropped when it fails or the deadline passes. */
static bool wait_for(struct pg *pg, short events, int64_t deadline_ns, struct err *err)
{
	for (;;) {
		struct pollfd fd = {.fd = PQsocket(pg->conn), .events = events};
		int64_t left_ns = deadline_ns - clock_mono_ns(clock_system());
		int ready = left_ns > 0 ? poll(&fd, 1, (int)(left_ns / NS_PER_MS) + 1) : 0;

		if (ready > 0)
			return true;
		if (ready < 0 && errno == EINTR)
			continue;
		drop_connection(pg);
		return err_set(err, ERR_TIMEOUT, "Postgres did not answer in time");
	}
}

static bool connect_socket(struct pg *pg, int64_t deadline_ns, struct err *err)
{
	PostgresPollingStatusType step = PGRES_POLLING_WRITING; /* what PQconnectPoll wants at first */

	while (step != PGRES_POLLING_OK) {
		if (PQstatus(pg->conn) == CONNECTION_BAD || step == PGRES_POLLING_FAILED)
			return pg_error_from_connection(pg->conn, "connecting to Postgres", err);
		if (!wait_for(pg, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ns, err))
			return err_context(err, "while connecting");
		step = PQconnectPoll(pg->conn);
	}
	if (PQsetnonblocking(pg->conn, 1) != 0)
		return pg_error_from_connection(pg->conn, "connecting to Postgres", err);
	return true;
}

/* Everything that was sent has left, or the answer has begun. */
static bool flush(struct pg *pg, int64_t deadline_ns, struct err *err)
{
	int left;

	while ((left = PQflush(pg->conn)) == 1) {
		if (!wait_for(pg, POLLIN | POLLOUT, deadline_ns, err))
			return false;
		/* The server stops reading while nobody reads its answers. */
		if (PQconsumeInput(pg->conn) != 1)
			return pg_error_from_connection(pg->conn, "sending to Postgres", err);
	}
	return left == 0 || pg_error_from_connection(pg->conn, "sending to Postgres", err);
}

/* The next result, NULL when there is no more or (false) on failure. */
static bool next_result(struct pg *pg, int64_t deadline_ns, PGresult **raw, struct err *err)
{
	*raw = NULL;
	while (PQisBusy(pg->conn)) {
		if (!wait_for(pg, POLLIN, deadline_ns, err))
			return false;
		if (PQconsumeInput(pg->conn) != 1)
			return pg_error_from_connection(pg->conn, "waiting for Postgres", err);
	}
	*raw = PQgetResult(pg->conn);
	return true;
}

/* After a send: the first failure, else the last result; always reads to the end, so that the connection is ready
 * for the next call. */
static PGresult *collect(struct pg *pg, int64_t deadline_ns, struct err *err)
{
	PGresult *kept = NULL, *raw = NULL;

	if (!flush(pg, deadline_ns, err))
		goto lost;
	do {
		if (!next_result(pg, deadline_ns, &raw, err))
			goto lost;
		if (raw == NULL)
			break;
		if (kept != NULL && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
			PQclear(raw);
		} else {
			PQclear(kept);
			kept = raw;
		}
	} while (PQstatus(pg->conn) != CONNECTION_BAD);
	if (kept == NULL)
		(void)pg_error_from_connection(pg->conn, "waiting for Postgres", err);
	return kept;

lost:
	PQclear(kept);
	drop_connection(pg);
	return NULL;
}

/* Judges what collect gave; clears and drops what is bad. */
static struct pg_result *judge(struct pg *pg, PGresult *raw, struct err *err)
{
	ExecStatusType status;

	if (raw == NULL)
		return NULL;
	status = PQresultStatus(raw);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return raw;
	if (status == PGRES_FATAL_ERROR) {
		(void)pg_error_from_result(pg->conn, raw, pg->sqlstate, err);
	} else {
		/* COPY and an empty statement have no place here, and a COPY under way cannot be left otherwise. */
		(void)err_set(err, ERR_INTERNAL, "a statement of an unexpected kind: %s", PQresStatus(status));
		drop_connection(pg);
	}
	PQclear(raw);
	if (pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_BAD) {
		err->code = ERR_UNAVAILABLE;
		drop_connection(pg);
	}
	return NULL;
}

static bool greet(struct pg *pg, int64_t deadline_ns, struct err *err)
{
	struct pg_session_options session = {.options = pg->options, .statement_timeout_ms = timeout_ms(pg)};
	PGresult *raw;
	bool ok;

	if (!pg_session_greet(pg->conn, &session, err))
		return false;
	raw = collect(pg, deadline_ns, err);
	ok = raw != NULL && pg_session_check(pg->conn, raw, &session, pg->sqlstate, err);
	PQclear(raw);
	return ok;
}

bool pg_connect(struct pg *pg, struct err *err)
{
	struct pg_session_options session = {.options = pg->options};
	int64_t deadline_ns = connect_deadline_from_now(pg);

	assert(!pg->begun);
	drop_connection(pg);
	pg->sqlstate[0] = '\0';
	pg->conn = pg_session_start(&session, err);
	if (pg->conn == NULL)
		return false;
	if (!connect_socket(pg, deadline_ns, err) || !greet(pg, deadline_ns, err)) {
		drop_connection(pg);
		return false;
	}
	pg->ended = false;
	pg->sessions++;
	pg_session_watch_end(pg->conn, &pg->ended);
	TRACE(PG, "pg_connected", F_I64("backend", PQbackendPID(pg->conn)));
	return true;
}

bool pg_connected(const struct pg *pg)
{
	return pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK;
}

uint64_t pg_session(const struct pg *pg)
{
	return pg->sessions;
}

void pg_set_timeout_ms(struct pg *pg, int timeout)
{
	assert(timeout >= 0 && !pg->begun);
	if (pg->timeout_ms != timeout)
		drop_connection(pg); /* the server holds the old one */
	pg->timeout_ms = timeout;
}

void pg_set_config(struct pg *pg, const struct config *config)
{
	assert(config != NULL);
	pg->options.config = config;
}

/* The server may have closed an idle connection (a restart); finding out costs one poll and saves the caller a failed
 * call. Its farewell comes first, the end of the stream maybe later. */
static bool closed_while_idle(struct pg *pg)
{
	struct pollfd fd = {.fd = PQsocket(pg->conn), .events = POLLIN};

	if (pg->ended)
		return true;
	if (poll(&fd, 1, 0) <= 0)
		return false;
	if (PQconsumeInput(pg->conn) != 1)
		return true;
	(void)PQisBusy(pg->conn); /* makes libpq look at what came */
	return pg->ended || PQstatus(pg->conn) == CONNECTION_BAD;
}

/* Before every call. */
static bool ready(struct pg *pg, struct err *err)
{
	pg->sqlstate[0] = '\0';
	if (pg->conn != NULL && closed_while_idle(pg))
		drop_connection(pg);
	if (pg->conn != NULL)
		return true;
	if (pg->begun)
		return err_set(err, ERR_UNAVAILABLE, "the transaction was lost with its connection");
	return pg_connect(pg, err);
}

void pg_statement_name(size_t place, char out[PG_STATEMENT_NAME_BYTES])
{
	int length = snprintf(out, PG_STATEMENT_NAME_BYTES, "s%u", (unsigned)place);

	assert(length > 0 && length < PG_STATEMENT_NAME_BYTES);
}

static bool prepare_next(struct pg *pg, const char *sql, const struct pg_arguments *arguments, int64_t deadline_ns,
			 struct err *err)
{
	char name[PG_STATEMENT_NAME_BYTES];
	struct pg_result *result;

	assert(pg->prepared_count < PG_STATEMENTS_MAX);
	pg_statement_name(pg->prepared_count, name);
	if (PQsendPrepare(pg->conn, name, sql, arguments->count, arguments->types) != 1) {
		(void)pg_error_from_connection(pg->conn, "sending to Postgres", err);
		drop_connection(pg);
		return false;
	}
	result = judge(pg, collect(pg, deadline_ns, err), err);
	if (result == NULL)
		return false;
	pg_result_free(result);
	pg->prepared[pg->prepared_count++] = sql;
	return true;
}

/* Finds the statement's name, preparing it when this connection does not know it yet. */
static bool prepare(struct pg *pg, const char *sql, const struct pg_arguments *arguments, int64_t deadline_ns,
		    char name[PG_STATEMENT_NAME_BYTES], struct err *err)
{
	size_t place = 0;

	while (place < pg->prepared_count && pg->prepared[place] != sql)
		place++;
	pg_statement_name(place, name);
	return place < pg->prepared_count || prepare_next(pg, sql, arguments, deadline_ns, err);
}

bool pg_prepare_next(struct pg *pg, const char *sql, struct err *err)
{
	struct pg_arguments none;

	pg->sqlstate[0] = '\0';
	return pg_params_arguments(NULL, &none, pg->sqlstate, err) &&
	       prepare_next(pg, sql, &none, deadline_from_now(pg), err);
}

PGconn *pg_release(struct pg *pg)
{
	PGconn *conn = pg->conn;

	assert(!pg->begun && conn != NULL);
	pg_session_watch_end(conn, NULL);
	pg->conn = NULL;
	pg->prepared_count = 0;
	return conn;
}

struct pg_result *pg_call(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err)
{
	int64_t started_ns = clock_mono_ns(clock_system());
	int64_t deadline_ns;
	struct pg_arguments arguments;
	char name[PG_STATEMENT_NAME_BYTES];
	struct pg_result *result;

	if (!ready(pg, err))
		return NULL;
	if (!pg_params_arguments(params, &arguments, pg->sqlstate, err))
		return NULL;
	deadline_ns = deadline_from_now(pg);
	if (!prepare(pg, sql, &arguments, deadline_ns, name, err))
		return NULL;
	if (PQsendQueryPrepared(pg->conn, name, arguments.count, arguments.values, arguments.lengths, arguments.formats,
				0) != 1) {
		(void)pg_error_from_connection(pg->conn, "sending to Postgres", err);
		drop_connection(pg);
		return NULL;
	}
	result = judge(pg, collect(pg, deadline_ns, err), err);
	TRACE(PG, "pg_call", F_TEXT("sql", sql), F_BOOL("ok", result != NULL), F_TEXT("sqlstate", pg->sqlstate),
	      F_I64("age_us", (clock_mono_ns(clock_system()) - started_ns) / 1000));
	return result;
}

bool pg_run(struct pg *pg, const char *sql, const struct pg_params *params, struct err *err)
{
	struct pg_result *result = pg_call(pg, sql, params, err);

	if (result == NULL)
		return false;
	pg_result_free(result);
	return true;
}

/* The simple protocol: any number of statements, no parameters. */
static struct pg_result *send_simple(struct pg *pg, const char *sql, struct err *err)
{
	if (!ready(pg, err))
		return NULL;
	if (PQsendQuery(pg->conn, sql) != 1) {
		(void)pg_error_from_connection(pg->conn, "sending to Postgres", err);
		drop_connection(pg);
		return NULL;
	}
	return judge(pg, collect(pg, deadline_from_now(pg), err), err);
}

bool pg_script(struct pg *pg, const char *sql, struct err *err)
{
	struct pg_result *result = send_simple(pg, sql, err);

	if (result == NULL)
		return false;
	pg_result_free(result);
	return true;
}

bool pg_begin(struct pg *pg, struct err *err)
{
	assert(!pg->begun);
	if (!pg_script(pg, "begin", err))
		return false;
	pg->begun = true;
	return true;
}

bool pg_commit(struct pg *pg, struct err *err)
{
	struct pg_result *result;
	bool committed;

	assert(pg->begun);
	result = send_simple(pg, "commit", err);
	pg->begun = false;
	if (result == NULL)
		return false;
	/* COMMIT of a failed transaction succeeds, as a rollback. */
	committed = strcmp(PQcmdStatus(result), "COMMIT") == 0;
	pg_result_free(result);
	return committed || err_set(err, ERR_INTERNAL, "the transaction had failed and was rolled back");
}

void pg_rollback(struct pg *pg)
{
	struct err ignored = {0};

	if (!pg->begun)
		return;
	pg->begun = false;
	/* Whatever goes wrong, the transaction is gone: the server rolls back what loses its connection. */
	if (pg->conn != NULL && !pg_script(pg, "rollback", &ignored))
		drop_connection(pg);
}

bool pg_in_transaction(const struct pg *pg)
{
	PGTransactionStatusType status = pg->conn != NULL ? PQtransactionStatus(pg->conn) : PQTRANS_UNKNOWN;

	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

const char *pg_sqlstate(const struct pg *pg)
{
	return pg->sqlstate;
}

bool pg_failed_by_item(const struct pg *pg)
{
	return pg_error_by_item(pg->sqlstate);
}

static bool take_notify(struct pg *pg)
{
	PGnotify *notify = PQnotifies(pg->conn);

	if (notify == NULL)
		return false;
	PQfreemem(notify);
	return true;
}

/* False: the connection is lost. */
static bool take_notifies(struct pg *pg, bool *came)
{
	if (PQconsumeInput(pg->conn) != 1) {
		drop_connection(pg);
		return false;
	}
	while (take_notify(pg))
		*came = true;
	return true;
}

bool pg_wait_notify(struct pg *pg, int wake_fd, int timeout)
{
	int64_t deadline_ns = clock_mono_ns(clock_system()) + (int64_t)timeout * NS_PER_MS;
	bool came = false;

	assert(timeout >= 0);
	/* What came with the last answer. */
	if (pg->conn != NULL && !take_notifies(pg, &came))
		return false;
	while (!came) {
		/* poll(2) passes over a negative descriptor. */
		struct pollfd fds[] = {{.fd = pg->conn != NULL ? PQsocket(pg->conn) : -1, .events = POLLIN},
				       {.fd = wake_fd, .events = POLLIN}};
		int64_t left_ns = deadline_ns - clock_mono_ns(clock_system());
		int count = poll(fds, ARRAY_LEN(fds), left_ns > 0 ? (int)(left_ns / NS_PER_MS) + 1 : 0);

		if (count == 0 || (count < 0 && errno != EINTR))
			return false;
		if (count > 0 && fds[0].revents != 0 && !take_notifies(pg, &came))
			return false;
		came = came || (count > 0 && fds[1].revents != 0);
	}
	return true;
}
