#include "workers/runtime/status.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"
#include "events.h"

#define ALIVE_NS INT64_C(60000000000)

enum metric { BATCHES, ITEMS, BATCH_SECONDS, EVENT_AGE, FENCED, RETRIES, METRIC_COUNT };

static const int64_t BATCH_BOUNDS_US[] = {1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000};
static const int64_t AGE_BOUNDS_US[] = {10000,    50000,    100000,    500000,     1000000,     5000000,
					30000000, 60000000, 600000000, 3600000000, 86400000000, 259200000000};

static const struct metric_def METRICS[] = {
	[BATCHES] = {.name = "watchpost_worker_batches_total",
		     .help = "Transactions committed.",
		     .kind = METRIC_COUNTER},
	[ITEMS] = {.name = "watchpost_worker_records_total", .help = "Records in them.", .kind = METRIC_COUNTER},
	[BATCH_SECONDS] = {.name = "watchpost_worker_batch_seconds",
			   .help = "From begin to the end of commit.",
			   .kind = METRIC_HISTOGRAM,
			   .bounds_us = BATCH_BOUNDS_US,
			   .bound_count = ARRAY_LEN(BATCH_BOUNDS_US)},
	[EVENT_AGE] = {.name = "watchpost_event_age_seconds",
		       .help = "From an event's own time until it was applied.",
		       .kind = METRIC_HISTOGRAM,
		       .bounds_us = AGE_BOUNDS_US,
		       .bound_count = ARRAY_LEN(AGE_BOUNDS_US)},
	[FENCED] = {.name = "watchpost_worker_fenced_total",
		    .help = "Batches dropped because another process had moved the offset row.",
		    .kind = METRIC_COUNTER},
	[RETRIES] = {.name = "watchpost_worker_retries_total",
		     .help = "Pauses because Postgres or Kafka was away.",
		     .kind = METRIC_COUNTER},
};
_Static_assert(ARRAY_LEN(METRICS) == METRIC_COUNT, "one definition per metric");

static const char *const OUTCOMES[] = {"applied", "duplicate", "stale", "ignored"};
/* As dead letters name them; any other SQLSTATE class is a failure of the worker, not of an item. */
static const char *const ERROR_CLASSES[] = {"decode", "22", "23"};

/* Every type that this program knows, those it does not, and records that are no events. */
enum { TYPE_UNKNOWN = EVENT_TYPE_COUNT, TYPE_UNDECODABLE, TYPE_COUNT };

struct status {
	const char *worker;
	struct metrics *metrics;
	_Atomic uint64_t events[TYPE_COUNT][ARRAY_LEN(OUTCOMES)];
	_Atomic uint64_t dead_letters[ARRAY_LEN(ERROR_CLASSES)];
	atomic_bool started, assigned, away;
	_Atomic int64_t beat_ns;
	pthread_mutex_t lock;
	size_t partition_count; /* under lock, with partitions */
	struct status_partition partitions[WORKER_PARTITIONS_MAX];
};

struct status *status_new(const char *worker, struct err *err)
{
	struct status *status = calloc(1, sizeof(*status));
	if (status == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for a worker's status");
		return NULL;
	}
	status->worker = worker;
	status->metrics = metrics_new(METRICS, METRIC_COUNT, err);
	if (status->metrics == NULL) {
		free(status);
		return NULL;
	}
	(void)pthread_mutex_init(&status->lock, NULL);
	return status;
}

void status_free(struct status *status)
{
	if (status == NULL)
		return;
	(void)pthread_mutex_destroy(&status->lock);
	metrics_free(status->metrics);
	free(status);
}

static size_t type_place(struct bytes name)
{
	const struct event_type *type = event_type_find(name);
	if (type != NULL)
		return (size_t)type->id;
	return bytes_equal_text(name, "undecodable") ? TYPE_UNDECODABLE : TYPE_UNKNOWN;
}

void status_event(struct status *status, struct bytes type, const char *outcome, int64_t age_ms)
{
	size_t place = 0;
	while (place < ARRAY_LEN(OUTCOMES) && strcmp(OUTCOMES[place], outcome) != 0)
		place++;
	assert(place < ARRAY_LEN(OUTCOMES));
	atomic_fetch_add_explicit(&status->events[type_place(type)][place], 1, memory_order_relaxed);
	/* Clocks of other machines may be ahead. */
	metrics_observe_us(status->metrics, EVENT_AGE, 0, age_ms > 0 ? age_ms * 1000 : 0);
}

void status_batch(struct status *status, size_t items, int64_t duration_ns)
{
	metrics_add(status->metrics, BATCHES, 0, 1);
	metrics_add(status->metrics, ITEMS, 0, items);
	metrics_observe_us(status->metrics, BATCH_SECONDS, 0, duration_ns / 1000);
}

void status_dead_letter(struct status *status, const char *error_class)
{
	for (size_t i = 0; i < ARRAY_LEN(ERROR_CLASSES); i++)
		if (strcmp(ERROR_CLASSES[i], error_class) == 0)
			atomic_fetch_add_explicit(&status->dead_letters[i], 1, memory_order_relaxed);
}

void status_fenced(struct status *status)
{
	metrics_add(status->metrics, FENCED, 0, 1);
}

void status_retry(struct status *status)
{
	metrics_add(status->metrics, RETRIES, 0, 1);
}

void status_started(struct status *status)
{
	atomic_store_explicit(&status->started, true, memory_order_relaxed);
}

void status_assigned(struct status *status)
{
	atomic_store_explicit(&status->assigned, true, memory_order_relaxed);
}

void status_beat(struct status *status, int64_t now_ns)
{
	atomic_store_explicit(&status->beat_ns, now_ns, memory_order_relaxed);
}

bool status_alive(const struct status *status, int64_t now_ns)
{
	int64_t beat_ns = atomic_load_explicit(&status->beat_ns, memory_order_relaxed);
	return beat_ns == 0 || now_ns - beat_ns < ALIVE_NS;
}

void status_away(struct status *status, bool away)
{
	atomic_store_explicit(&status->away, away, memory_order_relaxed);
}

void status_partitions(struct status *status, const struct status_partition *partitions, size_t count)
{
	assert(count <= WORKER_PARTITIONS_MAX);
	(void)pthread_mutex_lock(&status->lock);
	status->partition_count = count;
	if (count > 0)
		memcpy(status->partitions, partitions, count * sizeof(partitions[0]));
	(void)pthread_mutex_unlock(&status->lock);
}

bool status_ready(struct status *status, struct buf *reasons)
{
	size_t before = reasons->len;
	bool told = true;
	if (!atomic_load_explicit(&status->started, memory_order_relaxed))
		told = buf_append_text(reasons, "starting\n");
	else if (!atomic_load_explicit(&status->assigned, memory_order_relaxed))
		told = buf_append_text(
			reasons, "no partitions assigned yet: the group is forming, or its topics are not there\n");
	if (atomic_load_explicit(&status->away, memory_order_relaxed))
		told = told && buf_append_text(reasons, "Postgres or Kafka is away: partitions are paused\n");
	(void)pthread_mutex_lock(&status->lock);
	for (size_t i = 0; told && i < status->partition_count; i++) {
		const struct status_partition *p = &status->partitions[i];
		if (p->out_of_range)
			told = buf_printf(reasons,
					  "%s/%" PRId32 ": offset %" PRId64
					  " is not in the log any more (watchpostctl offsets reset)\n",
					  p->topic, p->partition, p->next_offset);
	}
	(void)pthread_mutex_unlock(&status->lock);
	return told && reasons->len == before;
}

static bool print_event(const struct status *status, struct buf *out, struct buf *labels, size_t type, size_t outcome)
{
	uint64_t n = atomic_load_explicit(&status->events[type][outcome], memory_order_relaxed);
	const char *name = type < EVENT_TYPE_COUNT    ? event_type_get((enum event_type_id)type)->name
			   : type == TYPE_UNDECODABLE ? "undecodable"
						      : "other";
	if (n == 0)
		return true;
	buf_clear(labels);
	return buf_printf(labels, "worker=\"%s\",type=\"%s\",outcome=\"%s\"", status->worker, name,
			  OUTCOMES[outcome]) &&
	       metrics_print_sample(out, "watchpost_events_total", buf_text(labels), (int64_t)n);
}

static bool print_events(const struct status *status, struct buf *out, struct buf *labels)
{
	bool done = metrics_print_head(out, "watchpost_events_total", "Records by type and what became of them.",
				       METRIC_COUNTER);
	for (size_t type = 0; type < TYPE_COUNT; type++)
		for (size_t outcome = 0; outcome < ARRAY_LEN(OUTCOMES); outcome++)
			done = done && print_event(status, out, labels, type, outcome);
	done = done &&
	       metrics_print_head(out, "watchpost_dlq_total", "Records set aside as dead letters.", METRIC_COUNTER);
	for (size_t i = 0; done && i < ARRAY_LEN(ERROR_CLASSES); i++) {
		uint64_t n = atomic_load_explicit(&status->dead_letters[i], memory_order_relaxed);
		buf_clear(labels);
		done = buf_printf(labels, "reason=\"%s\"", ERROR_CLASSES[i]) &&
		       metrics_print_sample(out, "watchpost_dlq_total", buf_text(labels), (int64_t)n);
	}
	return done;
}

static bool print_partitions(const struct status *status, struct buf *out, struct buf *labels)
{
	bool done =
		metrics_print_head(out, "watchpost_consumer_lag", "Records behind the end of the log.", METRIC_GAUGE);
	for (size_t i = 0; done && i < status->partition_count; i++) {
		const struct status_partition *p = &status->partitions[i];
		if (p->high < 0)
			continue;
		buf_clear(labels);
		done = buf_printf(labels, "topic=\"%s\",partition=\"%" PRId32 "\"", p->topic, p->partition) &&
		       metrics_print_sample(out, "watchpost_consumer_lag", buf_text(labels),
					    p->high > p->next_offset ? p->high - p->next_offset : 0);
	}
	return done;
}

bool status_metrics(struct status *status, struct buf *out)
{
	struct buf labels;
	buf_init(&labels, 1024);
	bool done = metrics_print(status->metrics, out) && print_events(status, out, &labels);
	(void)pthread_mutex_lock(&status->lock);
	done = done && print_partitions(status, out, &labels);
	(void)pthread_mutex_unlock(&status->lock);
	buf_free(&labels);
	return done;
}
