/* The closed loop: connections on epoll, each with one request under way. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/load/load.h"

enum conn_state { CONN_IDLE, CONN_CONNECTING, CONN_SENDING, CONN_READING, CONN_PAUSED };

struct conn {
	int fd;
	SSL *ssl;
	enum conn_state state;
	bool has_request; /* retry: the same one again */
	struct load_request request;
	struct buf storage;
	size_t sent;
	char answer[4096];
	size_t answer_len;
	int64_t started_ns, again_ns;
	int port_index;
};

struct load {
	const struct load_options *options;
	struct load_report *report;
	struct load_maker *maker;
	SSL_CTX *tls;
	FILE *acked;
	struct conn *conns;
	int epoll_fd;
	uint64_t serial, finished;
	int64_t begin_ns, measure_ns, end_ns;
	bool counting;
};

static int64_t now_ns(void)
{
	return clock_mono_ns(clock_system());
}

static void conn_close(struct conn *conn)
{
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	if (conn->fd >= 0)
		(void)close(conn->fd);
	conn->fd = -1;
	conn->state = CONN_IDLE;
}

/* A failed try: another one a little later, so that a dead server is not hammered. */
static void conn_failed(struct load *load, struct conn *conn, uint64_t *counter)
{
	if (load->counting)
		(*counter)++;
	conn_close(conn);
	conn->again_ns = now_ns() + 20 * 1000 * 1000;
	if (!load->options->retry)
		conn->has_request = false;
}

static void conn_watch(struct load *load, struct conn *conn, uint32_t events, int op)
{
	struct epoll_event event = {.events = events, .data.ptr = conn};
	(void)epoll_ctl(load->epoll_fd, op, conn->fd, &event);
}

static void conn_connect(struct load *load, struct conn *conn)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(load->options->ports[conn->port_index]),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1;
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0) {
		conn_failed(load, conn, &load->report->errors);
		return;
	}
	(void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EINPROGRESS) {
		conn_failed(load, conn, &load->report->errors);
		return;
	}
	if (load->tls != NULL) {
		conn->ssl = SSL_new(load->tls);
		SSL_set_fd(conn->ssl, conn->fd);
		SSL_set_connect_state(conn->ssl);
	}
	if (load->counting)
		load->report->reconnects++;
	conn->state = CONN_CONNECTING;
	conn_watch(load, conn, EPOLLOUT | EPOLLIN, EPOLL_CTL_ADD);
}

/* -1 failed, 0 would block, else bytes. */
static ssize_t conn_write(struct conn *conn, const uint8_t *data, size_t len)
{
	if (conn->ssl != NULL) {
		int n = SSL_write(conn->ssl, data, (int)len);
		int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, n);
		return n > 0 ? n : why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
	}
	ssize_t n = send(conn->fd, data, len, MSG_NOSIGNAL);
	return n >= 0 ? n : errno == EAGAIN || errno == ENOTCONN ? 0 : -1;
}

static ssize_t conn_read(struct conn *conn)
{
	char *at = conn->answer + conn->answer_len;
	size_t room = sizeof(conn->answer) - 1 - conn->answer_len;
	if (conn->ssl != NULL) {
		int n = SSL_read(conn->ssl, at, (int)room);
		int why = n > 0 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, n);
		return n > 0 ? n : why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
	}
	ssize_t n = recv(conn->fd, at, room, 0);
	return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
}

static void conn_send(struct load *load, struct conn *conn)
{
	while (conn->sent < conn->request.len) {
		ssize_t n = conn_write(conn, conn->request.data + conn->sent, conn->request.len - conn->sent);
		if (n < 0) {
			conn_failed(load, conn, &load->report->errors);
			return;
		}
		if (n == 0) {
			conn_watch(load, conn, EPOLLOUT | EPOLLIN, EPOLL_CTL_MOD);
			return;
		}
		conn->sent += (size_t)n;
	}
	if (conn->state == CONN_SENDING)
		conn_watch(load, conn, EPOLLIN, EPOLL_CTL_MOD);
	conn->state = CONN_READING;
}

static bool load_over(const struct load *load)
{
	return load->options->count > 0 && load->serial >= (uint64_t)load->options->count;
}

static bool rate_reached(const struct load *load)
{
	if (load->options->rate_per_s == 0)
		return false;
	double elapsed_s = (double)(now_ns() - load->begin_ns) / 1e9;
	return (double)load->serial > elapsed_s * (double)load->options->rate_per_s;
}

/* Takes the next request on an open connection, or pauses it when there is none to send now. */
static void conn_next(struct load *load, struct conn *conn)
{
	if (!conn->has_request) {
		if (load_over(load) || rate_reached(load)) {
			conn->state = CONN_PAUSED;
			return;
		}
		if (!load_maker_make(load->maker, load->serial++, &conn->storage, &conn->request))
			abort();
		conn->has_request = true;
	}
	conn->sent = 0;
	conn->answer_len = 0;
	conn->started_ns = now_ns();
	bool was_open = conn->state == CONN_READING || conn->state == CONN_PAUSED;
	conn->state = was_open ? CONN_READING : CONN_SENDING;
	conn_send(load, conn);
}

static size_t slot_of(int64_t us)
{
	if (us < 32)
		return (size_t)(us < 0 ? 0 : us);
	int power = 63 - __builtin_clzll((unsigned long long)us);
	size_t slot = (size_t)(power - 4) * 32 + (size_t)((us >> (power - 5)) & 31);
	return slot < LOAD_HISTOGRAM_SLOTS ? slot : LOAD_HISTOGRAM_SLOTS - 1;
}

static double us_of_slot(size_t slot)
{
	if (slot < 32)
		return (double)slot;
	size_t power = slot / 32 + 4;
	return (double)((1ULL << power) + ((slot % 32) << (power - 5)));
}

static void conn_answered(struct load *load, struct conn *conn, int status, bool close_after)
{
	bool kept = status >= 200 && status < 300;
	load->finished += kept || !load->options->retry;
	if (load->counting) {
		load->report->answered++;
		load->report->status[status]++;
		load->report->histogram[slot_of((now_ns() - conn->started_ns) / 1000)]++;
	}
	if (kept && load->acked != NULL)
		(void)fprintf(load->acked, "%s\n", conn->request.id);
	if (kept || !load->options->retry)
		conn->has_request = false;
	if (close_after)
		conn_close(conn);
	if (!kept && load->options->retry) {
		conn->again_ns = now_ns() + 50 * 1000 * 1000;
		if (!close_after)
			conn->state = CONN_PAUSED;
		return;
	}
	if (!close_after)
		conn_next(load, conn);
}

/* One whole answer with Content-Length in the buffer? Returns its status, 0 when more is needed, -1 when it is not
 * HTTP. */
static int answer_status(struct conn *conn, bool *close_after)
{
	conn->answer[conn->answer_len] = '\0';
	const char *end = strstr(conn->answer, "\r\n\r\n");
	if (end == NULL)
		return conn->answer_len == sizeof(conn->answer) - 1 ? -1 : 0;
	if (strncmp(conn->answer, "HTTP/1.1 ", 9) != 0)
		return -1;
	long status = strtol(conn->answer + 9, NULL, 10);
	const char *length = strcasestr(conn->answer, "\r\ncontent-length:");
	size_t body = length != NULL && length < end ? (size_t)strtoul(length + 17, NULL, 10) : 0;
	if (conn->answer_len < (size_t)(end + 4 - conn->answer) + body)
		return 0;
	const char *closing = strcasestr(conn->answer, "\r\nconnection: close");
	*close_after = closing != NULL && closing < end;
	return status > 0 && status < LOAD_STATUS_MAX ? (int)status : -1;
}

static void conn_readable(struct load *load, struct conn *conn)
{
	ssize_t n = conn_read(conn);
	if (n == 0)
		return;
	if (n < 0) {
		conn_failed(load, conn, &load->report->errors);
		return;
	}
	conn->answer_len += (size_t)n;
	bool close_after = false;
	int status = answer_status(conn, &close_after);
	if (status < 0)
		conn_failed(load, conn, &load->report->errors);
	else if (status > 0)
		conn_answered(load, conn, status, close_after);
}

static void conn_ready(struct load *load, struct conn *conn, uint32_t events)
{
	if (conn->state == CONN_CONNECTING) {
		if (events & (EPOLLERR | EPOLLHUP)) {
			conn_failed(load, conn, &load->report->errors);
			return;
		}
		if (conn->ssl != NULL) {
			int done = SSL_do_handshake(conn->ssl);
			int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(conn->ssl, done);
			if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
				conn_watch(load, conn, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, EPOLL_CTL_MOD);
				return;
			}
			if (why != SSL_ERROR_NONE) {
				conn_failed(load, conn, &load->report->errors);
				return;
			}
		}
		conn_next(load, conn);
	} else if (conn->state == CONN_SENDING && (events & EPOLLOUT)) {
		conn_send(load, conn);
	} else if (conn->state == CONN_PAUSED) {
		conn_close(conn); /* the server closed an idle connection */
	} else if (conn->state != CONN_IDLE) {
		conn_readable(load, conn);
	}
}

/* Connections that wait for something other than the socket: closed, paused, timed out. */
static void sweep(struct load *load)
{
	int64_t now = now_ns();
	for (int i = 0; i < load->options->connections; i++) {
		struct conn *conn = &load->conns[i];
		bool waiting =
			conn->state == CONN_SENDING || conn->state == CONN_READING || conn->state == CONN_CONNECTING;
		if (conn->state == CONN_IDLE && now >= conn->again_ns && (conn->has_request || !load_over(load)))
			conn_connect(load, conn);
		else if (conn->state == CONN_PAUSED && now >= conn->again_ns && (conn->has_request || !load_over(load)))
			conn_next(load, conn);
		else if (waiting && conn->started_ns > 0 &&
			 now - conn->started_ns > load->options->timeout_ms * 1000000)
			conn_failed(load, conn, &load->report->timeouts);
	}
}

static bool all_done(const struct load *load)
{
	if (!load_over(load))
		return false;
	for (int i = 0; i < load->options->connections; i++)
		if (load->conns[i].has_request)
			return false;
	return true;
}

static void loop(struct load *load)
{
	struct epoll_event events[256];
	int64_t next_sweep = 0;
	while (!all_done(load)) {
		int64_t now = now_ns();
		if (now >= load->end_ns)
			return;
		if (!load->counting && now >= load->measure_ns)
			load->counting = true;
		if (now >= next_sweep) {
			sweep(load);
			next_sweep = now + (load->options->rate_per_s > 0 ? 1 : 5) * 1000 * 1000;
		}
		int n = epoll_wait(load->epoll_fd, events, 256, 1);
		for (int i = 0; i < n; i++)
			conn_ready(load, events[i].data.ptr, events[i].events);
	}
}

static bool prepare(struct load *load, struct err *err)
{
	const struct load_options *options = load->options;
	if (options->tls) {
		/* A measuring client on loopback: the server's certificate is not what is tested here. */
		load->tls = SSL_CTX_new(TLS_client_method());
		if (load->tls == NULL)
			return err_set(err, ERR_INTERNAL, "no TLS context");
	}
	if (options->acked_path != NULL && (load->acked = fopen(options->acked_path, "we")) == NULL)
		return err_set(err, ERR_IO, "cannot write %s: %m", options->acked_path);
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	load->conns = calloc((size_t)options->connections, sizeof(*load->conns));
	if (load->epoll_fd < 0 || load->conns == NULL)
		return err_set(err, ERR_FULL, "no room for %d connections", options->connections);
	for (int i = 0; i < options->connections; i++) {
		load->conns[i].fd = -1;
		load->conns[i].port_index = i % (int)options->port_count;
		buf_init(&load->conns[i].storage, LOAD_REQUEST_BYTES_MAX);
	}
	load->maker = load_maker_new(options, err);
	return load->maker != NULL;
}

bool load_run(const struct load_options *options, struct load_report *report, struct err *err)
{
	struct load load = {.options = options, .report = report, .epoll_fd = -1};
	bool done = prepare(&load, err);
	if (done) {
		load.begin_ns = now_ns();
		load.measure_ns = load.begin_ns + options->warmup_ms * 1000000;
		load.end_ns = options->seconds > 0 ? load.measure_ns + options->seconds * 1000000000 : INT64_MAX;
		load.counting = options->warmup_ms == 0;
		loop(&load);
		report->seconds = (double)(now_ns() - load.measure_ns) / 1e9;
	}
	for (int i = 0; load.conns != NULL && i < options->connections; i++) {
		conn_close(&load.conns[i]);
		buf_free(&load.conns[i].storage);
	}
	free(load.conns);
	load_maker_free(load.maker);
	SSL_CTX_free(load.tls);
	if (load.epoll_fd >= 0)
		(void)close(load.epoll_fd);
	if (load.acked != NULL && fclose(load.acked) != 0 && done)
		done = err_set(err, ERR_IO, "cannot write %s: %m", options->acked_path);
	return done;
}

double load_percentile_us(const struct load_report *report, double share)
{
	uint64_t wanted = (uint64_t)((double)report->answered * share), seen = 0;
	for (size_t i = 0; i < LOAD_HISTOGRAM_SLOTS; i++) {
		seen += report->histogram[i];
		if (seen > wanted)
			return us_of_slot(i);
	}
	return 0;
}

void load_report_print(FILE *to, const struct load_report *report)
{
	(void)fprintf(to, "{\"answered\":%llu,\"errors\":%llu,\"timeouts\":%llu,\"connects\":%llu,\"seconds\":%.3f,",
		      (unsigned long long)report->answered, (unsigned long long)report->errors,
		      (unsigned long long)report->timeouts, (unsigned long long)report->reconnects, report->seconds);
	(void)fprintf(to, "\"per_second\":%.1f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"max_us\":%.0f,\"status\":{",
		      (double)report->answered / report->seconds, load_percentile_us(report, 0.5),
		      load_percentile_us(report, 0.99), load_percentile_us(report, 0.999999));
	const char *comma = "";
	for (int i = 0; i < LOAD_STATUS_MAX; i++)
		if (report->status[i] > 0) {
			(void)fprintf(to, "%s\"%d\":%llu", comma, i, (unsigned long long)report->status[i]);
			comma = ",";
		}
	(void)fprintf(to, "}}\n");
}
