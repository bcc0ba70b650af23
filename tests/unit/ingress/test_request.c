/*
 * A request's life: one answer, one log line, whatever comes first: Kafka, the deadline, the client or the shutdown.
 *
 * The loop is not started: each test turns it by hand, over a real socket, with a clock that stands still. The test
 * itself plays the handler and Kafka.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ingress/loop_private.h"
#include "ingress/net/admission.h"
#include "ingress/rate.h"
#include "ingress/request_private.h"
#include "tests/unit/support/temp_dir.h"

static const char WEBHOOK[] = "POST /webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
static const char PAGE[] = "GET /.well-known/security.txt HTTP/1.1\r\nHost: a\r\n\r\n";

struct harness {
	struct temp_dir dir;
	char log_path[TEMP_PATH_BYTES];
	struct ingress ingress;
	struct clock_fake clock;
	struct loop *loop;
	int client;
};

static struct config *make_config(const struct temp_dir *dir)
{
	static const char TEXT[] = "environment = development\n"
				   "kafka_brokers = 127.0.0.1:1\n"
				   "tls = off\n"
				   "agents = off\n"
				   "listen_port = 0\n"
				   "head_timeout_ms = 1000\n"
				   "body_timeout_ms = 2000\n"
				   "idle_timeout_ms = 3000\n"
				   "drain_timeout_ms = 500\n";
	char program[] = "test";
	char flag[] = "--config";
	char path[TEMP_PATH_BYTES];
	struct err err = {0};
	int rest;

	temp_write_text(dir, "conf", TEXT);
	(void)temp_path(dir, "conf", path);
	char *argv[] = {program, flag, path, NULL};
	struct config *config = config_load(CONFIG_INGRESS, 3, argv, &rest, &err);
	assert_string_equal(err.text, "");
	assert_non_null(config);
	return config;
}

/* A few turns: what one turn leaves for the next is done too. */
static bool turn(struct harness *h)
{
	bool goes_on = true;

	for (int i = 0; i < 4; i++)
		goes_on = loop_turn(h->loop, false);
	return goes_on;
}

static int connect_to(int port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int setup(void **state)
{
	struct harness *h = calloc(1, sizeof(*h));
	struct err err;
	int port = 0;

	assert_non_null(h);
	temp_dir_make(&h->dir);
	assert_true(log_open("test", temp_path(&h->dir, "log", h->log_path), LOG_LEVEL_INFO, &err));
	clock_fake_init(&h->clock, 1000000000, 1700000000000);
	h->ingress.clock = &h->clock.clock;
	assert_int_equal(pthread_mutex_init(&h->ingress.settings_lock, NULL), 0);
	h->ingress.settings = settings_new(make_config(&h->dir), NULL, &err);
	h->ingress.admission = admission_new(8, &err);
	h->ingress.webhook_rate = rate_table_new(&err);
	assert_non_null(h->ingress.settings);
	h->loop = loop_new(&h->ingress, 0, &port, &err);
	assert_non_null(h->loop);
	assert_true(port > 0);
	h->client = connect_to(port);
	(void)turn(h);
	assert_int_equal(h->loop->connections.count, 1);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct harness *h = *state;

	if (h->client >= 0)
		(void)close(h->client);
	loop_free(h->loop);
	assert_int_equal(admission_count(h->ingress.admission), 0);
	rate_table_free(h->ingress.webhook_rate);
	admission_free(h->ingress.admission);
	settings_release(h->ingress.settings);
	pthread_mutex_destroy(&h->ingress.settings_lock);
	log_close();
	temp_dir_remove(&h->dir);
	free(h);
	return 0;
}

static void send_text(struct harness *h, const char *text)
{
	assert_int_equal(send(h->client, text, strlen(text), 0), strlen(text));
	(void)turn(h);
}

/* What the client has received since the last call. */
static const char *received(struct harness *h)
{
	static char text[65536];
	ssize_t got = recv(h->client, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[got > 0 ? got : 0] = '\0';
	return text;
}

static bool closed_by_server(struct harness *h)
{
	char byte;
	return recv(h->client, &byte, 1, MSG_DONTWAIT) == 0;
}

static struct connection *connection(struct harness *h)
{
	return h->loop->connections.first;
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word))
		count++;
	return count;
}

static void assert_log(struct harness *h, size_t lines, const char *word)
{
	char *text = temp_read(h->log_path, NULL);

	if (count_of(text, "event=request ") != lines || (word != NULL && count_of(text, word) != 1))
		print_message("%s", text);
	assert_int_equal(count_of(text, "event=request "), lines);
	if (word != NULL)
		assert_int_equal(count_of(text, word), 1);
	free(text);
}

static size_t done_count;

static void on_done(struct request *req, const struct kafka_ticket *ticket)
{
	done_count++;
	assert_int_equal(ticket->delivery, KAFKA_DELIVERY_DONE);
	assert_int_equal(request_body(req).len, 4);
	request_finish(
		req, &(struct answer){
			     .status = 200, .reason = "kept", .content_type = "text/plain", .body = bytes_of("kept")});
}

/* Sends all but the last byte of a webhook's body, then plays the handler that hands it to Kafka. */
static struct request *wait_for_kafka(struct harness *h, int deadline_ms)
{
	send_text(h, WEBHOOK);
	send_text(h, "abcd");
	struct request *req = connection_request(connection(h));
	assert_non_null(req);
	assert_int_equal(req->state, REQUEST_BODY);
	req->body_complete = true;
	request_set_state(req, REQUEST_HANDLING);
	request_note(req, "event", bytes_of("evt_1"));
	done_count = 0;
	request_on_ticket(req, on_done);
	request_wait(req, deadline_ms, "deadline_passed");
	connection_flush_soon(connection(h));
	(void)turn(h);
	return req;
}

static void come_back(struct harness *h, struct request *req)
{
	struct kafka_ticket *ticket = request_ticket(req);

	ticket->delivery = KAFKA_DELIVERY_DONE;
	ticket->next = NULL;
	loop_post_ticket(h->loop, ticket);
	(void)turn(h);
}

/* Why: this is the promise: 200 after Kafka has it, and not before. How: nothing is sent while it waits; then one
 * answer with every header that all answers carry, one line with the note. */
static void a_delivered_request_is_answered_once(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	(void)turn(h);
	assert_string_equal(received(h), "");
	assert_log(h, 0, NULL);
	come_back(h, req);
	assert_int_equal(done_count, 1);
	const char *answer = received(h);
	assert_ptr_equal(strstr(answer, "HTTP/1.1 200 OK\r\n"), answer);
	assert_non_null(strstr(answer, "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
	assert_non_null(strstr(answer, "Content-Length: 4\r\n"));
	assert_non_null(strstr(answer, "Cache-Control: no-store\r\n"));
	assert_non_null(strstr(answer, "X-Content-Type-Options: nosniff\r\n"));
	assert_non_null(strstr(answer, "Watchpost-Request-Id: req_"));
	assert_null(strstr(answer, "Strict-Transport-Security"));
	assert_null(strstr(answer, "Server:"));
	assert_non_null(strstr(answer, "\r\n\r\nkept"));
	assert_log(h, 1, "route=stripe_webhook method=POST status=200 reason=kept");
	assert_log(h, 1, "event=evt_1");
}

/* Why: Kafka's own time-outs come late (W7), and a late delivery must find the request alive, not freed memory. How:
 * 503 with Retry-After right at the deadline, the connection goes on, then the ticket comes back: no second answer. */
static void the_deadline_answers_and_the_ticket_may_come_later(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	clock_fake_advance_ms(&h->clock, 2999);
	(void)turn(h);
	assert_string_equal(received(h), "");
	clock_fake_advance_ms(&h->clock, 1);
	(void)turn(h);
	const char *answer = received(h);
	assert_ptr_equal(strstr(answer, "HTTP/1.1 503 Service Unavailable\r\n"), answer);
	assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
	assert_non_null(strstr(answer, "\"code\":\"unavailable\""));
	send_text(h, PAGE);
	assert_non_null(strstr(received(h), "200 OK"));
	come_back(h, req);
	assert_int_equal(done_count, 0);
	assert_string_equal(received(h), "");
	assert_log(h, 2, "status=503 reason=deadline_passed");
}

/* Why: a client that goes away must cost its request, nothing else, and its line says so. How: the socket is reset
 * while the request waits; later the ticket comes back. */
static void a_client_that_went_away_is_survived(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	assert_int_equal(setsockopt(h->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	(void)close(h->client);
	h->client = -1;
	(void)turn(h);
	assert_int_equal(h->loop->connections.count, 0);
	assert_log(h, 1, "status=499 reason=client_gone");
	clock_fake_advance_ms(&h->clock, 3000);
	(void)turn(h);
	come_back(h, req);
	assert_int_equal(done_count, 0);
	assert_log(h, 1, NULL);
}

/* Why: a client may end its side behind its request and still wait for the answer. How: half-close while it waits. */
static void a_half_closed_client_is_answered(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	assert_int_equal(shutdown(h->client, SHUT_WR), 0);
	(void)turn(h);
	assert_int_equal(h->loop->connections.count, 1);
	come_back(h, req);
	assert_non_null(strstr(received(h), "200 OK"));
	assert_true(closed_by_server(h));
	assert_log(h, 1, "reason=kept");
}

/* Why: answers must stand in the order of the requests, so a pipelined one waits for the one before. How: a second
 * request is sent while the first waits; nothing comes until the first is answered. */
static void pipelined_requests_are_answered_in_order(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	size_t before = block_buf_len(connection_in(connection(h)));
	send_text(h, PAGE);
	send_text(h, PAGE);
	assert_string_equal(received(h), "");
	assert_int_equal(block_buf_len(connection_in(connection(h))), before); /* left in the kernel */
	come_back(h, req);
	const char *answers = received(h);
	assert_int_equal(count_of(answers, "HTTP/1.1 200 OK"), 3);
	assert_true(strstr(answers, "kept") < strstr(answers, "Contact:"));
	assert_log(h, 3, "reason=kept");
}

/* Why: SIGTERM must neither cut who waits nor wait for ever. How: drain while one waits: new connections are refused,
 * the answer carries close; without a delivery the drain's own time ends it with 503. */
static void drain_answers_who_waits(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	loop_command(h->loop, LOOP_DRAIN);
	assert_true(turn(h));
	come_back(h, req);
	const char *answer = received(h);
	assert_non_null(strstr(answer, "200 OK"));
	assert_non_null(strstr(answer, "Connection: close\r\n"));
	assert_true(closed_by_server(h));
	assert_false(turn(h));
}

static void drain_ends_in_time(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);

	loop_command(h->loop, LOOP_DRAIN);
	assert_true(turn(h));
	assert_true(h->loop->timer_due_ns <= h->loop->drain_due_ns); /* it wakes for that */
	clock_fake_advance_ms(&h->clock, 500);
	assert_false(turn(h));
	assert_non_null(strstr(received(h), "503 Service Unavailable"));
	assert_log(h, 1, "status=503 reason=shutting_down");
	/* The publisher gives the ticket back after the loop has ended; loop_free takes it. */
	request_ticket(req)->delivery = KAFKA_DELIVERY_FAILED;
	request_ticket(req)->next = NULL;
	loop_post_ticket(h->loop, request_ticket(req));
}

/* Why: an idle connection must not keep the process. How: drain with nothing under way. */
static void drain_closes_idle_connections(void **state)
{
	struct harness *h = *state;

	send_text(h, PAGE);
	(void)received(h);
	loop_command(h->loop, LOOP_DRAIN);
	assert_false(turn(h));
	assert_true(closed_by_server(h));
}

/* Why: slow clients cannot hold a slot (W1). How: each deadline, reached by trickling bytes that must not move it. */
static void deadlines_are_not_moved_by_trickling(void **state)
{
	struct harness *h = *state;

	/* idle */
	send_text(h, PAGE);
	(void)received(h);
	clock_fake_advance_ms(&h->clock, 2999);
	assert_true(turn(h));
	assert_int_equal(h->loop->connections.count, 1);
	/* head, from its first byte */
	for (int i = 0; i < 10; i++) {
		send_text(h, "G");
		assert_int_equal(h->loop->connections.count, 1);
		clock_fake_advance_ms(&h->clock, 100);
	}
	(void)turn(h);
	const char *answer = received(h);
	assert_non_null(strstr(answer, "408 Request Timeout"));
	assert_non_null(strstr(answer, "Connection: close"));
	assert_log(h, 2, "status=408 reason=head_timeout");
}

/* Why: handshake and first head share one deadline; a first byte late must not buy more time. How: the first byte just
 * before the deadline, counted from the accept. */
static void the_first_head_is_counted_from_the_accept(void **state)
{
	struct harness *h = *state;

	clock_fake_advance_ms(&h->clock, 999);
	send_text(h, "G");
	assert_string_equal(received(h), "");
	clock_fake_advance_ms(&h->clock, 1);
	(void)turn(h);
	assert_non_null(strstr(received(h), "408 Request Timeout"));
}

static void a_body_has_its_own_deadline(void **state)
{
	struct harness *h = *state;

	send_text(h, WEBHOOK);
	for (int i = 0; i < 4; i++) {
		clock_fake_advance_ms(&h->clock, 499);
		send_text(h, "x");
	}
	assert_string_equal(received(h), "");
	clock_fake_advance_ms(&h->clock, 4);
	(void)turn(h);
	assert_non_null(strstr(received(h), "408 Request Timeout"));
	assert_log(h, 1, "status=408 reason=body_timeout");
}

/* Why: a connection that says nothing is no request: no line, no answer. How: the head deadline from the accept, and
 * the idle deadline behind a request. */
static void silent_connections_are_closed(void **state)
{
	struct harness *h = *state;

	clock_fake_advance_ms(&h->clock, 999);
	(void)turn(h);
	assert_int_equal(h->loop->connections.count, 1);
	clock_fake_advance_ms(&h->clock, 1);
	(void)turn(h);
	assert_true(closed_by_server(h));
	assert_int_equal(h->loop->connections.count, 0);
	assert_log(h, 0, NULL);
}

static void idle_connections_are_closed(void **state)
{
	struct harness *h = *state;

	send_text(h, PAGE);
	(void)received(h);
	clock_fake_advance_ms(&h->clock, 2999);
	(void)turn(h);
	assert_int_equal(h->loop->connections.count, 1);
	clock_fake_advance_ms(&h->clock, 1);
	(void)turn(h);
	assert_true(closed_by_server(h));
	assert_log(h, 1, "reason=served");
}

/* Why: 10,000 idle connections must be cheap. How: after an answer the connection holds no buffer. */
static void an_idle_connection_holds_no_buffer(void **state)
{
	struct harness *h = *state;

	send_text(h, PAGE);
	assert_null(connection_in(connection(h))->data);
	assert_null(connection_request(connection(h)));
	assert_true(h->loop->blocks.spare_count > 0);
}

/* Why: a note goes into the log, so it must be a plain word. How: other bytes end it; it is cut at its bound. */
static void notes_are_plain_words(void **state)
{
	struct harness *h = *state;
	struct request *req = wait_for_kafka(h, 3000);
	char text[2 * REQUEST_NOTE_BYTES_MAX];

	memset(text, 'x', sizeof(text));
	request_note(req, "long", bytes_make(text, sizeof(text)));
	request_note(req, "cut", bytes_of("abc\" status=200"));
	assert_int_equal(strlen(req->notes[1].value), REQUEST_NOTE_BYTES_MAX);
	assert_string_equal(req->notes[2].value, "abc");
	come_back(h, req);
}

#define LIVE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE(a_delivered_request_is_answered_once),
		LIVE(the_deadline_answers_and_the_ticket_may_come_later),
		LIVE(a_client_that_went_away_is_survived),
		LIVE(a_half_closed_client_is_answered),
		LIVE(pipelined_requests_are_answered_in_order),
		LIVE(drain_answers_who_waits),
		LIVE(drain_ends_in_time),
		LIVE(drain_closes_idle_connections),
		LIVE(deadlines_are_not_moved_by_trickling),
		LIVE(the_first_head_is_counted_from_the_accept),
		LIVE(a_body_has_its_own_deadline),
		LIVE(silent_connections_are_closed),
		LIVE(idle_connections_are_closed),
		LIVE(an_idle_connection_holds_no_buffer),
		LIVE(notes_are_plain_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
