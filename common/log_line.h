/*
 * One log line: formatting, filtering and cutting, without knowing where it goes (common/log.h).
 *
 * Thread: any, no state. Errors: none; what does not fit is cut and says so.
 */
#ifndef WATCHPOST_COMMON_LOG_LINE_H
#define WATCHPOST_COMMON_LOG_LINE_H

#include "common/log.h"

struct log_line {
	int64_t wall_ms;
	enum log_level level;
	const char *program;
	const char *event;
	const struct log_field *fields;
	size_t count;
};

/* Writes the line with its '\n' and returns its length, at most LOG_LINE_BYTES_MAX. It has passed the
 * redaction filter. A longer one is cut between two characters, its quotes are closed, and it ends in
 * cut=true; a secret across the cut leaves nothing behind. */
size_t log_line_format(const struct log_line *line, char out[LOG_SCRATCH_BYTES]);

#endif
