/*
 * The words of a command line, settings taken out, become a command with its flags and arguments.
 *
 * Thread: any. Owns: nothing; everything points into `words` and the table of commands.
 * Errors: ERR_INVALID with a text that says what to type instead.
 */
#ifndef WATCHPOST_OPS_CTL_INVOCATION_H
#define WATCHPOST_OPS_CTL_INVOCATION_H

#include "ops/ctl/command.h"

enum { INVOCATION_ARGUMENTS_MAX = 16 };

struct invocation {
	const struct command *command;
	const char *arguments[INVOCATION_ARGUMENTS_MAX];
	int argument_count;
	const char *values[COMMAND_FLAGS_MAX]; /* by place in command->flags; "" for a switch, NULL when not given */
	bool json;
};

/* `words` ends with NULL. */
MUSTCHECK bool invocation_parse(const struct command *commands, size_t count, const char *const *words,
				struct invocation *out, struct err *err);

/* The command whose words stand one after the other anywhere in `words`, the longest; NULL when there is
 * none. For --help, which may come with anything. */
const struct command *invocation_find(const struct command *commands, size_t count, const char *const *words);

/* Value of a declared flag; NULL when not given. */
const char *invocation_value(const struct invocation *invocation, const char *name);

#endif
