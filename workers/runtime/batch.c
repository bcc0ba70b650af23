/* From the records of one poll to transactions: C2 to C6. */
#include <assert.h>
#include <string.h>

#include "common/log.h"
#include "workers/runtime/internal.h"

/* Before the rollback, which clears what the server said. */
static enum batch_result sort_failure(struct worker *worker, const struct err *err)
{
	if (partitions_away(worker, err))
		return BATCH_AWAY;
	if (err->code == ERR_INVALID && pg_failed_by_item(worker->pg)) {
		memcpy(worker->item_error_class, pg_sqlstate(worker->pg), sizeof(worker->item_error_class) - 1);
		return BATCH_BY_ITEM;
	}
	return BATCH_FATAL;
}

static int64_t next_offset_of(const struct worker_batch *batch)
{
	return batch->items[batch->count - 1].record->offset + 1;
}

enum batch_result batch_open(struct worker *worker, struct worker_partition *partition, struct worker_batch *batch,
			     struct err *err)
{
	bool moved = false;
	/* One poll may become thousands of transactions (one_by_one); each has its own time. */
	status_beat(worker->status, clock_mono_ns(worker->clock));
	batch->has_head = worker->spec->chained;
	memcpy(batch->head, partition->head, sizeof(batch->head));
	if (worker->spec->prepare != NULL && !worker->spec->prepare(worker->state, batch, err))
		return BATCH_FATAL;
	if (!pg_begin(worker->pg, err) ||
	    !offsets_advance(worker, partition, next_offset_of(batch), batch, &moved, err)) {
		enum batch_result result = sort_failure(worker, err);
		pg_rollback(worker->pg);
		/* These statements hold nothing of the items. */
		return result == BATCH_BY_ITEM ? BATCH_FATAL : result;
	}
	if (!moved) {
		pg_rollback(worker->pg);
		return BATCH_FENCED;
	}
	return BATCH_DONE;
}

enum batch_result batch_close(struct worker *worker, struct worker_partition *partition,
			      const struct worker_batch *batch, bool written, struct err *err)
{
	if (!written || !pg_commit(worker->pg, err)) {
		enum batch_result result = sort_failure(worker, err);
		pg_rollback(worker->pg);
		return result;
	}
	partition->next_offset = next_offset_of(batch);
	memcpy(partition->head, batch->head, sizeof(partition->head));
	partition->fenced_in_a_row = 0;
	retry_succeeded(&worker->retry);
	if (worker->batch_halvings > 0)
		worker->batch_halvings--;
	return BATCH_DONE;
}

static void count_outcomes(struct worker *worker, const struct worker_batch *batch)
{
	static const char *const names[] = {"applied", "duplicate", "stale", "ignored"};
	_Static_assert(ARRAY_LEN(names) == WORKER_OUTCOME_COUNT, "a name for each outcome");
	int64_t now_ms = clock_wall_ms(worker->clock);
	for (size_t i = 0; i < batch->count; i++) {
		const struct worker_item *item = &batch->items[i];
		struct bytes type = item->undecodable ? bytes_of("undecodable") : item->head.type;
		int64_t since_ms = item->undecodable ? item->record->timestamp_ms : item->head.time_ms;
		/* Clocks of other machines may be ahead, and a record's time may be anything. */
		int64_t age_ms = since_ms > 0 && since_ms < now_ms ? now_ms - since_ms : 0;
		status_event(worker->status, type, names[item->outcome], age_ms);
	}
}

static enum batch_result apply(struct worker *worker, struct worker_partition *partition, struct worker_batch *batch,
			       struct err *err)
{
	int64_t begun_ns = clock_mono_ns(worker->clock);
	enum batch_result result = batch_open(worker, partition, batch, err);
	if (result != BATCH_DONE)
		return result;
	bool written = worker->spec->apply(worker->state, worker->pg, batch, err);
	result = batch_close(worker, partition, batch, written, err);
	if (result == BATCH_DONE) {
		count_outcomes(worker, batch);
		status_batch(worker->status, batch->count, clock_mono_ns(worker->clock) - begun_ns);
	}
	return result;
}

/* The server may speak another language, and texts are cut at a byte: the row and the header take printable ASCII. */
static void make_plain(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static enum batch_result set_aside(struct worker *worker, struct worker_partition *partition, struct worker_item *item,
				   unsigned attempts, struct err *err)
{
	struct worker_batch one = {
		.topic = partition->topic, .partition = partition->partition, .items = item, .count = 1};
	struct err reason = *err;
	/* A worker that takes raw records fails at them for another reason. */
	bool decode = item->undecodable && !worker->spec->takes_raw;
	if (decode)
		(void)err_set(&reason, ERR_INVALID, "%s", item->decode_error);
	make_plain(reason.text);
	const struct dead_letter_cause cause = {.reason = reason.text,
						.error_class = decode ? "decode" : worker->item_error_class,
						.attempts = attempts};
	return dead_letter(worker, partition, &one, &cause, err);
}

/* C6: the batch failed by some item; alone each either goes or shows that it was the one. */
static enum batch_result one_by_one(struct worker *worker, struct worker_partition *partition,
				    const struct worker_batch *batch, struct err *err)
{
	enum batch_result result = BATCH_DONE;
	for (size_t i = 0; i < batch->count && result == BATCH_DONE; i++) {
		struct worker_batch one = {
			.topic = batch->topic, .partition = batch->partition, .items = &batch->items[i], .count = 1};
		result = apply(worker, partition, &one, err);
		if (result == BATCH_BY_ITEM)
			result = set_aside(worker, partition, one.items, 2, err);
	}
	return result;
}

/* Items of one partition, in order, those that do not decode among them. */
static enum batch_result process(struct worker *worker, struct worker_partition *partition, struct worker_item *items,
				 size_t count, struct err *err)
{
	enum batch_result result = BATCH_DONE;
	for (size_t at = 0, end; at < count && result == BATCH_DONE; at = end) {
		end = at + 1;
		if (items[at].undecodable && !worker->spec->takes_raw) {
			result = set_aside(worker, partition, &items[at], 1, err);
			continue;
		}
		while (end < count && (!items[end].undecodable || worker->spec->takes_raw))
			end++;
		struct worker_batch batch = {.topic = partition->topic,
					     .partition = partition->partition,
					     .items = &items[at],
					     .count = end - at};
		result = apply(worker, partition, &batch, err);
		if (result == BATCH_BY_ITEM)
			result = one_by_one(worker, partition, &batch, err);
	}
	return result;
}

/* C2. */
static void decode(struct worker *worker, const struct kafka_record *record, size_t place)
{
	struct worker_item *item = &worker->items[place];
	struct err err;
	item->record = record;
	item->place = place;
	item->outcome = WORKER_IGNORED;
	item->head = (struct event_head){0};
	item->undecodable = !event_head_read(record->headers, record->header_count, &item->head, &err) ||
			    !worker->spec->decode(worker->state, item, &err);
	if (item->undecodable)
		memcpy(item->decode_error, err.text, sizeof(item->decode_error));
}

static void after(struct worker *worker, struct worker_partition *partition, enum batch_result result, struct err *err)
{
	switch (result) {
	case BATCH_DONE:
		break;
	case BATCH_FENCED:
		partitions_fenced(worker, partition);
		break;
	case BATCH_AWAY:
		partitions_back_off(worker, err);
		break;
	case BATCH_BY_ITEM:
		/* An item that fails alone became a dead letter. */
		assert(false);
		break;
	case BATCH_FATAL:
		(void)err_context(err, "while applying records of %s/%d from offset %lld", partition->topic,
				  partition->partition, (long long)partition->next_offset);
		partitions_failure(worker, err);
		break;
	}
}

/* A run of records of one partition. */
static void run(struct worker *worker, struct worker_partition *partition, const struct kafka_record *records,
		size_t count)
{
	struct err err = {.code = ERR_NONE};
	size_t items = 0;
	int64_t before = partition->next_offset;
	for (size_t i = 0; i < count; i++)
		if (records[i].offset >= before) /* what was read before a seek may come again */
			decode(worker, &records[i], items++);
	if (items == 0)
		return;
	enum batch_result result = process(worker, partition, worker->items, items, &err);
	TRACE(WORKER, "batch", F_TEXT("topic", partition->topic), F_I64("partition", partition->partition),
	      F_U64("items", items), F_I64("from", before), F_I64("to", partition->next_offset),
	      F_U64("result", (uint64_t)result));
	if (partition->next_offset != before) { /* C5 */
		struct kafka_partition next = {
			.topic = partition->topic, .partition = partition->partition, .offset = partition->next_offset};
		kafka_consumer_commit(worker->consumer, &next);
	}
	after(worker, partition, result, &err);
}

static bool same_partition(const struct kafka_record *a, const struct kafka_record *b)
{
	return a->partition == b->partition && (a->topic == b->topic || strcmp(a->topic, b->topic) == 0);
}

size_t batch_items_max(const struct worker *worker)
{
	_Static_assert(BATCH_ITEMS_MAX >> BATCH_HALVINGS_MAX == 0, "ends at one record");
	assert(worker->batch_halvings <= BATCH_HALVINGS_MAX);
	size_t max = (size_t)worker->config->batch_items_max >> worker->batch_halvings;
	return max > 0 ? max : 1;
}

void batch_records(struct worker *worker, const struct kafka_record *records, size_t count)
{
	assert(count <= BATCH_ITEMS_MAX);
	for (size_t i = 0; i < worker->partition_count; i++)
		worker->partitions[i].sought = false;
	for (size_t at = 0, end; at < count; at = end) {
		for (end = at + 1; end < count && same_partition(&records[at], &records[end]);)
			end++;
		struct worker_partition *partition = partitions_find(worker, records[at].topic, records[at].partition);
		/* Records from before a seek would look like a gap, and the ones between be nobody's. */
		if (!worker->failed && partition != NULL && partition->state == PARTITION_READING && !partition->sought)
			run(worker, partition, &records[at], end - at);
	}
}
