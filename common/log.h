/*
 * The log: key=value lines, filtered before they are written.
 *
 *   time=2026-11-23T15:37:00.123Z level=info program=watchpost-ingress event=started port=8443
 *
 * A line is built from typed fields, so nothing unquoted gets in: values with spaces, quotes,
 * control bytes or '=' are quoted and escaped. Before the write every line passes the redaction
 * filter (common/redact.h), which also guards against callers' mistakes. One line is one write of
 * at most LOG_LINE_BYTES_MAX; a longer one is cut and ends in cut=true.
 *
 * Thread: any, without a lock of ours around formatting. A loop thread may gather its lines in a
 * buffer of its own (log_batch_begin) and writes them once per turn.
 * Errors: a line that cannot be written is counted (log_lost_total), never retried, never blocks. Pipes
 * and terminals are opened anew with O_NONBLOCK, so that whoever shares standard error is not touched;
 * logging to one of them ignores SIGPIPE in the whole process.
 */
#ifndef WATCHPOST_COMMON_LOG_H
#define WATCHPOST_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Topics of trace lines, each switched on at run time (`watchpostctl log trace`). */
enum log_topic {
	LOG_TOPIC_HTTP = 1u << 0,   /* connections and request states "A -> B" */
	LOG_TOPIC_KAFKA = 1u << 1,  /* produce, delivery, consume, rebalance */
	LOG_TOPIC_PG = 1u << 2,     /* statements by name, timing */
	LOG_TOPIC_WORKER = 1u << 3, /* batches, offsets */
	LOG_TOPIC_STRIPE = 1u << 4  /* verification steps, merges */
};

struct log_field {
	const char *key;
	enum { LOG_FIELD_TEXT, LOG_FIELD_BYTES, LOG_FIELD_I64, LOG_FIELD_U64, LOG_FIELD_BOOL } kind;
	union {
		const char *text;
		struct bytes bytes;
		int64_t i64;
		uint64_t u64;
		bool flag;
	} value;
};

#define F_TEXT(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_TEXT, .value.text = (v)})
#define F_BYTES(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BYTES, .value.bytes = (v)})
#define F_I64(k, v)   ((struct log_field){.key = (k), .kind = LOG_FIELD_I64, .value.i64 = (v)})
#define F_U64(k, v)   ((struct log_field){.key = (k), .kind = LOG_FIELD_U64, .value.u64 = (v)})
#define F_BOOL(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .value.flag = (v)})
/* reason=<code name> error="<text>" */
#define F_ERR(e) F_TEXT("reason", err_code_name((e)->code)), F_TEXT("error", (e)->text)

/* LOG(INFO, "started", F_U64("port", port)); `event` is a snake_case word, the same for every such line. */
#define LOG(LEVEL, EVENT, ...)                                                                                         \
	do {                                                                                                           \
		if (log_level_on(LOG_LEVEL_##LEVEL))                                                                   \
			log_write(LOG_LEVEL_##LEVEL, (EVENT), (const struct log_field[]){__VA_ARGS__},                 \
				  sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field));         \
	} while (0)

#define TRACE(TOPIC, EVENT, ...)                                                                                       \
	do {                                                                                                           \
		if (log_topic_on(LOG_TOPIC_##TOPIC))                                                                   \
			log_write(LOG_LEVEL_DEBUG, (EVENT), (const struct log_field[]){__VA_ARGS__},                   \
				  sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field));         \
	} while (0)

/* Opens the log. `path` NULL or "" means stderr; a file is opened for append, mode 0600.
 * Call once before threads start; `program` must outlive the log. */
MUSTCHECK bool log_open(const char *program, const char *path, enum log_level level, struct err *err);
/* Opens the file anew (SIGHUP, logrotate). On failure the old one goes on. */
MUSTCHECK bool log_reopen(struct err *err);
/* Back to standard error. Call when the other threads have ended. */
void log_close(void);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_topics(uint32_t topics); /* bits of enum log_topic */
uint32_t log_get_topics(void);
MUSTCHECK bool log_level_parse(const char *name, enum log_level *level);
/* "http,kafka" or "none" or "all" */
MUSTCHECK bool log_topics_parse(const char *names, uint32_t *topics);

bool log_level_on(enum log_level level);
bool log_topic_on(enum log_topic topic);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* This thread's lines are gathered from now on; log_batch_flush writes them in one go. ERROR lines
 * flush at once. A full batch flushes itself. A thread ends its batch before it ends. */
void log_batch_begin(void);
void log_batch_flush(void);
void log_batch_end(void);

uint64_t log_lost_total(void);

#endif
