#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/id.h"

/* Why: an id carries its time (github.com/ulid/spec). How: the specification's own example of a time,
 * and the ends of the range. */
static void begins_with_its_time(void **unused)
{
	static const struct {
		int64_t ms;
		const char *time;
	} cases[] = {
		{1469918176385, "req_01ARYZ6S41"},
		{0, "req_0000000000"},
		{((int64_t)1 << 48) - 1, "req_7ZZZZZZZZZ"},
	};
	struct clock_fake fake;
	char id[ID_TEXT_BYTES];

	(void)unused;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		clock_fake_init(&fake, 0, cases[i].ms);
		id_new("req", &fake.clock, id);
		assert_int_equal(strlen(id), 4 + ID_ULID_CHARS);
		assert_memory_equal(id, cases[i].time, strlen(cases[i].time));
		assert_true(id_valid(bytes_of(id), "req"));
	}
}

/* Why: lists are sorted by id; ids of one millisecond must ascend too, over many blocks of chance. How:
 * 100,000 with a clock that stands and moves. */
static void ascend_within_a_thread(void **unused)
{
	struct clock_fake fake;
	char id[ID_TEXT_BYTES], last[ID_TEXT_BYTES] = "";

	(void)unused;
	clock_fake_init(&fake, 0, 1700000000000);
	for (int i = 0; i < 100000; i++) {
		id_new("evt", &fake.clock, id);
		assert_true(strcmp(last, id) < 0);
		memcpy(last, id, sizeof(last));
		if (i % 3 == 0)
			clock_fake_advance_ms(&fake, 1);
	}
}

static void *make_some(void *out)
{
	char(*ids)[ID_TEXT_BYTES] = out;

	for (int i = 0; i < 1000; i++)
		id_new("evt", clock_system(), ids[i]);
	return NULL;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Why: state is per thread; two must not draw the same. How: four threads at once, all ids differ. */
static void differ_between_threads(void **unused)
{
	static char ids[4000][ID_TEXT_BYTES];
	pthread_t threads[4];

	(void)unused;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_some, ids[1000 * i]), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	qsort(ids, 4000, sizeof(ids[0]), by_text);
	for (int i = 1; i < 4000; i++)
		assert_string_not_equal(ids[i - 1], ids[i]);
}

/* Why: a child must not go on with its parent's block. How: both make an id in the same millisecond. */
static void differ_after_a_fork(void **unused)
{
	struct clock_fake fake;
	char ours[ID_TEXT_BYTES], theirs[ID_TEXT_BYTES];
	int ends[2];
	pid_t child;

	(void)unused;
	clock_fake_init(&fake, 0, 1700000000000);
	id_new("evt", &fake.clock, ours);
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		id_new("evt", &fake.clock, theirs);
		_exit(write(ends[1], theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 1);
	}
	id_new("evt", &fake.clock, ours);
	assert_int_equal(read(ends[0], theirs, sizeof(theirs)), sizeof(theirs));
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(id_valid(bytes_of(theirs), "evt"));
	assert_string_not_equal(ours, theirs);
	close(ends[0]);
	close(ends[1]);
}

/* Why: ids come in from outside. How: near misses of every part, and a view without a NUL. */
static void validates(void **unused)
{
	static const char *const wrong[] = {
		"",
		"acct_",
		"acct",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FA",   /* 25 */
		"acct_01ARYZ6S41TSV4RRFFQ69G5FAVX", /* 27 */
		"agt_01ARYZ6S41TSV4RRFFQ69G5FAV",
		"acct-01ARYZ6S41TSV4RRFFQ69G5FAV",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FAI",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FAL",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FAO",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FAU",
		"acct_01aryz6s41tsv4rrffq69g5fav",
		"acct_01ARYZ6S41TSV4RRFFQ69G5FA ",
	};

	(void)unused;
	assert_true(id_valid(bytes_of("acct_01ARYZ6S41TSV4RRFFQ69G5FAV"), "acct"));
	assert_true(id_valid(bytes_make("acct_01ARYZ6S41TSV4RRFFQ69G5FAV, more", 31), "acct"));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		if (id_valid(bytes_of(wrong[i]), "acct"))
			fail_msg("\"%s\" was taken for an id", wrong[i]);
	}
}

/* Why: keys and tokens are made of these bytes; a length over 256 comes in pieces. How: two large draws
 * differ, and no run of sixteen bytes is left as it was. */
static void random_fills_all(void **unused)
{
	static uint8_t a[100000], b[100000];
	static const uint8_t zeros[16];

	(void)unused;
	id_random(a, sizeof(a));
	id_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	for (size_t i = 0; i + sizeof(zeros) <= sizeof(a); i += sizeof(zeros))
		assert_memory_not_equal(a + i, zeros, sizeof(zeros));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(begins_with_its_time),
		cmocka_unit_test(ascend_within_a_thread),
		cmocka_unit_test(differ_between_threads),
		cmocka_unit_test(differ_after_a_fork),
		cmocka_unit_test(validates),
		cmocka_unit_test(random_fills_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
