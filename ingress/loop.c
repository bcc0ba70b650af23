#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "ingress/auth/lookup.h"
#include "ingress/loop_private.h"
#include "ingress/net/connection.h"
#include "ingress/request_private.h"
#include "ingress/store/store.h"

static const int64_t SECOND_NS = 1000000000;

/* --- what others may ask ------------------------------------------------------------------------- */

struct ingress *loop_ingress(const struct loop *loop)
{
	return loop->ingress;
}

const struct clock *loop_clock(const struct loop *loop)
{
	return loop->ingress->clock;
}

const struct settings *loop_settings(const struct loop *loop)
{
	return loop->settings;
}

bool loop_store_up(const struct loop *loop)
{
	return loop->store == NULL || store_was_up(loop->store);
}

int64_t loop_turned_ns(const struct loop *loop)
{
	return atomic_load_explicit(&loop->turned_ns, memory_order_relaxed);
}

int64_t loop_now_ns(struct loop *loop)
{
	if (!loop->now_known) {
		loop->now_ns = clock_mono_ns(loop_clock(loop));
		loop->now_known = true;
	}
	return loop->now_ns;
}

const char *loop_date_line(struct loop *loop)
{
	int64_t now_s = clock_wall_ms(loop_clock(loop)) / 1000;
	if (now_s != loop->date_s) {
		time_t at = (time_t)now_s;
		struct tm tm;
		if (gmtime_r(&at, &tm) == NULL ||
		    strftime(loop->date_line, sizeof(loop->date_line), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm) == 0)
			loop->date_line[0] = '\0';
		loop->date_s = now_s;
	}
	return loop->date_line;
}

void loop_touch(struct loop *loop, struct loop_link *link)
{
	link->next = loop->touched;
	loop->touched = link;
}

void loop_bury_connection(struct loop *loop, struct loop_link *link)
{
	link->next = loop->dead;
	loop->dead = link;
}

void loop_bury_request(struct loop *loop, struct request *req)
{
	req->next = loop->dead_requests;
	loop->dead_requests = req;
}

/* --- from other threads --------------------------------------------------------------------------- */

static void wake(struct loop *loop)
{
	const uint64_t one = 1;
	/* It fails only when the counter is full, after 2^64 wake-ups. */
	ssize_t put = write(loop->wake_fd, &one, sizeof(one));
	(void)put;
}

void loop_command(struct loop *loop, enum loop_command command)
{
	atomic_fetch_or_explicit(&loop->commands, command, memory_order_release);
	wake(loop);
}

void loop_post_ticket(struct loop *loop, struct kafka_ticket *ticket)
{
	struct kafka_ticket *before = atomic_load_explicit(&loop->tickets, memory_order_relaxed);
	do {
		ticket->next = before;
	} while (!atomic_compare_exchange_weak_explicit(&loop->tickets, &before, ticket, memory_order_release,
							memory_order_relaxed));
	/* Whoever put the first one into the empty list woke the loop for those that follow. */
	if (before == NULL)
		wake(loop);
}

static void take_tickets(struct loop *loop)
{
	struct kafka_ticket *newest = atomic_exchange_explicit(&loop->tickets, NULL, memory_order_acquire);
	struct kafka_ticket *list = NULL;
	while (newest != NULL) {
		struct kafka_ticket *older = newest->next;
		newest->next = list;
		list = newest;
		newest = older;
	}
	while (list != NULL) {
		struct kafka_ticket *next = list->next;
		request_ticket_back(list);
		list = next;
	}
}

static void take_settings(struct loop *loop)
{
	struct settings *before = loop->settings;
	loop->settings = ingress_settings(loop->ingress);
	if (loop->store != NULL)
		store_reload(loop->store, loop->settings->config);
	settings_release(before);
}

static void continue_touched(struct loop *loop)
{
	/* What is touched while these are continued has its turn in the next one, which does not wait. */
	struct loop_link *link = loop->touched;
	loop->touched = NULL;
	while (link != NULL) {
		struct loop_link *next = link->next;
		connection_turn(link->conn);
		link = next;
	}
}

/* --- drain ---------------------------------------------------------------------------------------- */

static void close_listeners(struct loop *loop)
{
	for (size_t i = 0; i < ARRAY_LEN(loop->listeners); i++) {
		listener_close(loop->listeners[i]);
		loop->listeners[i] = NULL;
	}
}

static void start_drain(struct loop *loop)
{
	struct connection *next;
	if (loop->draining)
		return;
	close_listeners(loop);
	loop->draining = true;
	loop->drain_due_ns = loop_now_ns(loop) + loop->settings->config->drain_timeout_ms * (SECOND_NS / 1000);
	for (struct connection *conn = loop->connections.first; conn != NULL; conn = next) {
		next = connection_next(conn);
		connection_drain(conn);
	}
}

/* The time is up: who still waits is told so, what can be written at once is, and everything closes. */
static void end_drain(struct loop *loop)
{
	for (struct connection *conn = loop->connections.first; conn != NULL; conn = connection_next(conn)) {
		struct request *req = connection_request(conn);
		if (req != NULL && !request_reading(req))
			request_unavailable(req, "shutting_down");
	}
	continue_touched(loop);
	while (loop->connections.first != NULL)
		connection_close(loop->connections.first);
	continue_touched(loop);
}

static void on_wake(evutil_socket_t fd, short what, void *cookie)
{
	struct loop *loop = cookie;
	(void)fd;
	(void)what;
	unsigned commands = atomic_exchange_explicit(&loop->commands, 0, memory_order_acquire);
	take_tickets(loop);
	if ((commands & LOOP_RELOAD) != 0)
		take_settings(loop);
	if ((commands & LOOP_DRAIN) != 0)
		start_drain(loop);
}

/* --- a turn ---------------------------------------------------------------------------------------- */

/* Both timer events only wake the loop: end_turn runs what is due. */
static void on_timer(evutil_socket_t fd, short what, void *cookie)
{
	struct loop *loop = cookie;
	(void)fd;
	(void)what;
	loop->timer_due_ns = INT64_MAX;
}

static void on_tick(evutil_socket_t fd, short what, void *cookie)
{
	(void)fd;
	(void)what;
	(void)cookie;
}

/* The timer is moved only when something is due before it: most turns do not touch it. It counts from a fresh look at
 * the clock, and in nanoseconds: were it rounded up to epoll's milliseconds from wherever the turn stood, a refusal
 * would tell by its time what was done for it (ingress/auth/refuse.c). */
static void set_timer(struct loop *loop)
{
	int64_t next_ns = timers_next_ns(&loop->timers);
	if (loop->draining && loop->drain_due_ns < next_ns)
		next_ns = loop->drain_due_ns;
	if (next_ns >= loop->timer_due_ns)
		return;
	int64_t wait_ns = next_ns - clock_mono_ns(loop_clock(loop));
	if (wait_ns < 1)
		wait_ns = 1; /* 0 would stop it */
	const struct itimerspec due = {.it_value = {.tv_sec = wait_ns / SECOND_NS, .tv_nsec = wait_ns % SECOND_NS}};
	if (timerfd_settime(loop->timer_fd, 0, &due, NULL) == 0)
		loop->timer_due_ns = next_ns;
}

static void free_dead(struct loop *loop)
{
	struct loop_link *link = loop->dead;
	loop->dead = NULL;
	while (link != NULL) {
		struct loop_link *next = link->next;
		/* One that was touched and then closed stands in the next turn's list, and stays until that is over. */
		if (connection_touched(link->conn))
			loop_bury_connection(loop, link);
		else
			connection_free(link->conn);
		link = next;
	}
	while (loop->dead_requests != NULL) {
		struct request *req = loop->dead_requests;
		loop->dead_requests = req->next;
		request_free(req);
	}
}

static void end_turn(struct loop *loop)
{
	timers_run(&loop->timers, loop_now_ns(loop));
	continue_touched(loop);
	if (loop->draining && loop_now_ns(loop) >= loop->drain_due_ns)
		end_drain(loop);
	free_dead(loop);
	log_batch_flush();
	set_timer(loop);
	atomic_store_explicit(&loop->turned_ns, loop_now_ns(loop), memory_order_relaxed);
	loop->now_known = false;
}

bool loop_turn(struct loop *loop, bool wait)
{
	/* What was touched at the end of the last turn goes on at once. */
	int flags = EVLOOP_ONCE | (wait && loop->touched == NULL ? 0 : EVLOOP_NONBLOCK);
	if (event_base_loop(loop->base, flags) < 0) {
		LOG(ERROR, "loop_failed", F_TEXT("error", strerror(errno)));
		return false;
	}
	end_turn(loop);
	return !loop->draining || loop->connections.count > 0;
}

static void *run(void *cookie)
{
	struct loop *loop = cookie;
	log_batch_begin();
	while (loop_turn(loop, true))
		;
	log_batch_end();
	return NULL;
}

/* --- life ----------------------------------------------------------------------------------------- */

static bool make_base(struct loop *loop, struct err *err)
{
	const struct timeval second = {.tv_sec = 1};
	struct event_config *config = event_config_new();
	if (config != NULL && event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0 &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0)
		loop->base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->base == NULL || loop->wake_fd < 0 || loop->timer_fd < 0 ||
	    /* Edge-triggered: each write, and each time that is up, wakes anew, though the counters are never read. */
	    event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_ET | EV_PERSIST, on_wake, loop) !=
		    0 ||
	    event_add(&loop->wake_event, NULL) != 0 ||
	    event_assign(&loop->timer_event, loop->base, loop->timer_fd, EV_READ | EV_ET | EV_PERSIST, on_timer,
			 loop) != 0 ||
	    event_add(&loop->timer_event, NULL) != 0 ||
	    event_assign(&loop->tick_event, loop->base, -1, EV_PERSIST, on_tick, loop) != 0 ||
	    event_add(&loop->tick_event, &second) != 0)
		return err_set(err, ERR_INTERNAL, "libevent could not start a loop");
	return true;
}

static bool open_listeners(struct loop *loop, int *port, struct err *err)
{
	const struct config *config = loop->settings->config;
	int redirect_port = (int)config->redirect_port;
	loop->listeners[0] = listener_open(loop, config->listen_address, port, CONNECTION_PUBLIC, err);
	if (loop->listeners[0] == NULL)
		return false;
	if (redirect_port == 0)
		return true;
	loop->listeners[1] = listener_open(loop, config->listen_address, &redirect_port, CONNECTION_REDIRECT, err);
	return loop->listeners[1] != NULL;
}

/* What a loop needs to know agents. */
static bool open_store(struct loop *loop, struct err *err)
{
	if (loop->ingress->auth == NULL)
		return true;
	loop->lookups = lookups_new(loop, err);
	loop->store = loop->lookups != NULL ? store_open(loop, err) : NULL;
	return loop->store != NULL;
}

struct loop *loop_new(struct ingress *ingress, size_t index, int *port, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a loop");
		return NULL;
	}
	loop->ingress = ingress;
	loop->index = index;
	loop->timer_due_ns = INT64_MAX;
	loop->timer_fd = -1;
	loop->wake_fd = -1;
	loop->date_s = -1;
	loop->settings = ingress_settings(ingress);
	timers_init(&loop->timers);
	if (!make_base(loop, err) || !open_store(loop, err) || !open_listeners(loop, port, err)) {
		loop_free(loop);
		return NULL;
	}
	atomic_store_explicit(&loop->turned_ns, loop_now_ns(loop), memory_order_relaxed);
	loop->now_known = false;
	return loop;
}

bool loop_start(struct loop *loop, struct err *err)
{
	assert(!loop->thread_started);
	int fault = pthread_create(&loop->thread, NULL, run, loop);
	if (fault != 0)
		return err_set(err, ERR_IO, "while starting loop %zu: %s", loop->index, strerror(fault));
	loop->thread_started = true;
	return true;
}

void loop_join(struct loop *loop)
{
	if (loop->thread_started)
		(void)pthread_join(loop->thread, NULL);
	loop->thread_started = false;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	assert(!loop->thread_started);
	/* The publisher has given everything back: what was answered meanwhile is freed here. */
	take_tickets(loop);
	close_listeners(loop);
	while (loop->connections.first != NULL)
		connection_close(loop->connections.first);
	continue_touched(loop);
	/* What Postgres has not answered comes back, to requests that are answered already. */
	store_close(loop->store);
	lookups_free(loop->lookups);
	free_dead(loop);
	while (loop->spare_requests != NULL) {
		struct request *req = loop->spare_requests;
		loop->spare_requests = req->next;
		free(req);
	}
	block_pool_free(&loop->blocks);
	if (loop->base != NULL)
		event_base_free(loop->base);
	if (loop->wake_fd >= 0)
		(void)close(loop->wake_fd);
	if (loop->timer_fd >= 0)
		(void)close(loop->timer_fd);
	settings_release(loop->settings);
	free(loop);
}
