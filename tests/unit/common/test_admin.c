/*
 * The admin listener: what operators and their tools ask, and what a web page on the same machine must not do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/admin.h"
#include "common/limits.h"
#include "common/log.h"

struct program {
	bool alive;
	bool ready;
	struct admin *admin;
};

static bool on_alive(void *cookie)
{
	const struct program *program = cookie;

	return program->alive;
}

static bool on_ready(void *cookie, struct buf *reasons)
{
	const struct program *program = cookie;

	if (!program->ready)
		assert_true(buf_append_text(reasons, "kafka_down\npostgres_down\n"));
	return program->ready;
}

static bool on_metrics(void *cookie, struct buf *out)
{
	(void)cookie;
	return buf_append_text(out, "t_total 1\n");
}

static int setup(void **state)
{
	static struct program program;
	struct err err;

	program = (struct program){.alive = true, .ready = true};
	program.admin = admin_start(&(struct admin_options){.address = "127.0.0.1",
							    .cookie = &program,
							    .alive = on_alive,
							    .ready = on_ready,
							    .metrics = on_metrics},
				    &err);
	assert_non_null(program.admin);
	log_set_level(LOG_LEVEL_ERROR);
	log_set_topics(0);
	*state = &program;
	return 0;
}

static int teardown(void **state)
{
	const struct program *program = *state;

	admin_stop(program->admin);
	return 0;
}

static void pause_us(long us)
{
	const struct timespec time = {.tv_nsec = us * 1000};

	(void)nanosleep(&time, NULL);
}

static int connect_to(const struct program *program)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons((uint16_t)admin_port(program->admin)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval limit = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* The whole answer to a request that is sent in pieces of `step` bytes. */
static const char *ask_in_steps(const struct program *program, const char *request, size_t step)
{
	static char answer[8192];
	size_t len = 0;
	ssize_t got;
	int fd = connect_to(program);

	for (size_t at = 0; at < strlen(request); at += step) {
		size_t rest = strlen(request) - at;
		assert_true(send(fd, request + at, rest < step ? rest : step, MSG_NOSIGNAL) > 0);
		if (step == 1)
			pause_us(200);
	}
	while ((got = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
		len += (size_t)got;
	answer[len] = '\0';
	(void)close(fd);
	return answer;
}

static const char *ask(const struct program *program, const char *request)
{
	return ask_in_steps(program, request, SIZE_MAX / 2);
}

static void assert_answer(const char *answer, const char *status, const char *body)
{
	char line[64];

	(void)snprintf(line, sizeof(line), "HTTP/1.1 %s", status);
	assert_ptr_equal(strstr(answer, line), answer);
	const char *end = strstr(answer, "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end + 4, body);
}

/* Why: an orchestrator restarts, waits and scrapes by these three. How: both states of each; HEAD has no body; a
 * request may come byte by byte. */
static void health_readiness_and_metrics(void **state)
{
	struct program *program = *state;

	assert_answer(ask(program, "GET /healthz HTTP/1.1\r\n\r\n"), "200", "alive\n");
	assert_answer(ask(program, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"), "200", "ready\n");
	assert_answer(ask(program, "HEAD /readyz HTTP/1.1\r\n\r\n"), "200", "");
	assert_answer(ask(program, "GET /metrics?x=y HTTP/1.0\r\n\r\n"), "200", "t_total 1\n");
	assert_non_null(strstr(ask(program, "GET /metrics HTTP/1.1\r\n\r\n"), "text/plain; version=0.0.4"));
	assert_answer(ask_in_steps(program, "GET /metrics HTTP/1.1\r\nA: b\r\n\r\n", 1), "200", "t_total 1\n");
	program->alive = false;
	program->ready = false;
	assert_answer(ask(program, "GET /healthz HTTP/1.1\r\n\r\n"), "503", "not alive\n");
	assert_answer(ask(program, "GET /readyz HTTP/1.1\r\n\r\n"), "503", "kafka_down\npostgres_down\n");
}

/* Why: an operator looks closer without a restart. How: level and topics are set, shown and refused. */
static void level_and_topics_change_at_run_time(void **state)
{
	const struct program *program = *state;

	assert_answer(ask(program, "GET /log/level HTTP/1.1\r\n\r\n"), "200", "error\n");
	assert_answer(ask(program, "POST /log/level HTTP/1.1\r\nContent-Length: 5\r\n\r\ndebug"), "200", "debug\n");
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	assert_int_equal(
		strncmp(ask(program, "POST /log/level HTTP/1.1\r\nContent-Length: 4\r\n\r\nloud"), "HTTP/1.1 400", 12),
		0);
	assert_int_equal(log_get_level(), LOG_LEVEL_DEBUG);
	assert_answer(ask(program, "GET /log/trace HTTP/1.1\r\n\r\n"), "200", "none\n");
	assert_answer(ask_in_steps(program, "POST /log/trace HTTP/1.1\r\nContent-Length: 8\r\n\r\nhttp,pg\n", 1), "200",
		      "http,pg\n");
	assert_int_equal(log_get_topics(), LOG_TOPIC_HTTP | LOG_TOPIC_PG);
	log_set_level(LOG_LEVEL_ERROR);
	log_set_topics(0);
}

/* Why: any web page can make a browser POST to this address. How: browsers send Origin with it; that is refused. */
static void browsers_change_nothing(void **state)
{
	const struct program *program = *state;

	assert_answer(ask(program, "POST /log/level HTTP/1.1\r\nOrigin: http://a\r\nContent-Length: 5\r\n\r\ndebug"),
		      "403", "not from a browser\n");
	assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
}

/* Why: what is not understood must be said, not guessed. How: unknown paths, methods and malformed requests. */
static void the_rest_is_refused(void **state)
{
	const struct program *program = *state;

	assert_answer(ask(program, "GET / HTTP/1.1\r\n\r\n"), "404", "not found\n");
	assert_answer(ask(program, "POST /healthz HTTP/1.1\r\n\r\n"), "405", "method not allowed\n");
	assert_answer(ask(program, "GET\r\n\r\n"), "400", "");
	assert_answer(ask(program, "GET /\r\n\r\n"), "400", "");
	assert_answer(ask(program, "POST /log/level HTTP/1.1\r\nContent-Length: 99999\r\n\r\n"), "400", "");
	assert_answer(ask(program, "POST /log/level HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), "400", "");
	char *large = malloc(ADMIN_REQUEST_BYTES_MAX + 1);
	assert_non_null(large);
	memset(large, 'a', ADMIN_REQUEST_BYTES_MAX);
	large[ADMIN_REQUEST_BYTES_MAX] = '\0';
	assert_answer(ask(program, large), "400", "");
	free(large);
}

/* Why: somebody who connects and says nothing must not lock the operator out. How: one silent connection beside a
 * working one; with all places taken the next is closed, and when they go it works again. */
static void silent_connections_do_not_lock_out(void **state)
{
	const struct program *program = *state;
	int silent[ADMIN_CONNECTIONS_MAX];

	silent[0] = connect_to(program);
	assert_answer(ask(program, "GET /healthz HTTP/1.1\r\n\r\n"), "200", "alive\n");
	for (size_t i = 1; i < ADMIN_CONNECTIONS_MAX; i++)
		silent[i] = connect_to(program);
	pause_us(100000);
	int over = connect_to(program);
	char byte;
	assert_int_equal(recv(over, &byte, 1, 0), 0);
	(void)close(over);
	for (size_t i = 0; i < ADMIN_CONNECTIONS_MAX; i++)
		(void)close(silent[i]);
	pause_us(100000);
	assert_answer(ask(program, "GET /healthz HTTP/1.1\r\n\r\n"), "200", "alive\n");
}

/* Why: a wrong address must be told at the start. How: a text that is no address, and a port that is taken. */
static void a_bad_address_is_an_error(void **state)
{
	const struct program *program = *state;
	struct err err;
	struct admin_options options = {
		.address = "nowhere", .alive = on_alive, .ready = on_ready, .metrics = on_metrics};

	assert_null(admin_start(&options, &err));
	assert_int_equal(err.code, ERR_INVALID);
	options.address = "127.0.0.1";
	options.port = admin_port(program->admin);
	assert_null(admin_start(&options, &err));
	assert_int_equal(err.code, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(health_readiness_and_metrics, setup, teardown),
		cmocka_unit_test_setup_teardown(level_and_topics_change_at_run_time, setup, teardown),
		cmocka_unit_test_setup_teardown(browsers_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_rest_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(silent_connections_do_not_lock_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bad_address_is_an_error, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
