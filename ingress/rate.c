#include "ingress/rate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/limits.h"

enum { WAYS = 8, SETS = RATE_CLIENTS_MAX / WAYS, STRIPES = 16 };
_Static_assert((SETS & (SETS - 1)) == 0, "a set is found by a mask");
static const int64_t SECOND_NS = 1000000000;

/* Instead of tokens: the time at which the bucket is full again (the generic cell rate algorithm). */
struct bucket {
	uint8_t key[RATE_KEY_BYTES];
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

/* The finaliser of splitmix64 for each half: every bit of the key reaches the low bits, also those of an address' last
 * octet, so that neighbours do not meet in one set and push each other out. */
static size_t set_of(const struct rate_table *table, const uint8_t key[RATE_KEY_BYTES])
{
	uint64_t mixed = table->seed;
	for (size_t i = 0; i < RATE_KEY_BYTES; i += 8) {
		uint64_t word;
		memcpy(&word, key + i, sizeof(word));
		mixed ^= word;
		mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
		mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
		mixed ^= mixed >> 31;
	}
	return (size_t)mixed & (SETS - 1);
}

/* The client's bucket; NULL: there is none. */
static struct bucket *find(struct bucket *set, const uint8_t key[RATE_KEY_BYTES])
{
	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].used_ns != 0 && memcmp(set[i].key, key, RATE_KEY_BYTES) == 0)
			return &set[i];
	}
	return NULL;
}

/* A new one, which is full, in the place of the longest unused. */
static struct bucket *make(struct bucket *set, const uint8_t key[RATE_KEY_BYTES], int64_t now_ns)
{
	struct bucket *oldest = &set[0];
	for (size_t i = 1; i < WAYS; i++) {
		if (set[i].used_ns < oldest->used_ns)
			oldest = &set[i];
	}
	*oldest = (struct bucket){.full_ns = now_ns};
	memcpy(oldest->key, key, RATE_KEY_BYTES);
	return oldest;
}

bool rate_take(struct rate_table *table, const uint8_t key[RATE_KEY_BYTES], int64_t rate_per_s, int64_t now_ns,
	       int *retry_after_s)
{
	assert(now_ns > 0);
	*retry_after_s = 0;
	if (rate_per_s <= 0)
		return true;
	size_t at = set_of(table, key);
	pthread_mutex_t *lock = &table->locks[at % STRIPES];
	pthread_mutex_lock(lock);
	struct bucket *bucket = find(table->buckets[at], key);
	if (bucket == NULL)
		bucket = make(table->buckets[at], key, now_ns);
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

void rate_give(struct rate_table *table, const uint8_t key[RATE_KEY_BYTES], int64_t rate_per_s)
{
	if (rate_per_s <= 0)
		return;
	size_t at = set_of(table, key);
	pthread_mutex_t *lock = &table->locks[at % STRIPES];
	pthread_mutex_lock(lock);
	struct bucket *bucket = find(table->buckets[at], key);
	if (bucket != NULL)
		bucket->full_ns -= SECOND_NS / rate_per_s;
	pthread_mutex_unlock(lock);
}
