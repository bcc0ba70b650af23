#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"

/* Why: stamps stand in logs, events and the ledger. How: known instants, with the leap days that
 * the rules of 4, 100 and 400 give and the ends of the range. */
static void formats_known_instants(void **unused)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{1492774577000, "2017-04-21T11:36:17.000Z"},
		{951782400000, "2000-02-29T00:00:00.000Z"},
		{1709251199999, "2024-02-29T23:59:59.999Z"},
		{4107542400000, "2100-03-01T00:00:00.000Z"},
		{-62167219200000, "0000-01-01T00:00:00.000Z"},
		{INT64_MIN, "0000-01-01T00:00:00.000Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
		{INT64_MAX, "9999-12-31T23:59:59.999Z"},
	};
	char text[CLOCK_TEXT_BYTES];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_format_ms(cases[i].ms, text);
		assert_string_equal(text, cases[i].text);
	}
}

/* Why: the calendar is written by hand. How: every 45 days and a bit from year 1000 (strftime
 * does not pad earlier ones) to 9999 agrees with the C library's, and parses back to itself. */
static void agrees_with_the_c_library(void **unused)
{
	(void)unused;
	for (int64_t ms = -30610224000000; ms < 253402300799999; ms += 40020001 * INT64_C(97)) {
		time_t s = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
		char expected[32], text[CLOCK_TEXT_BYTES];
		struct tm parts;
		int64_t back;

		assert_non_null(gmtime_r(&s, &parts));
		assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &parts), 19);
		clock_format_ms(ms, text);
		assert_memory_equal(text, expected, 19);
		assert_true(clock_parse_ms(text, &back));
		assert_int_equal(back, ms);
	}
}

/* Why: operators and agents give times (--from, occurred_at). How: forms of RFC 3339 and a date alone. */
static void parses_what_people_write(void **unused)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"2017-04-21T11:36:17Z", 1492774577000},
		{"2017-04-21t11:36:17z", 1492774577000},
		{"2017-04-21 11:36:17Z", 1492774577000},
		{"2017-04-21T13:36:17+02:00", 1492774577000},
		{"2017-04-21T06:06:17-05:30", 1492774577000},
		{"2017-04-21T11:36:17.5Z", 1492774577500},
		{"2017-04-21T11:36:17.1239999999Z", 1492774577123},
		{"2017-04-21", 1492732800000},
		{"2016-12-31T23:59:60Z", 1483228800000}, /* a leap second */
		{"2000-02-29", 951782400000},
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = 0;

		assert_true(clock_parse_ms(cases[i].text, &ms));
		assert_int_equal(ms, cases[i].ms);
	}
}

/* Why: a misread time is worse than none. How: near misses are refused and leave the value alone. */
static void refuses_what_is_no_time(void **unused)
{
	static const char *const cases[] = {
		"",
		"2017",
		"2017-4-21",
		"2017-13-01",
		"2017-00-01",
		"2017-02-29",
		"1900-02-29",
		"2017-04-31",
		"2017-04-21T",
		"2017-04-21T11:36",
		"2017-04-21T11:36:17",
		"2017-04-21T24:00:00Z",
		"2017-04-21T11:60:00Z",
		"2017-04-21T11:36:61Z",
		"2017-04-21T11:36:17.Z",
		"2017-04-21T11:36:17+0200",
		"2017-04-21T11:36:17+24:00",
		"2017-04-21T11:36:17Zx",
		" 2017-04-21",
		"+017-04-21",
	};

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ms = 42;

		if (clock_parse_ms(cases[i], &ms))
			fail_msg("\"%s\" was taken for a time", cases[i]);
		assert_int_equal(ms, 42);
	}
}

/* Why: tests of deadlines and tolerances move time by hand. How: both readings advance together. */
static void a_fake_clock_stands_until_moved(void **unused)
{
	struct clock_fake fake;

	(void)unused;
	clock_fake_init(&fake, 5000000, 1492774577000);
	assert_int_equal(clock_mono_ns(&fake.clock), 5000000);
	assert_int_equal(clock_wall_ms(&fake.clock), 1492774577000);
	clock_fake_advance_ms(&fake, 300000);
	assert_int_equal(clock_mono_ns(&fake.clock), 300005000000);
	assert_int_equal(clock_wall_ms(&fake.clock), 1492774877000);
}

/* Why: units must be what the header says. How: compares with the C library's clock, within a minute. */
static void the_system_clock_has_its_units(void **unused)
{
	int64_t first = clock_mono_ns(clock_system());
	int64_t wall_ms = clock_wall_ms(clock_system());
	struct timespec now;
	int64_t off;

	(void)unused;
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
	off = wall_ms - (int64_t)now.tv_sec * 1000;
	assert_true(off > -60000 && off < 60000);
	assert_true(first > 0);
	assert_true(clock_mono_ns(clock_system()) >= first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_known_instants),          cmocka_unit_test(agrees_with_the_c_library),
		cmocka_unit_test(parses_what_people_write),        cmocka_unit_test(refuses_what_is_no_time),
		cmocka_unit_test(a_fake_clock_stands_until_moved), cmocka_unit_test(the_system_clock_has_its_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
