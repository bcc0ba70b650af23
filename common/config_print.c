/* The table and the values as text: --help, the sample file, the documentation, --check-config. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_table.h"

/* "NUMBER" and the like, as they stand after a flag. */
static const char *type_word(const struct setting *setting)
{
	static const char *const words[] = {
		[SETTING_TEXT] = "TEXT",        [SETTING_INT] = "NUMBER",
		[SETTING_BOOL] = "true|false",  [SETTING_ENVIRONMENT] = "production|staging|development",
		[SETTING_SECRET_FILE] = "FILE", [SETTING_SECRET_FILES] = "FILE[,FILE…]",
	};

	assert((size_t)setting->type < ARRAY_LEN(words));
	return words[setting->type];
}

/* The default as a text that parses to it; "" when there is none. */
static const char *default_text(const struct setting *setting, char number[CONFIG_NUMBER_BYTES])
{
	if (setting->default_text != NULL)
		return setting->default_text;
	return config_number_text(setting, setting->default_number, number);
}

static void print_flag_name(FILE *to, const char *name)
{
	fputs("--", to);
	for (; *name != '\0'; name++)
		fputc(*name == '_' ? '-' : *name, to);
}

/* "default 8443; 0 to 65535; re-read on SIGHUP" */
static void print_remarks(FILE *to, const struct setting *setting)
{
	char number[CONFIG_NUMBER_BYTES];
	const char *text = default_text(setting, number);

	if (text[0] != '\0')
		fprintf(to, "default %s", text);
	else
		fputs(setting->type == SETTING_ENVIRONMENT ? "required" : "no default", to);
	if (setting->type == SETTING_INT)
		fprintf(to, "; %" PRId64 " to %" PRId64, setting->min, setting->max);
	if (setting->reloadable)
		fputs("; re-read on SIGHUP", to);
}

void config_print_options(FILE *to, enum config_program program)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];

		if ((setting->programs & (unsigned)program) == 0)
			continue;
		fputs("  ", to);
		print_flag_name(to, setting->name);
		fprintf(to, " %s\n      %s\n      (", type_word(setting), setting->help);
		print_remarks(to, setting);
		fputs(")\n", to);
	}
}

/* "watchpost-" goes without saying. */
static const char *short_name(enum config_program program)
{
	return program == CONFIG_CTL ? "watchpostctl" : config_program_name(program) + strlen("watchpost-");
}

static void print_programs(FILE *to, const struct setting *setting)
{
	static const struct {
		unsigned programs;
		const char *name;
	} groups[] = {
		{CONFIG_ALL, "every program"}, {CONFIG_SERVERS, "every server"}, {CONFIG_WORKERS, "every worker"}};
	unsigned left = setting->programs;
	const char *before = "";

	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		if ((left & groups[i].programs) == groups[i].programs) {
			fputs(groups[i].name, to);
			left &= ~groups[i].programs;
			before = ", ";
		}
	}
	for (unsigned program = 1; program <= CONFIG_ALL; program <<= 1) {
		if ((left & program) != 0) {
			fprintf(to, "%s%s", before, short_name((enum config_program)program));
			before = ", ";
		}
	}
}

void config_print_sample(FILE *to)
{
	fputs("# Watchpost: every setting with its default. Made from common/settings.def; do not edit.\n"
	      "#\n"
	      "# One file serves every program. A line is `name = value`; a comment stands on a line of its own.\n"
	      "# The environment (WATCHPOST_SET_<NAME>) and flags (--name value) win over this file.\n"
	      "# Secrets stand in files of their own, which the settings ending in _file and _files name.\n",
	      to);
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];
		char number[CONFIG_NUMBER_BYTES];
		const char *text = default_text(setting, number);

		fprintf(to, "\n# %s\n# (", setting->help);
		print_remarks(to, setting);
		fputs("; used by ", to);
		print_programs(to, setting);
		fputs(")\n", to);
		/* Only what has no default and is required stands uncommented. */
		if (setting->type == SETTING_ENVIRONMENT)
			fprintf(to, "%s = development\n", setting->name);
		else
			fprintf(to, "#%s =%s%s\n", setting->name, text[0] != '\0' ? " " : "", text);
	}
}

/* A table cell: '|' would end it. */
static void print_cell(FILE *to, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			fputc('\\', to);
		fputc(*text, to);
	}
}

void config_print_markdown(FILE *to)
{
	fputs("# Configuration\n"
	      "\n"
	      "Made from `common/settings.def`; do not edit.\n"
	      "\n"
	      "Every setting can be given in three places; a later one wins over an earlier one:\n"
	      "\n"
	      "1. the file that `--config FILE` names: `name = value`; a line that begins with `#` is a comment\n"
	      "2. the environment: `WATCHPOST_SET_<NAME>` in upper case; empty means not given\n"
	      "3. a flag: `--name value` or `--name=value`, with dashes or underscores\n"
	      "\n"
	      "One file serves every program: a setting that a program does not use is accepted in the file and in\n"
	      "the environment, and refused as a flag. An unknown name is an error.\n"
	      "\n"
	      "Secrets stand in files of their own; the settings ending in `_file` and `_files` name them, and no\n"
	      "program prints what is in them. On SIGHUP a program reads all sources again, the secrets too; the\n"
	      "settings marked below take effect at once. When another one has changed, the program says which one\n"
	      "and goes on with what it had.\n"
	      "\n"
	      "`--check-config` says whether a program would start with its configuration and prints it;\n"
	      "`--sample-config` prints a file with every setting (`ops/watchpost.conf.sample`).\n"
	      "\n"
	      "| setting | value | default | SIGHUP | used by | meaning |\n"
	      "|---|---|---|---|---|---|\n",
	      to);
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];
		char number[CONFIG_NUMBER_BYTES];
		const char *text = default_text(setting, number);

		fprintf(to, "| `%s` | ", setting->name);
		if (setting->type == SETTING_INT)
			fprintf(to, "%" PRId64 " to %" PRId64, setting->min, setting->max);
		else
			print_cell(to, type_word(setting));
		fprintf(to, " | %s%s%s | %s | ", text[0] != '\0' ? "`" : "", text, text[0] != '\0' ? "`" : "",
			setting->reloadable ? "yes" : "");
		print_programs(to, setting);
		fputs(" | ", to);
		print_cell(to, setting->help);
		fputs(" |\n", to);
	}
}

void config_print_values(FILE *to, const struct config *config)
{
	for (int i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *setting = &config_settings[i];
		char number[CONFIG_NUMBER_BYTES];
		const char *text = config_value_text(config, setting, number);

		if ((setting->programs & (unsigned)config->program) == 0)
			continue;
		/* An environment that is not given has no text of its own. */
		if (setting->type == SETTING_ENVIRONMENT && text[0] == '\0')
			continue;
		fprintf(to, "%s =%s%s\n", setting->name, text[0] != '\0' ? " " : "", text);
	}
}

/* --- --help, --version, --check-config, --sample-config ------------------------------------------- */

static void print_help(FILE *to, enum config_program program, const char *summary)
{
	const char *name = config_program_name(program);

	fprintf(to, "%s: %s\n\nusage: %s [--config FILE] [--SETTING VALUE …]%s\n\n", name, summary, name,
		program == CONFIG_CTL ? " COMMAND …" : "");
	fputs("  --config FILE      read settings from FILE\n"
	      "  --check-config     say whether the configuration is right, print it, and end\n"
	      "  --sample-config    print a configuration file with every setting, and end\n"
	      "  --version          print the version, and end\n"
	      "  --help             print this, and end\n"
	      "\n"
	      "Settings, here as flags. The file has them as `name = value` with underscores, the environment as\n"
	      "WATCHPOST_SET_<NAME> in upper case. Flags win over the environment, the environment over the file.\n"
	      "\n",
	      to);
	config_print_options(to, program);
	fputs("\nThe program ends with 0 when all went well and with 2 when the configuration or a flag is wrong;\n"
	      "docs/exit-codes.md lists the others.\n",
	      to);
}

static int say_result(enum config_program program, const struct config *config, const struct err *err)
{
	const char *name = config_program_name(program);

	if (config == NULL) {
		fprintf(stderr, "%s: %s\n", name, err->text);
		return err_exit_status(err->code);
	}
	config_print_values(stdout, config);
	fprintf(stderr, "%s: the configuration is right\n", name);
	return 0;
}

/* The status to end with. `argv` has --check-config in it, which config_load does not know. */
static int check_config(enum config_program program, int argc, char **argv)
{
	char **others = calloc((size_t)argc + 1, sizeof(*others));
	struct config *config = NULL;
	struct err err;
	int count = 0;
	int rest;
	int status;

	if (others == NULL) {
		err_set(&err, ERR_FULL, "no memory for the configuration");
		return say_result(program, NULL, &err);
	}
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--check-config") != 0)
			others[count++] = argv[i];
	}
	config = config_load(program, count, others, &rest, &err);
	status = say_result(program, config, &err);
	config_free(config);
	free(others);
	return status;
}

bool config_answer_flags(enum config_program program, int argc, char **argv, const char *summary, int *status)
{
	*status = 0;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0)
			print_help(stdout, program, summary);
		else if (strcmp(argv[i], "--version") == 0)
			printf("%s %s\n", config_program_name(program), WATCHPOST_VERSION);
		else if (strcmp(argv[i], "--sample-config") == 0)
			config_print_sample(stdout);
		else if (strcmp(argv[i], "--check-config") == 0)
			*status = check_config(program, argc, argv);
		else
			continue;
		if (fflush(stdout) != 0)
			*status = err_exit_status(ERR_IO);
		return true;
	}
	return false;
}
