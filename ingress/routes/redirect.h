/*
 * The plain listener: every request is answered with 308 to the same target under https, and the connection closes.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_REDIRECT_H
#define WATCHPOST_INGRESS_ROUTES_REDIRECT_H

#include "ingress/request.h"

/* W3 to W8 of a request on the plain listener; its body is not read. */
void redirect_answer(struct request *req);

#endif
