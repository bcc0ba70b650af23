/*
 * W7: publishing for all loops through the same producers (fewer, larger produce requests): one that sends at once, and
 * one that gathers for a millisecond, which is taken while many requests wait.
 *
 * Loops call publish_request from their own threads; it never blocks. A delivery goes straight from the thread that has
 * the broker's answer to the loop that owns the request. Each producer has a thread that sees to errors and the
 * rebuild, and hands back what was given up.
 *
 * Owns: the publisher owns the producers; a request's ticket is its own while it waits (ingress/request.h).
 * Errors: a send that was refused finishes the request at once with 503 (queue full, broker away) or 413.
 */
#ifndef WATCHPOST_INGRESS_PUBLISH_PUBLISH_H
#define WATCHPOST_INGRESS_PUBLISH_PUBLISH_H

#include "common/kafka_producer.h"
#include "ingress/request.h"

struct publisher;
struct loop;

MUSTCHECK struct publisher *publisher_start(const struct config *config, struct err *err);
/* Flushes within timeout_ms, hands what is left back as failed, joins the thread. The loops no longer run,
 * so that nobody publishes any more, but their memory outlives this call. NULL is legal. */
void publisher_stop(struct publisher *publisher, int timeout_ms);

/* Sends the message for the request and makes it wait; when the delivery report comes, `done` is called on the loop's
 * thread with the request unanswered, and must finish it. Finishes the request itself when the send is refused, when
 * the deadline passes, or at shutdown. */
void publish_request(struct publisher *publisher, struct request *req, const struct kafka_message *message,
		     void (*done)(struct request *req, const struct kafka_ticket *ticket));

/* The same for several messages that are kept together or not at all as far as the client is told: `done` is called
 * when the reports of all are there, with KAFKA_DELIVERY_DONE only if each was. Some may be in the log all the same, so
 * the client sends them again with the same ids. `count` is 1 to PUBLISH_BATCH_MAX. */
void publish_batch(struct publisher *publisher, struct request *req, const struct kafka_message *messages, size_t count,
		   void (*done)(struct request *req, const struct kafka_ticket *ticket));

bool publisher_up(const struct publisher *publisher);
void publisher_stats(const struct publisher *publisher, struct kafka_producer_stats *out);

#endif
