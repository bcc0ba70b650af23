/*
 * What the C programs of the integration tests share: settings from the environment that the test sets, and little
 * helpers.
 *
 *   WATCHPOST_TEST_DSN            a superuser's connection string to a migrated database
 *   WATCHPOST_TEST_PASSWORD_FILE  its password
 *
 * A program whose settings are missing fails; it never passes by doing nothing.
 */
#ifndef WATCHPOST_TESTS_INTEGRATION_C_SUPPORT_H
#define WATCHPOST_TESTS_INTEGRATION_C_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/pg.h"

static inline struct config *support_config(int64_t timeout_ms)
{
	struct config *config = calloc(1, sizeof(*config));
	const char *dsn = getenv("WATCHPOST_TEST_DSN");
	const char *password_file = getenv("WATCHPOST_TEST_PASSWORD_FILE");
	struct err err = {0};

	assert_non_null(config);
	assert_non_null(dsn);
	assert_non_null(password_file);
	assert_true(secret_read_file(&config->postgres_password_file, password_file, &err));
	config->postgres_dsn = strdup(dsn);
	config->environment = ENVIRONMENT_DEVELOPMENT;
	config->postgres_timeout_ms = timeout_ms;
	return config;
}

static inline void support_config_free(struct config *config)
{
	free(config->postgres_dsn);
	secret_wipe(&config->postgres_password_file);
	free(config);
}

static inline struct pg *support_pg(const struct config *config)
{
	struct pg_options options = {.config = config, .program = "support"};
	struct err err = {0};
	struct pg *pg = pg_new(&options, &err);

	assert_non_null(pg);
	return pg;
}

/* One number that a statement gives. */
static inline int64_t support_number(struct pg *pg, const char *sql, const struct pg_params *params)
{
	struct err err = {0};
	struct pg_result *result = pg_call(pg, sql, params, &err);
	int64_t number = 0;

	if (result == NULL)
		fail_msg("%s: %s", sql, err.text);
	assert_true(pg_get_i64(result, 0, 0, &number));
	pg_result_free(result);
	return number;
}

static inline int64_t support_now_ms(void)
{
	return clock_mono_ns(clock_system()) / 1000000;
}

static inline void support_sleep_ms(long ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&pause, NULL);
}

#endif
