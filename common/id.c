#include "common/id.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
_Static_assert(sizeof(alphabet) - 1 == 32, "five bits a character");

enum {
	TIME_CHARS = 10,   /* 48 bits and two zero bits */
	RANDOM_CHARS = 16, /* 80 bits */
	RANDOM_BYTES = 10
};
_Static_assert(TIME_CHARS + RANDOM_CHARS == ID_ULID_CHARS, "time, then chance");

/* What one thread needs between ids. */
static _Thread_local struct {
	uint8_t block[ID_BLOCK_BYTES];
	size_t used; /* of the block; 0 before the first one too, hence `filled` */
	bool filled;
	unsigned forks; /* as fork_count was when the block was drawn */
	int64_t last_ms;
	uint8_t last_random[RANDOM_BYTES];
} state;

/* A child would go on with its parent's block and make the same ids. */
static atomic_uint fork_count;

static void count_fork(void)
{
	atomic_fetch_add_explicit(&fork_count, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, count_fork) != 0)
		abort();
}

void id_random(void *out, size_t len)
{
	uint8_t *at = out;

	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			fputs("watchpost: the system has no random numbers\n", stderr);
			abort();
		}
		at += got;
		len -= (size_t)got;
	}
}

static void draw(uint8_t out[RANDOM_BYTES])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!state.filled || state.used + RANDOM_BYTES > sizeof(state.block)) {
		if (pthread_once(&once, watch_forks) != 0)
			abort();
		id_random(state.block, sizeof(state.block));
		state.used = 0;
		state.filled = true;
		state.forks = atomic_load_explicit(&fork_count, memory_order_relaxed);
	}
	memcpy(out, state.block + state.used, RANDOM_BYTES);
	state.used += RANDOM_BYTES;
}

/* Adds one to the 80 bits. The draw cleared the first bit, so 2^79 ids of one millisecond fit. */
static void step(uint8_t random[RANDOM_BYTES])
{
	for (size_t i = RANDOM_BYTES; i-- > 0;) {
		if (++random[i] != 0)
			return;
	}
	abort(); /* 2^79 ids in a millisecond */
}

/* The next 80 bits of this thread for `ms`. */
static const uint8_t *next_random(int64_t ms)
{
	bool forked = state.filled && state.forks != atomic_load_explicit(&fork_count, memory_order_relaxed);

	if (forked)
		state.filled = false;
	if (state.filled && ms == state.last_ms) {
		step(state.last_random);
		return state.last_random;
	}
	draw(state.last_random);
	state.last_random[0] &= 0x7f;
	state.last_ms = ms;
	return state.last_random;
}

/* `count` characters of five bits from the low end of `value`. */
static void put_base32(char *out, uint64_t value, size_t count)
{
	for (size_t i = count; i-- > 0;) {
		out[i] = alphabet[value & 31];
		value >>= 5;
	}
}

static uint64_t big_endian(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | bytes[i];
	return value;
}

static bool prefix_ok(const char *prefix, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (prefix[i] < 'a' || prefix[i] > 'z')
			return false;
	}
	return len >= 1 && len <= ID_PREFIX_BYTES_MAX;
}

void id_new(const char *prefix, const struct clock *clock, char out[ID_TEXT_BYTES])
{
	size_t len = strlen(prefix);
	int64_t ms = clock_wall_ms(clock);
	const uint8_t *random = next_random(ms);

	assert(prefix_ok(prefix, len));
	assert(ms >= 0 && ms < (int64_t)1 << 48);
	memcpy(out, prefix, len);
	out[len++] = '_';
	put_base32(out + len, (uint64_t)ms, TIME_CHARS);
	len += TIME_CHARS;
	put_base32(out + len, big_endian(random, RANDOM_BYTES / 2), RANDOM_CHARS / 2);
	len += RANDOM_CHARS / 2;
	put_base32(out + len, big_endian(random + RANDOM_BYTES / 2, RANDOM_BYTES / 2), RANDOM_CHARS / 2);
	out[len + RANDOM_CHARS / 2] = '\0';
	assert(id_valid(bytes_of(out), prefix));
}

bool id_valid(struct bytes text, const char *prefix)
{
	size_t len = strlen(prefix);

	if (text.len != len + 1 + ID_ULID_CHARS || memcmp(text.data, prefix, len) != 0 || text.data[len] != '_')
		return false;
	for (size_t i = len + 1; i < text.len; i++) {
		/* The alphabet in ASCII, without I, L, O and U. */
		uint8_t c = text.data[i];
		bool digit = c >= '0' && c <= '9';
		bool letter = c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U';

		if (!digit && !letter)
			return false;
	}
	return true;
}
