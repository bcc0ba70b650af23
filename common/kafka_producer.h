/*
 * The producer: idempotent, acks=all, one request in flight per broker so that it batches by itself.
 * Never blocks.
 *
 * Life: kafka_producer_new → kafka_producer_send from any thread → one thread calls kafka_producer_poll, which hands
 * tickets back (or options.on_settled does) → kafka_producer_close.
 *
 * Owns: the caller owns a ticket and keeps it alive from the send until poll, close or on_settled gives it back, which
 * may be before kafka_producer_send has returned; a send that is not QUEUED never gives it back. Key, value
 * and headers are copied; so is what options point to.
 * Thread: send, up, stats: any; poll, send_wait, close: the one owner thread; no send may run during close.
 * Errors: see enum kafka_send_result; a ticket's outcome is in the ticket.
 *
 * Up and down: while no broker answers, or no partition of a topic has a leader, sends are SEND_DOWN at once.
 * A lost connection alone is not "down": the cluster is asked first (≤ 0.3 s), so that neither the loss of one
 * broker of three nor a connection that was closed while idle makes it flap. A broker that hangs is found when
 * deliveries stand still for a second. "Up" follows a broker's return within 0.25 s.
 *
 * A fatal librdkafka error (idempotence broken) makes the producer rebuild itself inside poll: its
 * waiting tickets come back as KAFKA_DELIVERY_FAILED, later sends go to the new instance. A send
 * during the rebuild is SEND_DOWN.
 */
#ifndef WATCHPOST_COMMON_KAFKA_PRODUCER_H
#define WATCHPOST_COMMON_KAFKA_PRODUCER_H

#include "common/kafka.h"

struct kafka_producer;
struct kafka_ticket;

struct kafka_producer_options {
	const struct config *config;
	const char *client_id;
	const char *const *topics; /* NULL-terminated, at most KAFKA_PRODUCER_TOPICS_MAX; copied. All that will be sent
				    * to: "up" waits for them, a message to another is SEND_REFUSED */
	size_t waiting_max;        /* messages that may be in the queue or in flight */
	int delivery_timeout_ms;   /* message.timeout.ms: when librdkafka itself gives up */
	int gather_ms;             /* linger.ms: how long a message waits for others of its partition; 0: not at all */
	/* Gets each ticket as soon as it is settled, on a thread of librdkafka's: it must not block, nor call the
	 * producer. NULL: they come back by kafka_producer_poll. Either way, poll and close return those that were
	 * given up in a rebuild or at the end. */
	void (*on_settled)(struct kafka_ticket *ticket);
};

enum kafka_send_result {
	KAFKA_SEND_QUEUED,    /* the ticket is the producer's until poll gives it back */
	KAFKA_SEND_FULL,      /* waiting_max reached */
	KAFKA_SEND_DOWN,      /* no broker is reachable, or the producer is being rebuilt */
	KAFKA_SEND_TOO_LARGE, /* over message.max.bytes */
	KAFKA_SEND_REFUSED    /* unknown topic or another error of ours; counted and logged */
};

enum kafka_delivery {
	KAFKA_DELIVERY_WAITING,
	KAFKA_DELIVERY_DONE,  /* acknowledged by all in-sync replicas */
	KAFKA_DELIVERY_FAILED /* not acknowledged in time or refused; it may be in the log all the same */
};

/* Embedded in what the caller waits with; CONTAINER_OF leads back. */
struct kafka_ticket {
	struct kafka_ticket *next; /* the list that poll returns */
	struct kafka_ticket *prev; /* the producer's own */
	enum kafka_delivery delivery;
	int32_t partition;
	int64_t offset;
	const char *failure; /* static text when FAILED */
	bool too_large;      /* FAILED, because the topic takes no message of this size: it never will */
	void *group;         /* the sender's own; the producer leaves it alone */
};

struct kafka_producer_stats {
	uint64_t sent_total, delivered_total, failed_total, full_total, fatal_total;
	uint64_t waiting;
	bool up;
};

MUSTCHECK struct kafka_producer *kafka_producer_new(const struct kafka_producer_options *options, struct err *err);

MUSTCHECK enum kafka_send_result kafka_producer_send(struct kafka_producer *producer,
						     const struct kafka_message *message, struct kafka_ticket *ticket);

/* Waits up to timeout_ms and returns a list of tickets that came back, in order, linked by next; NULL when none. */
MUSTCHECK struct kafka_ticket *kafka_producer_poll(struct kafka_producer *producer, int timeout_ms);

/* A broker is connected and the topics are known. Any thread, cheap. */
bool kafka_producer_up(const struct kafka_producer *producer);
/* Messages that are queued or in flight. Any thread, cheap. */
size_t kafka_producer_waiting(const struct kafka_producer *producer);
void kafka_producer_stats(const struct kafka_producer *producer, struct kafka_producer_stats *out);

/* Flushes for at most timeout_ms, then gives every remaining ticket back as FAILED (returned list) and frees.
 * NULL producer is legal. */
struct kafka_ticket *kafka_producer_close(struct kafka_producer *producer, int timeout_ms);

/* Waits for one message: for tools and workers, not for loops. */
MUSTCHECK bool kafka_producer_send_wait(struct kafka_producer *producer, const struct kafka_message *message,
					int timeout_ms, struct err *err);

/* For tests: makes the present instance fail fatally (rd_kafka_test_fatal_error). */
void kafka_producer_test_fatal(struct kafka_producer *producer);

#endif
