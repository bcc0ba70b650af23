/*
 * outbox-relay: what was decided in Postgres becomes events in Kafka, in order per key, at least once, with a stable
 * event id and a gapless number (ce_sequence).
 *
 * A turn: claim shards (session advisory locks, a fair share of 16) → read the oldest rows of them → send → wait until
 * all are acknowledged or given up → delete what may be. When nothing is there it waits for NOTIFY, which access rows
 * send, for at most OUTBOX_IDLE_MS, or OUTBOX_BUSY_MS within a second of the last row, since spend rows do not notify.
 *
 * Any number of instances run; each key has one writer at a time. Postgres or Kafka away: it waits, longer each time up
 * to retry_backoff_max_ms, and nothing is lost.
 *
 * Thread: one, and the admin listener's reading atomics.
 */
#ifndef WATCHPOST_WORKERS_OUTBOX_RELAY_RELAY_H
#define WATCHPOST_WORKERS_OUTBOX_RELAY_RELAY_H

#include "workers/runtime/program.h"

extern const struct program relay_program;

#endif
