/*
 * What the ingress counts (common/metrics.h). One table; series are the enums below.
 *
 * Thread: any, once counters_open was called; before that (unit tests) counting does nothing.
 */
#ifndef WATCHPOST_INGRESS_COUNTERS_H
#define WATCHPOST_INGRESS_COUNTERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct route;

enum counter { COUNTER_CONNECTIONS, COUNTER_CONNECTIONS_REFUSED, COUNTER_CONNECTION_TIMEOUTS };
/* COUNTER_CONNECTIONS_REFUSED */
enum {
	COUNTER_REFUSED_TOTAL,
	COUNTER_REFUSED_ADDRESS,
	COUNTER_REFUSED_PROXY,
	COUNTER_REFUSED_TLS,
	COUNTER_REFUSED_MEMORY
};
/* COUNTER_CONNECTION_TIMEOUTS */
enum {
	COUNTER_TIMEOUT_HEAD,
	COUNTER_TIMEOUT_BODY,
	COUNTER_TIMEOUT_IDLE,
	COUNTER_TIMEOUT_WRITE,
	COUNTER_TIMEOUT_LINGER
};

MUSTCHECK bool counters_open(struct err *err);
void counters_close(void);

void counter_add(enum counter counter, size_t series);
/* W9: one request ended. route NULL: it never had one. */
void counter_request(const struct route *route, int status, int64_t age_us);
MUSTCHECK bool counters_print(struct buf *out);

#endif
