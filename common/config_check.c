/* The rules between settings, which every server checks before it starts. */
#include <string.h>

#include "common/config_table.h"

static bool given(const char *text)
{
	return text[0] != '\0';
}

/* With the port, so that no "localhost.example" passes. */
static bool starts_on_loopback(const char *host)
{
	static const char *const starts[] = {"localhost:", "127.0.0.1:", "[::1]:"};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		if (strncmp(host, starts[i], strlen(starts[i])) == 0)
			return true;
	}
	return false;
}

static bool brokers_on_loopback(const char *brokers)
{
	for (;;) {
		brokers += strspn(brokers, " ");
		if (!starts_on_loopback(brokers))
			return false;
		brokers = strchr(brokers, ',');
		if (brokers == NULL)
			return true;
		brokers++;
	}
}

static bool check_kafka(const struct config *c, struct err *err)
{
	bool sasl = strncmp(c->kafka_security, "sasl_", 5) == 0;
	bool encrypted = strstr(c->kafka_security, "ssl") != NULL;

	if (!given(c->kafka_brokers))
		return err_set(err, ERR_INVALID, "kafka_brokers is required");
	if (sasl && (!given(c->kafka_sasl_user) || !given(c->kafka_sasl_password_file_path)))
		return err_set(err, ERR_INVALID,
			       "kafka_security = %s needs kafka_sasl_user and kafka_sasl_password_file",
			       c->kafka_security);
	/* A broker on this machine is reached through a tunnel or a proxy that encrypts. */
	if (c->environment == ENVIRONMENT_PRODUCTION && !encrypted && !brokers_on_loopback(c->kafka_brokers))
		return err_set(err, ERR_INVALID,
			       "kafka_security = %s sends events in the clear; production takes ssl or sasl_ssl unless "
			       "every broker is on the loopback",
			       c->kafka_security);
	return true;
}

static bool check_ports(const struct config *c, struct err *err)
{
	if (c->admin_port != 0 && c->admin_port == c->listen_port)
		return err_set(err, ERR_INVALID, "admin_port and listen_port are the same");
	if (c->redirect_port != 0 && (c->redirect_port == c->listen_port || c->redirect_port == c->admin_port))
		return err_set(err, ERR_INVALID, "redirect_port is the same as listen_port or admin_port");
	return true;
}

/* W1 */
static bool check_tls(const struct config *c, struct err *err)
{
	if (c->tls && (!given(c->tls_certificate_file) || !given(c->tls_key_file)))
		return err_set(err, ERR_INVALID, "tls is on: tls_certificate_file and tls_key_file are required");
	if (!c->tls && c->environment == ENVIRONMENT_PRODUCTION && !given(c->proxy_protocol_from))
		return err_set(
			err, ERR_INVALID,
			"tls is off: production takes that only behind a balancer, named in proxy_protocol_from");
	return true;
}

static bool check_ingress(const struct config *c, struct err *err)
{
	if (!check_ports(c, err) || !check_tls(c, err))
		return false;
	if (c->agents && !given(c->postgres_dsn))
		return err_set(
			err, ERR_INVALID,
			"agents is on: postgres_dsn is required (or agents off, for a node that takes webhooks only)");
	if (c->environment != ENVIRONMENT_PRODUCTION)
		return true;
	if (!c->stripe_livemode)
		return err_set(err, ERR_INVALID, "stripe_livemode must be true in production");
	if (c->stripe_secret_files.count == 0)
		return err_set(err, ERR_INVALID, "stripe_secret_files is required in production");
	return true;
}

static bool check_worker(const struct config *c, struct err *err)
{
	if (!given(c->postgres_dsn))
		return err_set(err, ERR_INVALID, "postgres_dsn is required");
	if (c->postgres_timeout_ms > WORKER_POSTGRES_TIMEOUT_MS_MAX)
		return err_set(err, ERR_INVALID, "postgres_timeout_ms is at most %d for a worker",
			       WORKER_POSTGRES_TIMEOUT_MS_MAX);
	if (c->environment != ENVIRONMENT_PRODUCTION)
		return true;
	if (c->program == CONFIG_AUDIT_LOG && !given(c->seal_key_file))
		return err_set(err, ERR_INVALID, "seal_key_file is required in production");
	if (c->program == CONFIG_SUBSCRIPTION_SYNC && strncmp(c->stripe_api_base, "https://", 8) != 0)
		return err_set(err, ERR_INVALID, "stripe_api_base must begin with https:// in production");
	return true;
}

bool config_check(const struct config *config, struct err *err)
{
	if (config->environment == ENVIRONMENT_NONE)
		return err_set(err, ERR_INVALID, "environment is required: production, staging or development");
	if (!check_kafka(config, err))
		return false;
	if (config->program == CONFIG_INGRESS)
		return check_ingress(config, err);
	return check_worker(config, err);
}
