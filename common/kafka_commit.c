/* Offsets for the group, one request at a time. */
#include "common/kafka_commit.h"

#include <assert.h>

void kafka_commits_note(struct kafka_assignment *assignment, const struct kafka_partition *next)
{
	size_t i;

	assert(next->offset >= 0);
	if (kafka_assignment_find(assignment, next->topic, next->partition, &i))
		assignment->state[i].uncommitted = next->offset;
}

rd_kafka_topic_partition_list_t *kafka_commits_take(struct kafka_commits *commits,
						    const struct kafka_assignment *assignment, int64_t now_ms,
						    bool last)
{
	rd_kafka_topic_partition_list_t *list = NULL;

	if (!last && (commits->under_way || now_ms < commits->due_ms))
		return NULL;
	for (size_t i = 0; i < assignment->count; i++) {
		const struct kafka_partition *item = &assignment->items[i];

		if (assignment->state[i].uncommitted < 0)
			continue;
		if (list == NULL)
			list = rd_kafka_topic_partition_list_new((int)assignment->count);
		rd_kafka_topic_partition_list_add(list, item->topic, item->partition)->offset =
			assignment->state[i].uncommitted;
	}
	if (list != NULL)
		commits->under_way = true;
	commits->due_ms = now_ms + KAFKA_COMMIT_PAUSE_MS;
	return list;
}

void kafka_commits_done(struct kafka_commits *commits, struct kafka_assignment *assignment,
			const rd_kafka_topic_partition_list_t *offsets, rd_kafka_resp_err_t code)
{
	commits->under_way = false;
	for (int n = 0; n < offsets->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; n++) {
		const rd_kafka_topic_partition_t *sent = &offsets->elems[n];
		size_t i;

		if (sent->err == RD_KAFKA_RESP_ERR_NO_ERROR &&
		    kafka_assignment_find(assignment, sent->topic, sent->partition, &i) &&
		    assignment->state[i].uncommitted == sent->offset)
			assignment->state[i].uncommitted = KAFKA_NOTHING_UNCOMMITTED;
	}
}
