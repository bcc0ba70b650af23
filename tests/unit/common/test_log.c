#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/support/failing_alloc.h"
#include "tests/unit/support/temp_dir.h"

static struct temp_dir dir;
static char log_path[TEMP_PATH_BYTES];

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	temp_path(&dir, "log", log_path);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	log_close();
	temp_dir_remove(&dir);
	return 0;
}

static void open_log(const char *path)
{
	struct err err;

	assert_true(log_open("watchpost-test", path, LOG_LEVEL_INFO, &err));
}

static size_t count_of(const char *text, const char *wanted)
{
	size_t count = 0;

	while ((text = strstr(text, wanted)) != NULL) {
		count++;
		text += strlen(wanted);
	}
	return count;
}

static size_t lines_in_log(void)
{
	char *text = temp_read(log_path, NULL);
	size_t lines = count_of(text, "\n");

	free(text);
	return lines;
}

/* Why: the file is the operator's only: mode 0600, appended to. How: two openings, one line each, and
 * the fields of the macro. */
static void appends_to_a_private_file(void **unused)
{
	struct stat info;
	char *text;

	(void)unused;
	for (int i = 0; i < 2; i++) {
		open_log(log_path);
		LOG(INFO, "started", F_U64("port", 8443), F_BOOL("tls", true));
		LOG(DEBUG, "detail"); /* below the level */
		log_close();
	}
	assert_int_equal(stat(log_path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	text = temp_read(log_path, NULL);
	assert_int_equal(count_of(text, "\n"), 2);
	assert_int_equal(count_of(text, " level=info program=watchpost-test event=started port=8443 tls=true\n"), 2);
	assert_int_equal(strncmp(text, "time=2", 6), 0);
	free(text);
}

/* Why: a missing directory must stop the start, with the path in the error. How: opens one. */
static void says_why_it_cannot_open(void **unused)
{
	struct err err;

	(void)unused;
	assert_false(log_open("watchpost-test", "/nonexistent/watchpost.log", LOG_LEVEL_INFO, &err));
	assert_int_equal(err.code, ERR_IO);
	assert_non_null(strstr(err.text, "/nonexistent/watchpost.log"));
}

/* Why: a loop writes its lines once a turn (one system call), but an error must not wait for that. How:
 * looks into the file between the steps. */
static void gathers_a_batch_until_the_turn_ends(void **unused)
{
	(void)unused;
	open_log(log_path);
	log_batch_begin();
	log_batch_begin(); /* a second one changes nothing */
	LOG(INFO, "one");
	LOG(INFO, "two");
	assert_int_equal(lines_in_log(), 0);
	log_batch_flush();
	assert_int_equal(lines_in_log(), 2);
	LOG(WARN, "three");
	LOG(ERROR, "four");
	assert_int_equal(lines_in_log(), 4);
	LOG(INFO, "five");
	log_batch_end();
	assert_int_equal(lines_in_log(), 5);
	LOG(INFO, "six");
	assert_int_equal(lines_in_log(), 6);
}

/* Why: a batch is bounded and loses nothing when it is full. How: more lines than it holds. */
static void a_full_batch_flushes_itself(void **unused)
{
	enum { LINES = 3000 };

	(void)unused;
	open_log(log_path);
	log_batch_begin();
	for (unsigned i = 0; i < LINES; i++)
		LOG(INFO, "line", F_U64("number", i));
	assert_in_range(lines_in_log(), 1, LINES - 1);
	log_batch_end();
	assert_int_equal(lines_in_log(), LINES);
	assert_int_equal(log_lost_total(), 0);
}

/* Why: without memory for a batch the log goes on line by line. How: the allocation fails. */
static void goes_on_without_memory_for_a_batch(void **unused)
{
	(void)unused;
	open_log(log_path);
	failing_alloc_arm(1);
	log_batch_begin();
	assert_true(failing_alloc_disarm());
	LOG(INFO, "one");
	assert_int_equal(lines_in_log(), 1);
	log_batch_end();
}

/* Why: logrotate renames the file and sends SIGHUP. How: renames, reopens, and looks at both files; a
 * reopening that fails leaves the old one in use. */
static void reopens_for_logrotate(void **unused)
{
	char rotated[TEMP_PATH_BYTES];
	struct err err;
	char *text;

	(void)unused;
	temp_path(&dir, "log.1", rotated);
	open_log(log_path);
	LOG(INFO, "before");
	assert_int_equal(rename(log_path, rotated), 0);
	LOG(INFO, "between");
	assert_true(log_reopen(&err));
	LOG(INFO, "after");
	text = temp_read(rotated, NULL);
	assert_int_equal(count_of(text, "event=before"), 1);
	assert_int_equal(count_of(text, "event=between"), 1);
	assert_int_equal(count_of(text, "event=after"), 0);
	free(text);
	assert_int_equal(lines_in_log(), 1);

	assert_int_equal(unlink(log_path), 0);
	assert_int_equal(mkdir(log_path, 0700), 0);
	assert_false(log_reopen(&err));
	assert_int_equal(rmdir(log_path), 0);
	LOG(INFO, "still");
	assert_int_equal(log_lost_total(), 0);
}

/* Standard error replaced for one test. */
struct stderr_swap {
	int saved;
};

static void swap_stderr(struct stderr_swap *swap, int fd)
{
	swap->saved = dup(STDERR_FILENO);
	assert_true(swap->saved >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static void restore_stderr(struct stderr_swap *swap)
{
	log_close();
	assert_int_equal(dup2(swap->saved, STDERR_FILENO), STDERR_FILENO);
	close(swap->saved);
}

/* Reads what the pipe holds and checks that it is whole lines; the number of them. */
static size_t drain_lines(int fd)
{
	static char text[1 << 18];
	size_t len = 0;
	ssize_t got;

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while ((got = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)got;
	text[len] = '\0';
	assert_true(len == 0 || text[len - 1] == '\n');
	assert_int_equal(count_of(text, "\n"), count_of(text, "time="));
	assert_int_equal(count_of(text, "\n"), count_of(text, " event=flood"));
	return count_of(text, "\n");
}

/* Why: a loop thread must not wait for whoever reads the log (W: nothing on a loop thread blocks), and
 * O_NONBLOCK on the shared description would break the other processes on the same pipe. How: a pipe
 * that nobody reads takes what it can, the rest is counted as lost, both with and without a batch; every line
 * that arrives is whole; standard error itself stays blocking. */
static void never_waits_for_a_pipe(void **unused)
{
	enum { LINES = 4000 };

	(void)unused;
	for (int batched = 0; batched < 2; batched++) {
		uint64_t lost_before = log_lost_total();
		struct stderr_swap swap;
		size_t arrived;
		int ends[2];

		assert_int_equal(pipe(ends), 0);
		swap_stderr(&swap, ends[1]);
		open_log(NULL);
		if (batched)
			log_batch_begin();
		for (unsigned i = 0; i < LINES; i++)
			LOG(INFO, "flood", F_U64("number", i));
		log_batch_end();
		assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
		arrived = drain_lines(ends[0]);
		assert_true(arrived > 100 && arrived < LINES);
		assert_int_equal(arrived + (log_lost_total() - lost_before), LINES);

		/* With room again it goes on. */
		LOG(INFO, "flood");
		assert_int_equal(drain_lines(ends[0]), 1);
		restore_stderr(&swap);
		close(ends[0]);
		close(ends[1]);
	}
}

/* Why: under systemd standard error is a stream socket, which cannot be opened anew. How: the same flood. */
static void never_waits_for_a_socket(void **unused)
{
	enum { LINES = 20000 };
	uint64_t lost_before = log_lost_total();
	struct stderr_swap swap;
	int ends[2];

	(void)unused;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	swap_stderr(&swap, ends[1]);
	open_log("");
	for (unsigned i = 0; i < LINES; i++)
		LOG(INFO, "flood", F_U64("number", i));
	assert_true(log_lost_total() > lost_before);
	restore_stderr(&swap);
	close(ends[0]);
	close(ends[1]);
}

/* Why: a log reader that ends must not end the server by SIGPIPE. How: closes the reading end. */
static void survives_a_reader_that_went_away(void **unused)
{
	uint64_t lost_before = log_lost_total();
	struct stderr_swap swap;
	int ends[2];

	(void)unused;
	assert_int_equal(pipe(ends), 0);
	swap_stderr(&swap, ends[1]);
	open_log(NULL);
	close(ends[0]);
	close(ends[1]);
	errno = 7;
	LOG(INFO, "flood");
	assert_int_equal(errno, 7); /* the caller's is left alone */
	assert_int_equal(log_lost_total(), lost_before + 1);
	restore_stderr(&swap);
}

/* Why: a full disk cuts a line in two; it is counted as lost, and the next one must not be glued to what
 * is left of it. How: a limit on the file's size stands for the disk. */
static void a_line_cut_by_a_full_disk_stands_alone(void **unused)
{
	uint64_t lost_before = log_lost_total();
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit everything, little;
	struct stat info;
	char *text;

	(void)unused;
	open_log(log_path);
	LOG(INFO, "first");
	assert_int_equal(stat(log_path, &info), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &everything), 0);
	little = everything;
	little.rlim_cur = (rlim_t)info.st_size + 10;
	assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	LOG(INFO, "second");
	LOG(INFO, "third");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &everything), 0);
	LOG(INFO, "fourth");
	assert_int_equal(log_lost_total(), lost_before + 2);
	text = temp_read(log_path, NULL);
	assert_int_equal(count_of(text, "\n"), 3);
	assert_int_equal(count_of(text, "event=first\ntime="), 1);
	assert_int_equal(count_of(text, "\ntime="), 2);
	assert_int_equal(count_of(text, "event=fourth\n"), 1);
	free(text);
}

static void *write_lines_from_a_thread(void *unused)
{
	(void)unused;
	log_batch_begin();
	for (unsigned i = 0; i < 2000; i++) {
		LOG(INFO, "threads", F_U64("number", i));
		if (i % 50 == 0)
			log_batch_flush();
	}
	log_batch_end();
	return NULL;
}

/* Why: loops log without a lock of ours while the main thread reopens the file. How: four threads, the
 * file reopened meanwhile; every line arrives whole. */
static void threads_and_reopening_lose_nothing(void **unused)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	struct err err;
	char *text;

	(void)unused;
	open_log(log_path);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines_from_a_thread, NULL), 0);
	for (int i = 0; i < 50; i++)
		assert_true(log_reopen(&err));
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	text = temp_read(log_path, NULL);
	assert_int_equal(count_of(text, "\n"), THREADS * 2000);
	assert_int_equal(count_of(text, "\ntime="), THREADS * 2000 - 1);
	free(text);
}

/* Why: operators switch levels and topics at run time by name. How: names, lists, and what is neither. */
static void parses_levels_and_topics(void **unused)
{
	enum log_level level;
	uint32_t topics = 99;

	(void)unused;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_true(log_level_parse("error", &level));
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_false(log_level_parse("Info", &level));
	assert_false(log_level_parse("", &level));

	assert_true(log_topics_parse("none", &topics));
	assert_int_equal(topics, 0);
	assert_true(log_topics_parse("http,kafka", &topics));
	assert_int_equal(topics, LOG_TOPIC_HTTP | LOG_TOPIC_KAFKA);
	assert_true(log_topics_parse(" stripe , pg ", &topics));
	assert_int_equal(topics, LOG_TOPIC_STRIPE | LOG_TOPIC_PG);
	assert_true(log_topics_parse("all", &topics));
	assert_int_equal(topics, 31);
	assert_false(log_topics_parse("", &topics));
	assert_false(log_topics_parse("http,", &topics));
	assert_false(log_topics_parse("http kafka", &topics));
	assert_false(log_topics_parse("http/kafka", &topics));
	assert_false(log_topics_parse("http xpg", &topics));
	assert_false(log_topics_parse("https", &topics));
	assert_int_equal(topics, 31);
}

/* Why: trace lines appear for their topic only, whatever the level. How: switches one on. */
static void traces_a_topic_that_is_on(void **unused)
{
	char *text;

	(void)unused;
	open_log(log_path);
	TRACE(PG, "statement");
	log_set_topics(LOG_TOPIC_HTTP);
	TRACE(HTTP, "state", F_TEXT("from", "A"), F_TEXT("to", "B"));
	TRACE(PG, "statement");
	log_set_topics(0);
	log_set_level(LOG_LEVEL_ERROR);
	LOG(WARN, "quiet");
	text = temp_read(log_path, NULL);
	assert_int_equal(count_of(text, "\n"), 1);
	assert_int_equal(count_of(text, "level=debug program=watchpost-test event=state from=A to=B"), 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(appends_to_a_private_file, setup, teardown),
		cmocka_unit_test(says_why_it_cannot_open),
		cmocka_unit_test_setup_teardown(gathers_a_batch_until_the_turn_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_batch_flushes_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_without_memory_for_a_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(reopens_for_logrotate, setup, teardown),
		cmocka_unit_test_setup_teardown(never_waits_for_a_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(never_waits_for_a_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_a_reader_that_went_away, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_cut_by_a_full_disk_stands_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_and_reopening_lose_nothing, setup, teardown),
		cmocka_unit_test(parses_levels_and_topics),
		cmocka_unit_test_setup_teardown(traces_a_topic_that_is_on, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
