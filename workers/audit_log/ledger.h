/*
 * audit-log: a ledger row for every record of the audit topics, and a hash chain over them per partition.
 *
 * Records that are no events get a row too, of type "undecodable", and stand in the chain like any other: the chain is
 * over what Kafka has, not over what we understood.
 *
 * Thread: the worker's. Owns: its state.
 */
#ifndef WATCHPOST_WORKERS_AUDIT_LOG_LEDGER_H
#define WATCHPOST_WORKERS_AUDIT_LOG_LEDGER_H

#include "workers/runtime/runtime.h"

extern const struct worker_spec ledger_spec;

#endif
