/* The program around the loop: connections, turns, C7. */
#include "workers/runtime/runtime.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/admin.h"
#include "common/log.h"
#include "workers/runtime/internal.h"
#include "workers/runtime/program.h"

enum {
	POLL_MS = 200, /* how late a signal may be seen */
	TICK_MS = 1000,
	LEAVE_MS = 10000, /* longest time to leave the group */
	PRODUCER_CLOSE_MS = 2000,
	PARAMS_MAX = 16,
	NS_PER_MS = 1000000
};

/* --- what workers may ask --- */

const struct config *worker_config(const struct worker *worker)
{
	return worker->config;
}

struct pg *worker_pg(struct worker *worker)
{
	return worker->pg;
}

const struct clock *worker_clock(const struct worker *worker)
{
	return worker->clock;
}

const char *worker_cluster_id(const struct worker *worker)
{
	return worker->cluster_id;
}

size_t worker_partition_count(const struct worker *worker)
{
	return worker->partition_count;
}

void worker_partition_get(const struct worker *worker, size_t index, struct worker_partition_view *out)
{
	assert(index < worker->partition_count);
	const struct worker_partition *partition = &worker->partitions[index];
	*out = (struct worker_partition_view){
		.topic = partition->topic, .partition = partition->partition, .next_offset = partition->next_offset};
}

/* --- begin --- */

/* Until it goes well, somebody asks to stop, or it fails in a way that no retry heals (C6). */
static bool wait_for(struct worker *worker, bool (*attempt)(struct worker *worker, struct err *err), struct err *err)
{
	struct retry retry = {0};
	while (!attempt(worker, err)) {
		if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT)
			return false;
		int64_t pause_ms =
			retry_failed(&retry, clock_mono_ns(worker->clock), worker->config->retry_backoff_max_ms);
		LOG(WARN, "waiting_to_start", F_I64("pause_ms", pause_ms), F_ERR(err));
		while (retry_waiting(&retry, clock_mono_ns(worker->clock)) && !program_stopping()) {
			status_beat(worker->status, clock_mono_ns(worker->clock));
			const struct timespec nap = {.tv_nsec = 20 * NS_PER_MS};
			(void)nanosleep(&nap, NULL);
		}
		if (program_stopping())
			return false;
	}
	return true;
}

static bool attempt_postgres(struct worker *worker, struct err *err)
{
	return pg_connect(worker->pg, err);
}

static bool attempt_kafka(struct worker *worker, struct err *err)
{
	bool changed;
	return offsets_cluster(worker, &changed, err);
}

static bool subscribe(struct worker *worker, struct err *err)
{
	const struct worker_spec *spec = worker->spec;
	char names[EVENT_TOPIC_COUNT][KAFKA_TOPIC_BYTES_MAX + 1];
	const char *topics[EVENT_TOPIC_COUNT];
	char group[KAFKA_TOPIC_BYTES_MAX + 1];
	assert(spec->topic_count > 0 && spec->topic_count <= EVENT_TOPIC_COUNT);
	for (size_t i = 0; i < spec->topic_count; i++) {
		event_topic_name(spec->topics[i], worker->config->environment, names[i]);
		topics[i] = names[i];
	}
	(void)snprintf(group, sizeof(group), "watchpost.%s.%s", environment_name(worker->config->environment),
		       spec->name);
	struct kafka_consumer_options options = {
		.config = worker->boot_config,
		.client_id = worker->client_id,
		.group = worker->config->consumer_group[0] != '\0' ? worker->config->consumer_group : group};
	partitions_events(worker, &options.events);
	worker->consumer = kafka_consumer_new(&options, err);
	return worker->consumer != NULL && kafka_consumer_subscribe(worker->consumer, topics, spec->topic_count, err);
}

/* --- the admin listener, on a thread of its own --- */

static bool admin_alive(void *cookie)
{
	struct worker *worker = cookie;
	return status_alive(worker->status, clock_mono_ns(worker->clock));
}

static bool admin_ready(void *cookie, struct buf *reasons)
{
	struct worker *worker = cookie;
	return status_ready(worker->status, reasons);
}

static bool admin_metrics(void *cookie, struct buf *out)
{
	struct worker *worker = cookie;
	return status_metrics(worker->status, out);
}

static bool listen_admin(struct worker *worker, struct err *err)
{
	const struct admin_options options = {.address = worker->config->admin_address,
					      .port = (int)worker->config->admin_port,
					      .cookie = worker,
					      .alive = admin_alive,
					      .ready = admin_ready,
					      .metrics = admin_metrics};
	if (worker->config->admin_port == 0)
		return true;
	worker->admin_listener = admin_start(&options, err);
	return worker->admin_listener != NULL;
}

static bool worker_begin(struct worker *worker, struct err *err)
{
	const struct pg_options pg_options = {.config = worker->config, .program = worker->client_id};
	worker->items = calloc(BATCH_ITEMS_MAX, sizeof(worker->items[0]));
	worker->records = calloc(BATCH_ITEMS_MAX, sizeof(worker->records[0]));
	worker->params = pg_params_new(PARAMS_MAX);
	if (worker->items == NULL || worker->records == NULL || worker->params == NULL)
		return err_set(err, ERR_FULL, "no memory for the batch");
	worker->status = status_new(worker->spec->name, err);
	if (worker->status == NULL)
		return false;
	if (!listen_admin(worker, err))
		return false;
	worker->pg = pg_new(&pg_options, err);
	if (worker->pg == NULL)
		return false;
	worker->admin = kafka_admin_new(worker->boot_config, worker->client_id, err);
	if (worker->admin == NULL || !wait_for(worker, attempt_postgres, err) || !wait_for(worker, attempt_kafka, err))
		return false;
	worker->state = worker->spec->start(worker, err);
	if (worker->state == NULL)
		return false;
	worker->state->worker = worker;
	return subscribe(worker, err);
}

/* --- loop --- */

static void reload(struct worker *worker)
{
	struct config *fresh = program_reload(worker->config);
	if (fresh == NULL)
		return;
	struct config *old = worker->config;
	worker->config = fresh;
	pg_set_config(worker->pg, fresh);
	if (worker->spec->reload != NULL)
		worker->spec->reload(worker->state);
	if (old != worker->boot_config)
		config_free(old);
	LOG(INFO, "reloaded");
}

static void publish_status(struct worker *worker)
{
	struct status_partition shown[WORKER_PARTITIONS_MAX];
	for (size_t i = 0; i < worker->partition_count; i++) {
		const struct worker_partition *partition = &worker->partitions[i];
		const struct kafka_partition place = {.topic = partition->topic, .partition = partition->partition};
		shown[i] = (struct status_partition){.topic = partition->topic,
						     .partition = partition->partition,
						     .next_offset = partition->next_offset,
						     .high = kafka_consumer_high(worker->consumer, &place),
						     .out_of_range = partition->state == PARTITION_OUT_OF_RANGE};
	}
	status_partitions(worker->status, shown, worker->partition_count);
}

static void tick(struct worker *worker)
{
	struct err err;
	int64_t now_ns = clock_mono_ns(worker->clock);
	if (now_ns < worker->tick_due_ns)
		return;
	worker->tick_due_ns = now_ns + (int64_t)TICK_MS * NS_PER_MS;
	publish_status(worker);
	if (retry_pending(&worker->retry))
		return;
	partitions_look_for_resets(worker);
	if (worker->spec->tick != NULL && !retry_pending(&worker->retry) && !worker->failed &&
	    !worker->spec->tick(worker->state, &err))
		partitions_failure(worker, &err);
}

static void turn(struct worker *worker)
{
	struct err err;
	size_t count = 0;
	int64_t now_ns = clock_mono_ns(worker->clock);
	status_beat(worker->status, now_ns);
	if (program_reload_asked())
		reload(worker);
	if (retry_pending(&worker->retry) && !retry_waiting(&worker->retry, now_ns))
		partitions_recover(worker);
	int64_t left_ms = retry_left_ms(&worker->retry, clock_mono_ns(worker->clock));
	int timeout_ms = left_ms > 0 && left_ms < POLL_MS ? (int)left_ms : POLL_MS;
	if (!kafka_consumer_poll(worker->consumer, timeout_ms, worker->records, batch_items_max(worker), &count,
				 &err)) {
		worker->failure = err;
		worker->failed = true;
		return;
	}
	batch_records(worker, worker->records, count);
	kafka_records_release(worker->consumer);
	tick(worker);
}

static void worker_end(struct worker *worker)
{
	/* The admin listener goes on for a while; the topics' names go with the consumer. */
	if (worker->status != NULL)
		status_partitions(worker->status, NULL, 0);
	/* C7: out of the group first, so that others take over while the rest is freed. */
	kafka_consumer_close(worker->consumer, LEAVE_MS);
	if (worker->state != NULL)
		worker->spec->stop(worker->state);
	(void)kafka_producer_close(worker->producer, PRODUCER_CLOSE_MS);
	kafka_admin_free(worker->admin);
	pg_free(worker->pg);
	admin_stop(worker->admin_listener);
	status_free(worker->status);
	pg_params_free(worker->params);
	free(worker->records);
	free(worker->items);
}

static int worker_run(const struct program *program, struct config *config, const char *client_id)
{
	const struct worker_spec *spec = program->cookie;
	struct worker *worker = calloc(1, sizeof(*worker));
	struct err err = {.code = ERR_NONE};
	int status = err_exit_status(ERR_FULL);
	if (worker == NULL) {
		config_free(config);
		return status;
	}
	worker->spec = spec;
	worker->config = worker->boot_config = config;
	worker->clock = clock_system();
	(void)snprintf(worker->client_id, sizeof(worker->client_id), "%s", client_id);
	if (worker_begin(worker, &err)) {
		status_started(worker->status);
		LOG(INFO, "started", F_TEXT("version", WATCHPOST_VERSION), F_TEXT("cluster", worker->cluster_id));
		while (!program_stopping() && !worker->failed)
			turn(worker);
	} else if (!program_stopping()) {
		worker->failed = true;
		worker->failure = err;
	}
	worker_end(worker);
	status = worker->failed ? err_exit_status(worker->failure.code) : 0;
	if (worker->failed)
		LOG(ERROR, "stopped", F_I64("status", status), F_ERR(&worker->failure));
	else
		LOG(INFO, "stopped", F_I64("status", status));
	if (worker->config != worker->boot_config)
		config_free(worker->config);
	config_free(worker->boot_config);
	free(worker);
	return status;
}

int worker_main(const struct worker_spec *spec, int argc, char **argv)
{
	const struct program program = {.name = spec->name,
					.summary = spec->summary,
					.config = spec->program,
					.run = worker_run,
					.cookie = spec};
	return program_main(&program, argc, argv);
}
