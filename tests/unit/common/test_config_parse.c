#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/config_table.h"
#include "tests/unit/support/words.h"

static struct config_raw *raw;
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	raw = config_raw_new(&err);
	return raw != NULL ? 0 : -1;
}

static int teardown(void **unused)
{
	(void)unused;
	config_raw_free(raw);
	return 0;
}

/* Starts anew within a test. */
static void again(void)
{
	config_raw_free(raw);
	raw = config_raw_new(&err);
	assert_non_null(raw);
}

static struct words words;
static int rest;

static bool parse_environment(const char *text)
{
	return config_raw_parse_environment(raw, words_split(&words, text), &err);
}

static bool parse_flags(enum config_program program, const char *text)
{
	return config_raw_parse_flags(raw, program, words_split(&words, text), &rest, &err);
}

static const char *given(int index)
{
	return raw->given[index].text;
}

/* Why: the file is what operators write. How: comments, blanks, DOS line ends, an empty value, a last
 * line without its end. */
static void reads_a_file(void **unused)
{
	static const char text[] = "# a comment\n"
				   "\n"
				   "   # another\r\n"
				   "environment=staging\n"
				   "\tlisten_port  =  8444 \t\r\n"
				   "kafka_brokers = a:9092,b:9092\n"
				   "log_file =\n"
				   "postgres_dsn = host=db dbname=w#1\n"
				   "tls = off";

	(void)unused;
	assert_true(config_raw_parse_text(raw, bytes_of(text), &err));
	assert_string_equal(given(SETTING_INDEX_environment), "staging");
	assert_string_equal(given(SETTING_INDEX_listen_port), "8444");
	assert_string_equal(given(SETTING_INDEX_kafka_brokers), "a:9092,b:9092");
	assert_string_equal(given(SETTING_INDEX_log_file), "");
	assert_string_equal(given(SETTING_INDEX_postgres_dsn), "host=db dbname=w#1");
	assert_string_equal(given(SETTING_INDEX_tls), "off");
	assert_null(given(SETTING_INDEX_log_level));
	assert_int_equal(raw->given[SETTING_INDEX_listen_port].line, 5);
}

/* Why: an error names source, line and setting, so that it is found at once. How: each kind of mistake
 * and the exact words. */
static void names_the_place_of_a_mistake(void **unused)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{"\n\nlisten_port = 80a\n", "x.conf line 3: listen_port: \"80a\" is not a whole number"},
		{"listen_port = 65536", "x.conf line 1: listen_port: 65536 is not between 0 and 65535"},
		{"listn_port = 80", "x.conf line 1: there is no setting \"listn_port\"; did you mean listen_port?"},
		{"qqqqqqqqqq = 80", "x.conf line 1: there is no setting \"qqqqqqqqqq\""},
		{"listen port = 80", "x.conf line 1: a setting's name holds letters, digits and '_' only"},
		{"listen_port 80", "x.conf line 1: this is not \"name = value\""},
		{"= 80", "x.conf line 1: there is no setting \"\""},
		{"tls = on\ntls = on", "x.conf line 2: tls is already set in line 1"},
		{"log_level = info # why", "x.conf line 1: log_level: a comment stands on a line of its own"},
		{"log_file = a\x01z", "x.conf line 1: log_file: the value holds a control character"},
		{"environment = prod",
		 "x.conf line 1: environment: \"prod\" is not production, staging or development"},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		again();
		raw->path = strdup("x.conf");
		assert_false(config_raw_parse_text(raw, bytes_of(cases[i].text), &err));
		assert_int_equal(err.code, ERR_INVALID);
		assert_string_equal(err.text, cases[i].error);
	}
}

/* Why: the file is input from outside, with bounds and no NUL. How: each bound exactly and one beyond. */
static void keeps_the_bounds(void **unused)
{
	char text[CONFIG_LINE_BYTES_MAX + 2];
	const int name_bytes = (int)strlen("log_file=");

	(void)unused;
	memset(text, 'x', sizeof(text));
	memcpy(text, "log_file=", (size_t)name_bytes);
	assert_true(config_raw_parse_text(raw, bytes_make(text, (size_t)name_bytes + CONFIG_VALUE_BYTES_MAX), &err));
	again();
	assert_false(
		config_raw_parse_text(raw, bytes_make(text, (size_t)name_bytes + CONFIG_VALUE_BYTES_MAX + 1), &err));
	text[0] = '#';
	assert_true(config_raw_parse_text(raw, bytes_make(text, CONFIG_LINE_BYTES_MAX), &err));
	assert_false(config_raw_parse_text(raw, bytes_make(text, CONFIG_LINE_BYTES_MAX + 1), &err));
	again();
	assert_false(config_raw_parse_text(raw, bytes_make("log_file = a\0b", 14), &err));
	assert_non_null(strstr(err.text, "NUL"));
}

/* Why: `make run` and tests shape the system through the environment. How: names in upper case; empty
 * is not given, unknown is an error that suggests, other variables are left alone. */
static void reads_the_environment(void **unused)
{
	(void)unused;
	assert_true(parse_environment(
		"PATH=/bin WATCHPOST_URL=https://x WATCHPOST_SET_LISTEN_PORT=8445 WATCHPOST_SET_TLS="));
	assert_string_equal(given(SETTING_INDEX_listen_port), "8445");
	assert_null(given(SETTING_INDEX_tls));
	assert_false(parse_environment("WATCHPOST_SET_LISTEN_PRT=1"));
	assert_non_null(strstr(err.text, "did you mean listen_port?"));
	assert_false(parse_environment("WATCHPOST_SET_listen_port=1"));
	assert_false(parse_environment(
		"WATCHPOST_SET_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=1"));
	assert_false(parse_environment("WATCHPOST_SET_TLS=maybe"));
	assert_string_equal(err.text, "WATCHPOST_SET_TLS: \"maybe\" is neither true nor false");
}

/* Why: flags win over the environment, the environment over the file, whatever is read first. How: all
 * three in falling order; a value that loses is checked all the same. */
static void a_higher_source_wins(void **unused)
{
	(void)unused;
	assert_true(parse_flags(CONFIG_INGRESS, "x --listen-port=3"));
	assert_true(parse_environment("WATCHPOST_SET_LISTEN_PORT=2 WATCHPOST_SET_ADMIN_PORT=2"));
	assert_true(config_raw_parse_text(raw, bytes_of("listen_port=1\nadmin_port=1\nredirect_port=1\n"), &err));
	assert_string_equal(given(SETTING_INDEX_listen_port), "3");
	assert_string_equal(given(SETTING_INDEX_admin_port), "2");
	assert_string_equal(given(SETTING_INDEX_redirect_port), "1");
	assert_false(config_raw_parse_text(raw, bytes_of("listen_port=no\n"), &err));
}

/* Why: flags come in every spelling. How: '=' and next word, dashes and underscores, twice, empty,
 * --config, nothing behind. */
static void reads_flags(void **unused)
{
	(void)unused;
	assert_true(
		parse_flags(CONFIG_INGRESS, "x --listen-port=1 --listen_port 2 --config a.conf --log-file= --tls off"));
	assert_int_equal(rest, 9);
	assert_string_equal(given(SETTING_INDEX_listen_port), "2");
	assert_string_equal(given(SETTING_INDEX_log_file), "");
	assert_string_equal(given(SETTING_INDEX_tls), "off");
	assert_string_equal(raw->path, "a.conf");
	assert_false(parse_flags(CONFIG_INGRESS, "x --listen-port"));
	assert_string_equal(err.text, "--listen-port needs a value");
	assert_false(parse_flags(CONFIG_INGRESS, "x --config="));
	assert_true(parse_flags(CONFIG_INGRESS, "x"));
	assert_int_equal(rest, 1);
}

/* Why: a server started with a wrong word must not run with what it did not mean. How: another
 * program's setting, an unknown flag, a bare word. */
static void servers_refuse_other_words(void **unused)
{
	(void)unused;
	assert_false(parse_flags(CONFIG_AUDIT_LOG, "x --loops 2"));
	assert_string_equal(err.text, "--loops is no setting of watchpost-audit-log");
	assert_false(parse_flags(CONFIG_AUDIT_LOG, "x --enviroment=staging"));
	assert_non_null(strstr(err.text, "did you mean environment?"));
	assert_false(parse_flags(CONFIG_AUDIT_LOG, "x start"));
	assert_false(parse_flags(CONFIG_AUDIT_LOG, "x -- start"));
}

/* Why: watchpostctl has words and flags of its own around the settings. How: they come out in their
 * order at the end of argv, settings taken away, what follows "--" untouched. */
static void ctl_keeps_its_own_words(void **unused)
{
	static const char *const expected[] = {"audit", "replay", "--from", "2026-01-01", "--json", "--log-level"};
	(void)unused;
	assert_true(parse_flags(
		CONFIG_CTL,
		"ctl audit --environment staging replay --from 2026-01-01 --json --config=f -- --log-level"));
	assert_int_equal(rest, 11 - (int)ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_string_equal(words.list[rest + (int)i], expected[i]);
	assert_null(words.list[rest + (int)ARRAY_LEN(expected)]);
	assert_string_equal(given(SETTING_INDEX_environment), "staging");
	assert_null(given(SETTING_INDEX_log_level));
	assert_string_equal(raw->path, "f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(names_the_place_of_a_mistake, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_the_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_the_environment, setup, teardown),
		cmocka_unit_test_setup_teardown(a_higher_source_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(servers_refuse_other_words, setup, teardown),
		cmocka_unit_test_setup_teardown(ctl_keeps_its_own_words, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
