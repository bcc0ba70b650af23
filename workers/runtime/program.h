/*
 * The frame of a worker's program, whatever it works on: flags, configuration, log, signals, reload.
 *
 * Thread: main's.
 */
#ifndef WATCHPOST_WORKERS_RUNTIME_PROGRAM_H
#define WATCHPOST_WORKERS_RUNTIME_PROGRAM_H

#include <stdbool.h>

#include "common/config.h"

struct program {
	const char *name;    /* "outbox-relay": the program is watchpost-outbox-relay */
	const char *summary; /* for --help */
	enum config_program config;
	/* Takes the configuration over. The log is open, signals are installed. Returns the exit status. */
	int (*run)(const struct program *program, struct config *config, const char *client_id);
	const void *cookie;
};

/* Answers flags like --help, loads the configuration, runs, closes the log. Returns the exit status. */
MUSTCHECK int program_main(const struct program *program, int argc, char **argv);

/* SIGTERM or SIGINT came (C7). */
MUSTCHECK bool program_stopping(void);
/* SIGHUP came since the last call. */
MUSTCHECK bool program_reload_asked(void);
/* The configuration read again, the log set by it and reopened; the caller owns it. NULL: refused, and logged why. */
MUSTCHECK struct config *program_reload(const struct config *before);

#endif
