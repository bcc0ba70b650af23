#include "common/pg_connector.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/crypto.h>

struct pg_settings {
	struct config config; /* only what a connection reads is filled in */
};

/* Both sides hold it; the last one to let go frees it. */
struct pg_connector {
	atomic_int holders;
	int fd; /* eventfd; written once, by the thread, when `conn` and `err` stand */
	struct pg_pipe_options options;
	struct pg_settings *settings;
	PGconn *conn;
	struct err err;
};

struct pg_settings *pg_settings_copy(const struct config *config, struct err *err)
{
	struct pg_settings *settings = calloc(1, sizeof(*settings));
	struct bytes password = secret_bytes(&config->postgres_password_file);

	if (settings == NULL)
		goto fail;
	settings->config.environment = config->environment;
	settings->config.postgres_timeout_ms = config->postgres_timeout_ms;
	settings->config.postgres_dsn = strdup(config->postgres_dsn);
	if (settings->config.postgres_dsn == NULL)
		goto fail;
	if (password.len > 0 && !secret_set(&settings->config.postgres_password_file, password, err)) {
		pg_settings_free(settings);
		return NULL;
	}
	return settings;
fail:
	pg_settings_free(settings);
	(void)err_set(err, ERR_FULL, "no memory for a connection to Postgres");
	return NULL;
}

void pg_settings_free(struct pg_settings *settings)
{
	if (settings == NULL)
		return;
	free(settings->config.postgres_dsn);
	OPENSSL_cleanse(settings, sizeof(*settings));
	free(settings);
}

static void let_go(struct pg_connector *connector)
{
	if (atomic_fetch_sub(&connector->holders, 1) > 1)
		return;
	PQfinish(connector->conn);
	pg_settings_free(connector->settings);
	if (connector->fd >= 0)
		(void)close(connector->fd);
	free(connector);
}

/* The whole way from names to prepared statements, waiting where it must. */
static PGconn *establish(const struct pg_pipe_options *wanted, const struct config *config, struct err *err)
{
	struct pg_options options = {.config = config,
				     .program = wanted->program,
				     .lock_timeout_ms = wanted->lock_timeout_ms,
				     .idle_in_transaction_timeout_ms = wanted->idle_in_transaction_timeout_ms};
	struct pg *pg = pg_new(&options, err);
	PGconn *conn = NULL;
	bool ok;

	if (pg == NULL)
		return NULL;
	pg_set_timeout_ms(pg, wanted->timeout_ms);
	ok = pg_connect(pg, err);
	for (size_t i = 0; ok && i < wanted->statement_count; i++)
		ok = pg_prepare_next(pg, wanted->statements[i].sql, err) ||
		     err_context(err, "while preparing %s", wanted->statements[i].name);
	if (ok)
		conn = pg_release(pg);
	if (ok && PQenterPipelineMode(conn) != 1) {
		(void)err_set(err, ERR_INTERNAL, "libpq refuses pipeline mode");
		PQfinish(conn);
		conn = NULL;
	}
	pg_free(pg);
	return conn;
}

static void *connector_thread(void *arg)
{
	struct pg_connector *connector = arg;
	const uint64_t one = 1;

	connector->conn = establish(&connector->options, &connector->settings->config, &connector->err);
	/* An eventfd takes its first number without fail. */
	if (write(connector->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	let_go(connector);
	return NULL;
}

/* Detached, and without signals: those are for the threads that handle them. */
static bool start_thread(struct pg_connector *connector)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	int failed;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	(void)sigfillset(&all);
	failed = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (failed == 0)
		failed = pthread_sigmask(SIG_BLOCK, &all, &before);
	if (failed == 0) {
		failed = pthread_create(&thread, &attributes, connector_thread, connector);
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	(void)pthread_attr_destroy(&attributes);
	return failed == 0;
}

struct pg_connector *pg_connector_start(const struct pg_pipe_options *options, const struct pg_settings *settings,
					struct err *err)
{
	struct pg_connector *connector = calloc(1, sizeof(*connector));

	if (connector == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a connection to Postgres");
		return NULL;
	}
	atomic_init(&connector->holders, 1);
	connector->options = *options;
	connector->options.config = NULL;
	connector->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	connector->settings = pg_settings_copy(&settings->config, err);
	if (connector->settings == NULL)
		goto fail;
	atomic_store(&connector->holders, 2);
	if (connector->fd < 0 || !start_thread(connector)) {
		atomic_store(&connector->holders, 1);
		(void)err_set(err, ERR_FULL, "cannot start a thread that connects to Postgres");
		goto fail;
	}
	return connector;
fail:
	let_go(connector);
	return NULL;
}

int pg_connector_fd(const struct pg_connector *connector)
{
	return connector->fd;
}

bool pg_connector_take(struct pg_connector *connector, PGconn **conn, struct err *err)
{
	uint64_t count;

	*conn = NULL;
	if (read(connector->fd, &count, sizeof(count)) != sizeof(count))
		return false;
	*conn = connector->conn;
	connector->conn = NULL;
	*err = connector->err;
	assert((*conn == NULL) == (err->code != ERR_NONE));
	let_go(connector);
	return true;
}

void pg_connector_abandon(struct pg_connector *connector)
{
	if (connector != NULL)
		let_go(connector);
}
