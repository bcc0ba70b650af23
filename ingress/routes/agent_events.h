/*
 * POST /v1/events: W5 to W8 of what an agent reports (ingress/agent/report.h says what is taken).
 *
 *   all of it in Kafka                          202 {"accepted":N,"events":[{"id":"…"},…]}, the events' ids in order
 *   not JSON                                    400 json_invalid
 *   a field wrong, a secret, a card number      422 event_invalid, secret_refused, card_data_refused, with `field`
 *   Kafka away, queue full, deadline            503 and Retry-After; some may be kept. Sent again with the same ids,
 * the ledger marks what comes twice
 *
 * The caller is checked again when the body is whole and right before it is published (R3). Then it has begun: a revoke
 * that comes while Kafka's report is awaited does not take the 202 back, as what was published is kept.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_AGENT_EVENTS_H
#define WATCHPOST_INGRESS_ROUTES_AGENT_EVENTS_H

#include "ingress/request.h"

/* Thread: the request's loop. */
void agent_events_handle(struct request *req);

#endif
