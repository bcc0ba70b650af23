#include "ingress/auth/numbered.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"

enum { SHARDS = 64, NONE = 0, GROWTH_MIN = 64 };
_Static_assert((SHARDS & (SHARDS - 1)) == 0, "a shard is found by a mask");

/* Followed by the value. Places are numbered from 1, so that 0 ends a chain. */
struct slot {
	uint8_t key[NUMBERED_KEY_BYTES];
	int64_t number;
	uint32_t next;
	uint32_t used_at;
	uint8_t state;
	bool changed; /* by a change, not only by fills */
	bool used;    /* since the hand passed */
};

struct shard {
	_Alignas(64) pthread_mutex_t lock;
	uint32_t *buckets; /* bucket_count, a power of two */
	uint8_t *slots;
	uint32_t bucket_count;
	uint32_t room; /* slots that are allocated */
	uint32_t count;
	uint32_t count_max;
	uint32_t hand;
	int64_t gone_number; /* of the newest change that gave way */
};

struct numbered {
	size_t value_bytes;
	size_t slot_bytes;
	uint64_t seed;
	_Atomic uint64_t generation;
	_Atomic size_t count;
	_Atomic size_t bytes;
	struct shard shards[SHARDS];
};

static uint64_t place_of(const struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES])
{
	uint64_t mixed = table->seed;
	for (size_t i = 0; i < NUMBERED_KEY_BYTES; i += 8) {
		uint64_t word;
		memcpy(&word, key + i, sizeof(word));
		mixed = (mixed ^ word) * 0x9e3779b97f4a7c15u;
		mixed ^= mixed >> 32;
	}
	/* Every bit of the key reaches the low ones, by which shards are found (MurmurHash3's last step): names that
	 * differ only near their ends must not meet in one shard. */
	mixed = (mixed ^ mixed >> 33) * 0xff51afd7ed558ccdu;
	mixed = (mixed ^ mixed >> 33) * 0xc4ceb9fe1a85ec53u;
	return mixed ^ mixed >> 33;
}

static struct slot *slot_at(const struct numbered *table, const struct shard *shard, uint32_t place)
{
	assert(place != NONE && place <= shard->count);
	return (struct slot *)(void *)(shard->slots + (size_t)(place - 1) * table->slot_bytes);
}

static void *value_of(struct slot *slot)
{
	return slot + 1;
}

static uint32_t *bucket_of(const struct shard *shard, uint64_t place)
{
	return &shard->buckets[(place / SHARDS) & (shard->bucket_count - 1)];
}

static struct slot *find(const struct numbered *table, const struct shard *shard, uint64_t place, const uint8_t *key)
{
	if (shard->bucket_count == 0)
		return NULL;
	for (uint32_t at = *bucket_of(shard, place); at != NONE; at = slot_at(table, shard, at)->next) {
		struct slot *slot = slot_at(table, shard, at);
		if (memcmp(slot->key, key, NUMBERED_KEY_BYTES) == 0)
			return slot;
	}
	return NULL;
}

static void unlink_slot(const struct numbered *table, const struct shard *shard, const struct slot *slot,
			uint32_t place)
{
	uint32_t *link = bucket_of(shard, place_of(table, slot->key));
	while (*link != place)
		link = &slot_at(table, shard, *link)->next;
	*link = slot->next;
}

/* The slot that has to give way: the first that was not used since the hand passed it. */
static uint32_t evict(struct numbered *table, struct shard *shard)
{
	for (;;) {
		shard->hand = shard->hand % shard->count + 1;
		struct slot *slot = slot_at(table, shard, shard->hand);
		if (slot->used) {
			slot->used = false; /* so the second round ends at the latest */
			continue;
		}
		if (slot->changed && slot->number > shard->gone_number)
			shard->gone_number = slot->number;
		unlink_slot(table, shard, slot, shard->hand);
		return shard->hand;
	}
}

static void rehash(struct numbered *table, struct shard *shard)
{
	memset(shard->buckets, 0, (size_t)shard->bucket_count * sizeof(*shard->buckets));
	for (uint32_t place = 1; place <= shard->count; place++) {
		struct slot *slot = slot_at(table, shard, place);
		uint32_t *bucket = bucket_of(shard, place_of(table, slot->key));
		slot->next = *bucket;
		*bucket = place;
	}
}

/* Twice the room, with as many buckets as slots. */
static bool grow(struct numbered *table, struct shard *shard)
{
	uint32_t room = shard->room == 0 ? GROWTH_MIN : 2 * shard->room;
	uint32_t bucket_count = room; /* a power of two, as GROWTH_MIN is */
	if (room > shard->count_max)
		room = shard->count_max;
	uint32_t *buckets = malloc((size_t)bucket_count * sizeof(*buckets));
	uint8_t *slots = buckets != NULL ? realloc(shard->slots, (size_t)room * table->slot_bytes) : NULL;
	if (slots == NULL) {
		free(buckets);
		return false;
	}
	atomic_fetch_add_explicit(&table->bytes,
				  (room - shard->room) * table->slot_bytes +
					  (bucket_count - shard->bucket_count) * sizeof(*buckets),
				  memory_order_relaxed);
	free(shard->buckets);
	shard->buckets = buckets;
	shard->bucket_count = bucket_count;
	shard->slots = slots;
	shard->room = room;
	rehash(table, shard);
	return true;
}

/* A place for a key that is not there. NONE: no memory. */
static uint32_t take_place(struct numbered *table, struct shard *shard)
{
	if (shard->count == shard->room && shard->room < shard->count_max && !grow(table, shard))
		return NONE;
	if (shard->count == shard->room)
		return evict(table, shard);
	atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
	return ++shard->count;
}

static void set(const struct numbered *table, struct slot *slot, const struct numbered_entry *entry, bool changed)
{
	slot->number = entry->number;
	slot->state = entry->state;
	slot->changed = slot->changed || changed;
	slot->used = true;
	if (table->value_bytes > 0)
		memcpy(value_of(slot), entry->value, table->value_bytes);
}

static bool insert(struct numbered *table, struct shard *shard, const uint8_t *key, const struct numbered_entry *entry,
		   bool changed)
{
	uint32_t place = take_place(table, shard);
	if (place == NONE)
		return false;
	struct slot *slot = slot_at(table, shard, place);
	uint32_t *bucket = bucket_of(shard, place_of(table, key));
	*slot = (struct slot){.next = *bucket};
	memcpy(slot->key, key, NUMBERED_KEY_BYTES);
	*bucket = place;
	set(table, slot, entry, changed);
	return true;
}

struct numbered *numbered_new(size_t entries_max, size_t value_bytes, struct err *err)
{
	struct numbered *table = aligned_alloc(64, sizeof(*table));
	assert(entries_max > 0 && entries_max < UINT32_MAX / 2 && value_bytes < 256);
	if (table == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a table of access states");
		return NULL;
	}
	memset(table, 0, sizeof(*table));
	table->value_bytes = value_bytes;
	/* Whole numbers of 8, so that every slot is aligned. */
	table->slot_bytes = (sizeof(struct slot) + value_bytes + 7) / 8 * 8;
	id_random(&table->seed, sizeof(table->seed));
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&table->shards[i].lock, NULL);
		table->shards[i].count_max = (uint32_t)((entries_max + SHARDS - 1) / SHARDS);
	}
	return table;
}

void numbered_free(struct numbered *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_destroy(&table->shards[i].lock);
		free(table->shards[i].buckets);
		free(table->shards[i].slots);
	}
	free(table);
}

static struct shard *lock_shard(struct numbered *table, uint64_t place)
{
	struct shard *shard = &table->shards[place & (SHARDS - 1)];
	pthread_mutex_lock(&shard->lock);
	return shard;
}

bool numbered_find(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES], uint32_t used_at, uint8_t *state,
		   void *value, bool *first_use)
{
	uint64_t place = place_of(table, key);
	struct shard *shard = lock_shard(table, place);
	struct slot *slot = find(table, shard, place, key);
	if (slot != NULL) {
		slot->used = true;
		*state = slot->state;
		if (table->value_bytes > 0)
			memcpy(value, value_of(slot), table->value_bytes);
		if (first_use != NULL)
			*first_use = slot->used_at != used_at;
		slot->used_at = used_at;
	}
	pthread_mutex_unlock(&shard->lock);
	return slot != NULL;
}

bool numbered_change(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES], const struct numbered_entry *entry)
{
	uint64_t place = place_of(table, key);
	struct shard *shard = lock_shard(table, place);
	struct slot *slot = find(table, shard, place, key);
	bool kept = true;
	if (slot == NULL)
		kept = insert(table, shard, key, entry, true);
	else if (entry->number > slot->number)
		set(table, slot, entry, true);
	pthread_mutex_unlock(&shard->lock);
	return kept;
}

bool numbered_fill(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES], const struct numbered_entry *entry,
		   uint64_t generation)
{
	uint64_t place = place_of(table, key);
	struct shard *shard = lock_shard(table, place);
	struct slot *slot = find(table, shard, place, key);
	/* Under the shard's lock: numbered_empty begins the generation before it comes for this lock. */
	bool kept =
		generation == atomic_load(&table->generation) && (slot != NULL || entry->number >= shard->gone_number);
	if (kept && slot == NULL)
		kept = insert(table, shard, key, entry, false);
	else if (kept && entry->number > slot->number)
		set(table, slot, entry, false);
	pthread_mutex_unlock(&shard->lock);
	return kept;
}

uint64_t numbered_generation(const struct numbered *table)
{
	return atomic_load(&table->generation);
}

void numbered_empty(struct numbered *table, int64_t number)
{
	atomic_fetch_add(&table->generation, 1);
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *shard = &table->shards[i];
		pthread_mutex_lock(&shard->lock);
		if (shard->bucket_count > 0)
			memset(shard->buckets, 0, (size_t)shard->bucket_count * sizeof(*shard->buckets));
		atomic_fetch_sub_explicit(&table->count, shard->count, memory_order_relaxed);
		shard->count = 0;
		shard->hand = 0;
		shard->gone_number = number;
		pthread_mutex_unlock(&shard->lock);
	}
}

size_t numbered_count(const struct numbered *table)
{
	return atomic_load_explicit(&table->count, memory_order_relaxed);
}

size_t numbered_bytes(const struct numbered *table)
{
	return sizeof(*table) + atomic_load_explicit(&table->bytes, memory_order_relaxed);
}
