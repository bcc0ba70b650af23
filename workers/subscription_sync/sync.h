/*
 * subscription-sync: Stripe's subscription events become rows of wp.subscriptions.
 *
 * Of a batch, inside the runtime's transaction: remember the event ids and learn which are new; lock the rows of the
 * subscriptions; merge (common/subscription.h); write what changed; link accounts (checkout.session.completed with
 * client_reference_id) and settle their states.
 *
 * Acted on: watchpost.stripe.subscription and watchpost.stripe.checkout. Ignored, since audit-log keeps them and they
 * change no state:
 *
 *   other, quarantined         by definition
 *   customer                   Stripe cancels a deleted customer's subscriptions, each with an event of its own
 *   any event with `account`   it is about a connected account's customer, who is none of ours
 *
 * Thread: the worker's. Owns: its state.
 */
#ifndef WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_SYNC_H
#define WATCHPOST_WORKERS_SUBSCRIPTION_SYNC_SYNC_H

#include "workers/runtime/runtime.h"

extern const struct worker_spec sync_spec;

#endif
