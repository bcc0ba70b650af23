/*
 * What all loops of one ingress process share: configuration snapshot, publisher, secrets, counters.
 *
 * Owns: main makes it and frees it after the loops have ended.
 * Thread: fields are written before the loops start; what a reload changes is swapped behind ingress_settings().
 */
#ifndef WATCHPOST_INGRESS_INGRESS_H
#define WATCHPOST_INGRESS_INGRESS_H

#include "common/clock.h"
#include "common/config.h"
#include "ingress/publish/publish.h"

struct stripe_verifier;

struct ingress {
	const struct clock *clock;
	struct publisher *publisher;
	const char *source; /* ce_source of this program */
	char stripe_topic[KAFKA_TOPIC_BYTES_MAX + 1];
};

/* The settings in force, with what is made from them. A loop takes a reference once per request (loop-local,
 * no atomic contention) so that a reload never frees what a request still reads. */
struct settings {
	const struct config *config;
	const struct stripe_verifier *stripe; /* keyed by the secrets of this snapshot */
};
const struct settings *loop_settings(const struct loop *loop);

#endif
