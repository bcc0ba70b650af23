#include "common/admin.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"

/* One request and its answer; fd -1 is a free place. */
struct client {
	int fd;
	int64_t due_ns;
	size_t request_len;
	char request[ADMIN_REQUEST_BYTES_MAX + 1];
	struct buf answer;
	size_t sent; /* of the answer; it is being written when answer.len > 0 */
};

struct admin {
	struct admin_options options;
	int port;
	int listen_fd;
	int stop_fd;
	bool resting; /* without descriptors or memory nobody is accepted for one round */
	pthread_t thread;
	struct client clients[ADMIN_CONNECTIONS_MAX];
};

/* What a handler says; the text goes to the body. */
struct reply {
	int status;
	const char *content_type;
	struct buf body;
};

struct request {
	const char *method;
	const char *path;
	const char *body;
	bool has_origin;
};

struct route {
	const char *method;
	const char *path;
	void (*handle)(struct admin *admin, const struct request *request, struct reply *reply);
};

/* --- routes --------------------------------------------------------------------------------------- */

static void say(struct reply *reply, int status, const char *text)
{
	reply->status = status;
	if (!buf_append_text(&reply->body, text))
		reply->status = 500;
}

static void get_health(struct admin *admin, const struct request *request, struct reply *reply)
{
	(void)request;
	bool alive = admin->options.alive(admin->options.cookie);
	say(reply, alive ? 200 : 503, alive ? "alive\n" : "not alive\n");
}

static void get_ready(struct admin *admin, const struct request *request, struct reply *reply)
{
	(void)request;
	if (admin->options.ready(admin->options.cookie, &reply->body))
		say(reply, 200, "ready\n");
	else
		reply->status = 503;
}

static void get_metrics(struct admin *admin, const struct request *request, struct reply *reply)
{
	(void)request;
	reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
	reply->status = admin->options.metrics(admin->options.cookie, &reply->body) ? 200 : 500;
	if (reply->status == 500)
		buf_clear(&reply->body);
}

static void get_level(struct admin *admin, const struct request *request, struct reply *reply)
{
	static const char *const NAMES[] = {"error\n", "warn\n", "info\n", "debug\n"};
	(void)admin;
	(void)request;
	say(reply, 200, NAMES[log_get_level()]);
}

static void set_level(struct admin *admin, const struct request *request, struct reply *reply)
{
	enum log_level level;
	if (!log_level_parse(request->body, &level)) {
		say(reply, 400, "not a level: error, warn, info or debug\n");
		return;
	}
	log_set_level(level);
	LOG(WARN, "log_level_changed", F_TEXT("to", request->body));
	get_level(admin, request, reply);
}

static void get_trace(struct admin *admin, const struct request *request, struct reply *reply)
{
	static const char *const NAMES[] = {"http", "kafka", "pg", "worker", "stripe"};
	uint32_t topics = log_get_topics();
	(void)admin;
	(void)request;
	for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
		if ((topics & 1u << i) != 0 &&
		    !buf_printf(&reply->body, "%s%s", reply->body.len > 0 ? "," : "", NAMES[i]))
			return;
	}
	say(reply, 200, reply->body.len > 0 ? "\n" : "none\n");
}

static void set_trace(struct admin *admin, const struct request *request, struct reply *reply)
{
	uint32_t topics;
	if (!log_topics_parse(request->body, &topics)) {
		say(reply, 400, "not a list of topics: http, kafka, pg, worker, stripe; or none, all\n");
		return;
	}
	log_set_topics(topics);
	LOG(WARN, "log_trace_changed", F_TEXT("to", request->body));
	get_trace(admin, request, reply);
}

static const struct route ROUTES[] = {
	{"GET", "/healthz", get_health},   {"GET", "/readyz", get_ready},     {"GET", "/metrics", get_metrics},
	{"GET", "/log/level", get_level},  {"POST", "/log/level", set_level}, {"GET", "/log/trace", get_trace},
	{"POST", "/log/trace", set_trace},
};

static void answer(struct admin *admin, const struct request *request, struct reply *reply)
{
	const char *method = strcmp(request->method, "HEAD") == 0 ? "GET" : request->method;
	bool known_path = false;
	if (strcmp(method, "GET") != 0 && request->has_origin) {
		say(reply, 403, "not from a browser\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++) {
		if (strcmp(ROUTES[i].path, request->path) != 0)
			continue;
		known_path = true;
		if (strcmp(ROUTES[i].method, method) == 0) {
			ROUTES[i].handle(admin, request, reply);
			return;
		}
	}
	say(reply, known_path ? 405 : 404, known_path ? "method not allowed\n" : "not found\n");
}

/* --- HTTP ----------------------------------------------------------------------------------------- */

enum parsed { PARSED_PARTIAL, PARSED_WHOLE, PARSED_BAD };

/* The value of a header line, cut at its end; NULL: it is another header. */
static char *header_value(char *line, const char *name)
{
	size_t len = strlen(name);
	if (strncasecmp(line, name, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	return line + strspn(line, " \t");
}

/* Takes the text apart in place. A tool's request is simple; what is not is refused. */
static enum parsed parse(char *text, size_t len, struct request *request)
{
	size_t body_len = 0;
	text[len] = '\0';
	char *head_end = strstr(text, "\r\n\r\n");
	if (strlen(text) != len)
		return PARSED_BAD;
	if (head_end == NULL)
		return len == ADMIN_REQUEST_BYTES_MAX ? PARSED_BAD : PARSED_PARTIAL;
	char *body = head_end + 4;
	for (char *line = strstr(text, "\r\n"); line != NULL && line < head_end; line = strstr(line, "\r\n")) {
		line += 2;
		char *length = header_value(line, "content-length");
		if (length != NULL)
			body_len = strtoul(length, NULL, 10);
		if (header_value(line, "transfer-encoding") != NULL)
			return PARSED_BAD;
		request->has_origin = request->has_origin || header_value(line, "origin") != NULL;
	}
	if (body_len > ADMIN_REQUEST_BYTES_MAX - (size_t)(body - text))
		return PARSED_BAD;
	if (len < (size_t)(body - text) + body_len)
		return PARSED_PARTIAL;
	body[body_len] = '\0';
	body[strcspn(body, "\r\n")] = '\0';
	char *space = strchr(text, ' ');
	char *end = space != NULL ? strpbrk(space + 1, " ?\r") : NULL;
	if (end == NULL || *end == '\r')
		return PARSED_BAD;
	*space = '\0';
	*end = '\0';
	request->method = text;
	request->path = space + 1;
	request->body = body;
	return PARSED_WHOLE;
}

static const char *phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

static void respond(struct admin *admin, struct client *client, const struct request *request)
{
	struct reply reply = {.status = 400, .content_type = "text/plain; charset=utf-8"};
	buf_init(&reply.body, ADMIN_ANSWER_BYTES_MAX);
	if (request != NULL)
		answer(admin, request, &reply);
	bool head_only = request != NULL && strcmp(request->method, "HEAD") == 0;
	if (!buf_printf(&client->answer,
			"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
			"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
			reply.status, phrase(reply.status), reply.content_type, reply.body.len) ||
	    (!head_only && !buf_append(&client->answer, reply.body.data, reply.body.len)))
		buf_clear(&client->answer);
	buf_free(&reply.body);
}

/* --- connections ---------------------------------------------------------------------------------- */

static void drop(struct client *client)
{
	(void)close(client->fd);
	buf_free(&client->answer);
	client->fd = -1;
}

static void accept_client(struct admin *admin)
{
	int fd = accept4(admin->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		/* The client still waits, and poll would say so at once. */
		admin->resting = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
		return;
	}
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		struct client *client = &admin->clients[i];
		if (client->fd >= 0)
			continue;
		client->fd = fd;
		client->request_len = 0;
		client->sent = 0;
		client->due_ns = clock_mono_ns(clock_system()) + (int64_t)ADMIN_TIMEOUT_MS * 1000000;
		buf_init(&client->answer, ADMIN_ANSWER_BYTES_MAX + ADMIN_REQUEST_BYTES_MAX);
		return;
	}
	(void)close(fd);
}

static void read_client(struct admin *admin, struct client *client)
{
	struct request request = {0};
	ssize_t got = recv(client->fd, client->request + client->request_len,
			   ADMIN_REQUEST_BYTES_MAX - client->request_len, 0);
	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			drop(client);
		return;
	}
	client->request_len += (size_t)got;
	enum parsed parsed = parse(client->request, client->request_len, &request);
	if (parsed == PARSED_PARTIAL)
		return;
	respond(admin, client, parsed == PARSED_WHOLE ? &request : NULL);
	if (client->answer.len == 0)
		drop(client);
}

static void write_client(struct client *client)
{
	ssize_t put =
		send(client->fd, client->answer.data + client->sent, client->answer.len - client->sent, MSG_NOSIGNAL);
	if (put < 0 && errno == EAGAIN)
		return;
	if (put > 0)
		client->sent += (size_t)put;
	if (put <= 0 || client->sent == client->answer.len)
		drop(client);
}

/* The places of the poll set: the stop signal, the listener, then the clients. */
enum { AT_STOP, AT_LISTEN, AT_CLIENTS, AT_COUNT = AT_CLIENTS + ADMIN_CONNECTIONS_MAX };

static void fill_set(const struct admin *admin, struct pollfd *set)
{
	set[AT_STOP] = (struct pollfd){.fd = admin->stop_fd, .events = POLLIN};
	/* poll() passes over a negative descriptor. */
	set[AT_LISTEN] = (struct pollfd){.fd = admin->resting ? -1 : admin->listen_fd, .events = POLLIN};
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		const struct client *client = &admin->clients[i];
		set[AT_CLIENTS + i] =
			(struct pollfd){.fd = client->fd, .events = client->answer.len > 0 ? POLLOUT : POLLIN};
	}
}

static void serve_clients(struct admin *admin, const struct pollfd *set)
{
	int64_t now_ns = clock_mono_ns(clock_system());
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		struct client *client = &admin->clients[i];
		if (client->fd < 0)
			continue;
		if (client->due_ns <= now_ns)
			drop(client);
		else if (set[AT_CLIENTS + i].revents != 0 && client->answer.len > 0)
			write_client(client);
		else if (set[AT_CLIENTS + i].revents != 0)
			read_client(admin, client);
	}
}

static void *run(void *cookie)
{
	struct admin *admin = cookie;
	struct pollfd set[AT_COUNT];
	for (;;) {
		fill_set(admin, set);
		if (poll(set, AT_COUNT, admin->resting ? ACCEPT_PAUSE_MS : 1000) < 0 && errno != EINTR)
			break;
		admin->resting = false;
		if (set[AT_STOP].revents != 0)
			break;
		serve_clients(admin, set);
		if (set[AT_LISTEN].revents != 0)
			accept_client(admin);
	}
	return NULL;
}

/* --- life ----------------------------------------------------------------------------------------- */

static bool listen_on(struct admin *admin, struct err *err)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct sockaddr_in bound;
	socklen_t len = sizeof(bound);
	char service[16];
	int on = 1;
	(void)snprintf(service, sizeof(service), "%d", admin->options.port);
	int code = getaddrinfo(admin->options.address, service, &hints, &found);
	if (code != 0)
		return err_set(err, ERR_INVALID, "admin_address %s: %s", admin->options.address, gai_strerror(code));
	admin->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool good = admin->listen_fd >= 0 &&
		    setsockopt(admin->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		    bind(admin->listen_fd, found->ai_addr, found->ai_addrlen) == 0 &&
		    listen(admin->listen_fd, ADMIN_CONNECTIONS_MAX) == 0 &&
		    getsockname(admin->listen_fd, (struct sockaddr *)&bound, &len) == 0;
	int fault = errno;
	freeaddrinfo(found);
	if (!good)
		return err_set(err, ERR_IO, "while listening on %s port %s (admin): %s", admin->options.address,
			       service, strerror(fault));
	admin->port = ntohs(bound.sin_port); /* at the same place in IPv6's */
	return true;
}

static void free_admin(struct admin *admin)
{
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++) {
		if (admin->clients[i].fd >= 0)
			drop(&admin->clients[i]);
	}
	if (admin->listen_fd >= 0)
		(void)close(admin->listen_fd);
	if (admin->stop_fd >= 0)
		(void)close(admin->stop_fd);
	free(admin);
}

struct admin *admin_start(const struct admin_options *options, struct err *err)
{
	struct admin *admin = calloc(1, sizeof(*admin));
	sigset_t all;
	sigset_t before;
	if (admin == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the admin listener");
		return NULL;
	}
	admin->options = *options;
	admin->listen_fd = -1;
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
		admin->clients[i].fd = -1;
	admin->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (admin->stop_fd < 0) {
		(void)err_set(err, ERR_IO, "while starting the admin listener: %s", strerror(errno));
		goto failed;
	}
	if (!listen_on(admin, err))
		goto failed;
	/* The thread takes no signals: they are the main thread's. */
	sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int fault = pthread_create(&admin->thread, NULL, run, admin);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (fault != 0) {
		(void)err_set(err, ERR_IO, "while starting the admin listener: %s", strerror(fault));
		goto failed;
	}
	return admin;
failed:
	free_admin(admin);
	return NULL;
}

int admin_port(const struct admin *admin)
{
	return admin->port;
}

void admin_stop(struct admin *admin)
{
	const uint64_t one = 1;
	if (admin == NULL)
		return;
	ssize_t put = write(admin->stop_fd, &one, sizeof(one));
	assert(put == (ssize_t)sizeof(one));
	(void)put;
	(void)pthread_join(admin->thread, NULL);
	free_admin(admin);
}
