/* The partitions that a consumer has: a small table, searched from where the last record was found. */
#include "common/kafka_assignment.h"

#include <assert.h>
#include <stdlib.h>

static const char *intern(struct kafka_assignment *assignment, const char *topic)
{
	char *copy;

	for (size_t i = 0; i < assignment->topic_count; i++) {
		if (strcmp(assignment->topics[i], topic) == 0)
			return assignment->topics[i];
	}
	if (assignment->topic_count == KAFKA_CONSUMER_TOPICS_MAX)
		return NULL;
	copy = strdup(topic);
	if (copy != NULL)
		assignment->topics[assignment->topic_count++] = copy;
	return copy;
}

bool kafka_assignment_add(struct kafka_assignment *assignment, const char *topic, int32_t partition, int64_t offset)
{
	const char *name = intern(assignment, topic);
	size_t at = assignment->count;

	assert(at <= PARTITIONS_MAX);
	if (name == NULL || at == PARTITIONS_MAX)
		return false;
	assignment->items[at] = (struct kafka_partition){.topic = name, .partition = partition, .offset = offset};
	assignment->state[at].paused = false;
	assignment->state[at].stopped = false;
	assignment->state[at].uncommitted = KAFKA_NOTHING_UNCOMMITTED;
	assignment->count++;
	return true;
}

bool kafka_assignment_find(struct kafka_assignment *assignment, const char *topic, int32_t partition, size_t *at)
{
	for (size_t i = 0; i < assignment->count; i++) {
		size_t candidate = (assignment->last_found + i) % assignment->count;
		const struct kafka_partition *item = &assignment->items[candidate];

		if (item->partition == partition && strcmp(item->topic, topic) == 0) {
			assignment->last_found = candidate;
			*at = candidate;
			return true;
		}
	}
	return false;
}

void kafka_assignment_clear(struct kafka_assignment *assignment)
{
	assignment->count = 0;
	assignment->last_found = 0;
}

void kafka_assignment_free(struct kafka_assignment *assignment)
{
	for (size_t i = 0; i < assignment->topic_count; i++)
		free(assignment->topics[i]);
	assignment->topic_count = 0;
	kafka_assignment_clear(assignment);
}
