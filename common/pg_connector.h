/*
 * Makes a connection to Postgres on a thread of its own, so that no loop waits for a name server, a TLS handshake or
 * SCRAM.
 *
 * Only for common/pg_pipe.c. Thread: all calls on the owner's thread. Owns: copies of the settings it needs.
 */
#ifndef WATCHPOST_COMMON_PG_CONNECTOR_H
#define WATCHPOST_COMMON_PG_CONNECTOR_H

#include "common/pg_internal.h"
#include "common/pg_pipe.h"

struct pg_connector;

/* The settings that a connection needs, on their own: they outlive the configuration they came from. */
struct pg_settings;
MUSTCHECK struct pg_settings *pg_settings_copy(const struct config *config, struct err *err);
void pg_settings_free(struct pg_settings *settings);

/* Starts the thread. `options`' config is not used. */
MUSTCHECK struct pg_connector *pg_connector_start(const struct pg_pipe_options *options,
						  const struct pg_settings *settings, struct err *err);
/* Readable once it has finished. */
int pg_connector_fd(const struct pg_connector *connector);
/* True when it has finished: *conn is the caller's, with every statement prepared under pg_statement_name of its
 * place, or NULL and *err. The connector is freed then. */
MUSTCHECK bool pg_connector_take(struct pg_connector *connector, PGconn **conn, struct err *err);
/* Nobody wants it any more: it ends by itself. NULL is legal. */
void pg_connector_abandon(struct pg_connector *connector);

#endif
