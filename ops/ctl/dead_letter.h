/*
 * The rows of what workers set aside (C6), as Postgres has them.
 *
 * Owns: the caller owns the rows (pg_result_free). Thread: one. Errors: those of Postgres; ERR_INVALID for a flag.
 */
#ifndef WATCHPOST_OPS_CTL_DEAD_LETTER_H
#define WATCHPOST_OPS_CTL_DEAD_LETTER_H

#include "ops/ctl/command.h"

enum { DEAD_LETTER_ROWS_MAX = 10000 }; /* what api.dead_letter_list gives at most */

/* The columns of a row. */
enum {
	DEAD_LETTER_WORKER,
	DEAD_LETTER_TOPIC,
	DEAD_LETTER_PARTITION,
	DEAD_LETTER_OFFSET,
	DEAD_LETTER_TYPE,
	DEAD_LETTER_ID,
	DEAD_LETTER_REASON,
	DEAD_LETTER_CLASS,
	DEAD_LETTER_ATTEMPTS,
	DEAD_LETTER_FAILED_AT,
	DEAD_LETTER_REDRIVES,
	DEAD_LETTER_CLUSTER,
	DEAD_LETTER_COLUMNS
};

/* At most `limit` rows that --worker and --since ask for, oldest first. */
MUSTCHECK struct pg_result *dead_letter_rows(struct ctl *ctl, int64_t limit, struct err *err);

#endif
