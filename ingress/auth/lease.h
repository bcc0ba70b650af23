/*
 * The lease (R2, R3): until when what this node has cached may be believed.
 *
 * The poller applies changes and then extends the lease (release); who checks reads the lease first (acquire), a
 * clock of its own, and then the entry. So whoever sees a lease also sees every change that it vouches for. The clock
 * is CLOCK_BOOTTIME, read here and now: a loop's time of the turn may be from before a pause of the process.
 *
 * Thread: extend and end by the poller; valid by any.
 */
#ifndef WATCHPOST_INGRESS_AUTH_LEASE_H
#define WATCHPOST_INGRESS_AUTH_LEASE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/clock.h"
#include "common/limits.h"

/* R5: what is used is over before a revoke stops waiting for it, on clocks that run at one speed. */
_Static_assert(ACCESS_LEASE_MS < ACCESS_WAIT_MS, "a lease ends before a revoke stops waiting");
_Static_assert(ACCESS_POLL_MS * 4 < ACCESS_LEASE_MS, "a lost poll or three do not end a lease");

struct lease {
	_Atomic int64_t until_ns; /* 0: none */
};

/* t0_ns: read before the question was sent whose answer this is. */
static inline void lease_extend(struct lease *lease, int64_t t0_ns)
{
	atomic_store_explicit(&lease->until_ns, t0_ns + (int64_t)ACCESS_LEASE_MS * 1000000, memory_order_release);
}

static inline void lease_end(struct lease *lease)
{
	atomic_store_explicit(&lease->until_ns, 0, memory_order_release);
}

MUSTCHECK static inline bool lease_valid(struct lease *lease, const struct clock *clock)
{
	int64_t until_ns = atomic_load_explicit(&lease->until_ns, memory_order_acquire);
	return clock_mono_ns(clock) < until_ns;
}

/* For metrics: may be negative. */
static inline int64_t lease_left_ns(struct lease *lease, const struct clock *clock)
{
	return atomic_load_explicit(&lease->until_ns, memory_order_relaxed) - clock_mono_ns(clock);
}

#endif
