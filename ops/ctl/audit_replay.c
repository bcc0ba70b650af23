/* `audit replay`: reads the audit topics between two times and prints or exports what they hold. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/id.h"
#include "ops/ctl/audit_snapshot.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/export_file.h"
#include "ops/ctl/record_json.h"

enum format { FORMAT_JSONL, FORMAT_CSV, FORMAT_MSGPACK };

struct replay {
	struct ctl *ctl;
	struct audit_snapshot snapshot;
	struct audit_checks *checks; /* NULL: nothing is checked */
	enum format format;
	FILE *out;
	int64_t from_ms, to_ms;
	const char *account, *type;
	char customer[STRIPE_ID_BYTES_MAX + 1]; /* the account's, "" when it has none */
	int64_t *shown_from;                    /* per slice: records before it are only checked */
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

static bool take_times(struct replay *replay, struct err *err)
{
	replay->from_ms = INT64_MIN;
	replay->to_ms = INT64_MAX;
	if (!take_time(replay->ctl, "from", &replay->from_ms, err) ||
	    !take_time(replay->ctl, "to", &replay->to_ms, err))
		return false;
	return replay->from_ms < replay->to_ms || err_set(err, ERR_INVALID, "--from is not before --to");
}

/* The account's records in topic stripe are found by its customer. */
static bool find_customer(struct replay *replay, struct err *err)
{
	struct pg *pg = ctl_pg(replay->ctl, err);
	struct pg_params *params = NULL;
	struct pg_result *result = NULL;
	if (pg == NULL)
		return false;
	params = pg_params_new(1);
	if (params == NULL)
		return err_set(err, ERR_FULL, "no memory for the account");
	pg_params_text(params, replay->account);
	result = pg_call(pg, "select stripe_customer_id from api.account_show($1)", params, err);
	pg_params_free(params);
	if (result == NULL)
		return err_context(err, "while looking the account up");
	if (pg_rows(result) == 1 && !pg_is_null(result, 0, 0))
		(void)snprintf(replay->customer, sizeof(replay->customer), "%s", pg_get_text(result, 0, 0));
	pg_result_free(result);
	return true;
}

static bool take_account(struct replay *replay, struct err *err)
{
	if (replay->account == NULL)
		return true;
	if (!id_valid(bytes_of(replay->account), "acct"))
		return err_set(err, ERR_INVALID, "--account: acct_ and 26 characters, as `account list` shows it");
	return find_customer(replay, err);
}

/* An export without its seals would be worth nothing offline: what it takes to check them is asked for. */
static bool take_checks(struct replay *replay, struct err *err)
{
	if (!ctl_switch(replay->ctl, "verify") && replay->format != FORMAT_MSGPACK)
		return true;
	replay->checks = audit_checks_new(replay->ctl, NULL, err);
	return replay->checks != NULL;
}

static bool take_options(struct replay *replay, struct err *err)
{
	replay->out = ctl_out(replay->ctl);
	replay->account = ctl_value(replay->ctl, "account");
	replay->type = ctl_value(replay->ctl, "type");
	if (!take_format(replay, err) || !take_times(replay, err))
		return false;
	if (replay->format == FORMAT_MSGPACK && (replay->account != NULL || replay->type != NULL))
		return err_set(err, ERR_INVALID,
			       "--format msgpack is the whole record: it goes with no --account or --type");
	if (replay->format == FORMAT_MSGPACK && isatty(fileno(replay->out)))
		return err_set(err, ERR_INVALID, "--format msgpack is not for a terminal: redirect it to a file");
	return take_checks(replay, err) && take_account(replay, err);
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

/* RFC 4180; a cell that a spreadsheet would take for a formula gets an apostrophe, and NUL, which ends a line for some
 * readers, is written as a text. */
static void csv_cell(FILE *to, struct bytes text, bool last)
{
	(void)fputc('"', to);
	if (text.len > 0 && text.data[0] != '\0' && strchr("=+-@\t\r", text.data[0]) != NULL)
		(void)fputc('\'', to);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '"')
			(void)fputc('"', to);
		if (text.data[i] == '\0')
			(void)fputs("\\x00", to);
		else
			(void)fputc(text.data[i], to);
	}
	(void)fputs(last ? "\"\r\n" : "\",", to);
}

static const char *const csv_columns[] = {"topic", "partition", "offset",      "recorded_at", "id",
					  "type",  "source",    "occurred_at", "key",         "data"};

static void csv_header(FILE *to)
{
	for (size_t i = 0; i < ARRAY_LEN(csv_columns); i++)
		csv_cell(to, bytes_of(csv_columns[i]), i + 1 == ARRAY_LEN(csv_columns));
}

/* Texts as they are, what is not there as an empty cell, all else as JSON. */
static bool print_csv(FILE *to, const json_t *json)
{
	for (size_t i = 0; i < ARRAY_LEN(csv_columns); i++) {
		const json_t *cell = json_object_get(json, csv_columns[i]);
		bool last = i + 1 == ARRAY_LEN(csv_columns);
		if (cell == NULL || json_is_null(cell)) {
			csv_cell(to, bytes_of(""), last);
		} else if (json_is_string(cell)) {
			csv_cell(to, bytes_make(json_string_value(cell), json_string_length(cell)), last);
		} else {
			char *text = json_dumps(cell, JSON_COMPACT | JSON_ENCODE_ANY);
			if (text == NULL)
				return false;
			csv_cell(to, bytes_of(text), last);
			free(text);
		}
	}
	return !ferror(to);
}

static bool print_json(FILE *to, const json_t *json)
{
	return json_dumpf(json, to, JSON_COMPACT) == 0 && fputc('\n', to) != EOF;
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
		good = (replay->format == FORMAT_CSV ? print_csv : print_json)(replay->out, json) ||
		       err_set(err, ERR_IO, "the output cannot be written: %m");
	}
	json_decref(json);
	return good;
}

static bool each_record(void *owner, size_t slice, const struct kafka_record *record, struct err *err)
{
	struct replay *replay = owner;
	if (replay->checks != NULL && !audit_check_record(replay->snapshot.checks[slice], record, err))
		return false;
	return record->offset < replay->shown_from[slice] || print_record(replay, record, err);
}

/* --- what stands before the records of an export --- */

struct export_part {
	FILE *to;
	const struct topic_slice *slice;
};

/* Seals of later records would say of the reader's copy that its end was removed. */
static bool export_seal(void *owner, const struct seal *seal, struct err *err)
{
	const struct export_part *part = owner;
	return seal->last_offset >= part->slice->end || export_write_seal(part->to, seal, err);
}

static struct export_span span_of(const struct topic_slice *slice, int64_t from, int64_t to)
{
	return (struct export_span){.topic = slice->topic, .partition = slice->partition, .from = from, .to = to};
}

static bool export_gap(void *owner, int64_t from, int64_t until, struct err *err)
{
	const struct export_part *part = owner;
	const struct export_span gap = span_of(part->slice, from, until);
	return export_write_gap(part->to, &gap, err);
}

static bool export_begin(struct replay *replay, struct err *err)
{
	const struct audit_snapshot *snapshot = &replay->snapshot;
	struct pg *pg = ctl_pg(replay->ctl, err);
	bool good = pg != NULL && export_write_start(replay->out, snapshot->cluster_id, err);
	for (size_t i = 0; good && i < snapshot->slices.count; i++) {
		const struct topic_slice *slice = &snapshot->slices.items[i];
		const struct export_span range = span_of(slice, slice->begin, slice->end);
		struct export_part part = {.to = replay->out, .slice = slice};
		good = audit_seals_each(pg, snapshot->cluster_id, slice->topic, slice->partition, export_seal, &part,
					err) &&
		       audit_gaps_each(pg, snapshot->cluster_id, slice, export_gap, &part, err) &&
		       export_write_range(replay->out, &range, err);
	}
	return good;
}

/* --- the steps --- */

static bool remember_shown(struct replay *replay, struct err *err)
{
	const struct topic_slices *slices = &replay->snapshot.slices;
	free(replay->shown_from);
	replay->shown_from = calloc(slices->count + 1, sizeof(*replay->shown_from));
	if (replay->shown_from == NULL)
		return err_set(err, ERR_FULL, "no memory for the partitions");
	for (size_t i = 0; i < slices->count; i++)
		replay->shown_from[i] = slices->items[i].begin;
	return true;
}

/* What is printed begins where --from says; an export begins where its check can begin, and holds all from there. */
static bool prepare(struct replay *replay, struct err *err)
{
	struct audit_snapshot *snapshot = &replay->snapshot;
	if (!topic_slices_narrow(snapshot->admin, &snapshot->slices, replay->from_ms, replay->to_ms, err) ||
	    !remember_shown(replay, err))
		return false;
	if (replay->checks != NULL)
		audit_snapshot_anchor(snapshot);
	if (replay->format == FORMAT_MSGPACK)
		return remember_shown(replay, err) && export_begin(replay, err);
	if (replay->format == FORMAT_CSV)
		csv_header(replay->out);
	return true;
}

static bool read_records(struct replay *replay, struct err *err)
{
	struct topic_reader *reader = topic_reader_new(ctl_config(replay->ctl), err);
	bool good = reader != NULL &&
		    topic_reader_read(reader, &replay->snapshot.slices, "reading", each_record, replay, err);
	topic_reader_free(reader);
	return good;
}

static bool finish(struct replay *replay, struct err *err)
{
	if (replay->format == FORMAT_MSGPACK && !export_write_end(replay->out, replay->shown, err))
		return false;
	if (fflush(replay->out) != 0)
		return err_set(err, ERR_IO, "the output cannot be written: %m");
	ctl_note(replay->ctl, "%llu records shown, %llu read", (unsigned long long)replay->shown,
		 (unsigned long long)topic_slices_records(&replay->snapshot.slices));
	return replay->checks == NULL || audit_checks_report(replay->checks, stderr, err);
}

bool audit_replay_run(struct ctl *ctl, struct err *err)
{
	struct replay replay = {.ctl = ctl};
	bool good = false;
	if (take_options(&replay, err) &&
	    audit_snapshot_open(&replay.snapshot, ctl, ctl_value(ctl, "topic"), replay.checks, err)) {
		good = prepare(&replay, err) && read_records(&replay, err) && finish(&replay, err);
		audit_snapshot_close(&replay.snapshot);
	}
	free(replay.shown_from);
	audit_checks_free(replay.checks);
	return good;
}
