#include "ops/ctl/help.h"

#include <assert.h>
#include <string.h>

enum { SUMMARY_COLUMN = 30, FLAG_COLUMN = 26, LINE_COLUMNS = 100 };

static const struct command_flag common_flags[] = {
	{"json", NULL, "answer in JSON; errors, too, as one object on standard error"},
	{"help", NULL, "this text"},
	{0},
};

/* "account create NAME" */
static void put_usage(FILE *to, const struct command *command)
{
	(void)fputs(command->words, to);
	if (command->arguments[0] != '\0')
		(void)fprintf(to, " %s", command->arguments);
}

static size_t usage_width(const struct command *command)
{
	size_t arguments = strlen(command->arguments);

	return strlen(command->words) + (arguments > 0 ? 1 + arguments : 0);
}

/* A description beside what it describes, which takes `used` columns; on a line of its own when that is long. */
static void put_beside(FILE *to, size_t used, size_t column, const char *text)
{
	if (used + 1 >= column) {
		(void)fputc('\n', to);
		used = 0;
	}
	(void)fprintf(to, "%*s%s\n", (int)(column - used), "", text);
}

static void put_flags(FILE *to, const struct command_flag *flags)
{
	for (; flags != NULL && flags->name != NULL; flags++) {
		int used = fprintf(to, "  --%s%s%s", flags->name, flags->value != NULL ? " " : "",
				   flags->value != NULL ? flags->value : "");

		put_beside(to, used > 0 ? (size_t)used : 0, FLAG_COLUMN, flags->help);
	}
}

/* Words wrapped at LINE_COLUMNS. */
static void put_wrapped(FILE *to, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > LINE_COLUMNS) {
			(void)fputc('\n', to);
			column = 0;
		}
		(void)fprintf(to, "%s%.*s", column > 0 ? " " : "", (int)len, text);
		column += len + (column > 0 ? 1 : 0);
		text += len;
		text += strspn(text, " ");
	}
	(void)fputc('\n', to);
}

void help_overview(FILE *to, const struct command *commands, size_t count, bool settings)
{
	(void)fputs("watchpostctl: " CTL_SUMMARY
		    "\n\nusage: watchpostctl [--SETTING VALUE] COMMAND [FLAG] [ARGUMENT]\n\n",
		    to);
	for (size_t i = 0; i < count; i++) {
		(void)fputs("  ", to);
		put_usage(to, &commands[i]);
		put_beside(to, 2 + usage_width(&commands[i]), SUMMARY_COLUMN, commands[i].summary);
	}
	(void)fputs("\nwatchpostctl COMMAND --help says more. Every command takes:\n\n", to);
	put_flags(to, common_flags);
	if (!settings)
		return;
	(void)fputs("\nSettings, from --config FILE, WATCHPOST_SET_<SETTING> in the environment, or flags:\n\n", to);
	config_print_options(to, CONFIG_CTL);
}

void help_command(FILE *to, const struct command *command)
{
	(void)fprintf(to, "watchpostctl %s: %s\n\nusage: watchpostctl ", command->words, command->summary);
	put_usage(to, command);
	(void)fputs(command->flags != NULL ? " [FLAG]\n\n" : "\n\n", to);
	put_wrapped(to, command->details);
	(void)fputc('\n', to);
	put_flags(to, command->flags);
	put_flags(to, common_flags);
}

/* --- the manual page ---------------------------------------------------------------------------------------------- */

/* roff takes '-' for a hyphen, '\' for an escape, and a line that begins with '.' or '\'' for a request. */
static void put_roff(FILE *to, const char *text)
{
	if (*text == '.' || *text == '\'')
		(void)fputs("\\&", to);
	for (; *text != '\0'; text++) {
		if (*text == '-')
			(void)fputs("\\-", to);
		else if (*text == '\\')
			(void)fputs("\\e", to);
		else
			(void)fputc(*text, to);
	}
}

static void put_roff_flag(FILE *to, const struct command_flag *flag)
{
	(void)fputs(".TP\n\\fB\\-\\-", to);
	put_roff(to, flag->name);
	(void)fputs("\\fR", to);
	if (flag->value != NULL) {
		(void)fputs(" \\fI", to);
		put_roff(to, flag->value);
		(void)fputs("\\fR", to);
	}
	(void)fputc('\n', to);
	put_roff(to, flag->help);
	(void)fputc('\n', to);
}

static void put_roff_command(FILE *to, const struct command *command)
{
	(void)fputs(".SS \"", to);
	put_roff(to, command->words);
	if (command->arguments[0] != '\0') {
		(void)fputs(" ", to);
		put_roff(to, command->arguments);
	}
	(void)fputs("\"\n", to);
	put_roff(to, command->details);
	(void)fputc('\n', to);
	for (const struct command_flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++)
		put_roff_flag(to, flag);
}

void help_manual(FILE *to, const struct command *commands, size_t count)
{
	(void)fputs(
		".\\\" Made by `watchpostctl help \\-\\-man` from ops/ctl/commands.c; do not edit.\n"
		".TH WATCHPOSTCTL 1 \"\" \"Watchpost\" \"Watchpost\"\n"
		".SH NAME\nwatchpostctl \\- " CTL_SUMMARY "\n"
		".SH SYNOPSIS\n.B watchpostctl\n[\\fB\\-\\-\\fISETTING VALUE\\fR] \\fICOMMAND\\fR [\\fIFLAG\\fR] "
		"[\\fIARGUMENT\\fR]\n"
		".SH DESCRIPTION\n"
		"What was asked for goes to standard output: as a table on a terminal, as columns separated by tabs "
		"into a pipe,\nor as JSON with \\fB\\-\\-json\\fR. Errors and progress go to standard error.\n.PP\n"
		"Settings come from the file named by \\fB\\-\\-config\\fR, from \\fBWATCHPOST_SET_\\fISETTING\\fR in "
		"the environment,\nand from flags, in rising order; docs/configuration.md lists them.\n"
		".SH COMMANDS\n",
		to);
	for (size_t i = 0; i < count; i++)
		put_roff_command(to, &commands[i]);
	(void)fputs(".SH FLAGS OF EVERY COMMAND\n", to);
	for (const struct command_flag *flag = common_flags; flag->name != NULL; flag++)
		put_roff_flag(to, flag);
	(void)fputs(".SH EXIT STATUS\n0 when it was done; docs/exit-codes.md lists the others.\n", to);
}
