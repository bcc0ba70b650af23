/* How a connection begins: its words, its settings, the check of the environment. */
#include "common/pg_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "common/log.h"

/* Notices go to standard error by default, around the log and its filter. What the server says between calls comes here
 * as well, its farewell included. */
static void take_notice(void *arg, const PGresult *raw)
{
	const char *sqlstate = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(raw, PG_DIAG_SEVERITY_NONLOCALIZED);
	bool *ended = arg;

	if (ended != NULL && severity != NULL && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		*ended = true;
	TRACE(PG, "pg_notice", F_TEXT("sqlstate", sqlstate != NULL ? sqlstate : ""));
}

void pg_session_watch_end(PGconn *conn, bool *ended)
{
	(void)PQsetNoticeReceiver(conn, take_notice, ended);
}

PGconn *pg_session_start(const struct pg_session_options *options, struct err *err)
{
	char password[SECRET_BYTES_MAX + 1];
	struct bytes secret = secret_bytes(&options->options.config->postgres_password_file);
	/* Later words win over those in the connection string, which dbname stands for. */
	const char *const words[] = {"dbname",
				     "application_name",
				     "client_encoding",
				     "target_session_attrs",
				     secret.len > 0 ? "password" : NULL,
				     NULL};
	const char *const values[] = {
		options->options.config->postgres_dsn, options->options.program, "UTF8", "primary", password, NULL};
	PGconn *conn;

	assert(secret.len < sizeof(password));
	if (secret.len > 0)
		memcpy(password, secret.data, secret.len);
	password[secret.len] = '\0';
	conn = PQconnectStartParams(words, values, 1);
	OPENSSL_cleanse(password, sizeof(password));
	if (conn == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a connection to Postgres");
		return NULL;
	}
	pg_session_watch_end(conn, NULL);
	return conn;
}

/* search_path: names in our statements carry their schema, so nothing else may be found by accident. A timeout of 0
 * leaves what the role or the database has. No jit: each of our statements takes less than compiling it would (a poll
 * whose plan was guessed to be dear took 150 ms instead of one). */
#define GREETING                                                                                                       \
	"select set_config('search_path', 'pg_catalog', false), set_config('client_min_messages', 'warning', false), " \
	"set_config('jit', 'off', false), set_config('statement_timeout', $1, false), "                                \
	"set_config('lock_timeout', coalesce(nullif($2, '0'), current_setting('lock_timeout')), false), "              \
	"set_config('idle_in_transaction_session_timeout', "                                                           \
	"coalesce(nullif($3, '0'), current_setting('idle_in_transaction_session_timeout')), false), "

enum { GREETING_TIMEOUTS = 3, GREETING_ENVIRONMENT_COLUMN = 6, MS_TEXT_BYTES = 12 };

bool pg_session_greet(PGconn *conn, const struct pg_session_options *options, struct err *err)
{
	const char *sql = options->options.skip_environment_check ? GREETING "null" : GREETING "api.environment()";
	const int timeouts_ms[GREETING_TIMEOUTS] = {options->statement_timeout_ms, options->options.lock_timeout_ms,
						    options->options.idle_in_transaction_timeout_ms};
	char texts[GREETING_TIMEOUTS][MS_TEXT_BYTES];
	const char *values[GREETING_TIMEOUTS];

	for (int i = 0; i < GREETING_TIMEOUTS; i++) {
		int length = snprintf(texts[i], sizeof(texts[i]), "%d", timeouts_ms[i]);

		assert(length > 0 && (size_t)length < sizeof(texts[i]));
		values[i] = texts[i];
	}
	if (PQsendQueryParams(conn, sql, GREETING_TIMEOUTS, NULL, values, NULL, NULL, 0) != 1)
		return pg_error_from_connection(conn, "greeting Postgres", err);
	return true;
}

static bool not_migrated(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "the database carries no environment yet: run watchpostctl migrate");
}

bool pg_session_check(const PGconn *conn, const PGresult *raw, const struct pg_session_options *options,
		      char sqlstate[SQLSTATE_BYTES], struct err *err)
{
	const char *expected = environment_name(options->options.config->environment);
	const char *found;

	if (PQresultStatus(raw) != PGRES_TUPLES_OK) {
		(void)pg_error_from_result(conn, raw, sqlstate, err);
		/* No schema or function of that name. */
		if (strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42883") == 0)
			return not_migrated(err);
		return err_context(err, "while greeting Postgres");
	}
	if (options->options.skip_environment_check)
		return true;
	assert(PQnfields(raw) == GREETING_ENVIRONMENT_COLUMN + 1 && PQntuples(raw) == 1);
	found = PQgetvalue(raw, 0, GREETING_ENVIRONMENT_COLUMN);
	if (found[0] == '\0')
		return not_migrated(err);
	if (strcmp(found, expected) != 0)
		return err_set(err, ERR_CONFLICT, "the database belongs to environment %s, the configuration says %s",
			       found, expected);
	return true;
}
