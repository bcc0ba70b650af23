/*
 * What Postgres knows of the audit topics' hash chains: seals, gaps and heads, given to chain checks or to an export.
 *
 * Owns: nothing. Thread: one. Errors: those of Postgres; ERR_INVALID for rows of an unexpected form.
 */
#ifndef WATCHPOST_OPS_CTL_AUDIT_SOURCE_H
#define WATCHPOST_OPS_CTL_AUDIT_SOURCE_H

#include "common/pg.h"
#include "common/seal.h"
#include "ops/ctl/command.h"
#include "ops/ctl/topic_reader.h"

/* The audit topics, all or the one whose short name ("stripe") or full name is given. `names` has EVENT_TOPIC_COUNT
 * rows. */
MUSTCHECK bool audit_topics(const struct ctl *ctl, const char *only, char names[][KAFKA_TOPIC_BYTES_MAX + 1],
			    size_t *count, struct err *err);

/* The heads of the chains: one for each partition that audit-log has read from. */
struct audit_heads {
	struct audit_head {
		char topic[KAFKA_TOPIC_BYTES_MAX + 1];
		int32_t partition;
		int64_t next_offset;
		uint8_t head[CHAIN_LINK_BYTES];
	} * items;
	size_t count;
};
MUSTCHECK bool audit_heads_take(struct pg *pg, const char *cluster_id, struct audit_heads *out, struct err *err);
void audit_heads_free(struct audit_heads *heads);
/* NULL when there is none. */
const struct audit_head *audit_heads_find(const struct audit_heads *heads, const char *topic, int32_t partition);

/* Every seal of a partition, oldest first. */
MUSTCHECK bool audit_seals_each(struct pg *pg, const char *cluster_id, const char *topic, int32_t partition,
				bool (*each)(void *owner, const struct seal *seal, struct err *err), void *owner,
				struct err *err);
/* Every gap that an offset reset left in a partition of this cluster. */
MUSTCHECK bool audit_gaps_each(struct pg *pg, const char *cluster_id, const struct topic_slice *slice,
			       bool (*each)(void *owner, int64_t from, int64_t until, struct err *err), void *owner,
			       struct err *err);

#endif
