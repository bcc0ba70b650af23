/*
 * What W4 costs without HTTP and Postgres: a token's shape and digest, the lease and two entries of the cache; and the
 * memory of a million tokens. Nanoseconds of one core, the least of several rounds.
 *
 * make bench-programs && build/bench/micro_auth [TOKENS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/token.h"
#include "ingress/auth/cache.h"
#include "ingress/auth/lease.h"
#include "tests/bench/micro.h"

enum { ROUNDS = 9, TIMES = 20000, ACCOUNTS = 100000, TOKENS = 1000000 };
static const char TEXT[] = "wp_ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static long resident_kib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file != NULL) {
		char text[64];
		char *end = fgets(text, sizeof(text), file) != NULL ? strchr(text, ' ') : NULL;
		pages = end != NULL ? strtol(end, NULL, 10) : 0;
		(void)fclose(file);
	}
	return pages * 4;
}

static void somebody(unsigned n, struct caller *out)
{
	char name[16];
	int len = snprintf(name, sizeof(name), "%u", n);
	struct bytes part = bytes_make(name, (size_t)len);
	memset(out, 0, sizeof(*out));
	digest_sha256(&part, 1, out->token_hash);
	(void)snprintf(out->agent_id, sizeof(out->agent_id), "agent_%026u", n);
	(void)snprintf(out->account_id, sizeof(out->account_id), "acct_%026u", n % ACCOUNTS);
}

static double hash_ns(void)
{
	uint8_t hash[SHA256_BYTES];
	double least = 1e18;
	for (int round = 0; round < ROUNDS; round++) {
		int64_t began = micro_cpu_ns();
		for (int i = 0; i < TIMES; i++) {
			if (!token_shape(bytes_of(TEXT)))
				abort();
			token_hash(bytes_of(TEXT), hash);
		}
		double each = (double)(micro_cpu_ns() - began) / TIMES;
		least = each < least ? each : least;
	}
	return least;
}

/* Tokens far apart, so that each is a miss of the processor's caches, as it is among a million agents. */
static double check_ns(struct cache *cache, struct lease *lease, unsigned tokens)
{
	static struct caller wanted[TIMES];
	struct caller found;
	double least = 1e18;
	for (int i = 0; i < TIMES; i++)
		somebody((unsigned)((uint64_t)i * 7919 % tokens), &wanted[i]);
	for (int round = 0; round < ROUNDS; round++) {
		int64_t began = micro_cpu_ns();
		for (int i = 0; i < TIMES; i++) {
			lease_extend(lease, clock_mono_ns(clock_system()));
			if (!lease_valid(lease, clock_system()) ||
			    !cache_find(cache, wanted[i].token_hash, 1, &found, NULL))
				abort();
		}
		double each = (double)(micro_cpu_ns() - began) / TIMES;
		least = each < least ? each : least;
	}
	return least;
}

int main(int argc, char **argv)
{
	unsigned tokens = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : TOKENS;
	struct lease lease = {0};
	struct caller caller;
	struct err err;
	/* Shards fill unevenly: with a little room nothing gives way. */
	struct cache *cache = cache_new((size_t)tokens + tokens / 16 + 4096, &err);
	long before = resident_kib();
	if (cache == NULL || tokens == 0)
		return 1;
	for (unsigned n = 0; n < tokens; n++) {
		somebody(n, &caller);
		if (!cache_fill(cache, &caller, 1, cache_generation(cache)))
			return 1;
	}
	printf("tokens in the cache          %zu of %u\n", cache_tokens(cache), tokens);
	printf("resident memory per token    %.0f bytes (its account's entry included, ten agents each)\n",
	       (double)(resident_kib() - before) * 1024 / tokens);
	printf("shape and SHA-256 (W4)       %.0f ns\n", hash_ns());
	printf("lease, clock, entries (R3)   %.0f ns\n", check_ns(cache, &lease, tokens));
	cache_free(cache);
	return 0;
}
