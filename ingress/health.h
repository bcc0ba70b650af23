/*
 * The ingress's side of the admin listener: alive, ready and metrics.
 *
 * Owns: health_stop frees. Thread: start and stop: main's; the listener has a thread of its own.
 */
#ifndef WATCHPOST_INGRESS_HEALTH_H
#define WATCHPOST_INGRESS_HEALTH_H

#include <stddef.h>

#include "common/err.h"

struct health;
struct ingress;
struct loop;

/* Also made when admin_port is 0: then nothing listens. `loops` must outlive it. */
MUSTCHECK struct health *health_start(struct ingress *ingress, struct loop *const *loops, size_t loop_count,
				      struct err *err);
void health_stop(struct health *health); /* NULL is legal */

/* Every loop has turned lately. */
bool health_alive(const struct health *health);
/* Remembers whether the broker is there; called about once a second, so that a short absence is told from a long one.
 */
void health_look(struct health *health);
/* From now on /readyz says that we are shutting down, so that a balancer sends others. */
void health_drain(struct health *health);
/* The admin listener's port; 0 when there is none. */
int health_port(const struct health *health);

#endif
