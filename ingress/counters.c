#include "ingress/counters.h"

#include <assert.h>

#include "common/metrics.h"
#include "ingress/route.h"

enum { REQUESTS = COUNTER_CONNECTION_TIMEOUTS + 1, REQUEST_SECONDS, ACK_SECONDS, METRIC_COUNT };

static const char *const REFUSED[] = {"connections_max", "address_max", "proxy_header", "tls", "memory"};
_Static_assert(ARRAY_LEN(REFUSED) == COUNTER_REFUSED_MEMORY + 1, "every series has a name");
static const char *const TIMEOUTS[] = {"head", "body", "idle", "write", "linger"};
_Static_assert(ARRAY_LEN(TIMEOUTS) == COUNTER_TIMEOUT_LINGER + 1, "every series has a name");

/* Status codes that we send; 499 is a client that went away. */
static const uint16_t STATUS[] = {200, 202, 204, 308, 400, 401, 403, 404, 405, 408, 409,
				  413, 414, 417, 422, 429, 431, 499, 500, 501, 503, 505};
static const char *const STATUS_NAMES[] = {"200", "202", "204", "308", "400", "401", "403",  "404",
					   "405", "408", "409", "413", "414", "417", "422",  "429",
					   "431", "499", "500", "501", "503", "505", "other"};
_Static_assert(ARRAY_LEN(STATUS_NAMES) == ARRAY_LEN(STATUS) + 1, "and one for the others");

/* From 0.25 ms, a local broker's best, to the 3 s after which we answer 503, and beyond. */
static const int64_t BOUNDS_US[] = {250,   500,    1000,   2500,   5000,    10000,   25000,
				    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000};

static struct metrics *metrics;
static const char *route_names[COUNTER_ROUTES_MAX]; /* the table's, and "none" */
static struct metric_def defs[METRIC_COUNT];        /* filled once: the routes' names are in another file */

static void fill_defs(size_t route_count)
{
	const struct metric_def table[METRIC_COUNT] = {
		[COUNTER_CONNECTIONS] =
			{"watchpost_http_connections_total", "Connections accepted.", METRIC_COUNTER, {{0}}, NULL, 0},
		[COUNTER_CONNECTIONS_REFUSED] = {"watchpost_http_connections_refused_total",
						 "Connections closed before a request, by reason.",
						 METRIC_COUNTER,
						 {{"reason", REFUSED, ARRAY_LEN(REFUSED)}},
						 NULL,
						 0},
		[COUNTER_CONNECTION_TIMEOUTS] = {"watchpost_http_connection_timeouts_total",
						 "Connections closed by a deadline.",
						 METRIC_COUNTER,
						 {{"deadline", TIMEOUTS, ARRAY_LEN(TIMEOUTS)}},
						 NULL,
						 0},
		[REQUESTS] = {"watchpost_http_requests_total",
			      "Requests ended, by route and status code.",
			      METRIC_COUNTER,
			      {{"route", route_names, route_count}, {"code", STATUS_NAMES, ARRAY_LEN(STATUS_NAMES)}},
			      NULL,
			      0},
		[REQUEST_SECONDS] = {"watchpost_http_request_seconds",
				     "From a request's first byte to its answer.",
				     METRIC_HISTOGRAM,
				     {{"route", route_names, route_count}},
				     BOUNDS_US,
				     ARRAY_LEN(BOUNDS_US)},
		[ACK_SECONDS] = {"watchpost_ingest_ack_seconds",
				 "From a webhook's first byte to Kafka's acknowledgement, of those answered 200.",
				 METRIC_HISTOGRAM,
				 {{0}},
				 BOUNDS_US,
				 ARRAY_LEN(BOUNDS_US)},
	};
	memcpy(defs, table, sizeof(defs));
}

bool counters_open(struct err *err)
{
	size_t count;
	const struct route *table = route_table(&count);
	assert(metrics == NULL && count < COUNTER_ROUTES_MAX);
	for (size_t i = 0; i < count; i++)
		route_names[i] = table[i].name;
	route_names[count] = "none";
	fill_defs(count + 1);
	metrics = metrics_new(defs, METRIC_COUNT, err);
	return metrics != NULL;
}

void counters_close(void)
{
	metrics_free(metrics);
	metrics = NULL;
}

void counter_add(enum counter counter, size_t series)
{
	if (metrics != NULL)
		metrics_add(metrics, counter, series, 1);
}

static size_t status_series(int status)
{
	size_t i = 0;
	while (i < ARRAY_LEN(STATUS) && STATUS[i] != status)
		i++;
	return i;
}

void counter_request(const struct route *route, int status, int64_t age_us)
{
	size_t count;
	const struct route *table = route_table(&count);
	if (metrics == NULL)
		return;
	size_t series = route != NULL && route >= table && route < table + count ? (size_t)(route - table) : count;
	metrics_add(metrics, REQUESTS, series * ARRAY_LEN(STATUS_NAMES) + status_series(status), 1);
	metrics_observe_us(metrics, REQUEST_SECONDS, series, age_us);
	if (route != NULL && route->caller == ROUTE_STRIPE && status == 200)
		metrics_observe_us(metrics, ACK_SECONDS, 0, age_us);
}

bool counters_print(struct buf *out)
{
	return metrics == NULL || metrics_print(metrics, out);
}
