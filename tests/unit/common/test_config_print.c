#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/config_table.h"
#include "tests/unit/support/temp_dir.h"
#include "tests/unit/support/words.h"

static struct temp_dir dir;
static struct err err;

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	temp_dir_remove(&dir);
	return 0;
}

/* What a printer writes, as one text that the caller frees. */
struct capture {
	char *text;
	size_t len;
	FILE *to;
};

static FILE *capture_begin(struct capture *capture)
{
	capture->to = open_memstream(&capture->text, &capture->len);
	assert_non_null(capture->to);
	return capture->to;
}

static char *capture_end(struct capture *capture)
{
	assert_int_equal(fclose(capture->to), 0);
	return capture->text;
}

/* Sends standard output and error into a file, runs config_answer_flags, and gives back what was said. */
static char *answer(const char *flags, bool *answered, int *status)
{
	char path[TEMP_PATH_BYTES];
	struct words words;
	int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};

	temp_path(&dir, "said", path);
	fflush(NULL);
	assert_non_null(freopen(path, "w", stdout));
	assert_int_equal(dup2(STDOUT_FILENO, STDERR_FILENO), STDERR_FILENO);
	words_split(&words, flags);
	*answered = config_answer_flags(CONFIG_INGRESS, words.count, words.list, "the front door", status);
	fflush(NULL);
	assert_int_equal(dup2(saved[0], STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(dup2(saved[1], STDERR_FILENO), STDERR_FILENO);
	close(saved[0]);
	close(saved[1]);
	return temp_read(path, NULL);
}

/* Why: operators copy the sample. How: every setting stands in it once; with all comments on settings
 * taken away the parser accepts it, and the values are the defaults. */
static void the_sample_is_the_defaults(void **unused)
{
	struct capture capture;
	struct config_raw *raw = config_raw_new(&err);
	struct config *config, *plain;
	char *text, *out;

	(void)unused;
	assert_non_null(raw);
	config_print_sample(capture_begin(&capture));
	text = capture_end(&capture);
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		char line[128];

		(void)snprintf(line, sizeof(line), "\n%s%s =", i == SETTING_INDEX_environment ? "" : "#",
			       config_settings[i].name);
		assert_non_null(strstr(text, line));
	}
	out = text;
	for (char *in = text; *in != '\0'; in++) /* "#name =" becomes "name =" */
		if (*in != '#' || in == text || in[-1] != '\n' || in[1] == ' ' || in[1] == '\n')
			*out++ = *in;
	assert_true(config_raw_parse_text(raw, bytes_make(text, (size_t)(out - text)), &err));
	config = config_build(CONFIG_CTL, raw, &err);
	assert_non_null(config);
	raw = config_raw_new(&err);
	assert_non_null(raw);
	plain = config_build(CONFIG_CTL, raw, &err);
	assert_non_null(plain);
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		char a[CONFIG_NUMBER_BYTES], b[CONFIG_NUMBER_BYTES];

		if (i != SETTING_INDEX_environment)
			assert_string_equal(config_value_text(config, &config_settings[i], a),
					    config_value_text(plain, &config_settings[i], b));
	}
	config_free(config);
	config_free(plain);
	free(text);
}

/* Why: --help must show every flag of the program and no other. How: all rows. */
static void options_are_those_of_the_program(void **unused)
{
	struct capture capture;
	char *text;

	(void)unused;
	config_print_options(capture_begin(&capture), CONFIG_AUDIT_LOG);
	text = capture_end(&capture);
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		char flag[128] = "  --";

		(void)snprintf(flag + 4, sizeof(flag) - 4, "%s ", config_settings[i].name);
		for (char *c = flag; *c != '\0'; c++)
			*c = *c == '_' ? '-' : *c;
		assert_int_equal(strstr(text, flag) != NULL, (config_settings[i].programs & CONFIG_AUDIT_LOG) != 0);
	}
	free(text);
}

/* Why: promise 4: no path prints a secret, --check-config neither. How: a canary in two secret files and
 * every kind of answer; the paths are shown, the canary is not. */
static void never_prints_a_secret(void **unused)
{
	char flags[1024];
	bool answered;
	int status;
	char *said;

	(void)unused;
	temp_write_text(&dir, "secret", "whsec_canary_3141592653");
	(void)snprintf(flags, sizeof(flags),
		       "x --check-config --environment=development --kafka-brokers=a --tls=off --agents=off "
		       "--stripe-secret-files=%s/secret --kafka-sasl-password-file=%s/secret",
		       dir.path, dir.path);
	said = answer(flags, &answered, &status);
	assert_true(answered);
	assert_int_equal(status, 0);
	assert_non_null(strstr(said, "stripe_secret_files = /tmp/"));
	assert_non_null(strstr(said, "watchpost-ingress: the configuration is right"));
	assert_null(strstr(said, "canary"));
	free(said);
}

/* Why: every program takes the four flags. How: each, a wrong configuration, none of them, and one that
 * stands behind "--". */
static void answers_the_common_flags(void **unused)
{
	bool answered;
	int status;
	char *said;

	(void)unused;
	said = answer("x --help", &answered, &status);
	assert_true(answered && status == 0);
	assert_non_null(strstr(said, "watchpost-ingress: the front door\n"));
	assert_non_null(strstr(said, "--listen-port NUMBER\n"));
	free(said);
	said = answer("x --listen-port 1 --version", &answered, &status);
	assert_true(answered && status == 0);
	assert_string_equal(said, "watchpost-ingress " WATCHPOST_VERSION "\n");
	free(said);
	said = answer("x --sample-config", &answered, &status);
	assert_true(answered && status == 0);
	assert_non_null(strstr(said, "\nenvironment = development\n"));
	free(said);
	said = answer("x --check-config --listen-port=zero", &answered, &status);
	assert_true(answered);
	assert_int_equal(status, 2);
	assert_string_equal(said, "watchpost-ingress: --listen-port: \"zero\" is not a whole number\n");
	free(said);
	said = answer("x --listen-port=1 -- --help", &answered, &status);
	assert_false(answered);
	assert_string_equal(said, "");
	free(said);
}

/* Compares a committed file with what a printer writes now; WATCHPOST_WRITE_DOCS=1 writes it instead. */
static void check_file(const char *path, void (*print)(FILE *to))
{
	struct capture capture;
	char *expected, *found;
	bool same;

	print(capture_begin(&capture));
	expected = capture_end(&capture);
	if (getenv("WATCHPOST_WRITE_DOCS") != NULL) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		assert_int_equal(fputs(expected, file) >= 0, 1);
		assert_int_equal(fclose(file), 0);
	}
	found = temp_read(path, NULL);
	same = strcmp(found, expected) == 0;
	free(found);
	free(expected);
	if (!same)
		fail_msg("%s is not what common/settings.def says; write it anew with WATCHPOST_WRITE_DOCS=1 "
			 "build/unit/common/test_config_print",
			 path);
}

/* Why: docs and sample are made from the table and must not go stale. How: the committed files are what
 * the printers write (run from the root of the repository). */
static void committed_files_are_up_to_date(void **unused)
{
	(void)unused;
	check_file("docs/configuration.md", config_print_markdown);
	check_file("ops/watchpost.conf.sample", config_print_sample);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_sample_is_the_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(options_are_those_of_the_program, setup, teardown),
		cmocka_unit_test_setup_teardown(never_prints_a_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_the_common_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(committed_files_are_up_to_date, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
