#include "workers/revocation_fanout/fanout.h"

#include <assert.h>
#include <stdlib.h>

#include "common/id.h"
#include "common/kafka_producer.h"
#include "common/log.h"
#include "events.h"
#include "workers/revocation_fanout/watcher.h"

enum { PARAMS_MAX = 8, WAKE_TIMEOUT_MS = 2000, CLOSE_MS = 2000, SOURCE_BYTES_MAX = 96 };

/* What decode keeps of one item: views of its record. */
struct change {
	bool numbered; /* an access change; others are only told */
	int64_t number;
	struct bytes account_id, agent_id, change, cause, actor;
};

struct fanout {
	struct worker_state base;
	struct change changes[BATCH_ITEMS_MAX];
	struct pg_params *params;
	struct kafka_producer *producer;
	struct watcher *watcher;
	struct buf value;
	char source[SOURCE_BYTES_MAX];
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	struct kafka_ticket tickets[WAKES_WAITING_MAX];
	struct kafka_ticket *spare;
};

static struct fanout *fanout_of(struct worker_state *state)
{
	return CONTAINER_OF(state, struct fanout, base);
}

/* --- C2 --- */

static bool decode_agent(struct bytes value, struct change *out, struct err *err)
{
	struct event_access_agent e;
	if (!event_access_agent_decode(value, &e, err))
		return false;
	*out = (struct change){.numbered = e.has_access_number,
			       .number = e.access_number,
			       .account_id = e.account_id,
			       .agent_id = e.agent_id,
			       .change = e.change,
			       .cause = e.cause,
			       .actor = e.actor};
	return true;
}

static bool decode_account(struct bytes value, struct change *out, struct err *err)
{
	struct event_access_account e;
	if (!event_access_account_decode(value, &e, err))
		return false;
	*out = (struct change){.numbered = true,
			       .number = e.access_number,
			       .account_id = e.account_id,
			       .change = e.change,
			       .cause = e.cause,
			       .actor = e.actor};
	return true;
}

static bool fanout_decode(struct worker_state *state, const struct worker_item *item, struct err *err)
{
	struct change *out = &fanout_of(state)->changes[item->place];
	const struct event_type *type = event_type_find(item->head.type);
	*out = (struct change){0};
	if (type != NULL && type->id == EVENT_TYPE_ACCESS_AGENT)
		return decode_agent(item->record->value, out, err);
	if (type != NULL && type->id == EVENT_TYPE_ACCESS_ACCOUNT)
		return decode_account(item->record->value, out, err);
	return true;
}

/* --- the haste (R7) --- */

static void give_back(struct fanout *fanout, struct kafka_ticket *list)
{
	while (list != NULL) {
		struct kafka_ticket *next = list->next;
		list->next = fanout->spare;
		fanout->spare = list;
		list = next;
	}
}

/* Not waited for, and not sent again: whoever is not woken polls within ACCESS_POLL_MS. */
static void wake_nodes(struct fanout *fanout, const struct change *change)
{
	struct event_headers headers;
	char id[ID_TEXT_BYTES];
	const struct event_type *type = event_type_get(EVENT_TYPE_ACCESS_WAKE);
	const struct clock *clock = worker_clock(fanout->base.worker);
	const struct event_access_wake wake = {.account_id = change->account_id, .access_number = change->number};
	struct kafka_ticket *ticket = fanout->spare;
	buf_clear(&fanout->value);
	if (ticket == NULL || !event_access_wake_encode(&wake, &fanout->value))
		return;
	id_new("evt", clock, id);
	event_headers_write(&(struct event_head){.id = bytes_of(id),
						 .type = bytes_of(type->name),
						 .source = bytes_of(fanout->source),
						 .dataschema = bytes_of(type->dataschema),
						 .time_ms = clock_wall_ms(clock)},
			    &headers);
	fanout->spare = ticket->next;
	enum kafka_send_result result = kafka_producer_send(fanout->producer,
							    &(struct kafka_message){.topic = fanout->topic,
										    .partition = -1,
										    .key = change->account_id,
										    .value = buf_bytes(&fanout->value),
										    .headers = headers.items,
										    .header_count = headers.count},
							    ticket);
	if (result != KAFKA_SEND_QUEUED) {
		ticket->next = NULL;
		give_back(fanout, ticket);
	}
}

/* One for each run of an account: records of one are neighbours more often than not, and a second one is harmless. */
static bool fanout_prepare(struct worker_state *state, struct worker_batch *batch, struct err *err)
{
	struct fanout *fanout = fanout_of(state);
	(void)err;
	give_back(fanout, kafka_producer_poll(fanout->producer, 0));
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &fanout->changes[batch->items[i].place];
		bool last = i + 1 == batch->count ||
			    !bytes_equal(fanout->changes[batch->items[i + 1].place].account_id, change->account_id);
		if (change->numbered && last)
			wake_nodes(fanout, change);
	}
	return true;
}

/* --- C3 --- */

static void add_texts(struct fanout *fanout, const struct worker_batch *batch,
		      struct bytes (*column)(const struct change *change))
{
	pg_params_array_begin(fanout->params, PG_ARRAY_TEXT);
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &fanout->changes[batch->items[i].place];
		struct bytes text = column(change);
		if (change->numbered && text.len > 0)
			pg_params_array_bytes(fanout->params, text);
		else if (change->numbered)
			pg_params_array_null(fanout->params);
	}
	pg_params_array_end(fanout->params);
}

static struct bytes column_account(const struct change *change)
{
	return change->account_id;
}

static struct bytes column_agent(const struct change *change)
{
	return change->agent_id;
}

static struct bytes column_change(const struct change *change)
{
	return change->change;
}

static struct bytes column_cause(const struct change *change)
{
	return change->cause;
}

static struct bytes column_actor(const struct change *change)
{
	return change->actor;
}

static void add_numbers(struct fanout *fanout, const struct worker_batch *batch)
{
	pg_params_array_begin(fanout->params, PG_ARRAY_I64);
	for (size_t i = 0; i < batch->count; i++) {
		const struct change *change = &fanout->changes[batch->items[i].place];
		if (change->numbered)
			pg_params_array_i64(fanout->params, change->number);
	}
	pg_params_array_end(fanout->params);
}

static void add_event_ids(struct fanout *fanout, const struct worker_batch *batch)
{
	pg_params_array_begin(fanout->params, PG_ARRAY_TEXT);
	for (size_t i = 0; i < batch->count; i++) {
		if (fanout->changes[batch->items[i].place].numbered)
			pg_params_array_bytes(fanout->params, batch->items[i].head.id);
	}
	pg_params_array_end(fanout->params);
}

static void add_times(struct fanout *fanout, const struct worker_batch *batch)
{
	pg_params_array_begin(fanout->params, PG_ARRAY_I64);
	for (size_t i = 0; i < batch->count; i++) {
		if (fanout->changes[batch->items[i].place].numbered)
			pg_params_array_i64(fanout->params, batch->items[i].head.time_ms);
	}
	pg_params_array_end(fanout->params);
}

static bool fanout_apply(struct worker_state *state, struct pg *pg, struct worker_batch *batch, struct err *err)
{
	struct fanout *fanout = fanout_of(state);
	size_t numbered = 0;
	for (size_t i = 0; i < batch->count; i++) {
		struct worker_item *item = &batch->items[i];
		bool is = fanout->changes[item->place].numbered;
		item->outcome = is ? WORKER_APPLIED : WORKER_IGNORED;
		numbered += is;
	}
	if (numbered == 0)
		return true;
	pg_params_clear(fanout->params);
	add_numbers(fanout, batch);
	add_event_ids(fanout, batch);
	add_texts(fanout, batch, column_account);
	add_texts(fanout, batch, column_agent);
	add_texts(fanout, batch, column_change);
	add_texts(fanout, batch, column_cause);
	add_texts(fanout, batch, column_actor);
	add_times(fanout, batch);
	/* It looks for a while, so that it also sees what is committed a little later. */
	watcher_expect(fanout->watcher);
	return pg_run(pg, "select api.access_completion_open($1, $2, $3, $4, $5, $6, $7, $8)", fanout->params, err);
}

/* --- life --- */

static void fanout_stop(struct worker_state *state)
{
	struct fanout *fanout = fanout_of(state);
	watcher_stop(fanout->watcher);
	(void)kafka_producer_close(fanout->producer, CLOSE_MS);
	pg_params_free(fanout->params);
	buf_free(&fanout->value);
	free(fanout);
}

static bool make_producer(struct fanout *fanout, const struct config *config, struct err *err)
{
	event_topic_name(EVENT_TOPIC_ACCESS_CHANGES, config->environment, fanout->topic);
	const char *const topics[] = {fanout->topic, NULL};
	fanout->producer =
		kafka_producer_new(&(struct kafka_producer_options){.config = config,
								    .client_id = "watchpost-revocation-fanout",
								    .topics = topics,
								    .waiting_max = WAKES_WAITING_MAX,
								    .delivery_timeout_ms = WAKE_TIMEOUT_MS},
				   err);
	return fanout->producer != NULL;
}

static struct worker_state *fanout_start(struct worker *worker, struct err *err)
{
	struct fanout *fanout = calloc(1, sizeof(*fanout));
	const struct config *config = worker_config(worker);
	if (fanout == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for revocation-fanout");
		return NULL;
	}
	fanout->base.worker = worker;
	buf_init(&fanout->value, EVENT_ACCESS_WAKE_BYTES_MAX);
	event_source_name(config->environment, "revocation-fanout", fanout->source, sizeof(fanout->source));
	for (size_t i = 0; i < WAKES_WAITING_MAX; i++) {
		fanout->tickets[i].next = fanout->spare;
		fanout->spare = &fanout->tickets[i];
	}
	fanout->params = pg_params_new(PARAMS_MAX);
	if (fanout->params == NULL)
		(void)err_set(err, ERR_FULL, "no memory for revocation-fanout");
	else if (make_producer(fanout, config, err))
		fanout->watcher = watcher_start(config, worker_clock(worker), err);
	if (fanout->watcher == NULL) {
		fanout_stop(&fanout->base);
		return NULL;
	}
	return &fanout->base;
}

static const enum event_topic FANOUT_TOPICS[] = {EVENT_TOPIC_ACCESS};

const struct worker_spec fanout_spec = {
	.name = "revocation-fanout",
	.summary = "wakes every ingress when access changes, and records when a change was in force on all of them",
	.program = CONFIG_REVOCATION_FANOUT,
	.topics = FANOUT_TOPICS,
	.topic_count = ARRAY_LEN(FANOUT_TOPICS),
	.start = fanout_start,
	.decode = fanout_decode,
	.prepare = fanout_prepare,
	.apply = fanout_apply,
	.stop = fanout_stop,
};
