#include "workers/audit_log/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/chain.h"
#include "events.h"
#include "workers/audit_log/seals.h"
#include "workers/audit_log/summary.h"

enum {
	PARAMS_MAX = 16,
	FORGET_INTERVAL_MS = 60000,
	FORGET_ROWS_MAX = 5000, /* some ten milliseconds between two batches */
	PAYLOAD_BYTES_MAX = 4096,
	NS_PER_MS = 1000000
};

struct ledger {
	struct worker_state base;
	struct summary summaries[BATCH_ITEMS_MAX];
	/* Where a payload of a known type is decoded to, only to learn whether it can be. */
	_Alignas(max_align_t) uint8_t payload[PAYLOAD_BYTES_MAX];
	struct buf scratch;
	struct pg_params *params;
	struct seals *seals;
	int64_t forget_due_ns;
};

static struct ledger *ledger_of(struct worker_state *state)
{
	return CONTAINER_OF(state, struct ledger, base);
}

/* --- C2 --- */

static bool ledger_decode(struct worker_state *state, const struct worker_item *item, struct err *err)
{
	struct ledger *ledger = ledger_of(state);
	const struct event_type *type = event_type_find(item->head.type);
	if (type != NULL) {
		assert(type->layout->struct_bytes <= sizeof(ledger->payload));
		if (!event_decode(type->layout, item->record->value, ledger->payload, err))
			return false;
	}
	return summary_make(item->head.type, item->record->value, &ledger->summaries[item->place], err);
}

static bool ledger_prepare(struct worker_state *state, struct worker_batch *batch, struct err *err)
{
	struct ledger *ledger = ledger_of(state);
	for (size_t i = 0; i < batch->count; i++)
		if (!chain_advance(batch->head, batch->items[i].record, &ledger->scratch, err))
			return false;
	return true;
}

/* --- C3 --- */

/* One column of the batch. */
typedef void (*column)(struct pg_params *params, const struct worker_item *item, const struct summary *summary);

static void text_or_null(struct pg_params *params, struct bytes text)
{
	if (text.len == 0)
		pg_params_array_null(params);
	else
		pg_params_array_bytes(params, text);
}

static int64_t recorded_ms(const struct worker_item *item)
{
	return item->record->timestamp_ms < 0 ? 0 : item->record->timestamp_ms;
}

static void column_offset(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	(void)summary;
	pg_params_array_i64(params, item->record->offset);
}
static void column_recorded(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	(void)summary;
	pg_params_array_i64(params, recorded_ms(item));
}
static void column_occurred(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	(void)summary;
	pg_params_array_i64(params, item->undecodable ? recorded_ms(item) : item->head.time_ms);
}
static void column_type(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	(void)summary;
	pg_params_array_bytes(params, item->undecodable ? bytes_of("undecodable") : item->head.type);
}
static void column_event_id(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	(void)summary;
	text_or_null(params, item->undecodable ? bytes_of(NULL) : item->head.id);
}
static void column_account(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	text_or_null(params, item->undecodable ? bytes_of(NULL) : summary->account);
}
static void column_customer(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	text_or_null(params, item->undecodable ? bytes_of(NULL) : summary->customer);
}
static void column_actor(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	text_or_null(params, item->undecodable ? bytes_of(NULL) : summary->actor);
}
static void column_summary(struct pg_params *params, const struct worker_item *item, const struct summary *summary)
{
	pg_params_array_bytes(params, item->undecodable ? bytes_of(item->decode_error)
							: bytes_make(summary->text, summary->text_len));
}

static const struct {
	enum pg_array_kind kind;
	column fill;
} COLUMNS[] = {
	{PG_ARRAY_I64, column_offset},    {PG_ARRAY_I64, column_recorded},  {PG_ARRAY_I64, column_occurred},
	{PG_ARRAY_TEXT, column_type},     {PG_ARRAY_TEXT, column_event_id}, {PG_ARRAY_TEXT, column_account},
	{PG_ARRAY_TEXT, column_customer}, {PG_ARRAY_TEXT, column_actor},    {PG_ARRAY_TEXT, column_summary},
};

static void mark_duplicate(struct worker_batch *batch, int64_t offset)
{
	size_t low = 0, high = batch->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (batch->items[middle].record->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	assert(low < batch->count && batch->items[low].record->offset == offset);
	batch->items[low].outcome = WORKER_DUPLICATE;
}

static bool ledger_apply(struct worker_state *state, struct pg *pg, struct worker_batch *batch, struct err *err)
{
	struct ledger *ledger = ledger_of(state);
	pg_params_clear(ledger->params);
	pg_params_text(ledger->params, worker_cluster_id(state->worker));
	pg_params_text(ledger->params, batch->topic);
	pg_params_i64(ledger->params, batch->partition);
	for (size_t c = 0; c < ARRAY_LEN(COLUMNS); c++) {
		pg_params_array_begin(ledger->params, COLUMNS[c].kind);
		for (size_t i = 0; i < batch->count; i++)
			COLUMNS[c].fill(ledger->params, &batch->items[i], &ledger->summaries[batch->items[i].place]);
		pg_params_array_end(ledger->params);
	}
	struct pg_result *rows =
		pg_call(pg, "select api.audit_write($1, $2, $3::integer, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
			ledger->params, err);
	if (rows == NULL)
		return false;
	for (size_t i = 0; i < batch->count; i++)
		batch->items[i].outcome = WORKER_APPLIED;
	for (int row = 0; row < pg_rows(rows); row++) {
		int64_t offset = 0;
		if (pg_get_i64(rows, row, 0, &offset))
			mark_duplicate(batch, offset);
	}
	pg_result_free(rows);
	return true;
}

/* --- between batches --- */

static bool forget(struct ledger *ledger, struct err *err)
{
	struct worker *worker = ledger->base.worker;
	int64_t now_ns = clock_mono_ns(worker_clock(worker));
	if (now_ns < ledger->forget_due_ns)
		return true;
	ledger->forget_due_ns = now_ns + (int64_t)FORGET_INTERVAL_MS * NS_PER_MS;
	pg_params_clear(ledger->params);
	pg_params_i64(ledger->params, FORGET_ROWS_MAX);
	struct pg_result *row = pg_call(worker_pg(worker), "select api.audit_forget($1::integer)", ledger->params, err);
	if (row == NULL)
		return false;
	int64_t gone = 0;
	/* There is more: at the next tick, or more would come in than goes. */
	if (pg_get_i64(row, 0, 0, &gone) && gone == FORGET_ROWS_MAX)
		ledger->forget_due_ns = now_ns;
	pg_result_free(row);
	return true;
}

static bool ledger_tick(struct worker_state *state, struct err *err)
{
	struct ledger *ledger = ledger_of(state);
	return seals_tick(ledger->seals, state->worker, err) && forget(ledger, err);
}

static void ledger_stop(struct worker_state *state)
{
	struct ledger *ledger = ledger_of(state);
	seals_free(ledger->seals);
	pg_params_free(ledger->params);
	buf_free(&ledger->scratch);
	free(ledger);
}

static struct worker_state *ledger_start(struct worker *worker, struct err *err)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));
	if (ledger == NULL)
		goto full;
	ledger->base.worker = worker;
	buf_init(&ledger->scratch, CHAIN_SCRATCH_BYTES_MAX);
	ledger->params = pg_params_new(PARAMS_MAX);
	if (ledger->params == NULL)
		goto full;
	*err = (struct err){.code = ERR_NONE};
	ledger->seals = seals_new(worker_config(worker), err);
	if (err->code == ERR_NONE)
		return &ledger->base;
	ledger_stop(&ledger->base);
	return NULL;
full:
	if (ledger != NULL)
		ledger_stop(&ledger->base);
	(void)err_set(err, ERR_FULL, "no memory for audit-log");
	return NULL;
}

static const enum event_topic LEDGER_TOPICS[] = {EVENT_TOPIC_STRIPE, EVENT_TOPIC_AGENT, EVENT_TOPIC_SPEND,
						 EVENT_TOPIC_ACCESS};

const struct worker_spec ledger_spec = {
	.name = "audit-log",
	.summary = "writes the audit ledger and its hash chain from the audit topics, and seals the chain",
	.program = CONFIG_AUDIT_LOG,
	.topics = LEDGER_TOPICS,
	.topic_count = ARRAY_LEN(LEDGER_TOPICS),
	.takes_raw = true,
	.chained = true,
	.start = ledger_start,
	.decode = ledger_decode,
	.prepare = ledger_prepare,
	.apply = ledger_apply,
	.tick = ledger_tick,
	.stop = ledger_stop,
};
