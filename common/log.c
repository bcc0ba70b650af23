#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log_line.h"

_Static_assert(LOG_LINE_BYTES_MAX <= PIPE_BUF, "a line goes into a pipe whole or not at all");
_Static_assert(LOG_BATCH_BYTES_MAX >= 2 * LOG_SCRATCH_BYTES, "a batch holds more than a line");

/* How a write is kept from blocking depends on what is written to. */
enum sink {
	SINK_FILE,   /* a regular file waits for no reader */
	SINK_STREAM, /* pipe or terminal, through a description of our own that is O_NONBLOCK */
	SINK_SHARED, /* pipe or terminal that could not be opened anew: poll() before each write */
	SINK_SOCKET  /* journald's stream: MSG_DONTWAIT */
};

/* The first four are written by log_open, log_reopen and log_close on the main thread only. */
static struct {
	int fd;
	enum sink sink;
	const char *program;
	char path[LOG_PATH_BYTES_MAX];
	atomic_int level;
	atomic_uint topics;
	atomic_ullong lost_total;
	atomic_bool torn; /* the last write ended inside a line */
} the_log = {.fd = STDERR_FILENO, .program = "watchpost", .level = LOG_LEVEL_INFO};

struct batch {
	size_t len;
	char text[LOG_BATCH_BYTES_MAX];
};
static _Thread_local struct batch *this_batch;

/* --- opening ------------------------------------------------------------------------------------ */

static int open_path(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);

	if (fd < 0)
		err_set(err, ERR_IO, "cannot open the log file %s: %s", path, strerror(errno));
	return fd;
}

static enum sink sink_of(int fd)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return SINK_FILE;
	if (S_ISSOCK(info.st_mode))
		return SINK_SOCKET;
	return S_ISFIFO(info.st_mode) || S_ISCHR(info.st_mode) ? SINK_SHARED : SINK_FILE;
}

/* O_NONBLOCK belongs to the open file description, which standard error shares with the shell and
 * other processes: setting it there would break them. Opening /proc/self/fd/2 gives a description of
 * our own. Where that is refused, the shared one stays as it is. */
static void open_stderr(void)
{
	the_log.fd = STDERR_FILENO;
	the_log.sink = sink_of(STDERR_FILENO);
	if (the_log.sink == SINK_SHARED) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

		if (fd >= 0) {
			the_log.fd = fd;
			the_log.sink = SINK_STREAM;
		}
	}
}

/* A reader that goes away must not end a server. */
static void ignore_sigpipe(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	int status = sigaction(SIGPIPE, &ignore, NULL);

	assert(status == 0);
}

bool log_open(const char *program, const char *path, enum log_level level, struct err *err)
{
	if (path == NULL)
		path = "";
	assert(program != NULL);
	if (strlen(path) >= sizeof(the_log.path))
		return err_set(err, ERR_TOO_LARGE, "the log file's path is longer than %zu bytes",
			       sizeof(the_log.path) - 1);
	if (path[0] == '\0') {
		log_close();
		open_stderr();
	} else {
		int fd = open_path(path, err);

		if (fd < 0)
			return false;
		log_close();
		the_log.fd = fd;
		the_log.sink = sink_of(fd) == SINK_SHARED ? SINK_STREAM : SINK_FILE;
	}
	memcpy(the_log.path, path, strlen(path) + 1);
	the_log.program = program;
	log_set_level(level);
	if (the_log.sink == SINK_STREAM || the_log.sink == SINK_SHARED)
		ignore_sigpipe();
	return true;
}

bool log_reopen(struct err *err)
{
	int fd;

	if (the_log.path[0] == '\0')
		return true;
	fd = open_path(the_log.path, err);
	if (fd < 0)
		return false;
	/* dup3 changes the file behind the number at once, so threads that are writing never meet a
	 * closed or a reused descriptor. */
	if (dup3(fd, the_log.fd, O_CLOEXEC) < 0)
		err_set(err, ERR_IO, "cannot reopen the log file %s: %s", the_log.path, strerror(errno));
	else
		err = NULL;
	close(fd);
	return err == NULL;
}

void log_close(void)
{
	log_batch_end();
	if (the_log.fd != STDERR_FILENO)
		close(the_log.fd);
	the_log.fd = STDERR_FILENO;
	the_log.sink = sink_of(STDERR_FILENO);
	the_log.path[0] = '\0';
}

/* --- levels and topics -------------------------------------------------------------------------- */

void log_set_level(enum log_level level)
{
	assert(level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG);
	atomic_store_explicit(&the_log.level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&the_log.level, memory_order_relaxed);
}

void log_set_topics(uint32_t topics)
{
	atomic_store_explicit(&the_log.topics, topics, memory_order_relaxed);
}

uint32_t log_get_topics(void)
{
	return atomic_load_explicit(&the_log.topics, memory_order_relaxed);
}

bool log_level_on(enum log_level level)
{
	return level <= log_get_level();
}

bool log_topic_on(enum log_topic topic)
{
	return (log_get_topics() & (uint32_t)topic) != 0;
}

struct name {
	const char *name;
	uint32_t value;
};

static bool find_name(const struct name *names, size_t count, struct bytes wanted, uint32_t *value)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes_equal_text(wanted, names[i].name)) {
			*value = names[i].value;
			return true;
		}
	}
	return false;
}

bool log_level_parse(const char *name, enum log_level *level)
{
	static const struct name names[] = {{"error", LOG_LEVEL_ERROR},
					    {"warn", LOG_LEVEL_WARN},
					    {"info", LOG_LEVEL_INFO},
					    {"debug", LOG_LEVEL_DEBUG}};
	uint32_t value;

	if (!find_name(names, ARRAY_LEN(names), bytes_of(name), &value))
		return false;
	*level = (enum log_level)value;
	return true;
}

bool log_topics_parse(const char *names, uint32_t *topics)
{
	static const uint32_t all =
		LOG_TOPIC_HTTP | LOG_TOPIC_KAFKA | LOG_TOPIC_PG | LOG_TOPIC_WORKER | LOG_TOPIC_STRIPE;
	static const struct name known[] = {{"none", 0},
					    {"all", all},
					    {"http", LOG_TOPIC_HTTP},
					    {"kafka", LOG_TOPIC_KAFKA},
					    {"pg", LOG_TOPIC_PG},
					    {"worker", LOG_TOPIC_WORKER},
					    {"stripe", LOG_TOPIC_STRIPE}};
	uint32_t sum = 0;

	for (;;) {
		size_t blanks = strspn(names, " ");
		size_t len = strcspn(names + blanks, ", ");
		size_t end = blanks + len + strspn(names + blanks + len, " ");
		uint32_t value;

		if (!find_name(known, ARRAY_LEN(known), bytes_make(names + blanks, len), &value))
			return false;
		sum |= value;
		if (names[end] == '\0')
			break;
		if (names[end] != ',')
			return false;
		names += end + 1;
	}
	*topics = sum;
	return true;
}

/* --- writing ------------------------------------------------------------------------------------ */

static uint64_t count_lines(const char *text, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

static bool would_block(void)
{
	struct pollfd wait = {.fd = the_log.fd, .events = POLLOUT};

	return the_log.sink == SINK_SHARED && (poll(&wait, 1, 0) != 1 || (wait.revents & POLLOUT) == 0);
}

static ssize_t write_some(const char *text, size_t len)
{
	ssize_t sent;

	if (would_block())
		return -1;
	do {
		if (the_log.sink == SINK_SOCKET)
			sent = send(the_log.fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		else
			sent = write(the_log.fd, text, len);
	} while (sent < 0 && errno == EINTR);
	return sent;
}

/* How much goes into one write: all of it, but for a pipe as many lines as it takes whole. */
static size_t chunk_len(const char *text, size_t len)
{
	const char *last;

	if (len <= PIPE_BUF || the_log.sink == SINK_FILE || the_log.sink == SINK_SOCKET)
		return len;
	last = memrchr(text, '\n', PIPE_BUF);
	assert(last != NULL);
	return (size_t)(last - text) + 1;
}

/* Writes whole lines; what cannot be written now is lost and counted. */
static void write_lines(const char *text, size_t len)
{
	assert(len > 0 && text[len - 1] == '\n');
	if (atomic_exchange_explicit(&the_log.torn, false, memory_order_relaxed) && write_some("\n", 1) != 1)
		atomic_store_explicit(&the_log.torn, true, memory_order_relaxed);
	while (len > 0) {
		size_t chunk = chunk_len(text, len);
		ssize_t sent = write_some(text, chunk);

		if (sent > 0) {
			text += sent;
			len -= (size_t)sent;
		}
		if (sent < 0 || (size_t)sent < chunk) {
			if (sent > 0 && text[-1] != '\n')
				atomic_store_explicit(&the_log.torn, true, memory_order_relaxed);
			atomic_fetch_add_explicit(&the_log.lost_total, count_lines(text, len), memory_order_relaxed);
			return;
		}
	}
}

void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count)
{
	struct log_line line = {.wall_ms = clock_wall_ms(clock_system()),
				.level = level,
				.program = the_log.program,
				.event = event,
				.fields = fields,
				.count = count};
	struct batch *batch = this_batch;
	int saved_errno = errno;

	if (batch == NULL) {
		char text[LOG_SCRATCH_BYTES];

		write_lines(text, log_line_format(&line, text));
	} else {
		if (sizeof(batch->text) - batch->len < LOG_SCRATCH_BYTES)
			log_batch_flush();
		batch->len += log_line_format(&line, batch->text + batch->len);
		if (level == LOG_LEVEL_ERROR)
			log_batch_flush();
	}
	errno = saved_errno;
}

void log_batch_begin(void)
{
	if (this_batch != NULL)
		return;
	this_batch = malloc(sizeof(*this_batch));
	if (this_batch != NULL)
		this_batch->len = 0;
	/* Without memory each line is written by itself, as before. */
}

void log_batch_flush(void)
{
	if (this_batch == NULL || this_batch->len == 0)
		return;
	write_lines(this_batch->text, this_batch->len);
	this_batch->len = 0;
}

void log_batch_end(void)
{
	log_batch_flush();
	free(this_batch);
	this_batch = NULL;
}

uint64_t log_lost_total(void)
{
	return atomic_load_explicit(&the_log.lost_total, memory_order_relaxed);
}
