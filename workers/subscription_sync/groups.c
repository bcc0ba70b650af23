#include "workers/subscription_sync/groups.h"

#include <assert.h>
#include <stdlib.h>

#include "common/limits.h"

/* Open addressing, at most half full. */
enum { SLOTS = 4096 };
_Static_assert(SLOTS >= 2 * BATCH_ITEMS_MAX && (SLOTS & (SLOTS - 1)) == 0, "a power of two, at most half full");

struct groups {
	size_t count;
	uint16_t slots[SLOTS]; /* 0: free, else the group's index + 1 */
	struct group items[BATCH_ITEMS_MAX];
};

struct groups *groups_new(void)
{
	return calloc(1, sizeof(struct groups));
}

void groups_free(struct groups *groups)
{
	free(groups);
}

void groups_clear(struct groups *groups)
{
	groups->count = 0;
	memset(groups->slots, 0, sizeof(groups->slots));
}

/* FNV-1a. Ids come from Stripe under its signature; a batch holds few, so collisions cannot be made to hurt. */
static uint32_t hash(struct bytes id)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < id.len; i++)
		h = (h ^ id.data[i]) * 16777619u;
	return h;
}

struct group *groups_take(struct groups *groups, struct bytes subscription)
{
	for (uint32_t at = hash(subscription);; at++) {
		uint16_t *slot = &groups->slots[at & (SLOTS - 1)];
		if (*slot == 0) {
			assert(groups->count < BATCH_ITEMS_MAX);
			struct group *made = &groups->items[groups->count++];
			*made = (struct group){.subscription = subscription};
			*slot = (uint16_t)groups->count;
			return made;
		}
		if (bytes_equal(groups->items[*slot - 1].subscription, subscription))
			return &groups->items[*slot - 1];
	}
}

size_t groups_count(const struct groups *groups)
{
	return groups->count;
}

struct group *groups_at(struct groups *groups, size_t index)
{
	assert(index < groups->count);
	return &groups->items[index];
}
