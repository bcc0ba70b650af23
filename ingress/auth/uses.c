#include "ingress/auth/uses.h"

#include <string.h>

void uses_init(struct uses *uses)
{
	uses->count = 0;
	uses->lost_total = 0;
	pthread_mutex_init(&uses->lock, NULL);
}

void uses_close(struct uses *uses)
{
	pthread_mutex_destroy(&uses->lock);
}

void uses_add(struct uses *uses, const uint8_t token_hash[SHA256_BYTES], int64_t at_ms)
{
	pthread_mutex_lock(&uses->lock);
	if (uses->count == AUTH_USES_MAX) {
		uses->lost_total++;
	} else {
		struct use *use = &uses->items[uses->count++];
		memcpy(use->token_hash, token_hash, SHA256_BYTES);
		use->at_ms = at_ms;
	}
	pthread_mutex_unlock(&uses->lock);
}

size_t uses_take(struct uses *uses, struct use *out, size_t max)
{
	pthread_mutex_lock(&uses->lock);
	size_t taken = uses->count < max ? uses->count : max;
	uses->count -= taken;
	memcpy(out, uses->items + uses->count, taken * sizeof(*out));
	pthread_mutex_unlock(&uses->lock);
	return taken;
}

uint64_t uses_lost_total(struct uses *uses)
{
	pthread_mutex_lock(&uses->lock);
	uint64_t total = uses->lost_total;
	pthread_mutex_unlock(&uses->lock);
	return total;
}
