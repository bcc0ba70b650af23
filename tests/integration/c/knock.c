/*
 * Agents that knock at the doors of several nodes, for tests/integration/test_revoke.py: a closed loop of connections,
 * each with one request under way, that writes down for every request when its last byte was sent and how it ended.
 *
 * Every third is GET /v1/agent, the others POST /v1/events; of those each `hold_every`th keeps its last byte back for a
 * while, so that it is whole only long after its token was looked at first (W7). Tokens are taken at random from a
 * window of the file that the test moves on while this runs; or they are random ones that nobody has.
 *
 * Ends when its standard input does. Times are CLOCK_BOOTTIME; one is read before the send of the last byte, so that a
 * request that is said to be sent after a moment was.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/token.h"

enum {
	PORTS_MAX = 16,
	CONNECTIONS_MAX = 1024,
	TOKENS_MAX = 1000000,
	REQUEST_BYTES_MAX = 512,
	ANSWER_BYTES_MAX = 4096,
	AGAIN_MS = 20, /* after a failed try */
	TURN_MS = 1,   /* how late a held byte, a due request or a time-out is seen */
	EVENTS_MAX = 128
};

enum kind { KIND_GET, KIND_POST, KIND_HELD };
enum state { CLOSED, CONNECTING, IDLE, SENDING, HOLDING, READING };

/* What test_revoke.py reads: little-endian, as this machine writes it. */
struct record {
	int64_t sent_ns; /* before the last byte was sent */
	int64_t done_ns;
	uint32_t token;
	uint16_t status; /* 0: no answer */
	uint8_t kind;
	uint8_t port; /* its place in --port */
};
_Static_assert(sizeof(struct record) == 24, "as the test reads it");

struct window {
	_Atomic uint64_t first, count;
};

struct options {
	uint16_t ports[PORTS_MAX];
	int port_count, connections, hold_every, hold_ms, timeout_ms, rate_per_s, sources;
	const char *tokens_path, *records_path, *window_path;
	bool random, get_only;
};

struct conn {
	int fd, number;
	enum state state;
	enum kind kind;
	uint32_t token;
	char request[REQUEST_BYTES_MAX], answer[ANSWER_BYTES_MAX];
	size_t request_len, sent, answer_len;
	int64_t begun_ns, sent_ns, due_ns;
};

static struct options options = {.connections = 48, .hold_every = 8, .hold_ms = 100, .timeout_ms = 5000, .sources = 1};
static char (*tokens)[TOKEN_CHARS + 1];
static size_t token_count;
static struct window *window;
static FILE *records;
static struct conn conns[CONNECTIONS_MAX];
static int epoll_fd;
static uint64_t serial, seed = 20261127;
static int64_t begun_ns;

static int64_t now_ns(void)
{
	return clock_mono_ns(clock_system());
}

static int64_t ms(int64_t count)
{
	return count * 1000000;
}

static uint64_t dice(void)
{
	/* splitmix64 (Vigna): repeatable. */
	uint64_t z = seed += 0x9e3779b97f4a7c15U;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

/* --- one request ------------------------------------------------------------------------------------ */

static void pick_token(struct conn *conn, char out[TOKEN_CHARS + 1])
{
	static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	if (options.random) {
		memcpy(out, "wp_", 3);
		for (size_t i = 3; i < TOKEN_CHARS; i++)
			out[i] = ALPHABET[dice() % 32];
		out[TOKEN_CHARS] = '\0';
		return;
	}
	uint64_t first = window != NULL ? atomic_load(&window->first) : 0;
	uint64_t count = window != NULL ? atomic_load(&window->count) : token_count;
	conn->token = (uint32_t)((first + dice() % (count > 0 ? count : 1)) % token_count);
	memcpy(out, tokens[conn->token], TOKEN_CHARS + 1);
}

static void make_request(struct conn *conn)
{
	static const char BODY[] = "{\"type\":\"note\",\"text\":\"knock\"}";
	char token[TOKEN_CHARS + 1];
	int len;
	pick_token(conn, token);
	serial++;
	conn->kind = options.get_only || serial % 3 == 0                                    ? KIND_GET
		     : options.hold_every > 0 && serial % (unsigned)options.hold_every == 0 ? KIND_HELD
											    : KIND_POST;
	if (conn->kind == KIND_GET)
		len = snprintf(conn->request, REQUEST_BYTES_MAX,
			       "GET /v1/agent HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", token);
	else
		len = snprintf(conn->request, REQUEST_BYTES_MAX,
			       "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
			       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			       token, sizeof(BODY) - 1, BODY);
	if (len <= 0 || len >= REQUEST_BYTES_MAX)
		abort();
	conn->request_len = (size_t)len;
}

static void finish(struct conn *conn, int status)
{
	const struct record record = {.sent_ns = conn->sent_ns,
				      .done_ns = now_ns(),
				      .token = conn->token,
				      .status = (uint16_t)status,
				      .kind = (uint8_t)conn->kind,
				      .port = (uint8_t)(conn->number % options.port_count)};
	if (fwrite(&record, sizeof(record), 1, records) != 1)
		abort();
}

/* --- connections ------------------------------------------------------------------------------------ */

static void watch(struct conn *conn, int op)
{
	bool writing = conn->state == CONNECTING || conn->state == SENDING;
	struct epoll_event event = {.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0), .data.ptr = conn};
	if (epoll_ctl(epoll_fd, op, conn->fd, &event) != 0)
		abort();
}

/* A request that got no answer is written down as such. */
static void drop(struct conn *conn)
{
	if (conn->state == SENDING || conn->state == HOLDING || conn->state == READING)
		finish(conn, 0);
	(void)close(conn->fd);
	conn->fd = -1;
	conn->state = CLOSED;
	conn->due_ns = now_ns() + ms(AGAIN_MS);
}

static void connect_to(struct conn *conn)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(options.ports[conn->number % options.port_count]),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr =
					   htonl(INADDR_LOOPBACK + (unsigned)(conn->number % options.sources))};
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0 || bind(conn->fd, (struct sockaddr *)&from, sizeof(from)) != 0)
		abort();
	conn->begun_ns = now_ns();
	conn->state = CONNECTING;
	watch(conn, EPOLL_CTL_ADD);
	if (connect(conn->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		drop(conn);
}

static void send_some(struct conn *conn)
{
	size_t held = conn->kind == KIND_HELD && now_ns() < conn->due_ns ? 1 : 0;
	while (conn->sent < conn->request_len - held) {
		conn->sent_ns = now_ns();
		ssize_t n =
			send(conn->fd, conn->request + conn->sent, conn->request_len - held - conn->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			conn->state = SENDING;
			watch(conn, EPOLL_CTL_MOD);
			return;
		}
		if (n < 0) {
			drop(conn);
			return;
		}
		conn->sent += (size_t)n;
	}
	conn->state = held > 0 ? HOLDING : READING;
	watch(conn, EPOLL_CTL_MOD);
}

static bool rate_reached(void)
{
	double elapsed_s = (double)(now_ns() - begun_ns) / 1e9;
	return options.rate_per_s > 0 && (double)serial > elapsed_s * options.rate_per_s;
}

static void next(struct conn *conn)
{
	conn->state = IDLE;
	if (rate_reached())
		return;
	make_request(conn);
	conn->sent = 0;
	conn->answer_len = 0;
	conn->begun_ns = now_ns();
	conn->due_ns = conn->begun_ns + ms(options.hold_ms);
	send_some(conn);
}

/* The status of a whole answer; 0: more is needed, -1: not HTTP. */
static int answer_status(struct conn *conn, bool *last)
{
	conn->answer[conn->answer_len] = '\0';
	const char *end = strstr(conn->answer, "\r\n\r\n");
	const char *length = strcasestr(conn->answer, "\r\ncontent-length:");
	const char *closing = strcasestr(conn->answer, "\r\nconnection: close");
	if (end == NULL)
		return conn->answer_len == ANSWER_BYTES_MAX - 1 ? -1 : 0;
	if (strncmp(conn->answer, "HTTP/1.1 ", 9) != 0 || length == NULL || length > end)
		return -1;
	if (conn->answer_len < (size_t)(end + 4 - conn->answer) + strtoul(length + 17, NULL, 10))
		return 0;
	*last = closing != NULL && closing < end;
	return (int)strtol(conn->answer + 9, NULL, 10);
}

static void read_some(struct conn *conn)
{
	bool last = false;
	ssize_t n = recv(conn->fd, conn->answer + conn->answer_len, ANSWER_BYTES_MAX - 1 - conn->answer_len, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || conn->state == IDLE) {
		drop(conn);
		return;
	}
	conn->answer_len += (size_t)n;
	int status = answer_status(conn, &last);
	if (status == 0)
		return;
	if (status < 0) {
		drop(conn);
		return;
	}
	finish(conn, status);
	conn->state = IDLE;
	/* An answer before the last byte was sent (401 at the head): the rest would be the beginning of something else.
	 */
	if (last || conn->sent < conn->request_len)
		drop(conn);
	else
		next(conn);
}

static void ready(struct conn *conn, uint32_t events)
{
	if (conn->state == CONNECTING && (events & (EPOLLERR | EPOLLHUP)) != 0)
		drop(conn);
	else if (conn->state == CONNECTING)
		next(conn);
	else if (conn->state == SENDING && (events & EPOLLOUT) != 0)
		send_some(conn);
	else
		read_some(conn);
}

static void look_after(struct conn *conn, int64_t now)
{
	if (conn->state == CLOSED && now >= conn->due_ns)
		connect_to(conn);
	else if (conn->state == HOLDING && now >= conn->due_ns)
		send_some(conn);
	else if (conn->state == IDLE)
		next(conn);
	else if (conn->state != CLOSED && now - conn->begun_ns > ms(options.timeout_ms))
		drop(conn);
}

/* --- beginning and end ------------------------------------------------------------------------------ */

static void fail(const char *what)
{
	(void)fprintf(stderr, "knock: %s: %m\n", what);
	exit(1);
}

static void read_tokens(void)
{
	char line[128];
	FILE *file = fopen(options.tokens_path, "re");
	tokens = calloc(TOKENS_MAX, sizeof(*tokens));
	if (file == NULL || tokens == NULL)
		fail("tokens");
	while (token_count < TOKENS_MAX && fgets(line, sizeof(line), file) != NULL) {
		if (strcspn(line, "\n") != TOKEN_CHARS)
			fail("a line that is no token");
		memcpy(tokens[token_count++], line, TOKEN_CHARS);
	}
	(void)fclose(file);
	if (token_count == 0)
		fail("no tokens");
}

static void map_window(void)
{
	int fd = open(options.window_path, O_RDONLY | O_CLOEXEC);
	void *at = fd >= 0 ? mmap(NULL, sizeof(*window), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	if (at == MAP_FAILED)
		fail("window");
	window = at;
	(void)close(fd);
}

static void read_ports(const char *text)
{
	char *end = NULL;
	for (; options.port_count < PORTS_MAX && *text != '\0'; text = *end == ',' ? end + 1 : end) {
		options.ports[options.port_count] = (uint16_t)strtol(text, &end, 10);
		if (options.ports[options.port_count++] == 0)
			fail("ports");
	}
}

static void read_flags(int argc, char **argv)
{
	static const struct option FLAGS[] = {
		{"port", required_argument, NULL, 'p'},
		{"tokens", required_argument, NULL, 't'},
		{"records", required_argument, NULL, 'r'},
		{"window", required_argument, NULL, 'w'},
		{"connections", required_argument, NULL, 'c'},
		{"hold-every", required_argument, NULL, 'e'},
		{"hold-ms", required_argument, NULL, 'h'},
		{"timeout-ms", required_argument, NULL, 'T'},
		{"rate", required_argument, NULL, 'R'},
		{"sources", required_argument, NULL, 's'},
		{"random", no_argument, NULL, 'x'},
		{"get-only", no_argument, NULL, 'g'},
		{NULL, 0, NULL, 0},
	};
	int flag;
	while ((flag = getopt_long(argc, argv, "", FLAGS, NULL)) != -1) {
		int number = optarg != NULL ? (int)strtol(optarg, NULL, 10) : 0;
		switch (flag) {
		case 'p':
			read_ports(optarg);
			break;
		case 't':
			options.tokens_path = optarg;
			break;
		case 'r':
			options.records_path = optarg;
			break;
		case 'w':
			options.window_path = optarg;
			break;
		case 'c':
			options.connections = number;
			break;
		case 'e':
			options.hold_every = number;
			break;
		case 'h':
			options.hold_ms = number;
			break;
		case 'T':
			options.timeout_ms = number;
			break;
		case 'R':
			options.rate_per_s = number;
			break;
		case 's':
			options.sources = number;
			break;
		case 'x':
			options.random = true;
			break;
		case 'g':
			options.get_only = true;
			break;
		default:
			exit(2);
		}
	}
	if (options.port_count == 0 || options.records_path == NULL || options.sources < 1 || options.connections < 1 ||
	    options.connections > CONNECTIONS_MAX || (options.tokens_path == NULL && !options.random))
		fail("flags");
}

static bool parent_is_there(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	return poll(&input, 1, 0) == 0;
}

static void loop(void)
{
	struct epoll_event events[EVENTS_MAX];
	int64_t swept_ns = 0;
	while (parent_is_there()) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, TURN_MS);
		for (int i = 0; i < n; i++)
			ready(events[i].data.ptr, events[i].events);
		int64_t now = now_ns();
		if (now - swept_ns < ms(TURN_MS))
			continue;
		swept_ns = now;
		for (int i = 0; i < options.connections; i++)
			look_after(&conns[i], now);
	}
}

int main(int argc, char **argv)
{
	read_flags(argc, argv);
	if (!options.random)
		read_tokens();
	if (options.window_path != NULL)
		map_window();
	records = fopen(options.records_path, "we");
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (records == NULL || epoll_fd < 0)
		fail("records");
	begun_ns = now_ns();
	for (int i = 0; i < options.connections; i++)
		conns[i] = (struct conn){.fd = -1, .number = i};
	loop();
	free(tokens);
	return fclose(records) == 0 ? 0 : 1;
}
