/*
 * Checks one partition's hash chain against its seals: a pure machine fed with seals, gaps and records, so that the
 * same check serves a live cluster, an export file and tests. (common/chain.h, common/seal.h)
 *
 * Use: new → chain_check_seal for each seal, oldest first → chain_check_gap for each reset → chain_check_begin →
 * chain_check_record for each record in order → chain_check_end.
 *
 * The check starts at the genesis when the first record is the log's first ever (offset 0), else behind the first seal
 * that the records reach; records before that anchor are counted as skipped, never as good.
 *
 * Owns: copies of all that it is given. Thread: one.
 * Errors: ERR_CONFLICT is the finding "this is not what was sealed", with the offset; others are failures to check.
 * After a failure nothing more may be given.
 */
#ifndef WATCHPOST_OPS_CTL_CHAIN_CHECK_H
#define WATCHPOST_OPS_CTL_CHAIN_CHECK_H

#include "common/seal.h"

struct chain_check;

struct chain_check_result {
	uint64_t records;       /* under the recomputed chain */
	uint64_t skipped;       /* before the first anchor: nothing can be said of them */
	uint64_t gap_records;   /* inside gaps that an operator's reset recorded */
	uint64_t seals;         /* signatures good, each naming the one before it */
	uint64_t seals_matched; /* whose head is the recomputed one */
	bool head_matched;      /* the database's head is the recomputed one */
	int64_t sealed_to;      /* last offset under the seal that the check began at, or under a matched one; -1 */
	int64_t first_offset;   /* first and last record under the recomputed chain; -1 */
	int64_t last_offset;
	uint64_t confirmed; /* of `records`: up to the last matched seal or head; of those behind it nobody said */
	int64_t confirmed_offset; /* the last of them; -1 */
	uint8_t head[CHAIN_LINK_BYTES];
	bool anchored; /* head is meaningful */
};

/* `key` must outlive the check. */
MUSTCHECK struct chain_check *chain_check_new(const char *cluster_id, const char *topic, int32_t partition,
					      const struct sign_key *key, struct err *err);
void chain_check_free(struct chain_check *check);

/* The seals that will be given are all there are, from the partition's first: it must name the genesis. */
void chain_check_from_first_seal(struct chain_check *check);
/* Verifies signature and link. The first seal given may be a later one than the partition's first: then its `previous`
 * is taken as it is. */
MUSTCHECK bool chain_check_seal(struct chain_check *check, const struct seal *seal, struct err *err);
/* The chain's head behind `last_offset` as the database has it, after all seals: compared, though nobody signed it, and
 * never begun at. */
MUSTCHECK bool chain_check_head(struct chain_check *check, int64_t last_offset, const uint8_t head[CHAIN_LINK_BYTES],
				struct err *err);
/* Records from `from` up to, not including, `to` were passed over (audit-log's offset was reset). */
MUSTCHECK bool chain_check_gap(struct chain_check *check, int64_t from, int64_t to, struct err *err);

/* The latest offset up to `wanted` from which reading can be checked: behind a seal, or the log's first record ever;
 * `wanted` itself when there is none. */
int64_t chain_check_anchor(const struct chain_check *check, int64_t log_start, int64_t wanted);

/* `first_offset`: the first record that will come. */
void chain_check_begin(struct chain_check *check, int64_t first_offset);
/* In the log's order; others than the next in order are a finding too. */
MUSTCHECK bool chain_check_record(struct chain_check *check, const struct kafka_record *record, struct err *err);
/* `end_offset`: one behind the last record that could come; seals below it must have been reached. `log_end`: one
 * behind the last that there is; a seal or head of later records is a finding: they were removed. */
MUSTCHECK bool chain_check_end(struct chain_check *check, int64_t end_offset, int64_t log_end, struct err *err);
/* What there is to say so far, also after a finding. */
const struct chain_check_result *chain_check_result(const struct chain_check *check);

#endif
