/*
 * One event loop: a thread with its own event base, listener (SO_REUSEPORT), connections and timers.
 *
 * A turn: wait for events, call what they name, then continue the connections that were answered meanwhile, write
 * each one's answers in one go, free what was closed, write the log lines. Nothing on a loop thread ever blocks. Other
 * threads reach a loop only through loop_post_ticket, which is bounded by the tickets that exist, and loop_command.
 *
 * Life: loop_new → loop_start → loop_command(DRAIN) → loop_join → (the publisher stops) → loop_free.
 */
#ifndef WATCHPOST_INGRESS_LOOP_H
#define WATCHPOST_INGRESS_LOOP_H

#include "common/clock.h"
#include "common/kafka_producer.h"

struct loop;
struct ingress; /* ingress/ingress.h: what all loops share */

/* Its listeners are open when this returns. *port is the public port: given, or 0 for a free one, which is set. */
MUSTCHECK struct loop *loop_new(struct ingress *ingress, size_t index, int *port, struct err *err);
MUSTCHECK bool loop_start(struct loop *loop, struct err *err);
void loop_join(struct loop *loop);
/* Ends the requests whose tickets were posted after the thread ended. NULL is legal. */
void loop_free(struct loop *loop);

enum loop_command {
	LOOP_RELOAD = 1u << 0, /* take the settings now in force */
	LOOP_DRAIN = 1u << 1   /* stop accepting, answer what is under way, end within drain_timeout_ms */
};
/* Any thread. */
void loop_command(struct loop *loop, enum loop_command command);

struct ingress *loop_ingress(const struct loop *loop);
const struct clock *loop_clock(const struct loop *loop);

/* Any thread: hands a settled ticket to its loop; those that come before the loop has looked share one wake-up. */
void loop_post_ticket(struct loop *loop, struct kafka_ticket *ticket);

/* Any thread: it can look tokens up at the primary, or needs not. */
bool loop_store_up(const struct loop *loop);

/* Any thread: when its last turn ended, on the monotonic clock; a live loop turns at least once a second. */
int64_t loop_turned_ns(const struct loop *loop);

#endif
