/*
 * What the files common/kafka_*.c share: librdkafka's configuration, errors and safe destruction.
 * Nobody else includes this: only they know librdkafka.
 *
 * Everything here is written for librdkafka 2.0.2 (Debian 12) and newer.
 */
#ifndef WATCHPOST_COMMON_KAFKA_INTERNAL_H
#define WATCHPOST_COMMON_KAFKA_INTERNAL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <time.h>

#include "common/kafka.h"

/* One librdkafka property. */
struct kafka_property {
	const char *name;
	const char *value;
};

/* What all clients have in common: brokers, security, quick reconnects, our log.
 * Owns: the caller owns the result (rd_kafka_conf_destroy, or rd_kafka_new takes it). Errors: ERR_INVALID. */
MUSTCHECK rd_kafka_conf_t *kafka_conf_new(const struct config *config, const char *client_id, struct err *err);
MUSTCHECK bool kafka_conf_set(rd_kafka_conf_t *conf, const struct kafka_property *properties, size_t count,
			      struct err *err);
MUSTCHECK bool kafka_conf_set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err);

/* Makes a client; takes `conf` whether it works or not. */
MUSTCHECK rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err);

/* Sets *err from a librdkafka code: "<action>: <description>". Always returns false. */
bool kafka_err_set(struct err *err, rd_kafka_resp_err_t code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Destroys a client on a thread of its own and waits at most timeout_ms for it: some versions hang in
 * rd_kafka_destroy. What hangs is left behind and logged. */
void kafka_client_destroy(rd_kafka_t *rk, int timeout_ms);
/* The same; `then(arg)` runs behind the destruction, whoever still waits: it frees what the client's callbacks use. */
void kafka_client_destroy_then(rd_kafka_t *rk, int timeout_ms, void (*then)(void *arg), void *arg);

/* A thread that takes no signals. */
MUSTCHECK bool kafka_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, struct err *err);

/* CLOCK_MONOTONIC in milliseconds, for deadlines inside one call. */
int64_t kafka_now_ms(void);
/* CLOCK_MONOTONIC in ms from now, to wait until. */
struct timespec kafka_after_ms(int ms);
/* Milliseconds from now to the deadline, never negative. */
int kafka_remaining_ms(int64_t deadline_ms);
void kafka_rest_ms(int ms);

/* The first offset with a timestamp >= time_ms; KAFKA_OFFSET_BEGINNING and KAFKA_OFFSET_END are legal times and give
 * the watermarks. -1: no such record. Bounded by timeout_ms, which rd_kafka_query_watermark_offsets of 2.0.2 is not. */
MUSTCHECK bool kafka_query_offset(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t time_ms, int timeout_ms,
				  int64_t *offset, struct err *err);

#endif
