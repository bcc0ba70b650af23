#include "ingress/net/accept.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "ingress/counters.h"
#include "ingress/loop_private.h"
#include "ingress/net/admission.h"

struct listener {
	struct loop *loop;
	int fd;
	enum connection_kind kind;
	struct event event;
	struct timer pause;
};

/* The process has no descriptors or memory left. The listener would be readable all the time, so it rests a while. */
static void rest(struct listener *listener, int fault)
{
	struct loop *loop = listener->loop;
	LOG(WARN, "accept_failed", F_TEXT("error", strerror(fault)));
	(void)event_del(&listener->event);
	timer_start(&loop->timers, &listener->pause, loop_now_ns(loop), ACCEPT_PAUSE_MS);
}

static void on_rested(struct timer *timer)
{
	struct listener *listener = CONTAINER_OF(timer, struct listener, pause);
	if (event_add(&listener->event, NULL) != 0)
		rest(listener, ENOMEM);
}

/* False: there is nobody more for now. */
static bool accept_one(struct listener *listener)
{
	struct sockaddr_storage peer;
	struct net_address address;
	socklen_t len = sizeof(peer);
	struct admission *admission = listener->loop->ingress->admission;
	int fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		int fault = errno;
		if (fault == EMFILE || fault == ENFILE || fault == ENOBUFS || fault == ENOMEM)
			rest(listener, fault);
		/* Others than EAGAIN are about the one connection, which is gone (accept(2)). */
		return fault != EAGAIN && fault != EMFILE && fault != ENFILE && fault != ENOBUFS && fault != ENOMEM;
	}
	(void)net_address_of((const struct sockaddr *)&peer, &address);
	if (!admission_add(admission)) {
		counter_add(COUNTER_CONNECTIONS_REFUSED, COUNTER_REFUSED_TOTAL);
		(void)close(fd);
		return true;
	}
	connection_open(listener->loop, fd, listener->kind, &address);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *cookie)
{
	struct listener *listener = cookie;
	(void)fd;
	(void)what;
	for (size_t i = 0; i < ACCEPTS_PER_TURN; i++) {
		if (!accept_one(listener))
			return;
	}
}

static int fail(int fd)
{
	int fault = errno;
	(void)close(fd);
	errno = fault;
	return -1;
}

/* A bound socket; -1 and errno. `shared`: the process's other loops listen on the same port. */
static int bind_socket(const struct addrinfo *at, bool shared)
{
	int on = 1;
	int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
	    bind(fd, at->ai_addr, at->ai_addrlen) != 0)
		return fail(fd);
	return fd;
}

/* A listening socket; -1 and errno. *port is set from what the kernel gave. */
static int open_socket(const struct addrinfo *at, bool first, int *port)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	if (first) {
		/* SO_REUSEPORT would let another process of the same user have the port too. */
		int probe = bind_socket(at, false);
		if (probe < 0)
			return -1;
		(void)close(probe);
	}
	int fd = bind_socket(at, true);
	if (fd < 0)
		return -1;
	if (listen(fd, LISTEN_BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
		return fail(fd);
	/* The port stands at the same place in both families. */
	struct sockaddr_in in;
	memcpy(&in, &bound, sizeof(in));
	*port = ntohs(in.sin_port);
	return fd;
}

static int listen_on(const char *address, bool first, int *port, struct err *err)
{
	char service[16];
	struct addrinfo *found = NULL;
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	(void)snprintf(service, sizeof(service), "%d", *port);
	int code = getaddrinfo(address, service, &hints, &found);
	if (code != 0) {
		(void)err_set(err, ERR_INVALID, "listen_address %s: %s", address, gai_strerror(code));
		return -1;
	}
	int fd = open_socket(found, first, port);
	if (fd < 0)
		(void)err_set(err, ERR_IO, "while listening on %s port %s: %s", address, service, strerror(errno));
	freeaddrinfo(found);
	return fd;
}

struct listener *listener_open(struct loop *loop, const char *address, int *port, enum connection_kind kind,
			       struct err *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	if (listener == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a listener");
		return NULL;
	}
	*listener =
		(struct listener){.loop = loop, .kind = kind, .fd = listen_on(address, loop->index == 0, port, err)};
	listener->pause.fire = on_rested;
	if (listener->fd < 0)
		goto failed;
	if (event_assign(&listener->event, loop->base, listener->fd, EV_READ | EV_PERSIST, on_readable, listener) !=
		    0 ||
	    event_add(&listener->event, NULL) != 0) {
		(void)err_set(err, ERR_INTERNAL, "libevent refused the listener");
		goto failed;
	}
	return listener;
failed:
	if (listener->fd >= 0)
		(void)close(listener->fd);
	free(listener);
	return NULL;
}

void listener_close(struct listener *listener)
{
	if (listener == NULL)
		return;
	(void)event_del(&listener->event);
	/* Whoever the kernel told "connected" gets an answer. */
	for (size_t i = 0; i < LISTEN_BACKLOG && accept_one(listener); i++)
		;
	timer_stop(&listener->pause);
	(void)close(listener->fd);
	free(listener);
}
