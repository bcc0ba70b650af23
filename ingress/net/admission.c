#include "ingress/net/admission.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/id.h"

/* Open addressing with linear probing; count 0 is an empty cell. */
struct cell {
	struct net_address client;
	uint32_t count;
};

struct admission {
	size_t connections_max;
	atomic_size_t connections;
	uint64_t seed;
	pthread_mutex_t lock; /* guards cells */
	size_t mask;
	struct cell *cells;
};

struct admission *admission_new(size_t connections_max, struct err *err)
{
	struct admission *a = calloc(1, sizeof(*a));
	size_t cells = 16;
	assert(connections_max > 0 && connections_max <= UINT32_MAX);
	while (cells < 2 * connections_max)
		cells *= 2;
	if (a != NULL)
		a->cells = calloc(cells, sizeof(*a->cells));
	if (a == NULL || a->cells == NULL || pthread_mutex_init(&a->lock, NULL) != 0) {
		if (a != NULL)
			free(a->cells);
		free(a);
		(void)err_set(err, ERR_FULL, "no memory for a table of %zu connections", connections_max);
		return NULL;
	}
	a->connections_max = connections_max;
	a->mask = cells - 1;
	id_random(&a->seed, sizeof(a->seed));
	return a;
}

void admission_free(struct admission *admission)
{
	if (admission == NULL)
		return;
	pthread_mutex_destroy(&admission->lock);
	free(admission->cells);
	free(admission);
}

bool admission_add(struct admission *admission)
{
	size_t before = atomic_fetch_add_explicit(&admission->connections, 1, memory_order_relaxed);
	if (before < admission->connections_max)
		return true;
	admission_remove(admission);
	return false;
}

void admission_remove(struct admission *admission)
{
	size_t before = atomic_fetch_sub_explicit(&admission->connections, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
}

size_t admission_count(const struct admission *admission)
{
	return atomic_load_explicit(&admission->connections, memory_order_relaxed);
}

/* The client's cell, or the empty one where it would stand. */
static size_t find(const struct admission *a, const struct net_address *client)
{
	size_t at = (size_t)net_address_hash(client, a->seed) & a->mask;
	while (a->cells[at].count > 0 && !net_address_equal(&a->cells[at].client, client))
		at = (at + 1) & a->mask;
	return at;
}

bool admission_add_address(struct admission *admission, const struct net_address *address, int64_t address_max)
{
	struct net_address client = net_address_client(address);
	pthread_mutex_lock(&admission->lock);
	struct cell *cell = &admission->cells[find(admission, &client)];
	bool admitted = address_max <= 0 || cell->count < (uint64_t)address_max;
	if (admitted) {
		cell->client = client;
		cell->count++;
	}
	pthread_mutex_unlock(&admission->lock);
	return admitted;
}

/* Closes the gap that an emptied cell leaves: moves cells into it that would not be found any more across it. */
static void erase(struct admission *a, size_t gap)
{
	size_t at = gap;
	assert(a->cells[gap].count == 0);
	for (;;) {
		at = (at + 1) & a->mask;
		if (a->cells[at].count == 0)
			return;
		size_t home = (size_t)net_address_hash(&a->cells[at].client, a->seed) & a->mask;
		if (((at - home) & a->mask) < ((at - gap) & a->mask))
			continue;
		a->cells[gap] = a->cells[at];
		a->cells[at].count = 0;
		gap = at;
	}
}

void admission_remove_address(struct admission *admission, const struct net_address *address)
{
	struct net_address client = net_address_client(address);
	pthread_mutex_lock(&admission->lock);
	size_t at = find(admission, &client);
	assert(admission->cells[at].count > 0);
	if (--admission->cells[at].count == 0)
		erase(admission, at);
	pthread_mutex_unlock(&admission->lock);
}
