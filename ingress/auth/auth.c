#include "ingress/auth/auth.h"

#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/token.h"
#include "ingress/auth/auth_private.h"
#include "ingress/auth/lookup.h"
#include "ingress/auth/poller.h"
#include "ingress/auth/wake.h"
#include "ingress/loop_private.h"
#include "ingress/request_private.h"
#include "ingress/route.h"

static const int64_t MINUTE_MS = 60000;

/* --- life ----------------------------------------------------------------------------------------- */

static size_t share(size_t all, size_t loops)
{
	return all / loops > 0 ? all / loops : 1;
}

struct auth *auth_start(struct settings *settings, size_t loop_count, struct err *err)
{
	struct auth *auth = calloc(1, sizeof(*auth));
	assert(loop_count > 0);
	if (auth == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for authentication");
		return NULL;
	}
	settings_hold(settings);
	auth->settings = settings;
	auth->clock = clock_system();
	auth->lookups_max = share(AUTH_LOOKUPS_MAX, loop_count);
	auth->waiting_max = share(AUTH_WAITING_MAX, loop_count);
	uses_init(&auth->uses);
	auth->cache = cache_new((size_t)settings->config->token_cache_max, err);
	view_init(&auth->view, auth->cache, &auth->lease);
	auth->token_rate = auth->cache != NULL ? rate_table_new(err) : NULL;
	auth->address_rate = auth->token_rate != NULL ? rate_table_new(err) : NULL;
	auth->refused_rate = auth->address_rate != NULL ? rate_table_new(err) : NULL;
	auth->poller =
		auth->refused_rate != NULL ? poller_start(settings, auth->clock, &auth->view, &auth->uses, err) : NULL;
	auth->wake = auth->poller != NULL ? wake_start(settings->config, auth->poller, err) : NULL;
	if (auth->wake == NULL) {
		auth_stop(auth);
		return NULL;
	}
	return auth;
}

void auth_stop(struct auth *auth)
{
	if (auth == NULL)
		return;
	wake_stop(auth->wake);
	lease_end(&auth->lease);
	poller_stop(auth->poller);
	rate_table_free(auth->refused_rate);
	rate_table_free(auth->address_rate);
	rate_table_free(auth->token_rate);
	view_close(&auth->view);
	cache_free(auth->cache);
	uses_close(&auth->uses);
	settings_release(auth->settings);
	free(auth);
}

void auth_reload(struct auth *auth, struct settings *settings)
{
	poller_reload(auth->poller, settings);
}

/* --- one request ----------------------------------------------------------------------------------- */

static struct auth *auth_of(const struct request *req)
{
	return req->loop->ingress->auth;
}

const struct caller *request_caller(const struct request *req)
{
	assert(req->auth.has_token && req->auth.caller.agent_id[0] != '\0');
	return &req->auth.caller;
}

/* RFC 6750, 2.1: "Bearer" in any case, one space, the token. Only the digest of it is kept. */
static bool read_token(struct request *req)
{
	static const char SCHEME[] = "bearer ";
	bool many = false;
	const struct http_header *header = http_head_find(&req->head, "authorization", &many);
	if (header == NULL || many || header->value.len < sizeof(SCHEME) - 1)
		return false;
	if (!http_name_is(bytes_make(header->value.data, sizeof(SCHEME) - 1), SCHEME))
		return false;
	struct bytes token =
		bytes_make(header->value.data + sizeof(SCHEME) - 1, header->value.len - (sizeof(SCHEME) - 1));
	if (!token_shape(token))
		return false;
	token_hash(token, req->auth.caller.token_hash);
	req->auth.has_token = true;
	return true;
}

static void limited(struct request *req, const char *reason, int retry_after_s)
{
	atomic_fetch_add_explicit(&auth_of(req)->limited_total, 1, memory_order_relaxed);
	request_fail(req,
		     &(struct problem){
			     .status = 429, .code = "rate_limited", .reason = reason, .retry_after_s = retry_after_s});
}

void auth_begin(struct request *req, void (*then)(struct request *req))
{
	struct auth *auth = auth_of(req);
	int retry_after_s = 0;
	if (auth == NULL) {
		request_unavailable(req, "agents_off");
		return;
	}
	const struct net_address client = net_address_client(connection_address(req->connection));
	req->auth.head_ns = clock_mono_ns(auth->clock);
	if (!rate_take(auth->address_rate, client.bytes, req->loop->settings->config->agent_address_rate_per_s,
		       req->auth.head_ns, &retry_after_s)) {
		limited(req, "address_limited", retry_after_s);
		return;
	}
	if (!read_token(req)) {
		auth_refuse(req, "token_malformed");
		return;
	}
	auth_require(req, then);
}

void auth_require(struct request *req, void (*then)(struct request *req))
{
	struct auth *auth = auth_of(req);
	struct caller caller;
	bool first_use = false;
	assert(req->auth.has_token && req->auth.list == NULL);
	req->auth.then = then;
	req->auth.tries = 0;
	if (auth_find(auth, req->auth.caller.token_hash, &caller, &first_use)) {
		atomic_fetch_add_explicit(&auth->hits_total, 1, memory_order_relaxed);
		auth_decide(req, &caller, first_use);
		return;
	}
	atomic_fetch_add_explicit(&auth->misses_total, 1, memory_order_relaxed);
	lookup_want(req);
}

/* R3: the lease first (acquire), its clock, then the entry. */
bool auth_find(struct auth *auth, const uint8_t token_hash[SHA256_BYTES], struct caller *out, bool *first_use)
{
	uint32_t minute = (uint32_t)(clock_wall_ms(auth->clock) / MINUTE_MS);
	return lease_valid(&auth->lease, auth->clock) && cache_find(auth->cache, token_hash, minute, out, first_use);
}

static bool served(struct request *req, const struct caller *caller)
{
	const char *code = caller->state == AGENT_PAUSED ? "agent_paused"
			   : caller->account_suspended   ? "account_suspended"
							 : NULL;
	if (code == NULL || req->route->serves_paused)
		return true;
	request_fail(req, &(struct problem){.status = 403, .code = code});
	return false;
}

void auth_decide(struct request *req, const struct caller *caller, bool first_use)
{
	struct auth *auth = auth_of(req);
	int retry_after_s = 0;
	timer_stop(&req->auth.timer);
	/* Tables find by digest in their own ways; that it is this one is said here, in constant time. */
	if (!digest_equal(caller->token_hash, req->auth.caller.token_hash, SHA256_BYTES)) {
		auth_refuse(req, "token_unknown");
		return;
	}
	if (caller->state == AGENT_REVOKED) {
		auth_refuse(req, "token_revoked");
		return;
	}
	auth_discharge(req);
	if (!served(req, caller))
		return;
	if (!req->auth.counted &&
	    !rate_take(auth->token_rate, caller->token_hash, req->loop->settings->config->agent_rate_per_s,
		       clock_mono_ns(auth->clock), &retry_after_s)) {
		limited(req, "token_limited", retry_after_s);
		return;
	}
	req->auth.counted = true;
	req->auth.caller = *caller;
	if (first_use)
		uses_add(&auth->uses, caller->token_hash, clock_wall_ms(auth->clock));
	req->auth.then(req);
}

/* --- for operators --------------------------------------------------------------------------------- */

bool auth_trusts(struct auth *auth)
{
	return lease_valid(&auth->lease, auth->clock);
}

void auth_stats(struct auth *auth, struct auth_stats *out)
{
	struct poller_stats poller;
	poller_stats(auth->poller, &poller);
	*out = (struct auth_stats){
		.lease_left_ms = lease_left_ns(&auth->lease, auth->clock) / 1000000,
		.applied = poller.applied,
		.tokens = cache_tokens(auth->cache),
		.cache_bytes = cache_bytes(auth->cache),
		.hits_total = atomic_load_explicit(&auth->hits_total, memory_order_relaxed),
		.misses_total = atomic_load_explicit(&auth->misses_total, memory_order_relaxed),
		.lookups_total = atomic_load_explicit(&auth->lookups_total, memory_order_relaxed),
		.refused_total = atomic_load_explicit(&auth->refused_total, memory_order_relaxed),
		.limited_total = atomic_load_explicit(&auth->limited_total, memory_order_relaxed),
		.uses_lost_total = uses_lost_total(&auth->uses),
		.polls_total = poller.polls_total,
		.poll_failures_total = poller.failures_total,
		.resets_total = poller.resets_total,
		.wakes_total = poller.wakes_total,
	};
}
