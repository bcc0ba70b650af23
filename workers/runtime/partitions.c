/* Which partitions this process holds, and where it stands in each: C1, C3, C6, C8. */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "workers/runtime/internal.h"

enum { FENCED_IN_A_ROW_MAX = 3 };

struct worker_partition *partitions_find(struct worker *worker, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < worker->partition_count; i++)
		if (worker->partitions[i].partition == partition && strcmp(worker->partitions[i].topic, topic) == 0)
			return &worker->partitions[i];
	return NULL;
}

static struct kafka_partition place_of(const struct worker_partition *partition)
{
	return (struct kafka_partition){
		.topic = partition->topic, .partition = partition->partition, .offset = partition->next_offset};
}

bool partitions_away(const struct worker *worker, const struct err *err)
{
	static const char *const states[] = {
		"25P03", /* idle_in_transaction_session_timeout: this process had stopped dead (api.worker_advance) */
		"55P03", /* lock_timeout, where the role or the database has one */
	};
	if (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (strcmp(pg_sqlstate(worker->pg), states[i]) == 0)
			return true;
	/* Insufficient resources: a full disk, no memory, too many locks. */
	return strncmp(pg_sqlstate(worker->pg), "53", 2) == 0;
}

static void fail(struct worker *worker, const struct err *err)
{
	assert(err->code != ERR_NONE);
	if (worker->failed)
		return;
	worker->failed = true;
	worker->failure = *err;
}

/* Returns whether all went well; the last failure is in err. */
static bool pause_all(struct worker *worker, bool paused, struct err *err)
{
	bool good = true;
	for (size_t i = 0; i < worker->partition_count; i++) {
		struct worker_partition *partition = &worker->partitions[i];
		struct kafka_partition place = place_of(partition);
		/* Nobody reads it, but one that was paused before it was out of range is read once its row was moved.
		 */
		if (paused && partition->state == PARTITION_OUT_OF_RANGE)
			continue;
		if (!kafka_consumer_pause(worker->consumer, &place, paused, err))
			good = false;
	}
	return good;
}

void partitions_back_off(struct worker *worker, const struct err *err)
{
	int64_t pause_ms =
		retry_failed(&worker->retry, clock_mono_ns(worker->clock), worker->config->retry_backoff_max_ms);
	LOG(WARN, "backing_off", F_I64("pause_ms", pause_ms), F_U64("failures", worker->retry.failures), F_ERR(err));
	/* What is not paused is read, dropped and read again: a waste, no loss. */
	struct err unpaused;
	if (!pause_all(worker, true, &unpaused))
		LOG(WARN, "pause_failed", F_ERR(&unpaused));
	for (size_t i = 0; i < worker->partition_count; i++)
		if (worker->partitions[i].state == PARTITION_READING)
			worker->partitions[i].state = PARTITION_REWIND;
	if (worker->batch_halvings < BATCH_HALVINGS_MAX)
		worker->batch_halvings++;
	status_retry(worker->status);
	status_away(worker->status, true);
}

void partitions_failure(struct worker *worker, const struct err *err)
{
	if (partitions_away(worker, err))
		partitions_back_off(worker, err);
	else
		fail(worker, err);
}

/* Row first, then the consumer: what it reads from now on begins at the row's offset. */
static bool rewind_one(struct worker *worker, struct worker_partition *partition, struct err *err)
{
	status_beat(worker->status, clock_mono_ns(worker->clock));
	if (!offsets_read(worker, partition, err))
		return false;
	struct kafka_partition place = place_of(partition);
	if (!kafka_consumer_seek(worker->consumer, &place, err)) {
		/* Whatever it was: nothing is read from the wrong place, and it is tried again. */
		err->code = ERR_UNAVAILABLE;
		return err_context(err, "while seeking %s/%d to %" PRId64, partition->topic, partition->partition,
				   partition->next_offset);
	}
	partition->state = PARTITION_READING;
	partition->sought = true;
	return true;
}

void partitions_recover(struct worker *worker)
{
	struct err err;
	/* Without a partition there is no row to read; then this tells that Postgres is back. */
	bool back = pg_run(worker->pg, "select 1", NULL, &err);
	for (size_t i = 0; back && i < worker->partition_count; i++)
		if (worker->partitions[i].state == PARTITION_REWIND)
			back = rewind_one(worker, &worker->partitions[i], &err);
	if (!back) {
		partitions_failure(worker, &err);
		return;
	}
	if (!pause_all(worker, false, &err)) {
		/* A partition left paused would never be read again. */
		err.code = ERR_UNAVAILABLE;
		partitions_back_off(worker, &err);
		return;
	}
	LOG(INFO, "going_on", F_U64("failures", worker->retry.failures));
	retry_resumed(&worker->retry);
	status_away(worker->status, false);
}

void partitions_fenced(struct worker *worker, struct worker_partition *partition)
{
	struct err err;
	int64_t expected = partition->next_offset;
	status_fenced(worker->status);
	if (++partition->fenced_in_a_row >= FENCED_IN_A_ROW_MAX) {
		(void)err_set(
			&err, ERR_CONFLICT,
			"the offset row of %s/%d was moved by another process %u times in a row; leaving the group",
			partition->topic, partition->partition, partition->fenced_in_a_row);
		fail(worker, &err);
		return;
	}
	partition->state = PARTITION_REWIND;
	if (!rewind_one(worker, partition, &err)) {
		partitions_failure(worker, &err);
		return;
	}
	LOG(WARN, "fenced", F_TEXT("topic", partition->topic), F_I64("partition", partition->partition),
	    F_I64("expected", expected), F_I64("offset", partition->next_offset));
}

/* --- the consumer's callbacks --- */

static bool on_assign(void *owner, struct kafka_partition *partitions, size_t count)
{
	struct worker *worker = owner;
	struct err err;
	size_t before = worker->partition_count;
	bool changed;

	/* While something is away the answer is known; the consumer asks again at the next poll. */
	if (retry_pending(&worker->retry))
		return false;
	if (before + count > WORKER_PARTITIONS_MAX) {
		(void)err_set(&err, ERR_TOO_LARGE, "assigned %zu partitions; one process holds at most %d",
			      before + count, WORKER_PARTITIONS_MAX);
		fail(worker, &err);
		return false;
	}
	if (!offsets_cluster(worker, &changed, &err))
		goto away;
	for (size_t i = 0; i < count; i++) {
		struct worker_partition *added = &worker->partitions[before + i];
		*added = (struct worker_partition){.topic = partitions[i].topic, .partition = partitions[i].partition};
		assert(partitions_find(worker, added->topic, added->partition) == NULL);
		status_beat(worker->status, clock_mono_ns(worker->clock));
		if (!offsets_read(worker, added, &err))
			goto away;
		partitions[i].offset = added->next_offset;
	}
	worker->partition_count = before + count;
	retry_succeeded(&worker->retry);
	status_assigned(worker->status);
	for (size_t i = 0; i < count; i++)
		LOG(INFO, "assigned", F_TEXT("topic", partitions[i].topic), F_I64("partition", partitions[i].partition),
		    F_I64("offset", partitions[i].offset));
	return true;
away:
	worker->partition_count = before;
	partitions_failure(worker, &err);
	return false;
}

/* Between batches, so nothing of theirs is under way. */
static void on_revoke(void *owner, const struct kafka_partition *partitions, size_t count)
{
	struct worker *worker = owner;
	for (size_t i = 0; i < count; i++) {
		struct worker_partition *gone = partitions_find(worker, partitions[i].topic, partitions[i].partition);
		if (gone == NULL)
			continue; /* its assignment had not been answered yet */
		LOG(INFO, "revoked", F_TEXT("topic", gone->topic), F_I64("partition", gone->partition),
		    F_I64("offset", gone->next_offset));
		*gone = worker->partitions[--worker->partition_count];
	}
}

static void on_out_of_range(void *owner, const struct kafka_partition *partition, int64_t low, int64_t high)
{
	struct worker *worker = owner;
	struct worker_partition *found = partitions_find(worker, partition->topic, partition->partition);
	struct err err;
	bool changed = false;
	if (found == NULL)
		return;
	/* Each of many partitions may wait for Kafka here within one turn of the loop. */
	status_beat(worker->status, clock_mono_ns(worker->clock));
	if (!offsets_cluster(worker, &changed, &err)) {
		/* Not known whether it is the same cluster; the recovery seeks, and Kafka says it again. */
		partitions_failure(worker, &err);
		return;
	}
	if (changed) {
		/* C8: an emptied or new cluster has rows of its own. */
		(void)err_set(&err, ERR_UNAVAILABLE, "another Kafka cluster answers; its offset rows are read");
		partitions_back_off(worker, &err);
		return;
	}
	if (low < 0 || (found->next_offset >= low && found->next_offset <= high)) {
		/* About a place from before the last assignment, or not to be told now: the recovery seeks to the row,
		 * and Kafka says it again if it is so. */
		(void)err_set(&err, ERR_UNAVAILABLE, "%s/%d: Kafka refused offset %" PRId64 ", the row says %" PRId64,
			      found->topic, found->partition, partition->offset, found->next_offset);
		partitions_back_off(worker, &err);
		return;
	}
	found->state = PARTITION_OUT_OF_RANGE;
	LOG(ERROR, "offset_out_of_range", F_TEXT("topic", found->topic), F_I64("partition", found->partition),
	    F_I64("offset", found->next_offset), F_I64("low", low), F_I64("high", high),
	    F_TEXT("hint", "watchpostctl offsets reset --dry-run"));
}

void partitions_look_for_resets(struct worker *worker)
{
	for (size_t i = 0; i < worker->partition_count; i++) {
		struct worker_partition *partition = &worker->partitions[i];
		int64_t before = partition->next_offset;
		struct err err;
		if (partition->state != PARTITION_OUT_OF_RANGE)
			continue;
		if (!offsets_read(worker, partition, &err)) {
			partitions_failure(worker, &err);
			return;
		}
		if (partition->next_offset == before)
			continue;
		LOG(INFO, "offset_reset", F_TEXT("topic", partition->topic), F_I64("partition", partition->partition),
		    F_I64("from", before), F_I64("to", partition->next_offset));
		if (!rewind_one(worker, partition, &err)) {
			partition->state = PARTITION_REWIND;
			partitions_failure(worker, &err);
			return;
		}
	}
}

void partitions_events(struct worker *worker, struct kafka_consumer_events *out)
{
	*out = (struct kafka_consumer_events){
		.on_assign = on_assign, .on_revoke = on_revoke, .on_out_of_range = on_out_of_range, .owner = worker};
}
