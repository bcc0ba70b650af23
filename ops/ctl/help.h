/*
 * Help from the table of commands: the overview, one command, the manual page.
 *
 * Thread: one. Errors: a failed write shows in ferror(to).
 */
#ifndef WATCHPOST_OPS_CTL_HELP_H
#define WATCHPOST_OPS_CTL_HELP_H

#include <stdio.h>

#include "ops/ctl/command.h"

#define CTL_SUMMARY "operate Watchpost: migrate, watch, replay, verify and repair"

/* Every command with its summary; with the settings, too, when `settings` is set. */
void help_overview(FILE *to, const struct command *commands, size_t count, bool settings);
void help_command(FILE *to, const struct command *command);
/* docs/man/watchpostctl.1: roff, man(7). The same table gives the same bytes. */
void help_manual(FILE *to, const struct command *commands, size_t count);

#endif
