#include "ingress/settings.h"

#include <assert.h>
#include <stdlib.h>

#include "ingress/net/tls.h"
#include "ingress/stripe/signature.h"

static bool make_tls(struct settings *settings, struct tickets *tickets, struct err *err)
{
	const struct config *config = settings->config;
	if (!config->tls)
		return true;
	if (config->tls_certificate_file[0] == '\0' || config->tls_key_file[0] == '\0')
		return err_set(err, ERR_INVALID,
			       "tls is on: tls_certificate_file and tls_key_file are required (or set tls off behind a "
			       "balancer that ends TLS)");
	settings->tls = tls_context_new(config->tls_certificate_file, config->tls_key_file, tickets, err);
	return settings->tls != NULL;
}

struct settings *settings_new(struct config *config, struct tickets *tickets, struct err *err)
{
	struct settings *settings = calloc(1, sizeof(*settings));
	if (settings == NULL) {
		config_free(config);
		(void)err_set(err, ERR_FULL, "no memory for the settings");
		return NULL;
	}
	atomic_init(&settings->references, 1);
	settings->config = config;
	settings->stripe = stripe_verifier_new(&config->stripe_secret_files, config->stripe_tolerance_s, err);
	if (settings->stripe == NULL || !make_tls(settings, tickets, err)) {
		settings_release(settings);
		return NULL;
	}
	return settings;
}

void settings_hold(struct settings *settings)
{
	unsigned before = atomic_fetch_add_explicit(&settings->references, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
}

void settings_release(struct settings *settings)
{
	if (settings == NULL || atomic_fetch_sub_explicit(&settings->references, 1, memory_order_acq_rel) > 1)
		return;
	tls_context_free(settings->tls);
	stripe_verifier_free(settings->stripe);
	config_free(settings->config);
	free(settings);
}
