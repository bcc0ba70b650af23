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

struct loop;
struct stripe_verifier;
struct tls_context;
struct admission;
struct rate_table;

struct ingress {
	const struct clock *clock;
	struct publisher *publisher;
	const char *source; /* ce_source of this program */
	char stripe_topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct admission *admission;     /* W1: how many connections, in all and of one address */
	struct rate_table *webhook_rate; /* webhooks of one address */
};

/* The settings in force, with what is made from them. Never written after it was made. */
struct settings {
	const struct config *config;
	const struct stripe_verifier *stripe; /* keyed by the secrets of this snapshot */
	struct tls_context *tls;              /* NULL when TLS is off */
};

/* The snapshot that this loop works with. Thread: the loop's. It changes only between two turns of the loop, so a
 * handler reads it without a reference and keeps no pointer into it across a wait. */
const struct settings *loop_settings(const struct loop *loop);

/* Runs the ingress from a loaded configuration until SIGTERM; takes `config` over. Returns the exit status. */
MUSTCHECK int ingress_run(struct config *config);

#endif
