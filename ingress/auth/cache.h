/*
 * What this node knows of agents and accounts: token hash -> connection, and account -> state, as entries of their
 * own (R1), each under its access number (R6, ingress/auth/numbered.h).
 *
 * Whether an entry may be believed is not said here: that is the lease (ingress/auth/lease.h), which is looked at
 * first.
 *
 * Owns: copies. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_AUTH_CACHE_H
#define WATCHPOST_INGRESS_AUTH_CACHE_H

#include "common/digest.h"
#include "common/err.h"
#include "common/limits.h"

struct cache;

enum agent_state { AGENT_ACTIVE, AGENT_PAUSED, AGENT_REVOKED };

/* Whose a token is, and what he may do. */
struct caller {
	char agent_id[ID_TEXT_BYTES];
	char account_id[ID_TEXT_BYTES];
	uint8_t token_hash[SHA256_BYTES];
	enum agent_state state;
	bool account_suspended;
};

/* One row of the access log. */
struct access_change {
	int64_t number;
	bool of_account;                  /* then account_id and suspended count, else the others */
	uint8_t token_hash[SHA256_BYTES]; /* of an agent */
	char agent_id[ID_TEXT_BYTES];     /* of an agent */
	char account_id[ID_TEXT_BYTES];
	enum agent_state state;
	bool suspended;
};

MUSTCHECK struct cache *cache_new(size_t tokens_max, struct err *err);
void cache_free(struct cache *cache);

/* False: one of the two entries is missing. *first_use as in numbered_find, in the minute `used_min`. */
MUSTCHECK bool cache_find(struct cache *cache, const uint8_t token_hash[SHA256_BYTES], uint32_t used_min,
			  struct caller *out, bool *first_use);
/* False: no memory; the cache is incomplete and must be emptied. */
MUSTCHECK bool cache_change(struct cache *cache, const struct access_change *change);
/* What a look-up at the primary found, at the access number of its snapshot; it was sent at `generation`. False: thrown
 * away. */
MUSTCHECK bool cache_fill(struct cache *cache, const struct caller *found, int64_t number, uint64_t generation);

uint64_t cache_generation(const struct cache *cache);
void cache_empty(struct cache *cache, int64_t number);

size_t cache_tokens(const struct cache *cache);
size_t cache_bytes(const struct cache *cache);

/* The words of the database. False: none of them. */
MUSTCHECK bool agent_state_parse(struct bytes text, enum agent_state *out);
MUSTCHECK bool account_state_parse(struct bytes text, bool *suspended);

#endif
