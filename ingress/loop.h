/*
 * One event loop: a thread with its own event base, listener (SO_REUSEPORT), connections and timers.
 *
 * Nothing on a loop thread ever blocks. Other threads reach a loop only through loop_post_tickets,
 * which is bounded by the tickets that exist.
 */
#ifndef WATCHPOST_INGRESS_LOOP_H
#define WATCHPOST_INGRESS_LOOP_H

#include "common/clock.h"
#include "common/kafka_producer.h"

struct loop;
struct ingress; /* ingress/ingress.h: what all loops share */

struct ingress *loop_ingress(const struct loop *loop);
const struct clock *loop_clock(const struct loop *loop);

/* Any thread: hands delivered tickets (a list linked by next) to their loop, with one wake-up. */
void loop_post_tickets(struct loop *loop, struct kafka_ticket *list);

#endif
