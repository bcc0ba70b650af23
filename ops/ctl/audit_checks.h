/*
 * The chain checks (ops/ctl/chain_check.h) of many partitions, of a live cluster or of an export, and the table of what
 * they found.
 *
 * A finding (ERR_CONFLICT there) ends its own check, stands in the partition's row, and is what audit_checks_report
 * fails with; the functions that give seals and records go on as if nothing had happened, so that one bad partition
 * hides no other. They fail only when a check could not be made.
 *
 * Use: audit_checks_new → audit_checks_set_cluster → audit_checks_at for each partition → its seals, oldest first, its
 * head, gaps and range → its records in order → audit_checks_report.
 *
 * Owns: all that it holds, with copies of what it is given; a struct audit_check lasts as long as its checks.
 * Thread: one.
 */
#ifndef WATCHPOST_OPS_CTL_AUDIT_CHECKS_H
#define WATCHPOST_OPS_CTL_AUDIT_CHECKS_H

#include "ops/ctl/audit_source.h"
#include "ops/ctl/chain_check.h"

struct audit_checks;
struct audit_check; /* one partition's */

/* Reads the public key: of --public-key, else of the setting seal_public_key_file. `pin`: the hash in hex of a seal
 * that must be among those given; NULL for none. ERR_INVALID for either. */
MUSTCHECK struct audit_checks *audit_checks_new(const struct ctl *ctl, const char *pin, struct err *err);
void audit_checks_free(struct audit_checks *checks);
void audit_checks_set_cluster(struct audit_checks *checks, const char *cluster_id);

/* The partition's check, made at the first call. ERR_TOO_LARGE over TOPIC_READER_PARTITIONS_MAX. */
MUSTCHECK struct audit_check *audit_checks_at(struct audit_checks *checks, const char *topic, int32_t partition,
					      struct err *err);

/* The partition's seals must be given from the first on. */
MUSTCHECK bool audit_check_seal(struct audit_check *check, const struct seal *seal, struct err *err);
/* The database's head; NULL says that it has none: a finding when there are seals. */
MUSTCHECK bool audit_check_head(struct audit_check *check, const struct audit_head *head, struct err *err);
MUSTCHECK bool audit_check_gap(struct audit_check *check, int64_t from, int64_t until, struct err *err);
/* A finding of the caller's own. */
void audit_check_found(struct audit_check *check, const char *text);

/* As chain_check_anchor. */
int64_t audit_check_anchor(const struct audit_check *check, int64_t log_start, int64_t wanted);
/* Which records will come: from `begin` up to, not including, `end`, of a log that ends at `log_end`. Once. */
struct audit_range {
	int64_t begin, end, log_end;
};
void audit_check_range(struct audit_check *check, const struct audit_range *range);
/* A record outside the range is a finding. */
MUSTCHECK bool audit_check_record(struct audit_check *check, const struct kafka_record *record, struct err *err);

/* Ends the checks and prints a row for each partition: `records` are those that a seal or the database's head confirms,
 * `unchecked` all others; the verdict is the finding, or "good", "empty", or "unchecked": no record is confirmed.
 * False: ERR_CONFLICT with the first finding. */
MUSTCHECK bool audit_checks_report(struct audit_checks *checks, FILE *to, struct err *err);

#endif
