/*
 * One librdkafka producer and the tickets that it has under way. A producer (common/kafka_producer.h) has one
 * at a time and makes another when it failed fatally.
 *
 * The tickets are kept in a list of our own, so that every one of them can be given back whatever librdkafka does.
 *
 * Owns: handles by reference count; the last kafka_instance_unref destroys off the caller's thread.
 * Thread: send, probe: any; serve, abandon: the producer's owner thread; the sink: librdkafka's.
 */
#ifndef WATCHPOST_COMMON_KAFKA_INSTANCE_H
#define WATCHPOST_COMMON_KAFKA_INSTANCE_H

#include "common/kafka_internal.h"
#include "common/kafka_producer.h"

struct kafka_instance;

/* Tickets in order, linked by next. */
struct kafka_ticket_list {
	struct kafka_ticket *head;
	struct kafka_ticket *tail;
	uint64_t delivered; /* how many were DONE and how many FAILED */
	uint64_t failed;
};

/* What was seen besides deliveries. */
struct kafka_instance_signs {
	bool fatal;            /* this instance will deliver nothing any more */
	bool connections_lost; /* no connection to any broker is left: it may be away */
};

/* Who gets a settled ticket at once, on a thread of librdkafka's that must not be held up. */
struct kafka_instance_sink {
	void (*take)(void *arg, struct kafka_ticket *ticket); /* NULL: they come by kafka_instance_serve */
	void *arg;
};

/* Topics are created from the names; `conf` stays the caller's. */
MUSTCHECK struct kafka_instance *kafka_instance_new(const rd_kafka_conf_t *conf, char *const *topics,
						    size_t topic_count, struct kafka_instance_sink sink,
						    struct err *err);
void kafka_instance_ref(struct kafka_instance *instance);
/* timeout_ms: how long the last one waits for the destruction, which goes on without it. NULL is legal. */
void kafka_instance_unref(struct kafka_instance *instance, int timeout_ms);

MUSTCHECK enum kafka_send_result kafka_instance_send(struct kafka_instance *instance,
						     const struct kafka_message *message, struct kafka_ticket *ticket);

/* Waits up to timeout_ms for the first event, takes what is there and appends the tickets to `out`. */
void kafka_instance_serve(struct kafka_instance *instance, int timeout_ms, struct kafka_ticket_list *out,
			  struct kafka_instance_signs *signs);

/* Tells librdkafka to fail everything; the tickets come by kafka_instance_serve, soon. */
void kafka_instance_purge(struct kafka_instance *instance);
/* Gives every ticket that is left back as FAILED. The instance may not be served afterwards, and its sink gets nothing
 * more once this has returned. */
void kafka_instance_abandon(struct kafka_instance *instance, const char *failure, struct kafka_ticket_list *out);
size_t kafka_instance_waiting(struct kafka_instance *instance);

/* Asks the cluster for the topics: true when each has a partition that can be written. */
MUSTCHECK bool kafka_instance_probe(struct kafka_instance *instance, int timeout_ms, struct err *err);

void kafka_instance_test_fatal(struct kafka_instance *instance);

#endif
