/*
 * R4 and R5 for operators: a change of access, repeated until its outcome is known, and the wait until it is in force
 * on every node.
 *
 * Thread: one.
 */
#ifndef WATCHPOST_OPS_CTL_IN_FORCE_H
#define WATCHPOST_OPS_CTL_IN_FORCE_H

#include "ops/ctl/command.h"

struct in_force {
	int64_t number;   /* of the change; what nodes show */
	int64_t changed;  /* agents or accounts; 0: it was so already, and the wait is for the change that made it so */
	int64_t nodes;    /* at the end of the wait */
	int64_t shown;    /* of them, those that show the number; the others' leases have run out */
	int64_t after_ms; /* from the commit to then */
};

/* Calls `sql`, whose row begins with number and changed; functions that change access may be repeated. Then waits until
 * every node shows the number, or ACCESS_WAIT_MS have passed since the commit returned: it is in force when this
 * returns true. Errors: the call's; ERR_TIMEOUT and ERR_UNAVAILABLE mean that the outcome is unknown, and to run it
 * again. */
MUSTCHECK bool in_force_change(struct ctl *ctl, const char *sql, const struct pg_params *params, struct in_force *out,
			       struct err *err);

/* The same, and shows it: "in force on N of N nodes after M ms", or as a record. `what` and `id` begin the record. */
MUSTCHECK bool in_force_change_and_show(struct ctl *ctl, const char *sql, const struct pg_params *params,
					const char *what, const char *id, struct err *err);

/* --reason, checked as every free text is; NULL when not given. */
MUSTCHECK bool in_force_reason(const struct ctl *ctl, const char **out, struct err *err);

#endif
