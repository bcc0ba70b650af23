/*
 * Asks the admin listeners of running programs (common/admin.h), which the setting admin_urls names.
 *
 * Thread: one. Owns: nothing beyond a call. Errors: ERR_INVALID for the setting; ERR_UNAVAILABLE when a program does
 * not answer within ADMIN_CLIENT_MS.
 */
#ifndef WATCHPOST_OPS_CTL_ADMIN_CLIENT_H
#define WATCHPOST_OPS_CTL_ADMIN_CLIENT_H

#include "common/buf.h"
#include "common/err.h"

enum { ADMIN_CLIENT_MS = 2000, ADMIN_CLIENT_ANSWER_BYTES_MAX = 1 << 20, ADMIN_TARGETS_MAX = 64 };

struct admin_target {
	char name[64];
	char url[256]; /* without a path */
};

/* Reads "NAME=URL, NAME=URL". */
MUSTCHECK bool admin_targets_parse(const char *setting, struct admin_target *out, size_t *count, struct err *err);

/* GET, or POST when `body` is not NULL. The answer's text goes to `answer` (cleared first), its status to *status. */
MUSTCHECK bool admin_ask(const struct admin_target *target, const char *path, const char *body, struct buf *answer,
			 long *status, struct err *err);

#endif
