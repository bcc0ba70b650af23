#include "workers/outbox_relay/relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/admin.h"
#include "common/event_json.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/pg.h"
#include "events.h"
#include "workers/outbox_relay/batch.h"
#include "workers/runtime/retry.h"

enum {
	PARAMS_MAX = 4,
	SHARDS = 16,
	CLAIM_MS = 500, /* how soon a newcomer gets its share */
	DEPTH_MS = 2000,
	STUCK_NS = 60, /* seconds without a turn: not alive */
	DELIVERY_TIMEOUT_MS = 10000,
	POLL_MS = 100,
	CLOSE_MS = 2000,
	SOURCE_BYTES_MAX = 96,
	NS_PER_MS = 1000000
};
static const int64_t SECOND_NS = 1000000000;

struct relay {
	struct config *config;
	struct config *boot_config; /* what the producer was made with */
	const struct clock *clock;
	struct pg *pg;
	struct pg_params *params;
	struct kafka_producer *producer;
	struct admin *admin;
	struct retry retry;
	struct buf value;
	char source[SOURCE_BYTES_MAX];
	char topics[EVENT_TOPIC_COUNT][KAFKA_TOPIC_BYTES_MAX + 1];
	uint64_t session; /* pg_session() in which the shards were claimed; 0: none */
	int64_t claim_due_ns, depth_due_ns, busy_until_ns;
	int64_t shards[SHARDS];
	size_t shard_count;
	int64_t after; /* rows up to this id are passed over: each was tried since `again_ns` and stays */
	int64_t again_ns;
	struct outbox_row *rows; /* OUTBOX_BATCH_ROWS */
	int64_t *ids;
	bool failed;
	struct err failure;

	_Atomic int64_t beat_ns;
	atomic_bool postgres_away, kafka_away, started;
	_Atomic int64_t broken_id; /* of a row that cannot be sent; 0: none */
	_Atomic uint64_t published_total, failed_total;
	_Atomic int64_t shown_shards, depth, oldest_ms;
};

/* In the order in which they happen. */
static bool claim(struct relay *relay, struct err *err);
static struct pg_result *read_rows(struct relay *relay, size_t *count, struct err *err);
static void send_rows(struct relay *relay, size_t count);
static bool delete_rows(struct relay *relay, size_t count, struct err *err);

static int64_t now_ns(const struct relay *relay)
{
	return clock_mono_ns(relay->clock);
}

/* --- claim ------------------------------------------------------------------------------------------ */

/* A new session has no locks and hears nothing yet. */
static void lose_session(struct relay *relay)
{
	relay->session = 0;
	relay->shard_count = 0;
	relay->claim_due_ns = 0;
	relay->after = 0;
}

static bool claim(struct relay *relay, struct err *err)
{
	if (pg_session(relay->pg) != relay->session)
		lose_session(relay);
	if (now_ns(relay) < relay->claim_due_ns)
		return true;
	if (relay->session == 0 && !pg_run(relay->pg, "listen watchpost_outbox", NULL, err))
		return false;
	relay->session = pg_session(relay->pg);
	struct pg_result *rows = pg_call(relay->pg, "select * from api.outbox_claim()", NULL, err);
	if (rows == NULL)
		return false;
	size_t before = relay->shard_count;
	relay->shard_count = 0;
	for (int i = 0; i < pg_rows(rows) && relay->shard_count < SHARDS; i++) {
		if (pg_get_i64(rows, i, 0, &relay->shards[relay->shard_count]))
			relay->shard_count++;
	}
	pg_result_free(rows);
	if (relay->shard_count != before)
		LOG(INFO, "shards_claimed", F_U64("shards", relay->shard_count));
	atomic_store_explicit(&relay->shown_shards, (int64_t)relay->shard_count, memory_order_relaxed);
	relay->claim_due_ns = now_ns(relay) + (int64_t)CLAIM_MS * NS_PER_MS;
	return true;
}

static bool look_at_depth(struct relay *relay, struct err *err)
{
	int64_t depth = 0;
	int64_t oldest_ms = 0;
	if (now_ns(relay) < relay->depth_due_ns)
		return true;
	relay->depth_due_ns = now_ns(relay) + (int64_t)DEPTH_MS * NS_PER_MS;
	struct pg_result *row = pg_call(relay->pg, "select rows, oldest_ms from api.outbox_depth()", NULL, err);
	if (row == NULL)
		return false;
	if (pg_get_i64(row, 0, 0, &depth))
		atomic_store_explicit(&relay->depth, depth, memory_order_relaxed);
	(void)(pg_get_i64(row, 0, 1, &oldest_ms) && oldest_ms > 0); /* null when there is none */
	atomic_store_explicit(&relay->oldest_ms, oldest_ms, memory_order_relaxed);
	pg_result_free(row);
	return true;
}

/* --- read ------------------------------------------------------------------------------------------- */

static bool read_row(const struct pg_result *rows, int at, struct outbox_row *out)
{
	*out = (struct outbox_row){.topic = pg_get(rows, at, 1),
				   .key = pg_get(rows, at, 2),
				   .event_id = pg_get(rows, at, 4),
				   .type = pg_get(rows, at, 5),
				   .payload = pg_get(rows, at, 7)};
	return pg_get_i64(rows, at, 0, &out->id) && pg_get_i64(rows, at, 3, &out->number) &&
	       pg_get_i64(rows, at, 6, &out->time_ms);
}

/* NULL: see err. The rows view the result. */
static struct pg_result *read_rows(struct relay *relay, size_t *count, struct err *err)
{
	static const char READ[] = "select outbox_id, topic, key, number, event_id, type, time_ms, payload "
				   "from api.outbox_read($1, $2, $3::integer)";
	*count = 0;
	/* What stays behind is tried again once a second; until then it does not stand before the others. */
	if (now_ns(relay) >= relay->again_ns) {
		relay->after = 0;
		relay->again_ns = now_ns(relay) + SECOND_NS;
	}
	pg_params_clear(relay->params);
	pg_params_array_begin(relay->params, PG_ARRAY_I32);
	for (size_t i = 0; i < relay->shard_count; i++)
		pg_params_array_i64(relay->params, relay->shards[i]);
	pg_params_array_end(relay->params);
	pg_params_i64(relay->params, relay->after);
	pg_params_i64(relay->params, OUTBOX_BATCH_ROWS);
	struct pg_result *rows = pg_call(relay->pg, READ, relay->params, err);
	if (rows == NULL)
		return NULL;
	for (int i = 0; i < pg_rows(rows) && i < OUTBOX_BATCH_ROWS; i++) {
		if (!read_row(rows, i, &relay->rows[i])) {
			pg_result_free(rows);
			(void)err_set(err, ERR_INTERNAL, "api.outbox_read answers otherwise than promised");
			return NULL;
		}
		++*count;
	}
	return rows;
}

/* --- send ------------------------------------------------------------------------------------------- */

static void row_broken(struct relay *relay, struct outbox_row *row, const struct err *err)
{
	row->fate = ROW_BROKEN;
	if (atomic_exchange_explicit(&relay->broken_id, row->id, memory_order_relaxed) != row->id)
		LOG(ERROR, "outbox_row_broken", F_I64("outbox_id", row->id), F_BYTES("type", row->type), F_ERR(err));
}

static void send_row(struct relay *relay, struct outbox_row *row)
{
	struct err err;
	struct event_headers headers;
	const struct event_type *type = event_type_find(row->type);
	buf_clear(&relay->value);
	if (type == NULL) {
		(void)err_set(&err, ERR_INVALID, "a type that this version does not know");
		row_broken(relay, row, &err);
		return;
	}
	if (!event_json_encode(type->layout, row->payload, &relay->value, &err)) {
		row_broken(relay, row, &err);
		return;
	}
	event_headers_write(&(struct event_head){.id = row->event_id,
						 .type = bytes_of(type->name),
						 .source = bytes_of(relay->source),
						 .dataschema = bytes_of(type->dataschema),
						 .time_ms = row->time_ms,
						 .sequence = row->number},
			    &headers);
	enum kafka_send_result result = kafka_producer_send(relay->producer,
							    &(struct kafka_message){.topic = relay->topics[type->topic],
										    .partition = -1,
										    .key = row->key,
										    .value = buf_bytes(&relay->value),
										    .headers = headers.items,
										    .header_count = headers.count},
							    &row->ticket);
	row->fate = result == KAFKA_SEND_QUEUED ? ROW_SENT : ROW_FAILED;
}

static void take_tickets(struct relay *relay, size_t *under_way)
{
	struct kafka_ticket *ticket = kafka_producer_poll(relay->producer, POLL_MS);
	while (ticket != NULL) {
		struct kafka_ticket *next = ticket->next;
		struct outbox_row *row = CONTAINER_OF(ticket, struct outbox_row, ticket);
		assert(row->fate == ROW_SENT && *under_way > 0);
		row->fate = ticket->delivery == KAFKA_DELIVERY_DONE ? ROW_KEPT : ROW_FAILED;
		--*under_way;
		ticket = next;
	}
	atomic_store_explicit(&relay->beat_ns, now_ns(relay), memory_order_relaxed);
}

/* All that may go out; returns when each was acknowledged or given up, which delivery_timeout_ms bounds. */
static void send_rows(struct relay *relay, size_t count)
{
	size_t under_way = 0;
	size_t failed = 0;
	for (size_t i = 0; i < count; i++) {
		if (!batch_key_stopped(relay->rows, i))
			send_row(relay, &relay->rows[i]);
		under_way += relay->rows[i].fate == ROW_SENT;
	}
	while (under_way > 0)
		take_tickets(relay, &under_way);
	for (size_t i = 0; i < count; i++)
		failed += relay->rows[i].fate == ROW_FAILED;
	atomic_fetch_add_explicit(&relay->failed_total, failed, memory_order_relaxed);
	atomic_store_explicit(&relay->kafka_away, failed > 0, memory_order_relaxed);
}

/* --- delete ------------------------------------------------------------------------------------------ */

static bool delete_rows(struct relay *relay, size_t count, struct err *err)
{
	size_t deletable = batch_deletable(relay->rows, count, relay->ids);
	if (deletable == 0)
		return true;
	pg_params_clear(relay->params);
	pg_params_array_begin(relay->params, PG_ARRAY_I64);
	for (size_t i = 0; i < deletable; i++)
		pg_params_array_i64(relay->params, relay->ids[i]);
	pg_params_array_end(relay->params);
	if (!pg_run(relay->pg, "select api.outbox_published($1)", relay->params, err))
		return false;
	atomic_fetch_add_explicit(&relay->published_total, deletable, memory_order_relaxed);
	return true;
}

/* --- a turn ------------------------------------------------------------------------------------------ */

static void away(struct relay *relay, const struct err *err)
{
	if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) {
		relay->failure = *err;
		relay->failed = true;
		return;
	}
	int64_t pause_ms = retry_failed(&relay->retry, now_ns(relay), relay->config->retry_backoff_max_ms);
	atomic_store_explicit(&relay->postgres_away, true, memory_order_relaxed);
	LOG(WARN, "postgres_away", F_I64("pause_ms", pause_ms), F_ERR(err));
	lose_session(relay);
}

/* Kafka took nothing: another try at once would take it as little. */
static void nap(struct relay *relay, int64_t ms)
{
	const struct timespec pause = {.tv_nsec = ms * NS_PER_MS};
	atomic_store_explicit(&relay->beat_ns, now_ns(relay), memory_order_relaxed);
	(void)nanosleep(&pause, NULL);
}

/* False: Postgres failed. *rest_ms: how long there is nothing to do unless a notification comes. */
static bool work(struct relay *relay, int *rest_ms, struct err *err)
{
	size_t count = 0;
	if (!claim(relay, err) || !look_at_depth(relay, err))
		return false;
	*rest_ms = now_ns(relay) < relay->busy_until_ns ? OUTBOX_BUSY_MS : OUTBOX_IDLE_MS;
	if (relay->shard_count == 0)
		return true;
	struct pg_result *rows = read_rows(relay, &count, err);
	if (rows == NULL)
		return false;
	if (pg_session(relay->pg) != relay->session)
		count = 0; /* of shards that another relay may have by now */
	if (count > 0) {
		relay->busy_until_ns = now_ns(relay) + SECOND_NS;
		send_rows(relay, count);
	} else {
		atomic_store_explicit(&relay->broken_id, relay->after == 0 ? 0 : atomic_load(&relay->broken_id),
				      memory_order_relaxed);
	}
	bool deleted = delete_rows(relay, count, err);
	bool all = count > 0 && relay->rows[count - 1].fate == ROW_KEPT;
	if (count > 0 && !atomic_load_explicit(&relay->kafka_away, memory_order_relaxed))
		relay->after = all && relay->after == 0 ? 0 : relay->rows[count - 1].id;
	pg_result_free(rows);
	if (deleted && count > 0 && !atomic_load_explicit(&relay->kafka_away, memory_order_relaxed))
		*rest_ms = 0;
	return deleted;
}

static void reload(struct relay *relay)
{
	struct config *fresh = program_reload(relay->config);
	if (fresh == NULL)
		return;
	pg_set_config(relay->pg, fresh);
	if (relay->config != relay->boot_config)
		config_free(relay->config);
	relay->config = fresh;
	LOG(INFO, "reloaded");
}

static void turn(struct relay *relay)
{
	struct err err;
	int rest_ms = 0;
	atomic_store_explicit(&relay->beat_ns, now_ns(relay), memory_order_relaxed);
	if (program_reload_asked())
		reload(relay);
	if (retry_waiting(&relay->retry, now_ns(relay))) {
		nap(relay, 20);
		return;
	}
	if (!work(relay, &rest_ms, &err)) {
		away(relay, &err);
		return;
	}
	retry_succeeded(&relay->retry);
	atomic_store_explicit(&relay->postgres_away, false, memory_order_relaxed);
	atomic_store_explicit(&relay->started, true, memory_order_relaxed);
	if (atomic_load_explicit(&relay->kafka_away, memory_order_relaxed))
		nap(relay, OUTBOX_IDLE_MS);
	else if (rest_ms > 0)
		(void)pg_wait_notify(relay->pg, -1, rest_ms);
}

/* --- the admin listener, on a thread of its own -------------------------------------------------------- */

static bool on_alive(void *cookie)
{
	struct relay *relay = cookie;
	return now_ns(relay) - atomic_load_explicit(&relay->beat_ns, memory_order_relaxed) < STUCK_NS * SECOND_NS;
}

/* A reason that does not fit is left out: the answer is 503 all the same. */
static void add_reason(struct buf *reasons, bool holds, const char *reason, bool *ready)
{
	if (!holds)
		return;
	*ready = false;
	if (!buf_append_text(reasons, reason) || !buf_append_byte(reasons, '\n'))
		return;
}

static bool on_ready(void *cookie, struct buf *reasons)
{
	struct relay *relay = cookie;
	char broken[48];
	int64_t broken_id = atomic_load_explicit(&relay->broken_id, memory_order_relaxed);
	bool ready = true;
	(void)snprintf(broken, sizeof(broken), "outbox_row_broken outbox_id=%" PRId64, broken_id);
	add_reason(reasons, !atomic_load_explicit(&relay->started, memory_order_relaxed), "starting", &ready);
	add_reason(reasons, atomic_load_explicit(&relay->postgres_away, memory_order_relaxed), "postgres_down", &ready);
	add_reason(reasons, atomic_load_explicit(&relay->kafka_away, memory_order_relaxed), "kafka_down", &ready);
	add_reason(reasons, broken_id != 0, broken, &ready);
	return ready;
}

static bool on_metrics(void *cookie, struct buf *out)
{
	struct relay *relay = cookie;
	int64_t oldest_ms = atomic_load_explicit(&relay->oldest_ms, memory_order_relaxed);
	int64_t age_s = oldest_ms > 0 ? (clock_wall_ms(relay->clock) - oldest_ms) / 1000 : 0;
	const struct {
		const char *name;
		const char *help;
		enum metric_kind kind;
		int64_t value;
	} samples[] = {
		{"watchpost_outbox_published_total", "Events that Kafka acknowledged and the outbox forgot.",
		 METRIC_COUNTER, (int64_t)atomic_load_explicit(&relay->published_total, memory_order_relaxed)},
		{"watchpost_outbox_failures_total", "Events that Kafka did not acknowledge; they are sent again.",
		 METRIC_COUNTER, (int64_t)atomic_load_explicit(&relay->failed_total, memory_order_relaxed)},
		{"watchpost_outbox_shards", "Shards of 16 that this process publishes.", METRIC_GAUGE,
		 atomic_load_explicit(&relay->shown_shards, memory_order_relaxed)},
		{"watchpost_outbox_depth", "Events that wait in the outbox, of all shards.", METRIC_GAUGE,
		 atomic_load_explicit(&relay->depth, memory_order_relaxed)},
		{"watchpost_outbox_oldest_age_seconds", "Age of the oldest of them.", METRIC_GAUGE,
		 age_s > 0 ? age_s : 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		if (!metrics_print_head(out, samples[i].name, samples[i].help, samples[i].kind) ||
		    !metrics_print_sample(out, samples[i].name, "", samples[i].value))
			return false;
	}
	return metrics_print_head(out, "watchpost_build_info", "The program that runs here.", METRIC_GAUGE) &&
	       metrics_print_sample(out, "watchpost_build_info",
				    "program=\"watchpost-outbox-relay\",version=\"" WATCHPOST_VERSION "\"", 1);
}

/* --- life ------------------------------------------------------------------------------------------- */

static bool listen_admin(struct relay *relay, struct err *err)
{
	if (relay->config->admin_port == 0)
		return true;
	relay->admin = admin_start(&(struct admin_options){.address = relay->config->admin_address,
							   .port = (int)relay->config->admin_port,
							   .cookie = relay,
							   .alive = on_alive,
							   .ready = on_ready,
							   .metrics = on_metrics},
				   err);
	return relay->admin != NULL;
}

static bool make_producer(struct relay *relay, const char *client_id, struct err *err)
{
	for (size_t i = 0; i < EVENT_TOPIC_COUNT; i++)
		event_topic_name((enum event_topic)i, relay->config->environment, relay->topics[i]);
	const char *const topics[] = {relay->topics[EVENT_TOPIC_ACCESS], relay->topics[EVENT_TOPIC_SPEND], NULL};
	relay->producer =
		kafka_producer_new(&(struct kafka_producer_options){.config = relay->boot_config,
								    .client_id = client_id,
								    .topics = topics,
								    .waiting_max = OUTBOX_BATCH_ROWS,
								    .delivery_timeout_ms = DELIVERY_TIMEOUT_MS},
				   err);
	return relay->producer != NULL;
}

static bool begin(struct relay *relay, const char *client_id, struct err *err)
{
	event_source_name(relay->config->environment, "outbox-relay", relay->source, sizeof(relay->source));
	relay->rows = calloc(OUTBOX_BATCH_ROWS, sizeof(*relay->rows));
	relay->ids = calloc(OUTBOX_BATCH_ROWS, sizeof(*relay->ids));
	relay->params = pg_params_new(PARAMS_MAX);
	if (relay->rows == NULL || relay->ids == NULL || relay->params == NULL)
		return err_set(err, ERR_FULL, "no memory for a batch");
	if (!listen_admin(relay, err))
		return false;
	relay->pg = pg_new(&(struct pg_options){.config = relay->config, .program = client_id}, err);
	return relay->pg != NULL && make_producer(relay, client_id, err);
}

static void end(struct relay *relay)
{
	admin_stop(relay->admin);
	/* Nothing is under way between two turns. */
	(void)kafka_producer_close(relay->producer, CLOSE_MS);
	pg_free(relay->pg);
	pg_params_free(relay->params);
	buf_free(&relay->value);
	free(relay->ids);
	free(relay->rows);
	if (relay->config != relay->boot_config)
		config_free(relay->config);
	config_free(relay->boot_config);
	free(relay);
}

static int run(const struct program *program, struct config *config, const char *client_id)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int status = err_exit_status(ERR_FULL);
	(void)program;
	if (relay == NULL) {
		config_free(config);
		return status;
	}
	relay->config = relay->boot_config = config;
	relay->clock = clock_system();
	buf_init(&relay->value, EVENT_VALUE_BYTES_MAX);
	relay->beat_ns = now_ns(relay);
	relay->failed = !begin(relay, client_id, &relay->failure);
	if (!relay->failed)
		LOG(INFO, "started", F_TEXT("version", WATCHPOST_VERSION));
	while (!program_stopping() && !relay->failed)
		turn(relay);
	status = relay->failed ? err_exit_status(relay->failure.code) : 0;
	if (relay->failed)
		LOG(ERROR, "stopped", F_I64("status", status), F_ERR(&relay->failure));
	else
		LOG(INFO, "stopped", F_I64("status", status));
	end(relay);
	return status;
}

const struct program relay_program = {
	.name = "outbox-relay",
	.summary = "Publishes what was decided in Postgres to Kafka, in order per key, at least once.",
	.config = CONFIG_OUTBOX_RELAY,
	.run = run,
};
