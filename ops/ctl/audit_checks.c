#include "ops/ctl/audit_checks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct audit_check {
	struct audit_checks *checks;
	char topic[KAFKA_TOPIC_BYTES_MAX + 1];
	int32_t partition;
	struct chain_check *chain;
	bool ranged;
	struct audit_range range;
	struct err finding; /* ERR_NONE: nothing so far */
};

struct audit_checks {
	const struct ctl *ctl;
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct sign_key *key;
	struct audit_check *items; /* room for TOPIC_READER_PARTITIONS_MAX: they never move */
	size_t count;
	size_t last_found;
	bool pinned, pin_found;
	uint8_t pin[SHA256_BYTES];
};

/* --- making --- */

static struct sign_key *read_key(const struct ctl *ctl, struct err *err)
{
	const char *path = ctl_value(ctl, "public-key");
	if (path == NULL)
		path = ctl_config(ctl)->seal_public_key_file;
	if (path[0] != '\0')
		return sign_key_read_public(path, err);
	(void)err_set(err, ERR_INVALID,
		      "--public-key or seal_public_key_file is missing: the key that seals were signed with");
	return NULL;
}

struct audit_checks *audit_checks_new(const struct ctl *ctl, const char *pin, struct err *err)
{
	struct audit_checks *checks = calloc(1, sizeof(*checks));
	if (checks == NULL || (checks->items = calloc(TOPIC_READER_PARTITIONS_MAX, sizeof(*checks->items))) == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the checks");
		goto fail;
	}
	checks->ctl = ctl;
	checks->pinned = pin != NULL;
	if (pin != NULL && !hex_decode(bytes_of(pin), checks->pin, sizeof(checks->pin))) {
		(void)err_set(err, ERR_INVALID, "--pin: the hash of a seal, 64 lower-case hex digits");
		goto fail;
	}
	checks->key = read_key(ctl, err);
	if (checks->key != NULL)
		return checks;
fail:
	audit_checks_free(checks);
	return NULL;
}

void audit_checks_free(struct audit_checks *checks)
{
	if (checks == NULL)
		return;
	for (size_t i = 0; i < checks->count; i++)
		chain_check_free(checks->items[i].chain);
	free(checks->items);
	sign_key_free(checks->key);
	free(checks);
}

void audit_checks_set_cluster(struct audit_checks *checks, const char *cluster_id)
{
	assert(checks->count == 0);
	(void)snprintf(checks->cluster_id, sizeof(checks->cluster_id), "%s", cluster_id);
}

static struct audit_check *find(struct audit_checks *checks, const char *topic, int32_t partition)
{
	for (size_t i = 0; i < checks->count; i++) {
		size_t at = (checks->last_found + i) % checks->count;
		if (checks->items[at].partition == partition && strcmp(checks->items[at].topic, topic) == 0) {
			checks->last_found = at;
			return &checks->items[at];
		}
	}
	return NULL;
}

struct audit_check *audit_checks_at(struct audit_checks *checks, const char *topic, int32_t partition, struct err *err)
{
	struct audit_check *check = find(checks, topic, partition);
	if (check != NULL)
		return check;
	if (checks->count == TOPIC_READER_PARTITIONS_MAX) {
		(void)err_set(err, ERR_TOO_LARGE, "over %d partitions", TOPIC_READER_PARTITIONS_MAX);
		return NULL;
	}
	check = &checks->items[checks->count];
	*check = (struct audit_check){.checks = checks, .partition = partition};
	(void)snprintf(check->topic, sizeof(check->topic), "%s", topic);
	check->chain = chain_check_new(checks->cluster_id, topic, partition, checks->key, err);
	if (check->chain == NULL)
		return NULL;
	chain_check_from_first_seal(check->chain);
	checks->count++;
	return check;
}

/* --- what is given to them --- */

/* Keeps a finding; true unless it was another failure. */
static bool keep(struct audit_check *check, bool good, const struct err *problem, struct err *err)
{
	if (good)
		return true;
	if (problem->code == ERR_CONFLICT) {
		check->finding = *problem;
		return true;
	}
	*err = *problem;
	return err_context(err, "%s partition %d", check->topic, (int)check->partition);
}

static bool is_over(const struct audit_check *check)
{
	return check->finding.code != ERR_NONE;
}

void audit_check_found(struct audit_check *check, const char *text)
{
	if (!is_over(check))
		(void)err_set(&check->finding, ERR_CONFLICT, "%s", text);
}

static bool look_for_pin(struct audit_checks *checks, const struct seal *seal, struct err *err)
{
	uint8_t hash[SHA256_BYTES];
	if (!checks->pinned || checks->pin_found)
		return true;
	if (!seal_hash(seal, hash, err))
		return false;
	checks->pin_found = digest_equal(hash, checks->pin, sizeof(hash));
	return true;
}

bool audit_check_seal(struct audit_check *check, const struct seal *read, struct err *err)
{
	struct err problem = {0};
	struct seal seal = *read;
	if (is_over(check))
		return true;
	seal.cluster_id = check->checks->cluster_id;
	bool good = chain_check_seal(check->chain, &seal, &problem);
	return keep(check, good, &problem, err) && (!good || look_for_pin(check->checks, &seal, err));
}

bool audit_check_head(struct audit_check *check, const struct audit_head *head, struct err *err)
{
	struct err problem = {0};
	if (is_over(check))
		return true;
	if (head != NULL)
		return keep(check, chain_check_head(check->chain, head->next_offset - 1, head->head, &problem),
			    &problem, err);
	if (chain_check_result(check->chain)->seals > 0)
		audit_check_found(check, "the database has seals but no head: audit-log's offset row was removed");
	return true;
}

bool audit_check_gap(struct audit_check *check, int64_t from, int64_t until, struct err *err)
{
	struct err problem = {0};
	return is_over(check) || keep(check, chain_check_gap(check->chain, from, until, &problem), &problem, err);
}

int64_t audit_check_anchor(const struct audit_check *check, int64_t log_start, int64_t wanted)
{
	return chain_check_anchor(check->chain, log_start, wanted);
}

void audit_check_range(struct audit_check *check, const struct audit_range *range)
{
	assert(range->begin <= range->end && range->end <= range->log_end);
	if (check->ranged) {
		audit_check_found(check, "its range is said twice");
		return;
	}
	check->ranged = true;
	check->range = *range;
	chain_check_begin(check->chain, range->begin);
}

bool audit_check_record(struct audit_check *check, const struct kafka_record *record, struct err *err)
{
	struct err problem = {0};
	if (!check->ranged || record->offset < check->range.begin || record->offset >= check->range.end)
		audit_check_found(check, "a record stands outside the range that was said");
	return is_over(check) || keep(check, chain_check_record(check->chain, record, &problem), &problem, err);
}

/* --- what they found --- */

static bool end_check(struct audit_check *check, struct err *err)
{
	const struct chain_check_result *result = chain_check_result(check->chain);
	struct err problem = {0};
	if (!check->ranged)
		audit_check_found(check, "there is no such partition (any more)");
	if (is_over(check))
		return true;
	bool good = chain_check_end(check->chain, check->range.end, check->range.log_end, &problem);
	if (good && !result->anchored && result->skipped > 0 && result->seals == 0)
		audit_check_found(check, "the log's first records are gone, and there is no seal to start from");
	return keep(check, good, &problem, err);
}

static void number_or_null(struct table *table, int64_t value)
{
	if (value < 0)
		table_null(table);
	else
		table_i64(table, value);
}

/* Records that no seal or head speaks for: before the check could begin, or behind the last of them. */
static uint64_t unchecked(const struct chain_check_result *result)
{
	assert(result->confirmed <= result->records);
	return result->skipped + result->records - result->confirmed;
}

static const char *verdict(const struct audit_check *check)
{
	const struct chain_check_result *result = chain_check_result(check->chain);
	if (is_over(check))
		return check->finding.text;
	if (result->confirmed > 0)
		return "good";
	return unchecked(result) > 0 || result->gap_records > 0 ? "unchecked" : "empty";
}

static void add_row(struct table *table, const struct audit_check *check)
{
	const struct chain_check_result *result = chain_check_result(check->chain);
	table_text(table, check->topic);
	table_i64(table, check->partition);
	table_i64(table, (int64_t)result->confirmed);
	number_or_null(table, result->confirmed > 0 ? result->first_offset : -1);
	number_or_null(table, result->confirmed_offset);
	table_i64(table, (int64_t)result->seals);
	number_or_null(table, result->sealed_to);
	table_i64(table, (int64_t)unchecked(result));
	table_i64(table, (int64_t)result->gap_records);
	table_text(table, verdict(check));
}

/* The first finding becomes the command's error. */
static bool sum_up(const struct audit_checks *checks, struct err *err)
{
	for (size_t i = 0; i < checks->count; i++) {
		const struct audit_check *check = &checks->items[i];
		if (!is_over(check))
			continue;
		*err = check->finding;
		return err_context(err, "%s partition %d", check->topic, (int)check->partition);
	}
	return !checks->pinned || checks->pin_found ||
	       err_set(err, ERR_CONFLICT,
		       "the pinned seal is not among these seals: their history was changed, or it is of another "
		       "cluster or topic");
}

bool audit_checks_report(struct audit_checks *checks, FILE *to, struct err *err)
{
	static const struct table_column columns[] = {
		{"topic", TABLE_TEXT},          {"partition", TABLE_NUMBER},   {"records", TABLE_NUMBER},
		{"first_offset", TABLE_NUMBER}, {"last_offset", TABLE_NUMBER}, {"seals", TABLE_NUMBER},
		{"sealed_to", TABLE_NUMBER},    {"unchecked", TABLE_NUMBER},   {"in_gaps", TABLE_NUMBER},
		{"verdict", TABLE_TEXT},
	};
	enum table_style style = ctl_json(checks->ctl) ? TABLE_JSON : isatty(fileno(to)) ? TABLE_HUMAN : TABLE_PLAIN;
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	bool good = true;
	for (size_t i = 0; good && i < checks->count; i++) {
		good = end_check(&checks->items[i], err);
		add_row(table, &checks->items[i]);
	}
	good = good && table_print(table, to, style, TABLE_LIST, err) && sum_up(checks, err);
	table_free(table);
	return good;
}
