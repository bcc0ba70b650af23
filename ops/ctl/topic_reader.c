#include "ops/ctl/topic_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/kafka_consumer.h"
#include "ops/ctl/progress.h"

enum { ASK_MS = 10000, POLL_MS = 250, RECORDS_PER_POLL = 500, NS_PER_MS = 1000000 };

static bool add_topic(struct kafka_admin *admin, const char *topic, struct topic_slices *out, struct err *err)
{
	int32_t partitions;
	if (!kafka_admin_partitions(admin, topic, ASK_MS, &partitions, err))
		return false;
	for (int32_t p = 0; p < partitions; p++) {
		if (out->count == TOPIC_READER_PARTITIONS_MAX)
			return err_set(err, ERR_TOO_LARGE, "over %d partitions", TOPIC_READER_PARTITIONS_MAX);
		struct topic_slice *slice = &out->items[out->count++];
		(void)snprintf(slice->topic, sizeof(slice->topic), "%s", topic);
		slice->partition = p;
		if (!kafka_admin_watermarks(admin, topic, p, ASK_MS, &slice->log_start, &slice->end, err))
			return false;
		slice->begin = slice->log_start;
	}
	return true;
}

bool topic_slices_take(struct kafka_admin *admin, const char *const *topics, size_t topic_count,
		       struct topic_slices *out, struct err *err)
{
	assert(topic_count <= TOPIC_READER_TOPICS_MAX);
	*out = (struct topic_slices){.items = calloc(TOPIC_READER_PARTITIONS_MAX, sizeof(*out->items))};
	if (out->items == NULL)
		return err_set(err, ERR_FULL, "no memory for the list of partitions");
	for (size_t i = 0; i < topic_count; i++) {
		if (!add_topic(admin, topics[i], out, err)) {
			topic_slices_free(out);
			return err_context(err, "topic %s", topics[i]);
		}
	}
	return true;
}

bool topic_slices_narrow(struct kafka_admin *admin, struct topic_slices *slices, int64_t from_ms, int64_t to_ms,
			 struct err *err)
{
	for (size_t i = 0; i < slices->count; i++) {
		struct topic_slice *slice = &slices->items[i];
		int64_t begin = slice->begin, end = slice->end;
		if (from_ms != INT64_MIN &&
		    !kafka_admin_offset_for_time(admin, slice->topic, slice->partition, from_ms, ASK_MS, &begin, err))
			return false;
		if (to_ms != INT64_MAX &&
		    !kafka_admin_offset_for_time(admin, slice->topic, slice->partition, to_ms, ASK_MS, &end, err))
			return false;
		/* What was appended after the snapshot stays out, whatever its time. */
		slice->end = end < slice->end ? end : slice->end;
		slice->begin = begin < slice->end ? begin : slice->end;
	}
	return true;
}

void topic_slices_free(struct topic_slices *slices)
{
	free(slices->items);
	*slices = (struct topic_slices){0};
}

uint64_t topic_slices_records(const struct topic_slices *slices)
{
	uint64_t records = 0;
	for (size_t i = 0; i < slices->count; i++)
		records += (uint64_t)(slices->items[i].end - slices->items[i].begin);
	return records;
}

struct reading {
	const struct topic_slices *slices;
	bool (*each)(void *owner, size_t slice, const struct kafka_record *record, struct err *err);
	void *owner;
	int64_t next[TOPIC_READER_PARTITIONS_MAX]; /* offset that each slice expects */
	size_t open;                               /* slices that are not read to their end */
	uint64_t done;
	bool gone; /* retention took what was to be read */
};

static void on_out_of_range(void *owner, const struct kafka_partition *partition, int64_t low, int64_t high)
{
	struct reading *reading = owner;
	(void)partition;
	(void)low;
	(void)high;
	reading->gone = true;
}

static size_t slice_of(const struct topic_slices *slices, const struct kafka_record *record)
{
	for (size_t i = 0; i < slices->count; i++)
		if (slices->items[i].partition == record->partition &&
		    strcmp(slices->items[i].topic, record->topic) == 0)
			return i;
	return slices->count;
}

static bool take_record(struct reading *reading, const struct kafka_record *record, struct err *err)
{
	size_t i = slice_of(reading->slices, record);
	if (i == reading->slices->count)
		return true;
	const struct topic_slice *slice = &reading->slices->items[i];
	if (reading->next[i] >= slice->end || record->offset < reading->next[i])
		return true;
	if (record->offset < slice->end) {
		if (!reading->each(reading->owner, i, record, err))
			return false;
		reading->done++;
	}
	reading->next[i] = record->offset + 1;
	if (reading->next[i] >= slice->end)
		reading->open--;
	return true;
}

/* Assigns every slice that has something to read. */
static bool assign(struct kafka_consumer *consumer, struct reading *reading, struct err *err)
{
	struct kafka_partition *partitions = calloc(reading->slices->count + 1, sizeof(*partitions));
	if (partitions == NULL)
		return err_set(err, ERR_FULL, "no memory for the assignment");
	for (size_t i = 0; i < reading->slices->count; i++) {
		const struct topic_slice *slice = &reading->slices->items[i];
		reading->next[i] = slice->begin;
		if (slice->begin < slice->end)
			partitions[reading->open++] = (struct kafka_partition){
				.topic = slice->topic, .partition = slice->partition, .offset = slice->begin};
	}
	bool done = reading->open == 0 || kafka_consumer_assign(consumer, partitions, reading->open, err);
	free(partitions);
	return done;
}

static bool poll_once(struct kafka_consumer *consumer, struct reading *reading, size_t *count, struct err *err)
{
	static struct kafka_record records[RECORDS_PER_POLL];
	if (!kafka_consumer_poll(consumer, POLL_MS, records, RECORDS_PER_POLL, count, err))
		return false;
	bool done = true;
	for (size_t i = 0; done && i < *count; i++)
		done = take_record(reading, &records[i], err);
	kafka_records_release(consumer);
	if (done && reading->gone)
		return err_set(err, ERR_CONFLICT,
			       "records were deleted by retention while they were to be read; try again");
	return done;
}

static bool read_all(struct kafka_consumer *consumer, struct reading *reading, const char *label, struct err *err)
{
	struct progress progress;
	uint64_t total = topic_slices_records(reading->slices);
	int64_t last_ns = clock_mono_ns(clock_system());
	bool done = true;
	progress_begin(&progress, label);
	while (done && reading->open > 0) {
		size_t count = 0;
		done = poll_once(consumer, reading, &count, err);
		int64_t now_ns = clock_mono_ns(clock_system());
		if (count > 0)
			last_ns = now_ns;
		else if (done && now_ns - last_ns > (int64_t)TOPIC_READER_STALL_MS * NS_PER_MS)
			done = err_set(err, ERR_TIMEOUT, "no record came from Kafka for %d s",
				       TOPIC_READER_STALL_MS / 1000);
		progress_update(&progress, reading->done, total);
	}
	progress_end(&progress);
	return done;
}

bool topic_slices_read(const struct config *config, const struct topic_slices *slices, const char *label,
		       bool (*each)(void *owner, size_t slice, const struct kafka_record *record, struct err *err),
		       void *owner, struct err *err)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	struct kafka_consumer *consumer = NULL;
	bool done = false;
	if (reading == NULL)
		return err_set(err, ERR_FULL, "no memory for reading");
	*reading = (struct reading){.slices = slices, .each = each, .owner = owner};
	consumer = kafka_consumer_new(
		&(struct kafka_consumer_options){.config = config,
						 .client_id = "watchpostctl",
						 .events = {.on_out_of_range = on_out_of_range, .owner = reading}},
		err);
	if (consumer != NULL && assign(consumer, reading, err))
		done = read_all(consumer, reading, label, err);
	kafka_consumer_close(consumer, ASK_MS);
	free(reading);
	return done;
}
