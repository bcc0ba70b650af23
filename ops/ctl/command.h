/*
 * Commands of watchpostctl: one table (ops/ctl/commands.c), one file for each family of commands.
 *
 * To add a command: write `bool name_run(struct ctl *ctl, struct err *err)` in a file of its own (ops/ctl/name.c),
 * declare it in ops/ctl/commands.h, add its row to the table in ops/ctl/commands.c, and renew the manual page:
 * `watchpostctl help --man >docs/man/watchpostctl.1`. Parsing, --help, --json, the connection to Postgres, error texts
 * and the exit status are then there.
 *
 * A command writes what was asked for to ctl_out by way of a table (ops/ctl/table.h), so that --json and terminals
 * are served alike, and nothing else. It fails by returning false with err set: main prints the text to
 * standard error and ends with err_exit_status (docs/exit-codes.md). Long work shows progress (ops/ctl/progress.h).
 *
 * Thread: one. Owns: everything that a ctl_… function returns belongs to ctl and lasts as long as the command.
 */
#ifndef WATCHPOST_OPS_CTL_COMMAND_H
#define WATCHPOST_OPS_CTL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/config.h"
#include "common/err.h"
#include "common/pg.h"
#include "ops/ctl/table.h"

struct ctl;

/* "--name VALUE", or a switch when `value` is NULL. */
struct command_flag {
	const char *name; /* without dashes: "dry-run" */
	const char *value;
	const char *help;
};

enum { COMMAND_FLAGS_MAX = 16 };

struct command {
	const char *words;     /* "account create" */
	const char *arguments; /* "NAME"; "" for none */
	int arguments_min, arguments_max;
	const char *summary;              /* one line, small letter, no full stop */
	const char *details;              /* sentences for --help and the manual page */
	const struct command_flag *flags; /* up to one without a name; NULL: none of its own */
	bool without_config;              /* needs no settings; ctl_config may not be called */
	bool (*run)(struct ctl *ctl, struct err *err);
};

/* --- what a command asks --- */

const struct config *ctl_config(const struct ctl *ctl);

/* The n-th argument from 0; NULL when it was not given. */
const char *ctl_argument(const struct ctl *ctl, int n);

/* A declared flag: was the switch given; the value, NULL when not given. */
bool ctl_switch(const struct ctl *ctl, const char *name);
const char *ctl_value(const struct ctl *ctl, const char *name);
/* An integer from min to max; *out stays as it is when the flag was not given. ERR_INVALID names the flag. */
MUSTCHECK bool ctl_value_i64(const struct ctl *ctl, const char *name, int64_t min, int64_t max, int64_t *out,
			     struct err *err);

/* The connection by the settings (role watchpost_ctl), made at the first call; NULL and err when it cannot be. */
MUSTCHECK struct pg *ctl_pg(struct ctl *ctl, struct err *err);

/* --- what a command shows --- */

/* Standard output. For what is not a table: exports. */
FILE *ctl_out(const struct ctl *ctl);
/* --json was given. */
bool ctl_json(const struct ctl *ctl);

/* Prints the table, as a list or (exactly one row) as one record, as --json or the terminal want it; and frees
 * it. */
MUSTCHECK bool ctl_print(const struct ctl *ctl, struct table *table, enum table_shape shape, struct err *err);

/* A remark for a person ("waiting for …"): standard error, not with --json. */
void ctl_note(const struct ctl *ctl, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
