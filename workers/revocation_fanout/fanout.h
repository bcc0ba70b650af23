/*
 * revocation-fanout (R7): hastens revokes and records when they were in force. That they are true is the lease's doing.
 *
 * For each batch of access events it broadcasts wake-ups on access-changes, one for each account, before its
 * transaction: a repeat is harmless, and each ingress polls at once. In the transaction it opens the completions; a
 * watcher (workers/revocation_fanout/watcher.h) closes them.
 */
#ifndef WATCHPOST_WORKERS_REVOCATION_FANOUT_FANOUT_H
#define WATCHPOST_WORKERS_REVOCATION_FANOUT_FANOUT_H

#include "workers/runtime/runtime.h"

extern const struct worker_spec fanout_spec;

#endif
