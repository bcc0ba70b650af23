#include "ops/ctl/audit_snapshot.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 10000 };

/* --- what Postgres has --- */

static bool give_seal(void *owner, const struct seal *seal, struct err *err)
{
	return audit_check_seal(owner, seal, err);
}

static bool give_gap(void *owner, int64_t from, int64_t until, struct err *err)
{
	return audit_check_gap(owner, from, until, err);
}

static bool take_seals(struct audit_snapshot *snapshot, struct audit_checks *checks, struct pg *pg, struct err *err)
{
	for (size_t i = 0; i < snapshot->slices.count; i++) {
		const struct topic_slice *slice = &snapshot->slices.items[i];
		snapshot->checks[i] = audit_checks_at(checks, slice->topic, slice->partition, err);
		if (snapshot->checks[i] == NULL ||
		    !audit_seals_each(pg, snapshot->cluster_id, slice->topic, slice->partition, give_seal,
				      snapshot->checks[i], err))
			return false;
	}
	return true;
}

/* Partitions that the database chained and Kafka does not have (any more) get a row, too: without a range. */
static bool take_heads(struct audit_snapshot *snapshot, struct audit_checks *checks, struct pg *pg, struct err *err)
{
	struct audit_heads heads;
	bool good = audit_heads_take(pg, snapshot->cluster_id, &heads, err);
	if (!good)
		return false;
	for (size_t i = 0; good && i < snapshot->slices.count; i++) {
		const struct topic_slice *slice = &snapshot->slices.items[i];
		good = audit_check_head(snapshot->checks[i], audit_heads_find(&heads, slice->topic, slice->partition),
					err);
	}
	for (size_t i = 0; good && i < heads.count; i++) {
		const struct audit_head *head = &heads.items[i];
		bool asked_for = false;
		for (size_t s = 0; s < snapshot->slices.count; s++)
			asked_for = asked_for || strcmp(snapshot->slices.items[s].topic, head->topic) == 0;
		if (asked_for)
			good = audit_checks_at(checks, head->topic, head->partition, err) != NULL;
	}
	audit_heads_free(&heads);
	return good;
}

/* After the heads: a gap that is not under a head yet does no harm, one that is and is not known would. */
static bool take_gaps(struct audit_snapshot *snapshot, struct pg *pg, struct err *err)
{
	for (size_t i = 0; i < snapshot->slices.count; i++)
		if (!audit_gaps_each(pg, snapshot->cluster_id, &snapshot->slices.items[i], give_gap,
				     snapshot->checks[i], err))
			return false;
	return true;
}

static bool fill_checks(struct audit_snapshot *snapshot, struct ctl *ctl, struct audit_checks *checks, struct err *err)
{
	struct pg *pg = ctl_pg(ctl, err);
	if (pg == NULL)
		return false;
	snapshot->checks = calloc(snapshot->slices.count + 1, sizeof(struct audit_check *));
	if (snapshot->checks == NULL)
		return err_set(err, ERR_FULL, "no memory for the checks");
	audit_checks_set_cluster(checks, snapshot->cluster_id);
	return take_seals(snapshot, checks, pg, err) && take_heads(snapshot, checks, pg, err) &&
	       take_gaps(snapshot, pg, err);
}

/* --- opening --- */

bool audit_snapshot_open(struct audit_snapshot *snapshot, struct ctl *ctl, const char *topic,
			 struct audit_checks *checks, struct err *err)
{
	char names[EVENT_TOPIC_COUNT][KAFKA_TOPIC_BYTES_MAX + 1];
	const char *topics[EVENT_TOPIC_COUNT];
	size_t count;

	*snapshot = (struct audit_snapshot){0};
	if (!audit_topics(ctl, topic, names, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		topics[i] = names[i];
	snapshot->admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	if (snapshot->admin != NULL && kafka_admin_cluster_id(snapshot->admin, ASK_MS, snapshot->cluster_id, err) &&
	    topic_slices_list(snapshot->admin, topics, count, &snapshot->slices, err) &&
	    (checks == NULL || fill_checks(snapshot, ctl, checks, err)) &&
	    topic_slices_snapshot(snapshot->admin, &snapshot->slices, err))
		return true;
	audit_snapshot_close(snapshot);
	return false;
}

void audit_snapshot_close(struct audit_snapshot *snapshot)
{
	free(snapshot->checks);
	topic_slices_free(&snapshot->slices);
	kafka_admin_free(snapshot->admin);
	*snapshot = (struct audit_snapshot){0};
}

void audit_snapshot_anchor(struct audit_snapshot *snapshot)
{
	assert(snapshot->checks != NULL);
	for (size_t i = 0; i < snapshot->slices.count; i++) {
		struct topic_slice *slice = &snapshot->slices.items[i];
		slice->begin = audit_check_anchor(snapshot->checks[i], slice->log_start, slice->begin);
		audit_check_range(
			snapshot->checks[i],
			&(struct audit_range){.begin = slice->begin, .end = slice->end, .log_end = slice->log_end});
	}
}
