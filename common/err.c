#include "common/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
	[ERR_NONE] = "none",           [ERR_INVALID] = "invalid",
	[ERR_TOO_LARGE] = "too_large", [ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",   [ERR_DENIED] = "denied",
	[ERR_TIMEOUT] = "timeout",     [ERR_UNAVAILABLE] = "unavailable",
	[ERR_FULL] = "full",           [ERR_IO] = "io",
	[ERR_INTERNAL] = "internal",
};
_Static_assert(ARRAY_LEN(code_names) == ERR_CODE_COUNT, "every code has a name");

/* docs/exit-codes.md is this table in words. */
static const int exit_statuses[] = {
	[ERR_NONE] = 0,     [ERR_INVALID] = 2, [ERR_TOO_LARGE] = 2, [ERR_NOT_FOUND] = 3,
	[ERR_CONFLICT] = 4, [ERR_DENIED] = 5,  [ERR_TIMEOUT] = 6,   [ERR_UNAVAILABLE] = 7,
	[ERR_FULL] = 7,     [ERR_IO] = 1,      [ERR_INTERNAL] = 1,
};
_Static_assert(ARRAY_LEN(exit_statuses) == ERR_CODE_COUNT, "every code has an exit status");

bool err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	/* Formatted aside, because the arguments may be parts of err->text itself. */
	char text[ERR_TEXT_BYTES_MAX];
	va_list args;

	assert(err != NULL);
	assert(code > ERR_NONE && code < ERR_CODE_COUNT);
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = '\0';
	va_end(args);
	err->code = code;
	memcpy(err->text, text, strlen(text) + 1);
	return false;
}

bool err_context(struct err *err, const char *fmt, ...)
{
	char action[ERR_TEXT_BYTES_MAX];
	char reason[ERR_TEXT_BYTES_MAX];
	va_list args;

	assert(err != NULL);
	assert(err->code > ERR_NONE && err->code < ERR_CODE_COUNT);
	va_start(args, fmt);
	if (vsnprintf(action, sizeof(action), fmt, args) < 0)
		action[0] = '\0';
	va_end(args);
	memcpy(reason, err->text, strlen(err->text) + 1);
	return err_set(err, err->code, "%s: %s", action, reason);
}

const char *err_code_name(enum err_code code)
{
	assert(code >= ERR_NONE && code < ERR_CODE_COUNT);
	return code_names[code];
}

int err_exit_status(enum err_code code)
{
	assert(code >= ERR_NONE && code < ERR_CODE_COUNT);
	return exit_statuses[code];
}

void err_clear(struct err *err)
{
	assert(err != NULL);
	err->code = ERR_NONE;
	err->text[0] = '\0';
}
