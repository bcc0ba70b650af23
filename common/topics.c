/* The table of our topics and how it becomes Kafka's settings. */
#include "common/topics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

/* 400 days: a year that an analyst can replay, and a month to notice. */
#define AUDIT_MS (400 * DAY_MS)
#define WEEK_MS  (7 * DAY_MS)

static const struct topic_spec table[] = {
	[EVENT_TOPIC_STRIPE] = {EVENT_TOPIC_STRIPE, AUDIT_MS, WEEK_MS},
	[EVENT_TOPIC_AGENT] = {EVENT_TOPIC_AGENT, AUDIT_MS, WEEK_MS},
	[EVENT_TOPIC_SPEND] = {EVENT_TOPIC_SPEND, AUDIT_MS, WEEK_MS},
	[EVENT_TOPIC_ACCESS] = {EVENT_TOPIC_ACCESS, AUDIT_MS, WEEK_MS},
	/* Purely a wake-up (R7). Short segments, or a busy one outlives its hour. */
	[EVENT_TOPIC_ACCESS_CHANGES] = {EVENT_TOPIC_ACCESS_CHANGES, HOUR_MS, HOUR_MS / 6},
	[EVENT_TOPIC_DEAD_LETTER] = {EVENT_TOPIC_DEAD_LETTER, AUDIT_MS, WEEK_MS},
};
_Static_assert(ARRAY_LEN(table) == EVENT_TOPIC_COUNT, "every topic has a line");

enum { NUMBER_BYTES = 24, CONFIGS_MAX = 9, IN_SYNC_FROM_REPLICATION = 3 };

const struct topic_spec *topics_table(void)
{
	return table;
}

/* The texts that one kafka_topic_spec points to. */
struct topic_texts {
	char name[KAFKA_TOPIC_BYTES_MAX + 1];
	char retention[NUMBER_BYTES];
	char segment[NUMBER_BYTES];
	const char *configs[CONFIGS_MAX];
};

static void write_number(char out[NUMBER_BYTES], int64_t number)
{
	int length = snprintf(out, NUMBER_BYTES, "%" PRId64, number);

	assert(length > 0 && length < NUMBER_BYTES);
	(void)length;
}

static void describe(const struct topic_spec *spec, const struct topics_options *options, struct topic_texts *texts,
		     struct kafka_topic_spec *out)
{
	size_t n = 0;

	event_topic_name(spec->topic, options->environment, texts->name);
	write_number(texts->retention, spec->retention_ms);
	write_number(texts->segment, spec->segment_ms);
	texts->configs[n++] = "retention.ms";
	texts->configs[n++] = texts->retention;
	texts->configs[n++] = "segment.ms";
	texts->configs[n++] = texts->segment;
	texts->configs[n++] = "message.timestamp.type";
	texts->configs[n++] = "LogAppendTime";
	if (options->replication >= IN_SYNC_FROM_REPLICATION) {
		texts->configs[n++] = "min.insync.replicas";
		texts->configs[n++] = "2";
	}
	assert(n < CONFIGS_MAX);
	texts->configs[n] = NULL;
	*out = (struct kafka_topic_spec){
		.name = texts->name,
		.partitions = options->partitions,
		.replication = options->replication,
		.configs = texts->configs,
	};
}

bool topics_create(struct kafka_admin *admin, const struct topics_options *options, size_t *created, struct err *err)
{
	struct topic_texts texts[EVENT_TOPIC_COUNT];
	struct kafka_topic_spec specs[EVENT_TOPIC_COUNT];

	assert(options->partitions > 0 && options->partitions <= PARTITIONS_MAX);
	assert(options->environment != ENVIRONMENT_NONE);
	for (size_t i = 0; i < EVENT_TOPIC_COUNT; i++)
		describe(&table[i], options, &texts[i], &specs[i]);
	return kafka_admin_create_topics(admin, specs, EVENT_TOPIC_COUNT, options->timeout_ms, created, err);
}
