/* `audit replay`: reads the audit topics between two times and prints or exports what they hold. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "ops/ctl/audit_work.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/export_file.h"
#include "ops/ctl/record_json.h"

enum format { FORMAT_JSONL, FORMAT_CSV, FORMAT_MSGPACK };

struct replay {
	struct ctl *ctl;
	struct audit_work work;
	enum format format;
	FILE *out;
	const char *account, *type;
	char customer[STRIPE_ID_BYTES_MAX + 1]; /* the account's, "" when it has none */
	int64_t *shown_from;                    /* per slice: records before it are only verified */
	uint64_t shown;
};

/* --- what was asked for --- */

static bool take_format(struct replay *replay, struct err *err)
{
	static const char *const names[] = {"jsonl", "csv", "msgpack"};
	const char *given = ctl_value(replay->ctl, "format");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(given != NULL ? given : names[0], names[i]) == 0) {
			replay->format = (enum format)i;
			return true;
		}
	return err_set(err, ERR_INVALID, "--format: jsonl, csv or msgpack");
}

static bool take_time(const struct ctl *ctl, const char *flag, int64_t *out, struct err *err)
{
	const char *given = ctl_value(ctl, flag);
	return given == NULL || clock_parse_ms(given, out) ||
	       err_set(err, ERR_INVALID, "--%s: a time as 2026-11-23T15:00:00Z, or a date", flag);
}

/* The account's records in topic stripe are found by its customer. */
static bool take_account(struct replay *replay, struct err *err)
{
	if (replay->account == NULL)
		return true;
	if (!id_valid(bytes_of(replay->account), "acct"))
		return err_set(err, ERR_INVALID, "--account: acct_ and 26 characters, as `account list` shows it");
	struct pg *pg = ctl_pg(replay->ctl, err);
	struct pg_params *params = pg_params_new(1);
	struct pg_result *result = NULL;
	if (pg != NULL && params != NULL) {
		pg_params_text(params, replay->account);
		result = pg_call(pg, "select stripe_customer_id from api.account_show($1)", params, err);
	}
	pg_params_free(params);
	if (result == NULL)
		return err_context(err, "while looking the account up");
	if (pg_rows(result) == 1 && !pg_is_null(result, 0, 0))
		(void)snprintf(replay->customer, sizeof(replay->customer), "%s", pg_get_text(result, 0, 0));
	pg_result_free(result);
	return true;
}

static bool take_options(struct replay *replay, struct err *err)
{
	replay->out = ctl_out(replay->ctl);
	replay->account = ctl_value(replay->ctl, "account");
	replay->type = ctl_value(replay->ctl, "type");
	if (!take_format(replay, err))
		return false;
	if (replay->format == FORMAT_MSGPACK && (replay->account != NULL || replay->type != NULL))
		return err_set(err, ERR_INVALID,
			       "--format msgpack is the whole record: it goes with no --account or --type");
	return take_account(replay, err);
}

/* --- one record --- */

static bool of_account(const struct replay *replay, const struct kafka_record *record, const json_t *data)
{
	if (replay->account == NULL)
		return true;
	const char *said = json_string_value(json_object_get(data, "account_id"));
	return (said != NULL && strcmp(said, replay->account) == 0) || bytes_equal_text(record->key, replay->account) ||
	       (replay->customer[0] != '\0' && bytes_equal_text(record->key, replay->customer));
}

static bool of_type(const struct replay *replay, const json_t *json)
{
	const char *type = json_string_value(json_object_get(json, "type"));
	const char *stripe_type = json_string_value(json_object_get(json_object_get(json, "data"), "stripe_type"));
	return replay->type == NULL || (type != NULL && strcmp(type, replay->type) == 0) ||
	       (stripe_type != NULL && strcmp(stripe_type, replay->type) == 0);
}

/* RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe. */
static void csv_cell(FILE *to, const char *text, bool last)
{
	(void)fputc('"', to);
	if (text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL)
		(void)fputc('\'', to);
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '"')
			(void)fputc('"', to);
		(void)fputc(*at, to);
	}
	(void)fputs(last ? "\"\r\n" : "\",", to);
}

static const char *const csv_columns[] = {"topic", "partition", "offset",      "recorded_at", "id",
					  "type",  "source",    "occurred_at", "key",         "data"};

static bool print_csv(FILE *to, const json_t *json)
{
	for (size_t i = 0; i < ARRAY_LEN(csv_columns); i++) {
		const json_t *cell = json_object_get(json, csv_columns[i]);
		char *text = cell == NULL || json_is_null(cell) || json_is_string(cell)
				     ? NULL
				     : json_dumps(cell, JSON_COMPACT | JSON_ENCODE_ANY);
		const char *string = json_string_value(cell);
		csv_cell(to, text != NULL ? text : string != NULL ? string : "", i + 1 == ARRAY_LEN(csv_columns));
		free(text);
	}
	return !ferror(to);
}

static bool print_record(struct replay *replay, const struct kafka_record *record, struct err *err)
{
	if (replay->format == FORMAT_MSGPACK) {
		replay->shown++;
		return export_write_record(replay->out, record, err);
	}
	json_t *json = record_json(record);
	bool good = json != NULL || err_set(err, ERR_FULL, "no memory for a record");
	if (good && of_type(replay, json) && of_account(replay, record, json_object_get(json, "data"))) {
		replay->shown++;
		bool written = replay->format == FORMAT_CSV ? print_csv(replay->out, json)
							    : json_dumpf(json, replay->out, JSON_COMPACT) == 0 &&
								      fputc('\n', replay->out) != EOF;
		good = written || err_set(err, ERR_IO, "the output cannot be written: %m");
	}
	json_decref(json);
	return good;
}

static bool each_record(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct replay *replay = owner;
	if (replay->work.checks != NULL && !chain_check_record(replay->work.checks[slice], record, err))
		return err_context(err, "%s partition %d", record->topic, (int)record->partition);
	return record->offset < replay->shown_from[slice] || print_record(replay, record, err);
}

/* --- seals in the export --- */

static bool export_seal(void *owner, const struct seal *seal, struct err *err)
{
	struct replay *replay = owner;
	return export_write_seal(replay->out, seal, err);
}

struct gap_export {
	struct replay *replay;
	const struct topic_slice *slice;
};

static bool export_gap(void *owner, int64_t from, int64_t until, struct err *err)
{
	struct gap_export *gap = owner;
	return export_write_gap(gap->replay->out, gap->slice->topic, gap->slice->partition, from, until, err);
}

static bool export_begin(struct replay *replay, struct err *err)
{
	struct audit_work *work = &replay->work;
	bool good = export_write_start(replay->out, work->cluster_id, err);
	for (size_t i = 0; good && i < work->slices.count; i++) {
		const struct topic_slice *slice = &work->slices.items[i];
		struct gap_export gap = {.replay = replay, .slice = slice};
		good = audit_seals_each(work->pg, work->cluster_id, slice->topic, slice->partition, export_seal, replay,
					err) &&
		       audit_gaps_each(work->pg, work->cluster_id, slice, export_gap, &gap, err);
	}
	return good;
}

static void csv_header(FILE *to)
{
	for (size_t i = 0; i < ARRAY_LEN(csv_columns); i++)
		csv_cell(to, csv_columns[i], i + 1 == ARRAY_LEN(csv_columns));
}

/* --- the steps --- */

static bool narrow(struct replay *replay, struct err *err)
{
	int64_t from_ms = INT64_MIN, to_ms = INT64_MAX;
	struct topic_slices *slices = &replay->work.slices;
	if (!take_time(replay->ctl, "from", &from_ms, err) || !take_time(replay->ctl, "to", &to_ms, err))
		return false;
	if (from_ms >= to_ms)
		return err_set(err, ERR_INVALID, "--from is not before --to");
	if (!topic_slices_narrow(replay->work.admin, slices, from_ms, to_ms, err))
		return false;
	replay->shown_from = calloc(slices->count + 1, sizeof(*replay->shown_from));
	if (replay->shown_from == NULL)
		return err_set(err, ERR_FULL, "no memory for the partitions");
	for (size_t i = 0; i < slices->count; i++)
		replay->shown_from[i] = slices->items[i].begin;
	return true;
}

/* An export begins where its check can begin, and holds all from there. */
static bool prepare(struct replay *replay, struct err *err)
{
	bool verify = ctl_switch(replay->ctl, "verify") || replay->format == FORMAT_MSGPACK;
	if (verify && (!audit_work_check(&replay->work, NULL, err) || !audit_work_anchor(&replay->work, err)))
		return false;
	if (replay->format == FORMAT_MSGPACK) {
		for (size_t i = 0; i < replay->work.slices.count; i++)
			replay->shown_from[i] = replay->work.slices.items[i].begin;
		return export_begin(replay, err);
	}
	if (replay->format == FORMAT_CSV)
		csv_header(replay->out);
	return true;
}

static bool finish(struct replay *replay, struct err *err)
{
	if (replay->format == FORMAT_MSGPACK && !export_write_end(replay->out, replay->shown, err))
		return false;
	if (fflush(replay->out) != 0)
		return err_set(err, ERR_IO, "the output cannot be written: %m");
	ctl_note(replay->ctl, "%llu of %llu records shown", (unsigned long long)replay->shown,
		 (unsigned long long)topic_slices_records(&replay->work.slices));
	return replay->work.checks == NULL || audit_work_report(&replay->work, stderr, err);
}

bool audit_replay_run(struct ctl *ctl, struct err *err)
{
	struct replay replay = {.ctl = ctl};
	bool good = false;
	if (!take_options(&replay, err))
		return false;
	bool with_postgres = ctl_switch(ctl, "verify") || replay.format == FORMAT_MSGPACK;
	if (!audit_work_open(&replay.work, ctl, ctl_value(ctl, "topic"), with_postgres, err))
		return false;
	good = narrow(&replay, err) && prepare(&replay, err) &&
	       topic_slices_read(ctl_config(ctl), &replay.work.slices, "reading", each_record, &replay, err) &&
	       finish(&replay, err);
	free(replay.shown_from);
	audit_work_close(&replay.work);
	return good;
}
