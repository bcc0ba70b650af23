/*
 * Time as a parameter.
 *
 * Code that waits, expires or stamps takes a `const struct clock *` so that tests move time by
 * hand. Two readings, never mixed:
 *   mono  CLOCK_BOOTTIME in nanoseconds: for deadlines and leases; goes on during suspend.
 *   wall  CLOCK_REALTIME in milliseconds since 1970 UTC: for stamps and the Stripe tolerance only.
 *
 * Thread: any, as long as a fake clock is moved by one thread.
 */
#ifndef WATCHPOST_COMMON_CLOCK_H
#define WATCHPOST_COMMON_CLOCK_H

#include <stdint.h>

#include "common/compiler.h"

struct clock {
	int64_t (*mono_ns)(const struct clock *clock);
	int64_t (*wall_ms)(const struct clock *clock);
};

static inline int64_t clock_mono_ns(const struct clock *clock)
{
	return clock->mono_ns(clock);
}

static inline int64_t clock_wall_ms(const struct clock *clock)
{
	return clock->wall_ms(clock);
}

/* The machine's clocks. Never NULL, never freed. */
const struct clock *clock_system(void);

/* For tests: stands still until the test writes to it. Pass &fake.clock. */
struct clock_fake {
	struct clock clock;
	int64_t now_mono_ns;
	int64_t now_wall_ms;
};
void clock_fake_init(struct clock_fake *fake, int64_t mono_ns, int64_t wall_ms);
void clock_fake_advance_ms(struct clock_fake *fake, int64_t ms);

/* RFC 3339 UTC with milliseconds, "2026-11-23T15:37:00.123Z"; `out` holds CLOCK_TEXT_BYTES. A time
 * outside the years 0 to 9999 becomes the nearest one inside. */
enum { CLOCK_TEXT_BYTES = sizeof("2026-11-23T15:37:00.123Z") };
void clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_BYTES]);

/* Parses RFC 3339 with any offset, or a date alone (midnight UTC). What is finer than a millisecond is
 * cut. False, *wall_ms unchanged: not such a text. */
MUSTCHECK _Bool clock_parse_ms(const char *text, int64_t *wall_ms);

#endif
