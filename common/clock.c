#include "common/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MS_PER_S = 1000, S_PER_DAY = 86400, NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

#define YEAR_0_MS    (-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define YEAR_9999_MS 253402300799999   /* 9999-12-31T23:59:59.999Z */

static int64_t system_mono_ns(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
		abort(); /* cannot fail on a kernel that has the clock, and every deadline rests on it */
	return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t system_wall_ms(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		abort();
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

const struct clock *clock_system(void)
{
	static const struct clock system = {.mono_ns = system_mono_ns, .wall_ms = system_wall_ms};

	return &system;
}

_Static_assert(offsetof(struct clock_fake, clock) == 0, "a fake clock begins with its struct clock");

static const struct clock_fake *fake_of(const struct clock *clock)
{
	return (const struct clock_fake *)(const void *)clock;
}

static int64_t fake_mono_ns(const struct clock *clock)
{
	return fake_of(clock)->now_mono_ns;
}

static int64_t fake_wall_ms(const struct clock *clock)
{
	return fake_of(clock)->now_wall_ms;
}

void clock_fake_init(struct clock_fake *fake, int64_t mono_ns, int64_t wall_ms)
{
	*fake = (struct clock_fake){
		.clock = {.mono_ns = fake_mono_ns, .wall_ms = fake_wall_ms},
		.now_mono_ns = mono_ns,
		.now_wall_ms = wall_ms,
	};
}

void clock_fake_advance_ms(struct clock_fake *fake, int64_t ms)
{
	assert(ms >= 0);
	fake->now_mono_ns += ms * NS_PER_MS;
	fake->now_wall_ms += ms;
}

struct date {
	int64_t year;
	int64_t month; /* 1 to 12 */
	int64_t day;   /* 1 to 31 */
};

/* Days since 1970-01-01 to a date and back, by counting years from March so that the leap day is
 * the last one (Howard Hinnant, "chrono-compatible low-level date algorithms"). gmtime_r and timegm
 * take a lock for the time zone; a log line and an id must not. Years 0 to 9999. */
static struct date date_of_day(int64_t days)
{
	int64_t shifted = days + 719468; /* since 0000-03-01 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t day_of_era = shifted - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;
	struct date date;

	date.day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
	date.month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
	assert(date.day >= 1 && date.day <= 31 && date.month >= 1 && date.month <= 12);
	return date;
}

static int64_t day_of_date(struct date date)
{
	int64_t year = date.month <= 2 ? date.year - 1 : date.year;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t year_of_era = year - era * 400;
	int64_t month_from_march = date.month > 2 ? date.month - 3 : date.month + 9;
	int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void put_digits(char *out, int64_t value, int count)
{
	assert(value >= 0);
	for (int i = count - 1; i >= 0; i--) {
		out[i] = (char)('0' + value % 10);
		value /= 10;
	}
	assert(value == 0);
}

void clock_format_ms(int64_t wall_ms, char out[CLOCK_TEXT_BYTES])
{
	int64_t days, ms_of_day;
	struct date date;

	if (wall_ms < YEAR_0_MS)
		wall_ms = YEAR_0_MS;
	if (wall_ms > YEAR_9999_MS)
		wall_ms = YEAR_9999_MS;
	days = wall_ms / (S_PER_DAY * MS_PER_S);
	ms_of_day = wall_ms % (S_PER_DAY * MS_PER_S);
	if (ms_of_day < 0) {
		ms_of_day += S_PER_DAY * MS_PER_S;
		days--;
	}
	date = date_of_day(days);
	memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_BYTES);
	put_digits(out, date.year, 4);
	put_digits(out + 5, date.month, 2);
	put_digits(out + 8, date.day, 2);
	put_digits(out + 11, ms_of_day / 3600000, 2);
	put_digits(out + 14, ms_of_day / 60000 % 60, 2);
	put_digits(out + 17, ms_of_day / MS_PER_S % 60, 2);
	put_digits(out + 20, ms_of_day % MS_PER_S, 3);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes exactly `count` digits. */
static bool take_number(const char **at, int count, int64_t *value)
{
	*value = 0;
	for (int i = 0; i < count; i++) {
		if (!is_digit(**at))
			return false;
		*value = *value * 10 + (**at - '0');
		(*at)++;
	}
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool take_date(const char **at, int64_t *days)
{
	static const int64_t month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct date date;
	bool leap;

	if (!take_number(at, 4, &date.year) || !take_char(at, '-') || !take_number(at, 2, &date.month) ||
	    !take_char(at, '-') || !take_number(at, 2, &date.day))
		return false;
	if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > month_days[date.month - 1])
		return false;
	leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
	if (date.month == 2 && date.day == 29 && !leap)
		return false;
	*days = day_of_date(date);
	return true;
}

/* Milliseconds of a fraction ".5", ".123456"; what is finer is cut. */
static bool take_fraction(const char **at, int64_t *ms)
{
	int64_t weight = 100;

	*ms = 0;
	if (!take_char(at, '.'))
		return true;
	if (!is_digit(**at))
		return false;
	for (; is_digit(**at); (*at)++) {
		*ms += (**at - '0') * weight;
		weight /= 10;
	}
	return true;
}

static bool take_time(const char **at, int64_t *ms_of_day)
{
	int64_t hour, minute, second, ms;

	if (!take_number(at, 2, &hour) || !take_char(at, ':') || !take_number(at, 2, &minute) || !take_char(at, ':') ||
	    !take_number(at, 2, &second) || !take_fraction(at, &ms))
		return false;
	if (hour > 23 || minute > 59 || second > 60) /* 60: a leap second, read as the next one */
		return false;
	*ms_of_day = ((hour * 60 + minute) * 60 + second) * MS_PER_S + ms;
	return true;
}

static bool take_offset(const char **at, int64_t *offset_ms)
{
	int64_t hours, minutes;
	int64_t sign;

	*offset_ms = 0;
	if (take_char(at, 'Z') || take_char(at, 'z'))
		return true;
	if (**at != '+' && **at != '-')
		return false;
	sign = **at == '-' ? -1 : 1;
	(*at)++;
	if (!take_number(at, 2, &hours) || !take_char(at, ':') || !take_number(at, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	*offset_ms = sign * (hours * 60 + minutes) * 60 * MS_PER_S;
	return true;
}

bool clock_parse_ms(const char *text, int64_t *wall_ms)
{
	const char *at = text;
	int64_t days, ms_of_day, offset_ms;

	if (!take_date(&at, &days))
		return false;
	if (*at == '\0') {
		*wall_ms = days * S_PER_DAY * MS_PER_S;
		return true;
	}
	if (!take_char(&at, 'T') && !take_char(&at, 't') && !take_char(&at, ' '))
		return false;
	if (!take_time(&at, &ms_of_day) || !take_offset(&at, &offset_ms) || *at != '\0')
		return false;
	*wall_ms = days * S_PER_DAY * MS_PER_S + ms_of_day - offset_ms;
	return true;
}
