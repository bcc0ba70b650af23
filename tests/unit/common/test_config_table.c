#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/config_table.h"

/* Why: the table is edited by everyone who adds a setting. How: each row is sound: name in lower case
 * and short enough, unique, range around its default, help and a program; a default passes its own check. */
static void every_row_is_sound(void **unused)
{
	(void)unused;
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *s = &config_settings[i];
		char number[CONFIG_NUMBER_BYTES];
		struct err err;

		assert_in_range(strlen(s->name), 1, CONFIG_NAME_BYTES_MAX / 2);
		for (const char *c = s->name; *c != '\0'; c++)
			assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
		assert_int_equal(config_find(bytes_of(s->name), false), i);
		assert_true(strlen(s->help) > 0);
		assert_null(strchr(s->help, '\n'));
		assert_true(s->programs != 0 && (s->programs & ~(unsigned)CONFIG_ALL) == 0);
		if (s->type == SETTING_INT) {
			assert_true(s->min < s->max);
			assert_true(config_value_check(s, config_number_text(s, s->default_number, number), &err));
		} else if (s->type == SETTING_TEXT) {
			assert_true(config_value_check(s, s->default_text, &err));
		} else if (s->type == SETTING_SECRET_FILE || s->type == SETTING_SECRET_FILES) {
			assert_string_equal(s->default_text, "");
			assert_true(strstr(s->name, "_file") != NULL);
		}
	}
}

/* Why: "rate limits: 0 = off and off in development". How: each limit per second or address that a
 * client can run into has the default 0 or accepts 0. */
static void rate_limits_can_be_off(void **unused)
{
	(void)unused;
	assert_int_equal(config_settings[SETTING_INDEX_webhook_rate_per_s].default_number, 0);
	assert_int_equal(config_settings[SETTING_INDEX_connections_per_address_max].min, 0);
}

/* Why: flags are written with dashes, files with underscores. How: both spellings in both places. */
static void finds_by_name(void **unused)
{
	(void)unused;
	assert_int_equal(config_find(bytes_of("listen_port"), false), SETTING_INDEX_listen_port);
	assert_int_equal(config_find(bytes_of("listen-port"), false), -1);
	assert_int_equal(config_find(bytes_of("listen-port"), true), SETTING_INDEX_listen_port);
	assert_int_equal(config_find(bytes_of("listen_port"), true), SETTING_INDEX_listen_port);
	assert_int_equal(config_find(bytes_of("listen_por"), true), -1);
	assert_int_equal(config_find(bytes_of("listen_portx"), true), -1);
	assert_int_equal(config_find(bytes_of(""), true), -1);
}

/* Why: a typing mistake should cost a second. How: the usual mistakes find their setting; another word
 * finds none. */
static void suggests_the_nearest_name(void **unused)
{
	static const struct {
		const char *wrong;
		const char *right;
	} cases[] = {
		{"listen-port", "listen_port"},
		{"listn_port", "listen_port"},
		{"listen_ports", "listen_port"},
		{"kafka_broker", "kafka_brokers"},
		{"tls_certifcate_file", "tls_certificate_file"},
		{"stripe_livemod", "stripe_livemode"},
		{"enviroment", "environment"},
	};
	char huge[CONFIG_NAME_BYTES_MAX + 2];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(config_nearest(bytes_of(cases[i].wrong)), cases[i].right);
	assert_null(config_nearest(bytes_of("zzzzzzzzzz")));
	memset(huge, 'a', sizeof(huge));
	assert_null(config_nearest(bytes_make(huge, sizeof(huge))));
}

static bool accepts(int index, const char *text)
{
	struct err err;

	return config_value_check(&config_settings[index], text, &err);
}

/* Why: a wrong value must not pass as another. How: per type what is one and what is nearly one. */
static void checks_values_by_type(void **unused)
{
	static const char *const numbers[] = {"",   "-",    "x",   "1x", " 1",    "1 ",
					      "+1", "0x10", "1.5", "-1", "65536", "99999999999999999999"};
	static const char *const bools[] = {"", "TRUE", "y", "2", "truefalse"};

	(void)unused;
	assert_true(accepts(SETTING_INDEX_listen_port, "0"));
	assert_true(accepts(SETTING_INDEX_listen_port, "65535"));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		assert_false(accepts(SETTING_INDEX_listen_port, numbers[i]));
	for (size_t i = 0; i < ARRAY_LEN(bools); i++)
		assert_false(accepts(SETTING_INDEX_tls, bools[i]));
	assert_true(accepts(SETTING_INDEX_tls, "off") && accepts(SETTING_INDEX_tls, "yes") &&
		    accepts(SETTING_INDEX_tls, "1") && accepts(SETTING_INDEX_tls, "false"));
	assert_true(accepts(SETTING_INDEX_environment, "staging"));
	assert_false(accepts(SETTING_INDEX_environment, ""));
	assert_false(accepts(SETTING_INDEX_environment, "Production"));
	assert_true(accepts(SETTING_INDEX_log_level, "debug"));
	assert_false(accepts(SETTING_INDEX_log_level, "loud"));
	assert_true(accepts(SETTING_INDEX_log_trace, "http,pg"));
	assert_false(accepts(SETTING_INDEX_log_trace, "http,web"));
	assert_true(accepts(SETTING_INDEX_kafka_security, "sasl_ssl"));
	assert_false(accepts(SETTING_INDEX_kafka_security, "tls"));
	assert_true(accepts(SETTING_INDEX_kafka_sasl_mechanism, "PLAIN"));
	assert_false(accepts(SETTING_INDEX_kafka_sasl_mechanism, "plain"));
}

/* Why: promise 4: a password in a setting would be shown by --check-config. How: the ways to write one
 * are refused, and the error does not repeat it. */
static void refuses_passwords_in_settings(void **unused)
{
	static const struct {
		int index;
		const char *text;
	} cases[] = {
		{SETTING_INDEX_postgres_dsn, "host=db user=x password=hunter2"},
		{SETTING_INDEX_postgres_dsn, "host=db PASSWORD = 'hunter2'"},
		{SETTING_INDEX_postgres_dsn, "postgres://user:hunter2@db/watchpost"},
		{SETTING_INDEX_postgres_dsn, "postgresql://db/watchpost?password=hunter2"},
		{SETTING_INDEX_stripe_secret_files, "whsec_hunter2"},
		{SETTING_INDEX_stripe_api_key_file, "rk_live_hunter2"},
	};
	struct err err;

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(config_value_check(&config_settings[cases[i].index], cases[i].text, &err));
		assert_null(strstr(err.text, "hunter2"));
	}
	assert_true(accepts(SETTING_INDEX_postgres_dsn, "postgres://user@db:5432/watchpost?sslmode=require"));
	assert_true(
		accepts(SETTING_INDEX_postgres_dsn, "host=/run/postgresql dbname=watchpost user=watchpost_ingress"));
	assert_true(accepts(SETTING_INDEX_stripe_secret_files, "/etc/watchpost/whsec_live,/etc/watchpost/whsec_old"));
}

/* Why: names of programs and environments stand in topics, roles and messages. How: all of them. */
static void names(void **unused)
{
	(void)unused;
	assert_string_equal(config_program_name(CONFIG_INGRESS), "watchpost-ingress");
	assert_string_equal(config_program_name(CONFIG_SUBSCRIPTION_SYNC), "watchpost-subscription-sync");
	assert_string_equal(config_program_name(CONFIG_AUDIT_LOG), "watchpost-audit-log");
	assert_string_equal(config_program_name(CONFIG_REVOCATION_FANOUT), "watchpost-revocation-fanout");
	assert_string_equal(config_program_name(CONFIG_OUTBOX_RELAY), "watchpost-outbox-relay");
	assert_string_equal(config_program_name(CONFIG_CTL), "watchpostctl");
	assert_string_equal(environment_name(ENVIRONMENT_NONE), "");
	assert_string_equal(environment_name(ENVIRONMENT_DEVELOPMENT), "development");
	assert_string_equal(environment_name(ENVIRONMENT_STAGING), "staging");
	assert_string_equal(environment_name(ENVIRONMENT_PRODUCTION), "production");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_sound),
		cmocka_unit_test(rate_limits_can_be_off),
		cmocka_unit_test(finds_by_name),
		cmocka_unit_test(suggests_the_nearest_name),
		cmocka_unit_test(checks_values_by_type),
		cmocka_unit_test(refuses_passwords_in_settings),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
