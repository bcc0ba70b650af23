#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"
#include "tests/unit/support/failing_alloc.h"
#include "tests/unit/support/temp_dir.h"
#include "tests/unit/support/words.h"

static struct temp_dir dir;
static char config_path[TEMP_PATH_BYTES];
static char secret_path[TEMP_PATH_BYTES];
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	temp_path(&dir, "watchpost.conf", config_path);
	temp_path(&dir, "secret", secret_path);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	temp_dir_remove(&dir);
	return 0;
}

/* Writes the configuration file, the directory's path in place of each '@'. */
static void write_config(const char *text)
{
	char content[4096];
	size_t len = 0;

	for (; *text != '\0'; text++) {
		size_t piece = *text == '@' ? strlen(dir.path) : 1;

		assert_true(len + piece < sizeof(content));
		memcpy(content + len, *text == '@' ? dir.path : text, piece);
		len += piece;
	}
	temp_write(&dir, "watchpost.conf", content, len);
}

static struct config *load_with(enum config_program program, const char *flags)
{
	struct words words;
	char text[TEMP_PATH_BYTES + 32];
	int rest = 0;

	assert_true(snprintf(text, sizeof(text), "x --config %s%s", config_path, flags) < (int)sizeof(text));
	words_split(&words, text);
	return config_load(program, words.count, words.list, &rest, &err);
}

static struct config *load(enum config_program program)
{
	return load_with(program, "");
}

#define WORKER_BASE  "environment = development\nkafka_brokers = a:9092\npostgres_dsn = host=db\n"
#define INGRESS_BASE WORKER_BASE "tls = off\n"

/* Why: every part of the program reads typed values. How: one of each type, given and by default. */
static void gives_typed_values(void **unused)
{
	struct config *config;

	(void)unused;
	temp_write_text(&dir, "secret", "hunter2\n");
	write_config(INGRESS_BASE "listen_port = 0\nkafka_sasl_password_file = @/secret\n");
	config = load(CONFIG_INGRESS);
	assert_non_null(config);
	assert_int_equal(config->program, CONFIG_INGRESS);
	assert_string_equal(config->config_path, config_path);
	assert_int_equal(config->environment, ENVIRONMENT_DEVELOPMENT);
	assert_int_equal(config->listen_port, 0);
	assert_int_equal(config->admin_port, 0);
	assert_false(config->tls);
	assert_string_equal(config->kafka_brokers, "a:9092");
	assert_string_equal(config->log_level, "info");
	assert_string_equal(config->log_file, "");
	assert_int_equal(config->webhook_body_bytes_max, WEBHOOK_BODY_BYTES_MAX);
	assert_string_equal(config->kafka_sasl_password_file_path, secret_path);
	assert_true(bytes_equal_text(secret_bytes(&config->kafka_sasl_password_file), "hunter2"));
	assert_int_equal(config->stripe_secret_files.count, 0);
	assert_string_equal(config->stripe_secret_files_path, "");
	config_free(config);
	config_free(NULL);
}

/* Why: two secrets are active while one is rolled. How: a list with blanks; too many, an empty item, a
 * missing file are errors that name the setting. */
static void reads_lists_of_secrets(void **unused)
{
	static const char *const wrong[] = {"@/a,,@/b", "@/a,@/absent", "@/a,@/a,@/a,@/a,@/a", "@/a,@/empty", ","};
	struct config *config;
	char text[512];

	(void)unused;
	temp_write_text(&dir, "a", "whsec_1");
	temp_write_text(&dir, "b", "whsec_2\n");
	temp_write_text(&dir, "empty", "\n");
	write_config(INGRESS_BASE "stripe_secret_files = @/a , @/b\n");
	config = load(CONFIG_INGRESS);
	assert_non_null(config);
	assert_int_equal(config->stripe_secret_files.count, 2);
	assert_true(bytes_equal_text(secret_bytes(&config->stripe_secret_files.items[0]), "whsec_1"));
	assert_true(bytes_equal_text(secret_bytes(&config->stripe_secret_files.items[1]), "whsec_2"));
	config_free(config);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		(void)snprintf(text, sizeof(text), INGRESS_BASE "stripe_secret_files = %s\n", wrong[i]);
		write_config(text);
		assert_null(load(CONFIG_INGRESS));
		assert_int_equal(err.code, ERR_INVALID);
		assert_non_null(strstr(err.text, "watchpost.conf line 5: stripe_secret_files"));
	}
}

/* Why: one file serves every program, each with rights of its own. How: a worker loads a file that
 * names a secret of the ingress which it could not read. */
static void reads_only_its_own_secrets(void **unused)
{
	struct config *config;

	(void)unused;
	write_config(INGRESS_BASE "stripe_secret_files = @/absent\n");
	assert_null(load(CONFIG_INGRESS));
	config = load(CONFIG_AUDIT_LOG);
	assert_non_null(config);
	assert_int_equal(config->stripe_secret_files.count, 0);
	config_free(config);
}

/* Why: a missing or oversized file is the first thing that goes wrong. How: both. */
static void says_why_a_file_cannot_be_read(void **unused)
{
	static char huge[CONFIG_FILE_BYTES_MAX + 1];

	(void)unused;
	assert_null(load(CONFIG_INGRESS));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, config_path));
	memset(huge, '\n', sizeof(huge));
	temp_write(&dir, "watchpost.conf", huge, sizeof(huge));
	assert_null(load(CONFIG_INGRESS));
	assert_non_null(strstr(err.text, "longer than"));
}

/* Why: the environment is a source of config_load itself. How: sets a variable of this process. */
static void reads_the_process_environment(void **unused)
{
	struct config *config;

	(void)unused;
	write_config(INGRESS_BASE "listen_port = 1\n");
	assert_int_equal(setenv("WATCHPOST_SET_LISTEN_PORT", "2", 1), 0);
	config = load(CONFIG_INGRESS);
	assert_int_equal(unsetenv("WATCHPOST_SET_LISTEN_PORT"), 0);
	assert_non_null(config);
	assert_int_equal(config->listen_port, 2);
	config_free(config);
}

/* Why: SIGHUP changes what can change and keeps the flags. How: a reloadable setting and a secret's
 * content change; the flag still wins over the file. */
static void reloads(void **unused)
{
	struct config *old, *new;

	(void)unused;
	temp_write_text(&dir, "a", "whsec_1");
	write_config(INGRESS_BASE "stripe_secret_files = @/a\nhead_timeout_ms = 1000\n");
	old = load_with(CONFIG_INGRESS, " --stripe-tolerance-s=111");
	assert_non_null(old);
	temp_write_text(&dir, "a", "whsec_2");
	write_config(INGRESS_BASE "stripe_secret_files = @/a\nhead_timeout_ms = 2000\nstripe_tolerance_s = 222\n");
	new = config_reload(old, &err);
	assert_non_null(new);
	assert_int_equal(old->head_timeout_ms, 1000);
	assert_int_equal(new->head_timeout_ms, 2000);
	assert_int_equal(new->stripe_tolerance_s, 111);
	assert_true(bytes_equal_text(secret_bytes(&old->stripe_secret_files.items[0]), "whsec_1"));
	assert_true(bytes_equal_text(secret_bytes(&new->stripe_secret_files.items[0]), "whsec_2"));
	config_free(old);
	/* and from the new one again */
	old = new;
	new = config_reload(old, &err);
	assert_non_null(new);
	assert_int_equal(new->stripe_tolerance_s, 111);
	config_free(old);
	config_free(new);
}

/* Why: a change that would not take effect must be said, and what is wrong must not stop a running
 * server. How: a setting that needs a restart, a broken file, a setting of another program. */
static void a_reload_refuses_what_needs_a_restart(void **unused)
{
	struct config *old, *new;

	(void)unused;
	write_config(INGRESS_BASE "listen_port = 1\nbatch_items_max = 10\ndedupe_days = 40\n");
	old = load(CONFIG_INGRESS);
	assert_non_null(old);
	write_config(INGRESS_BASE "listen_port = 2\n");
	assert_null(config_reload(old, &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_string_equal(err.text, "listen_port changed; it takes a restart");
	write_config(INGRESS_BASE "listen_port = x\n");
	assert_null(config_reload(old, &err));
	write_config(INGRESS_BASE "listen_port = 1\nconsumer_group = other\n");
	new = config_reload(old, &err);
	assert_non_null(new);
	config_free(new);
	config_free(old);
}

/* Why: out of memory is an error like any other, without a leak (the leak checker of `make check` looks
 * on). How: fails each allocation of a load and of a reload in turn. */
static void survives_every_failing_allocation(void **unused)
{
	struct config *config = NULL;

	(void)unused;
	temp_write_text(&dir, "a", "whsec_1");
	write_config(INGRESS_BASE "stripe_secret_files = @/a\n");
	for (unsigned n = 1; config == NULL; n++) {
		failing_alloc_arm(n);
		config = load(CONFIG_INGRESS);
		if (failing_alloc_disarm()) {
			assert_null(config);
			assert_int_equal(err.code, ERR_FULL);
		} else {
			assert_non_null(config);
		}
	}
	for (unsigned n = 1;; n++) {
		struct config *again;

		failing_alloc_arm(n);
		again = config_reload(config, &err);
		if (!failing_alloc_disarm()) {
			assert_non_null(again);
			config_free(again);
			break;
		}
		assert_null(again);
		assert_int_equal(err.code, ERR_FULL);
	}
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_typed_values, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_lists_of_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_only_its_own_secrets, setup, teardown),
		cmocka_unit_test_setup_teardown(says_why_a_file_cannot_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_the_process_environment, setup, teardown),
		cmocka_unit_test_setup_teardown(reloads, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reload_refuses_what_needs_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_every_failing_allocation, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
