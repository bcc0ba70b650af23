/*
 * watchpostctl as a whole: settings, command, connection, answer.
 */
#ifndef WATCHPOST_OPS_CTL_CTL_H
#define WATCHPOST_OPS_CTL_CTL_H

/* Runs one command line and returns the exit status (docs/exit-codes.md). Thread: main. */
int ctl_main(int argc, char **argv);

#endif
