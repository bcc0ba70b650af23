/*
 * The loop as the engine sees it (loop.c, connection.c, accept.c, request.c, receive.c, finish.c). Others use
 * ingress/loop.h.
 */
#ifndef WATCHPOST_INGRESS_LOOP_PRIVATE_H
#define WATCHPOST_INGRESS_LOOP_PRIVATE_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/net/accept.h"
#include "ingress/net/block.h"
#include "ingress/timer.h"

struct connection;
struct lookups;
struct request;
struct store;

/* All connections of the loop, doubly linked through the connections (connection_next). */
struct connection_list {
	struct connection *first;
	size_t count;
};

/* A connection's place in the list of this turn's work, or of its dead. */
struct loop_link {
	struct loop_link *next;
	struct connection *conn;
};

struct loop {
	struct ingress *ingress;
	size_t index;
	struct event_base *base;
	struct settings *settings; /* a reference */
	pthread_t thread;
	bool thread_started;

	/* time */
	int64_t now_ns; /* valid within a turn, when now_known */
	bool now_known;
	struct timers timers;
	int timer_fd;
	struct event timer_event;
	int64_t timer_due_ns; /* when timer_fd is set for; INT64_MAX: it is not */
	struct event tick_event;
	int64_t date_s;
	char date_line[48];        /* "Date: …\r\n" of date_s */
	_Atomic int64_t turned_ns; /* when the last turn ended, for /healthz */

	/* from other threads */
	int wake_fd;
	struct event wake_event;
	_Atomic(struct kafka_ticket *) tickets; /* newest first */
	atomic_uint commands;                   /* enum loop_command bits */

	/* what it has */
	struct listener *listeners[2];
	struct store *store;     /* NULL: a node without agents */
	struct lookups *lookups; /* the same */
	struct block_pool blocks;
	struct connection_list connections;
	struct loop_link *touched; /* to be continued at the end of the turn */
	struct loop_link *dead;    /* closed in this turn */
	struct request *dead_requests;
	struct request *spare_requests;
	size_t spare_request_count;
	bool draining;
	int64_t drain_due_ns;
};

/* One turn: waits for events (or only looks), calls what they name, ends the turn. False: the loop is over. Thread: the
 * loop's; tests turn a loop that was not started. */
bool loop_turn(struct loop *loop, bool wait);

/* The time of this turn: one reading however many events it has. */
int64_t loop_now_ns(struct loop *loop);
/* "Date: Mon, 23 Nov 2026 16:01:23 GMT\r\n", made once per second. */
const char *loop_date_line(struct loop *loop);

/* To be continued by connection_turn at the end of this turn. The connection sees to being listed once. */
void loop_touch(struct loop *loop, struct loop_link *link);
/* To be freed at the end of this turn (STYLE 17). */
void loop_bury_connection(struct loop *loop, struct loop_link *link);
void loop_bury_request(struct loop *loop, struct request *req);

#endif
