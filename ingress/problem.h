/*
 * RFC 9457 problem bodies, from one table of codes.
 *
 *   {"type":"https://watchpost.systems/problems/body_too_large","title":"The body is too large","status":413,
 *    "code":"body_too_large","detail":"…","field":"…","request_id":"req_…"}
 *
 * Thread: any.
 */
#ifndef WATCHPOST_INGRESS_PROBLEM_H
#define WATCHPOST_INGRESS_PROBLEM_H

#include "common/buf.h"
#include "ingress/request.h"

enum { PROBLEM_BODY_BYTES = PROBLEM_BODY_BYTES_MAX };

/* Writes the body; detail and field are escaped, and cut where the body would pass its bound. Returns its length. */
size_t problem_write(const struct problem *problem, const char *request_id, char out[PROBLEM_BODY_BYTES]);

/* The codes that the engine itself answers with, by status: "bad_request" for 400 … "unavailable" for 503. */
const char *problem_code(int status);

/* Every code and its title, for docs and tests; NULL beyond the last. */
const char *problem_table(size_t at, const char **title);

#endif
