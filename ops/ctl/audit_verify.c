/* `audit verify`: recomputes the hash chains and holds them against the seals, live or from an export file. */
#include <errno.h>
#include <string.h>

#include "ops/ctl/audit_snapshot.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/export_file.h"

/* --- live: records from Kafka, seals from Postgres --- */

static bool check_record(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct audit_snapshot *snapshot = owner;
	return audit_check_record(snapshot->checks[slice], record, err);
}

static bool verify_live(struct ctl *ctl, struct audit_checks *checks, struct err *err)
{
	struct audit_snapshot snapshot;
	struct topic_reader *reader = NULL;
	bool good = false;
	if (!audit_snapshot_open(&snapshot, ctl, ctl_value(ctl, "topic"), checks, err))
		return false;
	audit_snapshot_anchor(&snapshot);
	reader = topic_reader_new(ctl_config(ctl), err);
	if (reader != NULL)
		good = topic_reader_read(reader, &snapshot.slices, "verifying", check_record, &snapshot, err) &&
		       audit_checks_report(checks, ctl_out(ctl), err);
	topic_reader_free(reader);
	audit_snapshot_close(&snapshot);
	return good;
}

/* --- offline: all from one file --- */

static bool on_start(void *owner, const char *cluster_id, struct err *err)
{
	(void)err;
	audit_checks_set_cluster(owner, cluster_id);
	return true;
}

static bool on_seal(void *owner, const struct seal *seal, struct err *err)
{
	struct audit_check *check = audit_checks_at(owner, seal->topic, seal->partition, err);
	return check != NULL && audit_check_seal(check, seal, err);
}

static bool on_gap(void *owner, const struct export_span *gap, struct err *err)
{
	struct audit_check *check = audit_checks_at(owner, gap->topic, gap->partition, err);
	return check != NULL && audit_check_gap(check, gap->from, gap->to, err);
}

/* An export has only the seals of the records in it, so every one of them must be reached. */
static bool on_range(void *owner, const struct export_span *range, struct err *err)
{
	struct audit_check *check = audit_checks_at(owner, range->topic, range->partition, err);
	if (check == NULL)
		return false;
	audit_check_range(check, &(struct audit_range){.begin = range->from, .end = range->to, .log_end = range->to});
	return true;
}

static bool on_record(void *owner, const struct kafka_record *record, struct err *err)
{
	struct audit_check *check = audit_checks_at(owner, record->topic, record->partition, err);
	return check != NULL && audit_check_record(check, record, err);
}

static bool verify_file(struct ctl *ctl, struct audit_checks *checks, const char *path, struct err *err)
{
	const struct export_visitor visitor = {.start = on_start,
					       .seal = on_seal,
					       .gap = on_gap,
					       .range = on_range,
					       .record = on_record,
					       .owner = checks};
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read %s: %s", path,
			       strerror(errno));
	bool good = export_read(file, &visitor, err) || err_context(err, "%s", path);
	(void)fclose(file);
	return good && audit_checks_report(checks, ctl_out(ctl), err);
}

bool audit_verify_run(struct ctl *ctl, struct err *err)
{
	const char *path = ctl_value(ctl, "file");
	if (path != NULL && ctl_value(ctl, "topic") != NULL)
		return err_set(err, ERR_INVALID, "--file checks the whole export: it goes with no --topic");
	struct audit_checks *checks = audit_checks_new(ctl, ctl_value(ctl, "pin"), err);
	bool good =
		checks != NULL && (path != NULL ? verify_file(ctl, checks, path, err) : verify_live(ctl, checks, err));
	audit_checks_free(checks);
	return good;
}
