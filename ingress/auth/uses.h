/*
 * When tokens were used, until the poller writes it down: about once a minute for each, in bounded memory.
 *
 * Owns: its entries. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_AUTH_USES_H
#define WATCHPOST_INGRESS_AUTH_USES_H

#include <pthread.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/limits.h"

struct use {
	uint8_t token_hash[SHA256_BYTES];
	int64_t at_ms;
};

struct uses {
	pthread_mutex_t lock;
	size_t count;
	uint64_t lost_total; /* there was no room: noted with the next use of the token, a minute later */
	struct use items[AUTH_USES_MAX];
};

void uses_init(struct uses *uses);
void uses_close(struct uses *uses);
void uses_add(struct uses *uses, const uint8_t token_hash[SHA256_BYTES], int64_t at_ms);
/* Takes at most `max` out; returns how many. */
size_t uses_take(struct uses *uses, struct use *out, size_t max);
uint64_t uses_lost_total(struct uses *uses);

#endif
