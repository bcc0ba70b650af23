/*
 * Sealing: at every interval each partition that this process holds gets a signature over its chain's head
 * (common/seal.h).
 *
 * Only the holder of a partition seals it; the database takes a seal only if it names the one before it and the chain
 * has not moved, so a process that lost its partition without knowing cannot fork the seals.
 *
 * Owns: seals_free frees the key. Thread: the worker's.
 */
#ifndef WATCHPOST_WORKERS_AUDIT_LOG_SEALS_H
#define WATCHPOST_WORKERS_AUDIT_LOG_SEALS_H

#include "workers/runtime/runtime.h"

struct seals;

/* NULL without an error when no seal_key_file is configured. */
struct seals *seals_new(const struct config *config, struct err *err);
void seals_free(struct seals *seals);
/* Seals what is due. Errors: the database's. */
MUSTCHECK bool seals_tick(struct seals *seals, struct worker *worker, struct err *err);

#endif
