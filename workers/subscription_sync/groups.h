/*
 * The subscriptions that a batch is about, each once, found by id.
 *
 * Owns: its table; ids and customers are views into the records of the batch. Thread: one.
 */
#ifndef WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_GROUPS_H
#define WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_GROUPS_H

#include "common/bytes.h"
#include "common/compiler.h"
#include "common/subscription.h"

struct group {
	struct bytes subscription;
	struct bytes customer; /* of the first event of the batch; it never changes at Stripe */
	bool livemode;
	bool changed;    /* must be written */
	int64_t version; /* the row's; 0: there is none */
	struct subscription state;
};

struct groups;

/* Room for BATCH_ITEMS_MAX groups; NULL without memory. */
MUSTCHECK struct groups *groups_new(void);
void groups_free(struct groups *groups);
void groups_clear(struct groups *groups);
/* The group of this id; an empty one is made. Valid until groups_clear. At most BATCH_ITEMS_MAX different ids. */
struct group *groups_take(struct groups *groups, struct bytes subscription);
size_t groups_count(const struct groups *groups);
/* In the order in which they were made. */
struct group *groups_at(struct groups *groups, size_t index);

#endif
