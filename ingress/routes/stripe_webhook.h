/*
 * POST /webhooks/stripe: W4 to W8 of a Stripe event.
 *
 *   signature good, event in Kafka                  200 {"received":true}, also for types that change nothing
 *   signature missing, malformed, wrong, out of time 400 signature_invalid, one body for all; the reason is in the log
 *   signature good, body not JSON or a field wrong  400 json_invalid, event_invalid
 *   Kafka away, queue full, deadline, no secret     503 and Retry-After: Stripe sends it again
 */
#ifndef WATCHPOST_INGRESS_ROUTES_STRIPE_WEBHOOK_H
#define WATCHPOST_INGRESS_ROUTES_STRIPE_WEBHOOK_H

#include <stdint.h>

#include "ingress/request.h"
#include "ingress/stripe/signature.h"

/* Thread: the request's loop. */
void stripe_webhook_handle(struct request *req);

/* How often a signature was refused for this reason since the start: watchpost_signature_failures_total{reason="…"}
 * with stripe_signature_name as the label. Thread: any. */
uint64_t stripe_webhook_failures_total(enum stripe_signature reason);

#endif
