/* `audit verify`: recomputes the hash chains and holds them against the seals, live or from an export file. */
#include <stdlib.h>
#include <string.h>

#include "ops/ctl/audit_work.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/export_file.h"

/* --- live: records from Kafka, seals from Postgres --- */

static bool check_record(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct audit_work *work = owner;
	return chain_check_record(work->checks[slice], record, err) ||
	       err_context(err, "%s partition %d", record->topic, (int)record->partition);
}

static bool verify_live(struct ctl *ctl, struct err *err)
{
	struct audit_work work;
	if (!audit_work_open(&work, ctl, ctl_value(ctl, "topic"), true, err))
		return false;
	bool good = audit_work_check(&work, ctl_value(ctl, "pin"), err) && audit_work_anchor(&work, err) &&
		    topic_slices_read(ctl_config(ctl), &work.slices, "verifying", check_record, &work, err) &&
		    audit_work_report(&work, ctl_out(ctl), err);
	audit_work_close(&work);
	return good;
}

/* --- offline: all from one file --- */

struct part {
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	struct chain_check *check;
	bool begun;
	int64_t end;
};

struct offline {
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct sign_key *key;
	struct part *parts;
	size_t count;
};

static bool on_start(void *owner, const char *cluster_id, struct err *err)
{
	struct offline *offline = owner;
	(void)err;
	(void)snprintf(offline->cluster_id, sizeof(offline->cluster_id), "%s", cluster_id);
	return true;
}

static struct part *part_of(struct offline *offline, const char *topic, int32_t partition, struct err *err)
{
	for (size_t i = 0; i < offline->count; i++)
		if (offline->parts[i].partition == partition && strcmp(offline->parts[i].topic, topic) == 0)
			return &offline->parts[i];
	if (offline->count == TOPIC_READER_PARTITIONS_MAX) {
		(void)err_set(err, ERR_TOO_LARGE, "over %d partitions", TOPIC_READER_PARTITIONS_MAX);
		return NULL;
	}
	struct part *part = &offline->parts[offline->count];
	*part = (struct part){.partition = partition};
	(void)snprintf(part->topic, sizeof(part->topic), "%s", topic);
	part->check = chain_check_new(offline->cluster_id, topic, partition, offline->key, err);
	if (part->check == NULL)
		return NULL;
	offline->count++;
	return part;
}

static bool on_seal(void *owner, const struct seal *read, struct err *err)
{
	struct offline *offline = owner;
	struct seal seal = *read;
	struct part *part = part_of(offline, seal.topic, seal.partition, err);
	seal.cluster_id = offline->cluster_id;
	return part != NULL && (chain_check_seal(part->check, &seal, err) ||
				err_context(err, "%s partition %d", part->topic, (int)part->partition));
}

static bool on_gap(void *owner, const char *topic, int32_t partition, int64_t from, int64_t until, struct err *err)
{
	struct part *part = part_of(owner, topic, partition, err);
	return part != NULL && chain_check_gap(part->check, from, until, err);
}

static bool on_record(void *owner, const struct kafka_record *record, struct err *err)
{
	struct part *part = part_of(owner, record->topic, record->partition, err);
	if (part == NULL)
		return false;
	if (!part->begun && !chain_check_begin(part->check, record->offset, err))
		return false;
	if (part->begun && record->offset < part->end)
		return err_set(err, ERR_INVALID, "%s partition %d: records out of order", part->topic,
			       (int)part->partition);
	part->begun = true;
	part->end = record->offset + 1;
	return chain_check_record(part->check, record, err) ||
	       err_context(err, "%s partition %d", part->topic, (int)part->partition);
}

static bool report_offline(struct ctl *ctl, struct offline *offline, struct err *err)
{
	struct table *table = audit_table_new();
	struct err first = {0};
	for (size_t i = 0; i < offline->count; i++) {
		struct part *part = &offline->parts[i];
		struct chain_check_result result;
		struct err problem = {0};
		bool good = chain_check_end(part->check, part->end, &result, &problem);
		if (good && !result.anchored && result.skipped > 0)
			good = err_set(&problem, ERR_CONFLICT,
				       "no seal to start from: these records cannot be checked");
		audit_table_row(table, part->topic, part->partition, &result, good ? NULL : problem.text);
		if (!good && first.code == ERR_NONE)
			first = problem;
	}
	bool printed = ctl_print(ctl, table, TABLE_LIST, err);
	if (printed && first.code != ERR_NONE)
		*err = first;
	return printed && first.code == ERR_NONE;
}

static bool verify_file(struct ctl *ctl, const char *path, struct err *err)
{
	struct offline offline = {0};
	FILE *file = NULL;
	bool good = false;
	offline.key = audit_public_key(ctl, err);
	if (offline.key == NULL)
		return false;
	offline.parts = calloc(TOPIC_READER_PARTITIONS_MAX, sizeof(*offline.parts));
	file = fopen(path, "re");
	if (offline.parts == NULL || file == NULL) {
		(void)err_set(err, ERR_IO, "cannot read %s: %m", path);
		goto out;
	}
	struct export_visitor visitor = {
		.start = on_start, .seal = on_seal, .gap = on_gap, .record = on_record, .owner = &offline};
	good = export_read(file, &visitor, err) && report_offline(ctl, &offline, err);
out:
	if (file != NULL)
		(void)fclose(file);
	for (size_t i = 0; i < offline.count; i++)
		chain_check_free(offline.parts[i].check);
	free(offline.parts);
	sign_key_free(offline.key);
	return good;
}

bool audit_verify_run(struct ctl *ctl, struct err *err)
{
	const char *path = ctl_value(ctl, "file");
	return path != NULL ? verify_file(ctl, path, err) : verify_live(ctl, err);
}
