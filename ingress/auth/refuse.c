/* 401 (on the grid), 429 and 503: everything that a caller is told who is not accepted. */
#include <assert.h>

#include "ingress/auth/auth_private.h"
#include "ingress/auth/lookup.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"

static const int64_t GRID_NS = (int64_t)AUTH_GRID_MS * 1000000;

static struct net_address client_of(const struct request *req)
{
	return net_address_client(connection_address(req->connection));
}

bool auth_charge(struct request *req)
{
	struct auth *auth = req->loop->ingress->auth;
	const struct net_address client = client_of(req);
	int retry_after_s = 0;
	if (req->auth.charged)
		return true;
	req->auth.charged =
		rate_take(auth->refused_rate, client.bytes, req->loop->settings->config->unauthorized_rate_per_s,
			  clock_mono_ns(auth->clock), &retry_after_s);
	if (req->auth.charged)
		return true;
	atomic_fetch_add_explicit(&auth->limited_total, 1, memory_order_relaxed);
	request_fail(req, &(struct problem){.status = 429,
					    .code = "rate_limited",
					    .reason = "unauthorized_limited",
					    .retry_after_s = retry_after_s});
	return false;
}

void auth_discharge(struct request *req)
{
	const struct net_address client = client_of(req);
	if (!req->auth.charged)
		return;
	req->auth.charged = false;
	rate_give(req->loop->ingress->auth->refused_rate, client.bytes,
		  req->loop->settings->config->unauthorized_rate_per_s);
}

/* One body and one set of headers for everybody: only the log says why. */
static void on_grid(struct timer *timer)
{
	struct request *req = CONTAINER_OF(timer, struct request, auth.timer);
	assert(req->auth.delayed);
	request_fail(req, &(struct problem){.status = 401,
					    .code = "unauthorized",
					    .reason = req->auth.reason,
					    .headers = "WWW-Authenticate: Bearer\r\n"});
}

void auth_refuse(struct request *req, const char *reason)
{
	struct auth *auth = req->loop->ingress->auth;
	assert(req->auth.list == NULL && !req->auth.delayed);
	if (!auth_charge(req))
		return;
	if (atomic_fetch_add_explicit(&auth->delayed, 1, memory_order_relaxed) >= AUTH_DELAYED_MAX) {
		atomic_fetch_sub_explicit(&auth->delayed, 1, memory_order_relaxed);
		request_unavailable(req, "refusals_full");
		return;
	}
	atomic_fetch_add_explicit(&auth->refused_total, 1, memory_order_relaxed);
	req->auth.delayed = true;
	req->auth.reason = reason;
	if (req->state == REQUEST_HEAD)
		request_set_state(req, REQUEST_AUTH);
	int64_t since_ns = clock_mono_ns(auth->clock) - req->auth.head_ns;
	int64_t due_ns = req->auth.head_ns + (since_ns / GRID_NS + 1) * GRID_NS;
	req->auth.timer.fire = on_grid;
	/* In the order of the heads but for those that waited for a look-up: close to the end of the list. */
	timer_start(&req->loop->timers, &req->auth.timer, due_ns - GRID_NS, AUTH_GRID_MS);
}

void auth_forget(struct request *req)
{
	timer_stop(&req->auth.timer);
	lookup_forget(req);
	if (req->auth.delayed)
		atomic_fetch_sub_explicit(&req->loop->ingress->auth->delayed, 1, memory_order_relaxed);
	req->auth.delayed = false;
}
