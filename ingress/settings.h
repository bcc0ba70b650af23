/*
 * The settings in force, with what is made from them: a snapshot that is never written again. A reload makes another
 * one; a snapshot goes when the last loop has let it go.
 *
 * Owns: the configuration, the verifier and the TLS context. Thread: any.
 */
#ifndef WATCHPOST_INGRESS_SETTINGS_H
#define WATCHPOST_INGRESS_SETTINGS_H

#include <stdatomic.h>

#include "common/config.h"

struct stripe_verifier;
struct tickets;
struct tls_context;

struct settings {
	atomic_uint references;
	struct config *config;
	struct stripe_verifier *stripe; /* keyed by the secrets of this snapshot */
	struct tls_context *tls;        /* NULL when TLS is off */
};

/* Takes `config` over, also when it fails. `tickets` (may be NULL when TLS is off) must outlive it. The caller holds
 * the first reference. Errors: ERR_INVALID naming the setting or file. */
MUSTCHECK struct settings *settings_new(struct config *config, struct tickets *tickets, struct err *err);

void settings_hold(struct settings *settings);
void settings_release(struct settings *settings); /* NULL is legal */

#endif
