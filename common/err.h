/*
 * Errors as values.
 *
 * A function that can fail returns bool and takes `struct err *err` last: true means done, false
 * means nothing was changed and *err says why. The text is for people (a log, a terminal) and names
 * the action that failed ("while reading config/dev.conf: line 3: …"); it never holds a secret, a
 * body or a header value. Decisions are taken on the code alone.
 *
 * Thread: any; a struct err belongs to one caller. Units: none.
 */
#ifndef WATCHPOST_COMMON_ERR_H
#define WATCHPOST_COMMON_ERR_H

#include <stdbool.h>

#include "common/compiler.h"
#include "common/limits.h"

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID,     /* the input breaks a rule; the same input will fail again */
	ERR_TOO_LARGE,   /* the input is over a stated bound */
	ERR_NOT_FOUND,   /* what was named does not exist */
	ERR_CONFLICT,    /* the state does not allow it (lost a race, already done) */
	ERR_DENIED,      /* the caller may not */
	ERR_TIMEOUT,     /* a deadline passed; the outcome may be unknown */
	ERR_UNAVAILABLE, /* the other side is away; try again later */
	ERR_FULL,        /* a bounded queue or pool is full; try again later */
	ERR_IO,          /* the operating system said no */
	ERR_INTERNAL,    /* a bug or a broken invariant */
	ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	char text[ERR_TEXT_BYTES_MAX];
};

/* Sets code and text, cutting the text at its bound. Always returns false, so a caller may write
 * `return err_set(err, ERR_INVALID, "…")`. `err` may not be NULL; code may not be ERR_NONE. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "<action>: " before the text that is there. Always returns false. */
bool err_context(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Stable snake_case name ("too_large"), for logs and --json. Never NULL. */
const char *err_code_name(enum err_code code);

/* The exit status that command-line programs end with for this code (docs/exit-codes.md);
 * 0 for ERR_NONE. */
int err_exit_status(enum err_code code);

void err_clear(struct err *err);

#endif
