#include "ingress/rate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/id.h"

enum { WAYS = 8, SETS = RATE_ADDRESSES_MAX / WAYS, STRIPES = 16 };
_Static_assert((SETS & (SETS - 1)) == 0, "a set is found by a mask");
static const int64_t SECOND_NS = 1000000000;

/* Instead of tokens: the time at which the bucket is full again (the generic cell rate algorithm). */
struct bucket {
	struct net_address client;
	int64_t full_ns;
	int64_t used_ns; /* 0: empty place */
};

struct rate_table {
	uint64_t seed;
	pthread_mutex_t locks[STRIPES];
	struct bucket buckets[SETS][WAYS];
};

struct rate_table *rate_table_new(struct err *err)
{
	struct rate_table *table = calloc(1, sizeof(*table));
	if (table == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the table of rates");
		return NULL;
	}
	for (size_t i = 0; i < STRIPES; i++)
		pthread_mutex_init(&table->locks[i], NULL);
	id_random(&table->seed, sizeof(table->seed));
	return table;
}

void rate_table_free(struct rate_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < STRIPES; i++)
		pthread_mutex_destroy(&table->locks[i]);
	free(table);
}

/* The client's bucket; a new one is full. */
static struct bucket *find(struct bucket *set, const struct net_address *client, int64_t now_ns)
{
	struct bucket *oldest = &set[0];
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used_ns != 0 && net_address_equal(&set[i].client, client))
			return &set[i];
		if (set[i].used_ns < oldest->used_ns)
			oldest = &set[i];
	}
	*oldest = (struct bucket){.client = *client, .full_ns = now_ns};
	return oldest;
}

bool rate_take(struct rate_table *table, const struct net_address *address, int64_t rate_per_s, int64_t now_ns,
	       int *retry_after_s)
{
	assert(now_ns > 0);
	*retry_after_s = 0;
	if (rate_per_s <= 0)
		return true;
	struct net_address client = net_address_client(address);
	size_t at = (size_t)net_address_hash(&client, table->seed) & (SETS - 1);
	pthread_mutex_t *lock = &table->locks[at % STRIPES];
	pthread_mutex_lock(lock);
	struct bucket *bucket = find(table->buckets[at], &client, now_ns);
	int64_t full_ns = (bucket->full_ns > now_ns ? bucket->full_ns : now_ns) + SECOND_NS / rate_per_s;
	bool taken = full_ns - now_ns <= SECOND_NS;
	bucket->used_ns = now_ns;
	if (taken)
		bucket->full_ns = full_ns;
	else
		*retry_after_s = (int)((full_ns - now_ns - 1) / SECOND_NS);
	pthread_mutex_unlock(lock);
	assert(taken || *retry_after_s >= 1);
	return taken;
}
