/*
 * The audit topics of the live cluster as they are now, and, to check them, what Postgres has of their chains.
 *
 * Seals are read first, then the heads, then Kafka's watermarks. So while audit-log and the ingress go on, every seal
 * is at or before its head and every head within the snapshot: where it is not, something was removed.
 *
 * Owns: all that it opens, freed by audit_snapshot_close. Thread: one. Errors: as the parts.
 */
#ifndef WATCHPOST_OPS_CTL_AUDIT_SNAPSHOT_H
#define WATCHPOST_OPS_CTL_AUDIT_SNAPSHOT_H

#include "ops/ctl/audit_checks.h"

struct audit_snapshot {
	char cluster_id[KAFKA_CLUSTER_ID_BYTES];
	struct kafka_admin *admin;
	struct topic_slices slices;
	struct audit_check **checks; /* one per slice; NULL when nothing is checked */
};

/* All audit topics, or `topic`. `checks`: gets a check for each partition with seals, head and gaps; NULL for none. */
MUSTCHECK bool audit_snapshot_open(struct audit_snapshot *snapshot, struct ctl *ctl, const char *topic,
				   struct audit_checks *checks, struct err *err);
/* Moves each slice's begin back to where its check can start, and tells the checks what will be read. */
void audit_snapshot_anchor(struct audit_snapshot *snapshot);
void audit_snapshot_close(struct audit_snapshot *snapshot);

#endif
