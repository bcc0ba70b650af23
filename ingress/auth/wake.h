/*
 * R7: reads access-changes, without a group and from the end, purely as a wake-up of the poller: what a record says
 * is not looked at. With Kafka away nothing is lost but the haste.
 *
 * Owns: its thread and consumer. Thread: main's.
 */
#ifndef WATCHPOST_INGRESS_AUTH_WAKE_H
#define WATCHPOST_INGRESS_AUTH_WAKE_H

#include "common/config.h"
#include "common/err.h"

struct poller;
struct wake;

/* The configuration and the poller must outlive it. */
MUSTCHECK struct wake *wake_start(const struct config *config, struct poller *poller, struct err *err);
/* NULL is legal. */
void wake_stop(struct wake *wake);

#endif
