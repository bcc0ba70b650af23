/*
 * What all loops of one ingress process share: the settings in force, the publisher, the limits over all loops.
 *
 * Owns: ingress_run makes it and frees it after the loops have ended.
 * Thread: fields are written before the loops start and never after; what a reload changes stands behind
 * ingress_settings.
 */
#ifndef WATCHPOST_INGRESS_INGRESS_H
#define WATCHPOST_INGRESS_INGRESS_H

#include <pthread.h>

#include "common/clock.h"
#include "ingress/net/address.h"
#include "ingress/publish/publish.h"
#include "ingress/settings.h"

struct auth;
struct loop;
struct admission;
struct rate_table;
struct tickets;

struct ingress {
	const struct clock *clock;
	struct publisher *publisher;
	const char *source; /* ce_source of this program */
	char stripe_topic[KAFKA_TOPIC_BYTES_MAX + 1];
	char agent_topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct net_blocks balancers;     /* from them PROXY v2 is required */
	struct admission *admission;     /* W1: how many connections, in all and of one address */
	struct tickets *tickets;         /* TLS: their keys, for all settings that follow each other */
	struct rate_table *webhook_rate; /* webhooks of one address */
	struct auth *auth;               /* NULL: a node without agents */
	int public_port;                 /* the public listener's, also when the kernel chose it */

	pthread_mutex_t settings_lock;
	struct settings *settings; /* in force; under settings_lock */
};

/* The snapshot in force, with a reference for the caller (settings_release). Thread: any. */
MUSTCHECK struct settings *ingress_settings(struct ingress *ingress);

/* The snapshot that this loop works with. Thread: the loop's. It changes only between two events of the loop, so a
 * handler reads it without a reference and keeps no pointer into it across a wait. */
const struct settings *loop_settings(const struct loop *loop);

/* Runs the ingress from a loaded configuration, which it takes over, until SIGTERM or SIGINT; the log is open.
 * Returns the exit status. */
MUSTCHECK int ingress_run(struct config *config);

#endif
