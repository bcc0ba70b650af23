/*
 * What `audit replay` and `audit verify` have in common: the snapshot of the topics and one chain check per partition.
 *
 * Owns: all that it opens, freed by audit_work_close. Thread: one. Errors: as the parts.
 */
#ifndef WATCHPOST_OPS_CTL_AUDIT_WORK_H
#define WATCHPOST_OPS_CTL_AUDIT_WORK_H

#include "ops/ctl/audit_source.h"
#include "ops/ctl/chain_check.h"

struct audit_work {
	struct ctl *ctl;
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct kafka_admin *admin;
	struct topic_slices slices;
	struct audit_facts facts;    /* when opened with Postgres */
	struct pg *pg;               /* belongs to ctl; NULL without Postgres */
	struct chain_check **checks; /* one per slice; NULL until audit_work_check */
	struct sign_key *key;
	char pinned[SHA256_HEX_BYTES]; /* hash of the seal that must be among them; "" for none */
	bool pin_found;
};

/* Snapshot of the audit topics (all or `topic`); with Postgres its heads are taken first. */
MUSTCHECK bool audit_work_open(struct audit_work *work, struct ctl *ctl, const char *topic, bool with_postgres,
			       struct err *err);
/* Makes the checks: reads the public key, the seals and the gaps. `pin` is a seal's hash in hex, or NULL. */
MUSTCHECK bool audit_work_check(struct audit_work *work, const char *pin, struct err *err);
/* Moves each slice's begin back to where its check can start. */
MUSTCHECK bool audit_work_anchor(struct audit_work *work, struct err *err);
/* Ends the checks and prints a row for each partition; false when any is not good. */
MUSTCHECK bool audit_work_report(struct audit_work *work, FILE *to, struct err *err);
void audit_work_close(struct audit_work *work);

/* Of --public-key, else of the setting seal_public_key_file. NULL and err when there is none. */
MUSTCHECK struct sign_key *audit_public_key(const struct ctl *ctl, struct err *err);

/* The table that both kinds of verification print. */
MUSTCHECK struct table *audit_table_new(void);
void audit_table_row(struct table *table, const char *topic, int32_t partition, const struct chain_check_result *result,
		     const char *problem);

#endif
