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
			return err_set(err, ERR_TOO_LARGE, "over %d partitions in all; name one topic with --topic",
				       TOPIC_READER_PARTITIONS_MAX);
		struct topic_slice *slice = &out->items[out->count++];
		(void)snprintf(slice->topic, sizeof(slice->topic), "%s", topic);
		slice->partition = p;
	}
	return true;
}

bool topic_slices_list(struct kafka_admin *admin, const char *const *topics, size_t topic_count,
		       struct topic_slices *out, struct err *err)
{
	assert(topic_count <= TOPIC_READER_TOPICS_MAX);
	*out = (struct topic_slices){.items = calloc(TOPIC_READER_PARTITIONS_MAX, sizeof(*out->items))};
	if (out->items == NULL)
		return err_set(err, ERR_FULL, "no memory for the list of partitions");
	for (size_t i = 0; i < topic_count; i++) {
		if (!add_topic(admin, topics[i], out, err)) {
			topic_slices_free(out);
			return false;
		}
	}
	return true;
}

bool topic_slices_snapshot(struct kafka_admin *admin, struct topic_slices *slices, struct err *err)
{
	for (size_t i = 0; i < slices->count; i++) {
		struct topic_slice *slice = &slices->items[i];
		if (!kafka_admin_watermarks(admin, slice->topic, slice->partition, ASK_MS, &slice->log_start,
					    &slice->log_end, err))
			return err_context(err, "%s partition %d", slice->topic, (int)slice->partition);
		slice->begin = slice->log_start;
		slice->end = slice->log_end;
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

/* --- reading --- */

struct topic_reader {
	struct kafka_consumer *consumer;

	/* of the reading under way */
	const struct topic_slices *slices;
	bool (*each)(void *owner, size_t slice, const struct kafka_record *record, struct err *err);
	void *owner;
	int64_t next[TOPIC_READER_PARTITIONS_MAX]; /* offset that each slice expects */
	int64_t over[TOPIC_READER_PARTITIONS_MAX]; /* below this the log has no more records than were given out */
	size_t last_found;                         /* records come in runs of one partition */
	size_t open;                               /* slices that are not read to their end */
	uint64_t done;
	bool gone; /* retention took what was to be read */
	struct kafka_record records[RECORDS_PER_POLL];
};

static bool find_slice(struct topic_reader *reader, const char *topic, int32_t partition, size_t *at)
{
	for (size_t i = 0; i < reader->slices->count; i++) {
		*at = (reader->last_found + i) % reader->slices->count;
		const struct topic_slice *slice = &reader->slices->items[*at];
		if (slice->partition == partition && strcmp(slice->topic, topic) == 0) {
			reader->last_found = *at;
			return true;
		}
	}
	return false;
}

static void on_out_of_range(void *owner, const struct kafka_partition *partition, int64_t low, int64_t high)
{
	struct topic_reader *reader = owner;
	(void)partition;
	(void)low;
	(void)high;
	reader->gone = true;
}

/* The last offsets of a log may have no records: then nothing else says that there is no more to come. */
static void on_end(void *owner, const struct kafka_partition *partition)
{
	struct topic_reader *reader = owner;
	size_t i;
	if (find_slice(reader, partition->topic, partition->partition, &i))
		reader->over[i] = partition->offset;
}

struct topic_reader *topic_reader_new(const struct config *config, struct err *err)
{
	struct topic_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for reading");
		return NULL;
	}
	reader->consumer = kafka_consumer_new(
		&(struct kafka_consumer_options){
			.config = config,
			.client_id = "watchpostctl",
			.events = {.on_out_of_range = on_out_of_range, .on_end = on_end, .owner = reader}},
		err);
	if (reader->consumer != NULL)
		return reader;
	free(reader);
	return NULL;
}

void topic_reader_free(struct topic_reader *reader)
{
	if (reader == NULL)
		return;
	kafka_consumer_close(reader->consumer, ASK_MS);
	free(reader);
}

/* Nothing more is fetched of it: a busy writer behind the snapshot would keep the others from being read. */
static bool close_slice(struct topic_reader *reader, size_t i, struct err *err)
{
	const struct topic_slice *slice = &reader->slices->items[i];
	reader->next[i] = slice->end;
	reader->open--;
	return kafka_consumer_pause(reader->consumer,
				    &(struct kafka_partition){.topic = slice->topic, .partition = slice->partition},
				    true, err);
}

static bool take_record(struct topic_reader *reader, const struct kafka_record *record, struct err *err)
{
	size_t i;
	if (!find_slice(reader, record->topic, record->partition, &i))
		return true;
	const struct topic_slice *slice = &reader->slices->items[i];
	if (reader->next[i] >= slice->end || record->offset < reader->next[i])
		return true;
	if (record->offset < slice->end) {
		reader->done++;
		if (!reader->each(reader->owner, i, record, err))
			return false;
	}
	reader->next[i] = record->offset + 1;
	return reader->next[i] < slice->end || close_slice(reader, i, err);
}

static bool close_what_is_over(struct topic_reader *reader, struct err *err)
{
	for (size_t i = 0; i < reader->slices->count; i++) {
		int64_t end = reader->slices->items[i].end;
		if (reader->next[i] < end && reader->over[i] >= end && !close_slice(reader, i, err))
			return false;
	}
	return true;
}

/* Assigns every slice that has something to read. */
static bool assign(struct topic_reader *reader, struct err *err)
{
	struct kafka_partition *partitions = calloc(reader->slices->count + 1, sizeof(*partitions));
	if (partitions == NULL)
		return err_set(err, ERR_FULL, "no memory for the assignment");
	for (size_t i = 0; i < reader->slices->count; i++) {
		const struct topic_slice *slice = &reader->slices->items[i];
		reader->next[i] = slice->begin;
		reader->over[i] = -1;
		if (slice->begin < slice->end)
			partitions[reader->open++] = (struct kafka_partition){
				.topic = slice->topic, .partition = slice->partition, .offset = slice->begin};
	}
	bool done = reader->open == 0 || kafka_consumer_assign(reader->consumer, partitions, reader->open, err);
	free(partitions);
	return done;
}

static bool poll_once(struct topic_reader *reader, struct err *err)
{
	size_t count;
	if (!kafka_consumer_poll(reader->consumer, POLL_MS, reader->records, RECORDS_PER_POLL, &count, err))
		return false;
	bool done = true;
	for (size_t i = 0; done && i < count; i++)
		done = take_record(reader, &reader->records[i], err);
	kafka_records_release(reader->consumer);
	if (done && reader->gone)
		return err_set(err, ERR_UNAVAILABLE, "retention deleted records while they were to be read; try again");
	return done && close_what_is_over(reader, err);
}

static bool read_all(struct topic_reader *reader, const char *label, struct err *err)
{
	struct progress progress;
	uint64_t total = topic_slices_records(reader->slices), before = 0;
	size_t open = reader->open;
	int64_t last_ns = clock_mono_ns(clock_system());
	bool done = true;
	if (label != NULL)
		progress_begin(&progress, label);
	else
		progress_begin_on(&progress, NULL, "", clock_system());
	while (done && reader->open > 0) {
		done = poll_once(reader, err);
		int64_t now_ns = clock_mono_ns(clock_system());
		if (reader->done > before || reader->open < open)
			last_ns = now_ns;
		else if (done && now_ns - last_ns > (int64_t)TOPIC_READER_STALL_MS * NS_PER_MS)
			done = err_set(err, ERR_TIMEOUT, "no record came from Kafka for %d s",
				       TOPIC_READER_STALL_MS / 1000);
		before = reader->done;
		open = reader->open;
		progress_update(&progress, reader->done, total);
	}
	progress_end(&progress);
	return done;
}

bool topic_reader_read(struct topic_reader *reader, const struct topic_slices *slices, const char *label,
		       bool (*each)(void *owner, size_t slice, const struct kafka_record *record, struct err *err),
		       void *owner, struct err *err)
{
	assert(slices->count <= TOPIC_READER_PARTITIONS_MAX);
	reader->slices = slices;
	reader->each = each;
	reader->owner = owner;
	reader->last_found = reader->open = 0;
	reader->done = 0;
	reader->gone = false;
	return assign(reader, err) && read_all(reader, label, err);
}

/* --- one record --- */

struct found {
	bool (*use)(void *owner, const struct kafka_record *record, struct err *err);
	void *owner;
	bool seen;
};

static bool on_found(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct found *found = owner;
	(void)slice;
	found->seen = true;
	return found->use(found->owner, record, err);
}

bool topic_reader_one(struct topic_reader *reader, struct kafka_admin *admin, const struct topic_place *place,
		      bool (*use)(void *owner, const struct kafka_record *record, struct err *err), void *owner,
		      struct err *err)
{
	struct topic_slice slice = {.partition = place->partition, .begin = place->offset, .end = place->offset + 1};
	const struct topic_slices slices = {.items = &slice, .count = 1};
	struct found found = {.use = use, .owner = owner};
	(void)snprintf(slice.topic, sizeof(slice.topic), "%s", place->topic);
	if (!kafka_admin_watermarks(admin, place->topic, place->partition, ASK_MS, &slice.log_start, &slice.log_end,
				    err))
		return false;
	if (place->offset < slice.log_start || place->offset >= slice.log_end)
		return err_set(err, ERR_NOT_FOUND,
			       "offset %lld is not in the log, which goes from %lld up to, not including, %lld",
			       (long long)place->offset, (long long)slice.log_start, (long long)slice.log_end);
	return topic_reader_read(reader, &slices, NULL, on_found, &found, err) &&
	       (found.seen ||
		err_set(err, ERR_NOT_FOUND, "there is no record at offset %lld", (long long)place->offset));
}
