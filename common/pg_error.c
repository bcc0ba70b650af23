/* Server errors become codes and texts without values. */
#include "common/pg_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Refusals of functions in schema api (migrations/0001_foundation.sql). */
static const struct {
	char sqlstate[SQLSTATE_BYTES];
	enum err_code code;
} refusals[] = {
	{"WP400", ERR_INVALID},
	{"WP403", ERR_DENIED},
	{"WP404", ERR_NOT_FOUND},
	{"WP409", ERR_CONFLICT},
};

static bool class_is(const char *sqlstate, const char *class)
{
	assert(strlen(class) == 2);
	return strncmp(sqlstate, class, 2) == 0;
}

bool pg_error_by_item(const char *sqlstate)
{
	return class_is(sqlstate, "22") || class_is(sqlstate, "23");
}

enum err_code pg_error_code(const char *sqlstate)
{
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (strcmp(sqlstate, refusals[i].sqlstate) == 0)
			return refusals[i].code;
	if (pg_error_by_item(sqlstate))
		return ERR_INVALID;
	if (class_is(sqlstate, "40") || class_is(sqlstate, "57") || class_is(sqlstate, "08"))
		return ERR_UNAVAILABLE;
	if (strcmp(sqlstate, "55P03") == 0)
		return ERR_CONFLICT;
	return ERR_INTERNAL;
}

/* Messages of class 22 quote the value that was wrong ('invalid input syntax for type integer: "…"'), and values may
 * be secret: the text ends before the first quote. The other classes quote names. */
static int safe_length(const char *message, const char *sqlstate)
{
	size_t length = class_is(sqlstate, "22") ? strcspn(message, "\"'") : strlen(message);

	length = length < ERR_TEXT_BYTES_MAX ? length : ERR_TEXT_BYTES_MAX;
	while (length > 0 && (message[length - 1] == ' ' || message[length - 1] == ':' || message[length - 1] == '\n'))
		length--;
	return (int)length;
}

bool pg_error_from_result(const PGconn *conn, const PGresult *raw, char sqlstate[SQLSTATE_BYTES], struct err *err)
{
	const char *state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(raw, PG_DIAG_MESSAGE_PRIMARY);

	sqlstate[0] = '\0';
	/* No SQLSTATE: libpq made this error itself, because the connection broke. */
	if (state == NULL || strlen(state) != SQLSTATE_BYTES - 1 || message == NULL)
		return pg_error_from_connection(conn, "waiting for Postgres", err);
	memcpy(sqlstate, state, SQLSTATE_BYTES);
	if (class_is(sqlstate, "WP")) /* ours: written for people */
		return err_set(err, pg_error_code(sqlstate), "%.*s", safe_length(message, sqlstate), message);
	return err_set(err, pg_error_code(sqlstate), "%.*s (SQLSTATE %s)", safe_length(message, sqlstate), message,
		       sqlstate);
}

bool pg_error_from_connection(const PGconn *conn, const char *action, struct err *err)
{
	/* Host, port, user and the server's words; libpq never puts a password into it. */
	const char *message = conn != NULL ? PQerrorMessage(conn) : "out of memory";

	if (message[0] == '\0')
		message = "the connection was lost";
	return err_set(err, ERR_UNAVAILABLE, "while %s: %.*s", action, safe_length(message, ""), message);
}
