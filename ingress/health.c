#include "ingress/health.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/admin.h"
#include "common/log.h"
#include "common/metrics.h"
#include "ingress/auth/auth.h"
#include "ingress/counters.h"
#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/net/admission.h"
#include "ingress/routes/stripe_webhook.h"

/* A loop turns at least once a second; five missed ones are no hiccup. */
static const int64_t STUCK_NS = 5000000000;

struct health {
	struct ingress *ingress;
	struct loop *const *loops;
	size_t loop_count;
	struct admin *admin;
	atomic_bool draining;
	_Atomic int64_t up_ns;    /* when the broker was last seen up; 0: never */
	_Atomic int64_t lease_ns; /* when a lease was last seen, and every loop with its connection; 0: never */
};

static bool on_alive(void *cookie)
{
	return health_alive(cookie);
}

/* Not ready before the broker was there once; afterwards only when it is away for READY_GRACE_MS: a blip that all
 * nodes see must not take all of them off the balancer, and a 503 is better than nobody. */
static bool broker_ready(struct health *health)
{
	health_look(health);
	int64_t up_ns = atomic_load_explicit(&health->up_ns, memory_order_relaxed);
	return up_ns != 0 && clock_mono_ns(health->ingress->clock) - up_ns < (int64_t)READY_GRACE_MS * 1000000;
}

/* The same for the lease, without which each request of an agent asks the primary, and none is accepted without it. */
static bool lease_ready(struct health *health)
{
	health_look(health);
	int64_t lease_ns = atomic_load_explicit(&health->lease_ns, memory_order_relaxed);
	return health->ingress->auth == NULL ||
	       (lease_ns != 0 && clock_mono_ns(health->ingress->clock) - lease_ns < (int64_t)READY_GRACE_MS * 1000000);
}

/* A reason that does not fit is left out: the answer is 503 all the same. */
static void add_reason(struct buf *reasons, const char *reason, bool *ready)
{
	*ready = false;
	if (!buf_append_text(reasons, reason) || !buf_append_byte(reasons, '\n'))
		return;
}

static bool on_ready(void *cookie, struct buf *reasons)
{
	struct health *health = cookie;
	bool ready = true;
	if (atomic_load_explicit(&health->draining, memory_order_relaxed))
		add_reason(reasons, "shutting_down", &ready);
	if (!health_alive(health))
		add_reason(reasons, "loop_stuck", &ready);
	if (!broker_ready(health))
		add_reason(reasons, "kafka_down", &ready);
	if (!lease_ready(health))
		add_reason(reasons, "postgres_down", &ready);
	return ready;
}

struct sample {
	const char *name;
	const char *help;
	enum metric_kind kind;
	int64_t value;
};

static bool print_samples(struct buf *out, const struct sample *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!metrics_print_head(out, samples[i].name, samples[i].help, samples[i].kind) ||
		    !metrics_print_sample(out, samples[i].name, "", samples[i].value))
			return false;
	}
	return true;
}

static bool print_kafka(struct health *health, struct buf *out)
{
	struct kafka_producer_stats stats;
	publisher_stats(health->ingress->publisher, &stats);
	const struct sample samples[] = {
		{"watchpost_kafka_up", "A broker is connected and the topics are known.", METRIC_GAUGE, stats.up},
		{"watchpost_produce_inflight", "Messages that wait for Kafka's acknowledgement.", METRIC_GAUGE,
		 (int64_t)stats.waiting},
		{"watchpost_produce_total", "Messages handed to Kafka.", METRIC_COUNTER, (int64_t)stats.sent_total},
		{"watchpost_produce_acknowledged_total", "Messages that Kafka acknowledged.", METRIC_COUNTER,
		 (int64_t)stats.delivered_total},
		{"watchpost_produce_errors_total", "Messages that Kafka did not acknowledge.", METRIC_COUNTER,
		 (int64_t)stats.failed_total},
		{"watchpost_produce_queue_full_total", "Messages refused because too many waited.", METRIC_COUNTER,
		 (int64_t)stats.full_total},
		{"watchpost_kafka_fatal_total", "Producers rebuilt after a fatal error.", METRIC_COUNTER,
		 (int64_t)stats.fatal_total},
	};
	return print_samples(out, samples, ARRAY_LEN(samples));
}

static bool print_auth(struct health *health, struct buf *out)
{
	struct auth_stats stats;
	if (health->ingress->auth == NULL)
		return true;
	auth_stats(health->ingress->auth, &stats);
	const struct sample samples[] = {
		{"watchpost_access_lease_left_milliseconds", "How long cached states may be believed; 0: not at all.",
		 METRIC_GAUGE, stats.lease_left_ms > 0 ? stats.lease_left_ms : 0},
		{"watchpost_access_applied_number", "The last access change that this node has applied.", METRIC_GAUGE,
		 stats.applied},
		{"watchpost_access_polls_total", "Polls for access changes that were answered.", METRIC_COUNTER,
		 (int64_t)stats.polls_total},
		{"watchpost_access_poll_failures_total", "Calls of the poller that failed.", METRIC_COUNTER,
		 (int64_t)stats.poll_failures_total},
		{"watchpost_access_resets_total",
		 "Times that the cache was emptied: starts, other epochs, trimmed logs.", METRIC_COUNTER,
		 (int64_t)stats.resets_total},
		{"watchpost_access_wakes_total", "Wake-ups by access-changes.", METRIC_COUNTER,
		 (int64_t)stats.wakes_total},
		{"watchpost_token_cache_entries", "Tokens in the cache.", METRIC_GAUGE, (int64_t)stats.tokens},
		{"watchpost_token_cache_bytes", "Memory of the cache.", METRIC_GAUGE, (int64_t)stats.cache_bytes},
		{"watchpost_token_cache_hits_total", "Checks that the cache answered.", METRIC_COUNTER,
		 (int64_t)stats.hits_total},
		{"watchpost_token_cache_misses_total", "Checks that needed the primary.", METRIC_COUNTER,
		 (int64_t)stats.misses_total},
		{"watchpost_token_lookups_total", "Look-ups of tokens at the primary.", METRIC_COUNTER,
		 (int64_t)stats.lookups_total},
		{"watchpost_token_refusals_total", "Callers answered 401.", METRIC_COUNTER,
		 (int64_t)stats.refused_total},
		{"watchpost_token_limited_total", "Callers answered 429.", METRIC_COUNTER,
		 (int64_t)stats.limited_total},
		{"watchpost_token_uses_lost_total", "Uses of tokens that were not noted for lack of room.",
		 METRIC_COUNTER, (int64_t)stats.uses_lost_total},
	};
	return print_samples(out, samples, ARRAY_LEN(samples));
}

static bool print_signatures(struct buf *out)
{
	static const char NAME[] = "watchpost_signature_failures_total";
	if (!metrics_print_head(out, NAME, "Webhooks whose signature was refused, by reason.", METRIC_COUNTER))
		return false;
	for (size_t i = STRIPE_SIGNATURE_GOOD + 1; i < STRIPE_SIGNATURE_COUNT; i++) {
		enum stripe_signature reason = (enum stripe_signature)i;
		uint64_t count = stripe_webhook_failures_total(reason);
		if (!buf_printf(out, "%s{reason=\"%s\"} %llu\n", NAME, stripe_signature_name(reason),
				(unsigned long long)count))
			return false;
	}
	return true;
}

static bool on_metrics(void *cookie, struct buf *out)
{
	struct health *health = cookie;
	const struct sample samples[] = {
		{"watchpost_http_connections", "Connections open now.", METRIC_GAUGE,
		 (int64_t)admission_count(health->ingress->admission)},
		{"watchpost_log_lost_total", "Log lines that could not be written.", METRIC_COUNTER,
		 (int64_t)log_lost_total()},
	};
	return metrics_print_head(out, "watchpost_build_info", "The program that runs here.", METRIC_GAUGE) &&
	       buf_printf(out, "watchpost_build_info{program=\"watchpost-ingress\",version=\"%s\"} 1\n",
			  WATCHPOST_VERSION) &&
	       counters_print(out) && print_samples(out, samples, ARRAY_LEN(samples)) && print_kafka(health, out) &&
	       print_auth(health, out) && print_signatures(out);
}

struct health *health_start(struct ingress *ingress, struct loop *const *loops, size_t loop_count, struct err *err)
{
	const struct config *config = ingress->settings->config;
	struct health *health = calloc(1, sizeof(*health));
	if (health == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the admin listener");
		return NULL;
	}
	*health = (struct health){.ingress = ingress, .loops = loops, .loop_count = loop_count};
	if (config->admin_port == 0)
		return health;
	health->admin = admin_start(&(struct admin_options){.address = config->admin_address,
							    .port = (int)config->admin_port,
							    .cookie = health,
							    .alive = on_alive,
							    .ready = on_ready,
							    .metrics = on_metrics},
				    err);
	if (health->admin == NULL) {
		free(health);
		return NULL;
	}
	return health;
}

void health_stop(struct health *health)
{
	if (health == NULL)
		return;
	admin_stop(health->admin);
	free(health);
}

/* Every loop has its connection: a look-up goes wherever a client's connection went. */
static bool stores_up(const struct health *health)
{
	bool up = true;
	for (size_t i = 0; i < health->loop_count; i++)
		up = up && loop_store_up(health->loops[i]);
	return up;
}

bool health_alive(const struct health *health)
{
	int64_t now_ns = clock_mono_ns(health->ingress->clock);
	for (size_t i = 0; i < health->loop_count; i++) {
		if (now_ns - loop_turned_ns(health->loops[i]) > STUCK_NS)
			return false;
	}
	return true;
}

void health_look(struct health *health)
{
	if (publisher_up(health->ingress->publisher))
		atomic_store_explicit(&health->up_ns, clock_mono_ns(health->ingress->clock), memory_order_relaxed);
	if (health->ingress->auth != NULL && auth_trusts(health->ingress->auth) && stores_up(health))
		atomic_store_explicit(&health->lease_ns, clock_mono_ns(health->ingress->clock), memory_order_relaxed);
}

void health_drain(struct health *health)
{
	atomic_store_explicit(&health->draining, true, memory_order_relaxed);
}

int health_port(const struct health *health)
{
	return health->admin != NULL ? admin_port(health->admin) : 0;
}
