#include "ops/ctl/audit_work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ASK_MS = 10000 };

bool audit_work_open(struct audit_work *work, struct ctl *ctl, const char *topic, bool with_postgres, struct err *err)
{
	char names[EVENT_TOPIC_COUNT][KAFKA_TOPIC_BYTES_MAX + 1];
	const char *topics[EVENT_TOPIC_COUNT];
	size_t count;

	*work = (struct audit_work){.ctl = ctl};
	if (!audit_topics(ctl, topic, names, &count, err))
		return false;
	for (size_t i = 0; i < count; i++)
		topics[i] = names[i];
	work->admin = kafka_admin_new(ctl_config(ctl), "watchpostctl", err);
	if (work->admin == NULL || !kafka_admin_cluster_id(work->admin, ASK_MS, work->cluster_id, err))
		goto fail;
	if (with_postgres) {
		work->pg = ctl_pg(ctl, err);
		if (work->pg == NULL || !audit_facts_take(work->pg, work->cluster_id, &work->facts, err))
			goto fail;
	}
	if (topic_slices_take(work->admin, topics, count, &work->slices, err))
		return true;
fail:
	audit_work_close(work);
	return false;
}

void audit_work_close(struct audit_work *work)
{
	for (size_t i = 0; work->checks != NULL && i < work->slices.count; i++)
		chain_check_free(work->checks[i]);
	free(work->checks);
	sign_key_free(work->key);
	audit_facts_free(&work->facts);
	topic_slices_free(&work->slices);
	kafka_admin_free(work->admin);
	*work = (struct audit_work){0};
}

/* --- making the checks --- */

struct feeding {
	struct audit_work *work;
	struct chain_check *check;
};

static bool feed_seal(void *owner, const struct seal *seal, struct err *err)
{
	struct feeding *feeding = owner;
	uint8_t hash[SHA256_BYTES];
	char hex[SHA256_HEX_BYTES];
	if (!chain_check_seal(feeding->check, seal, err) || !seal_hash(seal, hash, err))
		return false;
	hex_encode(hash, sizeof(hash), hex);
	if (strcmp(hex, feeding->work->pinned) == 0)
		feeding->work->pin_found = true;
	return true;
}

static bool feed_gap(void *owner, int64_t from, int64_t until, struct err *err)
{
	struct feeding *feeding = owner;
	return chain_check_gap(feeding->check, from, until, err);
}

static bool make_check(struct audit_work *work, size_t i, struct err *err)
{
	const struct topic_slice *slice = &work->slices.items[i];
	const struct audit_head *head = audit_facts_head(&work->facts, slice->topic, slice->partition);
	work->checks[i] = chain_check_new(work->cluster_id, slice->topic, slice->partition, work->key, err);
	if (work->checks[i] == NULL)
		return false;
	struct feeding feeding = {.work = work, .check = work->checks[i]};
	chain_check_from_first_seal(work->checks[i]);
	if (!audit_seals_each(work->pg, work->cluster_id, slice->topic, slice->partition, feed_seal, &feeding, err) ||
	    !audit_gaps_each(work->pg, work->cluster_id, slice, feed_gap, &feeding, err))
		return err_context(err, "%s partition %d", slice->topic, (int)slice->partition);
	return head == NULL || chain_check_head(work->checks[i], head->next_offset - 1, head->head, err);
}

struct sign_key *audit_public_key(const struct ctl *ctl, struct err *err)
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

static bool take_pin(struct audit_work *work, const char *pin, struct err *err)
{
	uint8_t hash[SHA256_BYTES];
	if (pin == NULL)
		return true;
	if (!hex_decode(bytes_of(pin), hash, sizeof(hash)))
		return err_set(err, ERR_INVALID, "--pin: the hash of a seal, 64 lower-case hex digits");
	memcpy(work->pinned, pin, sizeof(work->pinned));
	return true;
}

bool audit_work_check(struct audit_work *work, const char *pin, struct err *err)
{
	assert(work->pg != NULL);
	work->key = audit_public_key(work->ctl, err);
	if (work->key == NULL || !take_pin(work, pin, err))
		return false;
	work->checks = calloc(work->slices.count + 1, sizeof(struct chain_check *));
	if (work->checks == NULL)
		return err_set(err, ERR_FULL, "no memory for the checks");
	for (size_t i = 0; i < work->slices.count; i++)
		if (!make_check(work, i, err))
			return false;
	if (work->pinned[0] != '\0' && !work->pin_found)
		return err_set(err, ERR_CONFLICT,
			       "the pinned seal is not among the database's: its history was changed");
	return true;
}

bool audit_work_anchor(struct audit_work *work, struct err *err)
{
	for (size_t i = 0; i < work->slices.count; i++) {
		struct topic_slice *slice = &work->slices.items[i];
		slice->begin = chain_check_anchor(work->checks[i], slice->log_start, slice->begin);
		if (!chain_check_begin(work->checks[i], slice->begin, err))
			return false;
	}
	return true;
}

/* --- what was found --- */

static const struct table_column columns[] = {
	{"topic", TABLE_TEXT},         {"partition", TABLE_NUMBER}, {"records", TABLE_NUMBER},
	{"last_offset", TABLE_NUMBER}, {"seals", TABLE_NUMBER},     {"sealed_to", TABLE_NUMBER},
	{"unchecked", TABLE_NUMBER},   {"in_gaps", TABLE_NUMBER},   {"verdict", TABLE_TEXT},
};

struct table *audit_table_new(void)
{
	return table_new(columns, ARRAY_LEN(columns));
}

void audit_table_row(struct table *table, const char *topic, int32_t partition, const struct chain_check_result *result,
		     const char *problem)
{
	const char *good = result->records == 0 && result->skipped == 0 ? "empty"
			   : !result->anchored                          ? "nothing to start from"
									: "good";
	table_text(table, topic);
	table_i64(table, partition);
	table_i64(table, (int64_t)result->records);
	table_i64(table, result->last_offset);
	table_i64(table, (int64_t)result->seals);
	table_i64(table, result->sealed_to);
	table_i64(table, (int64_t)result->skipped);
	table_i64(table, (int64_t)result->gap_records);
	table_text(table, problem != NULL ? problem : good);
}

static enum table_style style_for(const struct audit_work *work, FILE *to)
{
	return ctl_json(work->ctl) ? TABLE_JSON : isatty(fileno(to)) ? TABLE_HUMAN : TABLE_PLAIN;
}

bool audit_work_report(struct audit_work *work, FILE *to, struct err *err)
{
	struct table *table = audit_table_new();
	struct err first = {0};
	for (size_t i = 0; i < work->slices.count; i++) {
		const struct topic_slice *slice = &work->slices.items[i];
		struct chain_check_result result;
		struct err problem = {0};
		bool good = chain_check_end(work->checks[i], slice->end, &result, &problem);
		if (good && !result.anchored && result.skipped > 0)
			good = err_set(&problem, ERR_CONFLICT,
				       "no seal to start from: these records cannot be checked");
		audit_table_row(table, slice->topic, slice->partition, &result, good ? NULL : problem.text);
		if (!good && first.code == ERR_NONE) {
			first = problem;
			(void)err_context(&first, "%s partition %d", slice->topic, (int)slice->partition);
		}
	}
	bool printed = table_print(table, to, style_for(work, to), TABLE_LIST, err);
	table_free(table);
	if (printed && first.code != ERR_NONE)
		*err = first;
	return printed && first.code == ERR_NONE;
}
