/* The chain check: records as they were pass, and every kind of change to them or to the seals is found. */
#include "ops/ctl/chain_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/ctl/export_file.h"

enum { RECORDS = 20, SEAL_EVERY = 5 };

static const char cluster[] = "test-cluster";
static const char topic[] = "watchpost.development.stripe";

/* A partition of RECORDS records with a seal behind every SEAL_EVERY of them. */
struct world {
	struct sign_key *key;
	char values[RECORDS][32];
	struct kafka_record records[RECORDS];
	struct seal seals[RECORDS / SEAL_EVERY];
	uint8_t heads[RECORDS][CHAIN_LINK_BYTES];
	size_t seal_count;
};

static void make_seal(struct world *world, size_t i, const uint8_t previous[SHA256_BYTES])
{
	struct err err;
	struct seal *seal = &world->seals[world->seal_count++];
	*seal = (struct seal){.cluster_id = cluster, .topic = topic, .partition = 1, .last_offset = (int64_t)i};
	seal->sealed_at_ms = 1763900000000 + (int64_t)i;
	memcpy(seal->head, world->heads[i], CHAIN_LINK_BYTES);
	memcpy(seal->previous, previous, SHA256_BYTES);
	assert_true(seal_sign(seal, world->key, &err));
}

static int make_world(void **state)
{
	char folder[] = "/tmp/watchpost-test-XXXXXX", private_path[64], public_path[64];
	uint8_t head[CHAIN_LINK_BYTES], previous[SHA256_BYTES];
	struct world *world = calloc(1, sizeof(*world));
	struct buf scratch;
	struct err err;
	assert_non_null(world);
	assert_non_null(mkdtemp(folder));
	(void)snprintf(private_path, sizeof(private_path), "%s/key.pem", folder);
	(void)snprintf(public_path, sizeof(public_path), "%s/pub.pem", folder);
	assert_true(sign_key_generate(private_path, public_path, &err));
	world->key = sign_key_read_private(private_path, &err);
	assert_non_null(world->key);
	assert_int_equal(unlink(private_path) | unlink(public_path) | rmdir(folder), 0);
	buf_init(&scratch, CHAIN_SCRATCH_BYTES_MAX);
	assert_true(chain_genesis(cluster, topic, 1, head, &err));
	memcpy(previous, head, sizeof(previous));
	for (size_t i = 0; i < RECORDS; i++) {
		(void)snprintf(world->values[i], sizeof(world->values[i]), "value %zu", i);
		world->records[i] = (struct kafka_record){.topic = topic,
							  .partition = 1,
							  .offset = (int64_t)i,
							  .timestamp_ms = 1763900000000,
							  .has_value = true,
							  .value = bytes_of(world->values[i])};
		assert_true(chain_advance(head, &world->records[i], &scratch, &err));
		memcpy(world->heads[i], head, sizeof(head));
		if (i % SEAL_EVERY == SEAL_EVERY - 1) {
			make_seal(world, i, previous);
			assert_true(seal_hash(&world->seals[world->seal_count - 1], previous, &err));
		}
	}
	buf_free(&scratch);
	*state = world;
	return 0;
}

static int free_world(void **state)
{
	struct world *world = *state;
	sign_key_free(world->key);
	free(world);
	return 0;
}

/* Runs the check over records[first..RECORDS) and all seals; false with err when something is found. */
static bool run(struct world *world, size_t first, struct chain_check_result *result, struct err *err)
{
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, err);
	assert_non_null(check);
	chain_check_from_first_seal(check);
	bool good = true;
	for (size_t i = 0; good && i < world->seal_count; i++)
		good = chain_check_seal(check, &world->seals[i], err);
	if (good)
		chain_check_begin(check, (int64_t)first);
	for (size_t i = first; good && i < RECORDS; i++)
		good = world->records[i].offset < 0 || chain_check_record(check, &world->records[i], err);
	if (good)
		good = chain_check_end(check, RECORDS, RECORDS, err);
	*result = *chain_check_result(check);
	chain_check_free(check);
	return good;
}

/* Why: a check that never says good is useless. How: the world as it was made; all counts are known. */
static void untouched_records_are_good(void **state)
{
	struct chain_check_result result;
	struct err err;
	assert_true(run(*state, 0, &result, &err));
	assert_true(result.anchored);
	assert_int_equal(result.records, RECORDS);
	assert_int_equal(result.seals_matched, RECORDS / SEAL_EVERY);
	assert_int_equal(result.sealed_to, RECORDS - 1);
	assert_int_equal(result.skipped, 0);
}

/* Why: every record must count, in every field. How: each record in turn is changed in one place, and put back. */
static void a_changed_record_is_found(void **state)
{
	struct world *world = *state;
	struct chain_check_result result;
	struct err err;
	for (size_t i = 0; i < RECORDS; i++) {
		world->values[i][0] ^= 1;
		assert_false(run(world, 0, &result, &err));
		assert_int_equal(err.code, ERR_CONFLICT);
		world->values[i][0] ^= 1;
		world->records[i].timestamp_ms++;
		assert_false(run(world, 0, &result, &err));
		world->records[i].timestamp_ms--;
		world->records[i].has_key = true;
		assert_false(run(world, 0, &result, &err));
		world->records[i].has_key = false;
	}
	assert_true(run(world, 0, &result, &err));
}

/* Why: removing a record is the quietest lie. How: each record in turn is left out. */
static void a_removed_record_is_found(void **state)
{
	struct world *world = *state;
	struct chain_check_result result;
	struct err err;
	for (size_t i = 0; i < RECORDS; i++) {
		world->records[i].offset = -1;
		assert_false(run(world, 0, &result, &err));
		world->records[i].offset = (int64_t)i;
	}
}

/* Why: seals protect only as a chain. How: a seal is changed, removed from the middle, removed from the front. */
static void changed_or_missing_seals_are_found(void **state)
{
	struct world *world = *state;
	struct chain_check_result result;
	struct err err;
	world->seals[1].head[5] ^= 1;
	assert_false(run(world, 0, &result, &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	world->seals[1].head[5] ^= 1;
	struct seal kept[ARRAY_LEN(world->seals)];
	memcpy(kept, world->seals, sizeof(kept));
	for (size_t gone = 0; gone + 1 < ARRAY_LEN(kept); gone++) {
		memmove(&world->seals[gone], &world->seals[gone + 1], (ARRAY_LEN(kept) - gone - 1) * sizeof(kept[0]));
		world->seal_count--;
		assert_false(run(world, 0, &result, &err));
		assert_non_null(strstr(err.text, "does not name the one before it"));
		memcpy(world->seals, kept, sizeof(kept));
		world->seal_count++;
	}
}

/* Why: retention takes the first records; the rest must still be checkable. How: reading begins in the middle; what
 * stands before the next seal cannot be checked and is counted, the rest is checked, and a change in it is found. */
static void a_check_can_start_at_a_seal(void **state)
{
	struct world *world = *state;
	struct chain_check_result result;
	struct err err;
	assert_true(run(world, 7, &result, &err));
	assert_int_equal(result.skipped, 3);
	assert_int_equal(result.records, 10);
	assert_true(run(world, 10, &result, &err));
	assert_int_equal(result.skipped, 0);
	assert_int_equal(result.records, 10);
	world->values[12][0] ^= 1;
	assert_false(run(world, 7, &result, &err));
}

/* Why: with nothing to start from nothing may be called good. How: no seal at all, and the log does not begin at 0. */
static void without_an_anchor_nothing_is_good(void **state)
{
	struct world *world = *state;
	struct chain_check_result result;
	struct err err;
	world->seal_count = 0;
	assert_true(run(world, 3, &result, &err));
	assert_false(result.anchored);
	assert_int_equal(result.skipped, RECORDS - 3);
	assert_int_equal(result.records, 0);
}

/* Why: records behind the last seal are held against the database's head. How: the right head, then a wrong one. */
static void the_database_head_is_compared(void **state)
{
	struct world *world = *state;
	for (int wrong = 0; wrong < 2; wrong++) {
		struct err err;
		uint8_t head[CHAIN_LINK_BYTES];
		memcpy(head, world->heads[17], sizeof(head));
		head[0] ^= (uint8_t)wrong;
		struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
		assert_true(chain_check_head(check, 17, head, &err));
		chain_check_begin(check, 0);
		bool good = true;
		for (size_t i = 0; good && i < RECORDS; i++)
			good = chain_check_record(check, &world->records[i], &err);
		good = good && chain_check_end(check, RECORDS, RECORDS, &err);
		assert_int_equal(good, wrong == 0);
		chain_check_free(check);
	}
}

/* Why: a head is unsigned; were a check to begin at it, a log without any seal in reach would be called good. How:
 * reading begins in the middle, behind the only seal, and the database's head is the only point ahead. */
static void a_check_never_begins_at_the_head(void **state)
{
	struct world *world = *state;
	struct err err;
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
	assert_true(chain_check_seal(check, &world->seals[0], &err));
	assert_true(chain_check_head(check, 12, world->heads[12], &err));
	chain_check_begin(check, 7);
	for (size_t i = 7; i < 13; i++)
		assert_true(chain_check_record(check, &world->records[i], &err));
	assert_true(chain_check_end(check, 13, 13, &err));
	assert_false(chain_check_result(check)->anchored);
	assert_int_equal(chain_check_result(check)->sealed_to, -1);
	assert_int_equal(chain_check_result(check)->skipped, 6);
	chain_check_free(check);
}

/* Why: the last records are the easiest to lose without a trace. How: the log ends before the last seal, or before the
 * database's head, in a check of the whole log; a check that is told of a longer log finds nothing. */
static void records_removed_from_the_end_are_found(void **state)
{
	struct world *world = *state;
	for (int64_t log_end = 12; log_end <= 20; log_end += 4) {
		struct err err;
		struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
		for (size_t i = 0; i < 3; i++)
			assert_true(chain_check_seal(check, &world->seals[i], &err));
		assert_true(chain_check_head(check, 17, world->heads[17], &err));
		chain_check_begin(check, 0);
		for (size_t i = 0; i < 12; i++)
			assert_true(chain_check_record(check, &world->records[i], &err));
		bool good = chain_check_end(check, 12, log_end, &err);
		assert_int_equal(good, log_end == 20);
		assert_true(good || (err.code == ERR_CONFLICT && strstr(err.text, "were removed") != NULL));
		chain_check_free(check);
	}
}

/* Why: behind the last seal anything could stand in an export; it must not be called good. How: one seal, more records.
 */
static void records_behind_the_last_seal_are_not_confirmed(void **state)
{
	struct world *world = *state;
	struct err err;
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
	assert_true(chain_check_seal(check, &world->seals[0], &err));
	chain_check_begin(check, 0);
	for (size_t i = 0; i < 12; i++)
		assert_true(chain_check_record(check, &world->records[i], &err));
	assert_true(chain_check_end(check, 12, 12, &err));
	assert_int_equal(chain_check_result(check)->records, 12);
	assert_int_equal(chain_check_result(check)->confirmed, 5);
	assert_int_equal(chain_check_result(check)->confirmed_offset, 4);
	chain_check_free(check);
}

/* Why: an offset row that was moved back would let records be chained a second time. How: a head before the last seal.
 */
static void a_head_before_the_last_seal_is_found(void **state)
{
	struct world *world = *state;
	struct err err;
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
	for (size_t i = 0; i < 2; i++)
		assert_true(chain_check_seal(check, &world->seals[i], &err));
	assert_false(chain_check_head(check, 7, world->heads[7], &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	chain_check_free(check);
}

/* Why: records in another order, or twice, are not what was sealed, and a file can hold them so. How: one that was
 * there. */
static void a_record_out_of_order_is_found(void **state)
{
	struct world *world = *state;
	struct err err;
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
	chain_check_begin(check, 7); /* nothing to start from: even what is skipped has an order */
	assert_true(chain_check_record(check, &world->records[8], &err));
	assert_false(chain_check_record(check, &world->records[8], &err));
	assert_int_equal(err.code, ERR_CONFLICT);
	assert_false(chain_check_gap(check, 9, 8, &err));
	assert_int_equal(err.code, ERR_INVALID);
	chain_check_free(check);
}

/* Why: an operator's reset leaves a recorded gap; it must not look like a forgery. How: the chain was continued over
 * records 5 to 7, and the check is told so, and is not told so. */
static void a_recorded_gap_is_passed_over(void **state)
{
	struct world *world = *state;
	struct err err;
	struct buf scratch;
	uint8_t head[CHAIN_LINK_BYTES];
	buf_init(&scratch, CHAIN_SCRATCH_BYTES_MAX);
	memcpy(head, world->heads[4], sizeof(head));
	for (size_t i = 8; i < RECORDS; i++)
		assert_true(chain_advance(head, &world->records[i], &scratch, &err));
	buf_free(&scratch);
	for (int told = 0; told < 2; told++) {
		struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
		assert_true(!told || chain_check_gap(check, 5, 8, &err));
		assert_true(chain_check_head(check, RECORDS - 1, head, &err));
		chain_check_begin(check, 0);
		for (size_t i = 0; i < RECORDS; i++)
			assert_true(chain_check_record(check, &world->records[i], &err));
		assert_int_equal(chain_check_end(check, RECORDS, RECORDS, &err), told);
		assert_int_equal(chain_check_result(check)->gap_records, told ? 3 : 0);
		chain_check_free(check);
	}
}

/* Why: where reading starts decides what can be checked. How: the anchor for some wishes. */
static void the_anchor_is_the_last_seal_before(void **state)
{
	struct world *world = *state;
	struct err err;
	struct chain_check *check = chain_check_new(cluster, topic, 1, world->key, &err);
	chain_check_from_first_seal(check);
	for (size_t i = 0; i < world->seal_count; i++)
		assert_true(chain_check_seal(check, &world->seals[i], &err));
	assert_int_equal(chain_check_anchor(check, 0, 3), 0);
	assert_int_equal(chain_check_anchor(check, 0, 5), 5);
	assert_int_equal(chain_check_anchor(check, 0, 9), 5);
	assert_int_equal(chain_check_anchor(check, 6, 9), 9);
	chain_check_free(check);
}

/* --- the export file carries all of it --- */

struct heard {
	struct chain_check *check;
	size_t records, seals;
};

static bool hear_start(void *owner, const char *id, struct err *err)
{
	(void)owner;
	(void)err;
	assert_string_equal(id, cluster);
	return true;
}

static bool hear_seal(void *owner, const struct seal *read, struct err *err)
{
	struct heard *heard = owner;
	struct seal seal = *read;
	seal.cluster_id = cluster;
	heard->seals++;
	return chain_check_seal(heard->check, &seal, err);
}

static bool hear_gap(void *owner, const struct export_span *gap, struct err *err)
{
	(void)owner;
	(void)err;
	return gap->partition == 1 && gap->from == 100 && gap->to == 200 && strcmp(gap->topic, topic) == 0;
}

static bool hear_range(void *owner, const struct export_span *range, struct err *err)
{
	struct heard *heard = owner;
	(void)err;
	chain_check_begin(heard->check, range->from);
	return range->partition == 1 && range->to == RECORDS && strcmp(range->topic, topic) == 0;
}

static bool hear_record(void *owner, const struct kafka_record *record, struct err *err)
{
	struct heard *heard = owner;
	heard->records++;
	return chain_check_record(heard->check, record, err);
}

/* Why: offline verification rests on a lossless file. How: the world is written and read; the chain must match, headers
 * and nulls included; then every cut of the file must be refused. */
static void an_export_is_lossless_and_whole(void **state)
{
	struct world *world = *state;
	char *text = NULL;
	size_t len = 0;
	struct err err;
	FILE *file = open_memstream(&text, &len);
	assert_non_null(file);
	assert_true(export_write_start(file, cluster, &err));
	for (size_t i = 0; i < world->seal_count; i++)
		assert_true(export_write_seal(file, &world->seals[i], &err));
	struct export_span span = {.topic = topic, .partition = 1, .from = 100, .to = 200};
	assert_true(export_write_gap(file, &span, &err));
	span = (struct export_span){.topic = topic, .partition = 1, .from = 0, .to = RECORDS};
	assert_true(export_write_range(file, &span, &err));
	for (size_t i = 0; i < RECORDS; i++)
		assert_true(export_write_record(file, &world->records[i], &err));
	assert_true(export_write_end(file, RECORDS, &err));
	assert_int_equal(fclose(file), 0);
	for (size_t cut = 0; cut <= len; cut += cut + 40 < len ? 37 : 1) {
		struct heard heard = {.check = chain_check_new(cluster, topic, 1, world->key, &err)};
		struct export_visitor visitor = {hear_start, hear_seal, hear_gap, hear_range, hear_record, &heard};
		FILE *in = cut > 0 ? fmemopen(text, cut, "r") : fopen("/dev/null", "re");
		assert_non_null(in);
		bool good = export_read(in, &visitor, &err);
		assert_int_equal(good, cut == len);
		if (good) {
			assert_true(chain_check_end(heard.check, RECORDS, RECORDS, &err));
			assert_int_equal(chain_check_result(heard.check)->seals_matched, world->seal_count);
			assert_int_equal(heard.records, RECORDS);
		}
		assert_int_equal(fclose(in), 0);
		chain_check_free(heard.check);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(untouched_records_are_good, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_changed_record_is_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_removed_record_is_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(changed_or_missing_seals_are_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_check_can_start_at_a_seal, make_world, free_world),
		cmocka_unit_test_setup_teardown(without_an_anchor_nothing_is_good, make_world, free_world),
		cmocka_unit_test_setup_teardown(the_database_head_is_compared, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_check_never_begins_at_the_head, make_world, free_world),
		cmocka_unit_test_setup_teardown(records_removed_from_the_end_are_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(records_behind_the_last_seal_are_not_confirmed, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_head_before_the_last_seal_is_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_record_out_of_order_is_found, make_world, free_world),
		cmocka_unit_test_setup_teardown(a_recorded_gap_is_passed_over, make_world, free_world),
		cmocka_unit_test_setup_teardown(the_anchor_is_the_last_seal_before, make_world, free_world),
		cmocka_unit_test_setup_teardown(an_export_is_lossless_and_whole, make_world, free_world),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
