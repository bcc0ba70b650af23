/*
 * A bounded table from a key to a state, each with the access number that it is known at (R6).
 *
 * What holds whatever comes in whichever order:
 *   - an entry is overwritten only by a higher number;
 *   - a change is put in also where nothing was: it stands against fills that are under way;
 *   - when a changed entry has to give way, its number is remembered, and a fill that is older is thrown away. So no
 *     fill brings back what a change took.
 *
 * Memory grows with what is in it, up to the bound; then the entry that was not used for longest, by a clock hand,
 * gives way. Keys are NUMBERED_KEY_BYTES; those that outsiders choose are digests, and the place of one is seeded.
 *
 * Owns: copies of keys and values. Thread: any; a lock per shard, held for a few instructions; no allocation in find.
 */
#ifndef WATCHPOST_INGRESS_AUTH_NUMBERED_H
#define WATCHPOST_INGRESS_AUTH_NUMBERED_H

#include <stdint.h>

#include "common/compiler.h"
#include "common/err.h"

enum { NUMBERED_KEY_BYTES = 32 };

struct numbered;

/* What an entry says. `value` is value_bytes of the caller's. */
struct numbered_entry {
	uint8_t state;
	int64_t number;
	const void *value;
};

/* entries_max is rounded up to the shards' sum. */
MUSTCHECK struct numbered *numbered_new(size_t entries_max, size_t value_bytes, struct err *err);
void numbered_free(struct numbered *table);

/* Copies state and value out. False: not there. *first_use is set when this is the first find of the entry in the
 * period `used_at`, any number that changes with the period; NULL: nobody asks. */
MUSTCHECK bool numbered_find(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES], uint32_t used_at,
			     uint8_t *state, void *value, bool *first_use);
/* False: no memory, and the caller must trust nothing in the table any more. */
MUSTCHECK bool numbered_change(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES],
			       const struct numbered_entry *entry);
/* A fill was asked for at a generation. False: it was thrown away (older than what gave way, of a generation that is
 * over, no memory). True: the table has it, or something newer. */
MUSTCHECK bool numbered_fill(struct numbered *table, const uint8_t key[NUMBERED_KEY_BYTES],
			     const struct numbered_entry *entry, uint64_t generation);

uint64_t numbered_generation(const struct numbered *table);
/* Forgets everything, begins a new generation, and throws away fills that are older than `number`. */
void numbered_empty(struct numbered *table, int64_t number);

size_t numbered_count(const struct numbered *table);
/* Bytes that the entries and their index take. */
size_t numbered_bytes(const struct numbered *table);

#endif
