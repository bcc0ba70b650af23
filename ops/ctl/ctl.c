#include "ops/ctl/ctl.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/log.h"
#include "common/process.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/help.h"
#include "ops/ctl/invocation.h"

struct ctl {
	struct invocation invocation;
	struct config *config; /* NULL for a command without settings */
	struct pg *pg;
};

const struct config *ctl_config(const struct ctl *ctl)
{
	assert(ctl->config != NULL && !ctl->invocation.command->without_config);
	return ctl->config;
}

const char *ctl_argument(const struct ctl *ctl, int n)
{
	assert(n >= 0 && n < ctl->invocation.command->arguments_max);
	return n < ctl->invocation.argument_count ? ctl->invocation.arguments[n] : NULL;
}

bool ctl_switch(const struct ctl *ctl, const char *name)
{
	return invocation_value(&ctl->invocation, name) != NULL;
}

const char *ctl_value(const struct ctl *ctl, const char *name)
{
	return invocation_value(&ctl->invocation, name);
}

bool ctl_value_i64(const struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	const char *text = ctl_value(ctl, name);
	char *end;
	long long value;

	assert(min <= max);
	if (text == NULL)
		return true;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return err_set(err, ERR_INVALID, "--%s: a number from %lld to %lld is expected", name, (long long)min,
			       (long long)max);
	*out = value;
	return true;
}

struct pg *ctl_pg(struct ctl *ctl, struct err *err)
{
	struct pg_options options = {.config = ctl_config(ctl), .program = "watchpostctl"};
	struct pg *pg;

	if (ctl->pg != NULL)
		return ctl->pg;
	pg = pg_new(&options, err);
	if (pg != NULL && !pg_connect(pg, err)) {
		pg_free(pg);
		pg = NULL;
	}
	ctl->pg = pg;
	return pg;
}

FILE *ctl_out(const struct ctl *ctl)
{
	assert(ctl != NULL);
	return stdout;
}

bool ctl_json(const struct ctl *ctl)
{
	return ctl->invocation.json;
}

bool ctl_print(const struct ctl *ctl, struct table *table, enum table_shape shape, struct err *err)
{
	enum table_style style = isatty(STDOUT_FILENO) ? TABLE_HUMAN : TABLE_PLAIN;
	bool ok = table_print(table, ctl_out(ctl), ctl_json(ctl) ? TABLE_JSON : style, shape, err);

	table_free(table);
	return ok;
}

void ctl_note(const struct ctl *ctl, const char *fmt, ...)
{
	va_list args;

	if (ctl_json(ctl))
		return;
	va_start(args, fmt);
	(void)fputs("watchpostctl: ", stderr);
	(void)vfprintf(stderr, fmt, args);
	(void)fputc('\n', stderr);
	va_end(args);
}

/* --- one command line, from words to status ----------------------------------------------------------------------- */

static void print_error(const struct err *err, bool json)
{
	json_t *object = NULL;

	if (json)
		object = json_pack("{s:{s:s, s:s}}", "error", "code", err_code_name(err->code), "text", err->text);
	if (object != NULL)
		(void)json_dumpf(object, stderr, JSON_COMPACT);
	else
		(void)fprintf(stderr, "watchpostctl: %s", err->text);
	(void)fputc('\n', stderr);
	json_decref(object);
}

/* What the libraries log is for servers; here only what went wrong, unless more was asked for. */
static bool open_log(const struct config *config, struct err *err)
{
	enum log_level level;

	if (!log_level_parse(config->log_level, &level))
		return err_set(err, ERR_INVALID, "log_level: error, warn, info or debug is expected");
	return log_open("watchpostctl", NULL, level == LOG_LEVEL_INFO ? LOG_LEVEL_WARN : level, err);
}

/* Leaves the command's own words behind `words`. */
static bool read_settings(struct ctl *ctl, int argc, char **argv, char ***words, struct err *err)
{
	int rest = argc;

	ctl->config = config_load(CONFIG_CTL, argc, argv, &rest, err);
	if (ctl->config == NULL)
		return false;
	*words = argv + rest;
	return open_log(ctl->config, err);
}

static bool run_command(struct ctl *ctl, struct err *err)
{
	if (!ctl->invocation.command->run(ctl, err)) {
		assert(err->code != ERR_NONE);
		return false;
	}
	/* A full disk or a closed pipe shows here at the latest. */
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return err_set(err, ERR_IO, "cannot write to standard output: %s", strerror(errno));
	return true;
}

static bool given(char *const *argv, const char *flag)
{
	for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, flag) == 0)
			return true;
	return false;
}

static int print_help(char **argv)
{
	const struct command *command = invocation_find(commands_table, commands_count, (const char *const *)argv + 1);

	if (command != NULL)
		help_command(stdout, command);
	else
		help_overview(stdout, commands_table, commands_count, true);
	return fflush(stdout) == 0 ? 0 : err_exit_status(ERR_IO);
}

/* `watchpostctl version` works whatever state the settings are in. */
static bool needs_settings(const char *first_word)
{
	for (size_t i = 0; i < commands_count; i++)
		if (commands_table[i].without_config && strcmp(commands_table[i].words, first_word) == 0)
			return false;
	return true;
}

static bool run_words(struct ctl *ctl, int argc, char **argv, struct err *err)
{
	char **words = argv + 1;

	if (needs_settings(argv[1]) && (!process_harden(err) || !read_settings(ctl, argc, argv, &words, err)))
		return false;
	if (words[0] == NULL)
		return err_set(err, ERR_INVALID, "a command is missing; see watchpostctl --help");
	return invocation_parse(commands_table, commands_count, (const char *const *)words, &ctl->invocation, err) &&
	       run_command(ctl, err);
}

int ctl_main(int argc, char **argv)
{
	struct ctl ctl = {0};
	struct err err = {0};
	int status = 0;

	if (argc < 2) {
		help_overview(stderr, commands_table, commands_count, false);
		return err_exit_status(ERR_INVALID);
	}
	if (given(argv, "--help"))
		return print_help(argv);
	if (config_answer_flags(CONFIG_CTL, argc, argv, CTL_SUMMARY, &status))
		return status;
	if (!run_words(&ctl, argc, argv, &err)) {
		print_error(&err, given(argv, "--json"));
		status = err_exit_status(err.code);
	}
	pg_free(ctl.pg);
	config_free(ctl.config);
	log_close();
	return status;
}
