/*
 * W2–W5: from bytes to a handler that is called with a checked head and a whole body.
 */
#ifndef WATCHPOST_INGRESS_RECEIVE_H
#define WATCHPOST_INGRESS_RECEIVE_H

#include <stddef.h>

struct connection;
struct request;

/* Goes as far as the connection's input allows: none, one or several requests. Thread: the loop's. */
void receive(struct connection *conn);

/* The most bytes of input that the request under way may need at once (NULL: none is). */
size_t receive_input_bytes_max(const struct request *req);

/* The head or body deadline passed: 408. */
void receive_timeout(struct request *req);
/* There is no memory for what still comes of it: 503. */
void receive_no_room(struct request *req);

#endif
