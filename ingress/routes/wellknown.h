/*
 * What everybody may read: how to report a fault (RFC 9116), the security page and the HTTP contract.
 */
#ifndef WATCHPOST_INGRESS_ROUTES_WELLKNOWN_H
#define WATCHPOST_INGRESS_ROUTES_WELLKNOWN_H

#include "ingress/request.h"

/* GET /.well-known/security.txt. Expires is always between eleven and twelve months ahead. */
void wellknown_security_txt(struct request *req);
/* GET /security: docs/security-page.txt as HTML. */
void wellknown_security_page(struct request *req);
/* GET /v1/openapi.json: schemas/openapi.yaml as JSON. */
void wellknown_openapi(struct request *req);

#endif
