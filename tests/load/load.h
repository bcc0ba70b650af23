/*
 * A closed-loop HTTP load generator for signed Stripe webhooks and for agents' events: N connections, each sends its
 * next request when the last one was answered. Counts every status, keeps a latency histogram and can write down the
 * ids of all events that were answered 2xx, so that tests count instead of sampling.
 *
 * Thread: one. It talks to loopback addresses only and ends by itself.
 */
#ifndef WATCHPOST_TESTS_LOAD_LOAD_H
#define WATCHPOST_TESTS_LOAD_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/digest.h"
#include "common/err.h"

enum {
	LOAD_CONNECTIONS_MAX = 20000,
	LOAD_STATUS_MAX = 600,
	LOAD_REQUEST_BYTES_MAX = 70000,
	LOAD_HISTOGRAM_SLOTS = 64 * 32, /* 32 steps for each power of two of microseconds */
	LOAD_ID_BYTES = 48,
	LOAD_TOKENS_MAX = 1000000
};

struct load_options {
	uint16_t ports[16]; /* on 127.0.0.1, connections are dealt out in turn */
	size_t port_count;
	const char *path;
	const char *secret; /* whsec_…; NULL: no signature */
	const char
		*tokens_path;   /* agents' tokens, one a line, dealt out in turn: POST /v1/events instead of webhooks */
	const char *run;        /* part of every event id, so that runs differ */
	const char *acked_path; /* ids answered 2xx, one a line; NULL: not kept */
	int connections;
	int64_t seconds;    /* stop after so long … */
	int64_t count;      /* … or after so many requests; 0: no bound of that kind */
	int64_t warmup_ms;  /* not counted, first */
	int64_t rate_per_s; /* at most so many requests a second; 0: no limit */
	int64_t timeout_ms; /* a request without an answer is an error after this */
	int customers;
	int body_bytes; /* about; the event is padded to it */
	int pool;       /* requests made and signed ahead; 0: each is made when it is sent, with an id of its own */
	bool tls;
	bool retry; /* send an event again until it is answered 2xx, as Stripe does */
};

/* Agents' tokens from a file. */
struct load_tokens;
MUSTCHECK struct load_tokens *load_tokens_read(const char *path, struct err *err);
void load_tokens_free(struct load_tokens *tokens);

/* Each writes request number `serial` to `out` and the event's id to `id`. */
MUSTCHECK bool load_webhook(const struct load_options *options, const struct hmac_key *key, uint64_t serial,
			    struct buf *out, char id[LOAD_ID_BYTES]);
MUSTCHECK bool load_agent_event(const struct load_options *options, const struct load_tokens *tokens, uint64_t serial,
				struct buf *out, char id[LOAD_ID_BYTES]);

/* Makes requests of the kind that the options ask for, ahead or as they are sent. */
struct load_maker;
struct load_request {
	const uint8_t *data;
	size_t len;
	char id[LOAD_ID_BYTES];
};
MUSTCHECK struct load_maker *load_maker_new(const struct load_options *options, struct err *err);
void load_maker_free(struct load_maker *maker);
/* Request number `serial`; its bytes go to `storage` unless it comes from the pool. */
MUSTCHECK bool load_maker_make(struct load_maker *maker, uint64_t serial, struct buf *storage,
			       struct load_request *out);

struct load_report {
	uint64_t answered, status[LOAD_STATUS_MAX], errors, timeouts, reconnects;
	uint64_t histogram[LOAD_HISTOGRAM_SLOTS];
	double seconds;
};
MUSTCHECK bool load_run(const struct load_options *options, struct load_report *report, struct err *err);

/* The latency below which `share` (0..1) of the answers came, in microseconds. */
double load_percentile_us(const struct load_report *report, double share);
void load_report_print(FILE *to, const struct load_report *report);

#endif
