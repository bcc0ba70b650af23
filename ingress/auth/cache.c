#include "ingress/auth/cache.h"

#include <assert.h>
#include <stdlib.h>

#include "ingress/auth/numbered.h"

_Static_assert((int)NUMBERED_KEY_BYTES == (int)SHA256_BYTES, "a token's hash is a key");
_Static_assert((int)ID_TEXT_BYTES >= (int)NUMBERED_KEY_BYTES, "a key holds the part of an id that differs");

struct names {
	char agent_id[ID_TEXT_BYTES];
	char account_id[ID_TEXT_BYTES];
};

struct cache {
	struct numbered *tokens;   /* value: struct names */
	struct numbered *accounts; /* no value; state: suspended */
};

struct cache *cache_new(size_t tokens_max, struct err *err)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (cache == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the token cache");
		return NULL;
	}
	cache->tokens = numbered_new(tokens_max, sizeof(struct names), err);
	/* An account has an agent at the least, so there are no more of them than tokens. */
	cache->accounts = cache->tokens != NULL ? numbered_new(tokens_max, 0, err) : NULL;
	if (cache->accounts == NULL) {
		cache_free(cache);
		return NULL;
	}
	return cache;
}

void cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	numbered_free(cache->tokens);
	numbered_free(cache->accounts);
	free(cache);
}

/* The last bytes of the id: "acct_" is the same for all. */
static void account_key(const char *account_id, uint8_t key[NUMBERED_KEY_BYTES])
{
	size_t len = strnlen(account_id, ID_TEXT_BYTES - 1);
	size_t kept = len < NUMBERED_KEY_BYTES ? len : NUMBERED_KEY_BYTES;
	memset(key, 0, NUMBERED_KEY_BYTES);
	memcpy(key, account_id + len - kept, kept);
}

bool cache_find(struct cache *cache, const uint8_t token_hash[SHA256_BYTES], uint32_t used_min, struct caller *out,
		bool *first_use)
{
	struct names names;
	uint8_t key[NUMBERED_KEY_BYTES];
	uint8_t state = 0;
	uint8_t suspended = 0;
	if (!numbered_find(cache->tokens, token_hash, used_min, &state, &names, first_use))
		return false;
	account_key(names.account_id, key);
	if (!numbered_find(cache->accounts, key, used_min, &suspended, NULL, NULL))
		return false;
	memcpy(out->agent_id, names.agent_id, sizeof(out->agent_id));
	memcpy(out->account_id, names.account_id, sizeof(out->account_id));
	memcpy(out->token_hash, token_hash, sizeof(out->token_hash));
	out->state = (enum agent_state)state;
	out->account_suspended = suspended != 0;
	return true;
}

static struct names names_of(const char *agent_id, const char *account_id)
{
	struct names names = {0};
	memcpy(names.agent_id, agent_id, strnlen(agent_id, sizeof(names.agent_id) - 1));
	memcpy(names.account_id, account_id, strnlen(account_id, sizeof(names.account_id) - 1));
	return names;
}

bool cache_change(struct cache *cache, const struct access_change *change)
{
	uint8_t key[NUMBERED_KEY_BYTES];
	struct numbered_entry entry = {.number = change->number};
	if (change->of_account) {
		account_key(change->account_id, key);
		entry.state = change->suspended;
		return numbered_change(cache->accounts, key, &entry);
	}
	struct names names = names_of(change->agent_id, change->account_id);
	entry.state = (uint8_t)change->state;
	entry.value = &names;
	return numbered_change(cache->tokens, change->token_hash, &entry);
}

bool cache_fill(struct cache *cache, const struct caller *found, int64_t number, uint64_t generation)
{
	uint8_t key[NUMBERED_KEY_BYTES];
	struct names names = names_of(found->agent_id, found->account_id);
	const struct numbered_entry account = {.state = found->account_suspended, .number = number};
	const struct numbered_entry token = {.state = (uint8_t)found->state, .number = number, .value = &names};
	account_key(found->account_id, key);
	return numbered_fill(cache->accounts, key, &account, generation) &&
	       numbered_fill(cache->tokens, found->token_hash, &token, generation);
}

uint64_t cache_generation(const struct cache *cache)
{
	return numbered_generation(cache->tokens);
}

void cache_empty(struct cache *cache, int64_t number)
{
	/* The accounts first: the generation that fills compare is the tokens', in both, and moves with each. */
	numbered_empty(cache->accounts, number);
	numbered_empty(cache->tokens, number);
	assert(numbered_generation(cache->accounts) == numbered_generation(cache->tokens));
}

size_t cache_tokens(const struct cache *cache)
{
	return numbered_count(cache->tokens);
}

size_t cache_bytes(const struct cache *cache)
{
	return numbered_bytes(cache->tokens) + numbered_bytes(cache->accounts);
}

bool agent_state_parse(struct bytes text, enum agent_state *out)
{
	static const char *const WORDS[] = {
		[AGENT_ACTIVE] = "active", [AGENT_PAUSED] = "paused", [AGENT_REVOKED] = "revoked"};
	for (size_t i = 0; i < ARRAY_LEN(WORDS); i++) {
		if (bytes_equal_text(text, WORDS[i])) {
			*out = (enum agent_state)i;
			return true;
		}
	}
	return false;
}

bool account_state_parse(struct bytes text, bool *suspended)
{
	*suspended = bytes_equal_text(text, "suspended");
	return *suspended || bytes_equal_text(text, "active");
}
