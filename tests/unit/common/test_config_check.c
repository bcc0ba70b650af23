#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/config.h"
#include "tests/unit/support/temp_dir.h"
#include "tests/unit/support/words.h"

static struct temp_dir dir;

static int setup(void **unused)
{
	(void)unused;
	temp_dir_make(&dir);
	temp_write_text(&dir, "secret", "whsec_1");
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	temp_dir_remove(&dir);
	return 0;
}

/* What config_load says to these flags: "" when all is right. "@" stands for a file with a secret. */
static const char *verdict(enum config_program program, const char *flags)
{
	static struct err err;
	struct config *config;
	struct words words;
	char text[1024] = "x";
	size_t len = 1;
	int rest;

	text[len++] = ' ';
	for (; *flags != '\0'; flags++) {
		int put = snprintf(text + len, sizeof(text) - len, *flags == '@' ? "%s/secret" : "%.1s",
				   *flags == '@' ? dir.path : flags);

		assert_true(put > 0 && len + (size_t)put < sizeof(text));
		len += (size_t)put;
	}
	words_split(&words, text);
	config = config_load(program, words.count, words.list, &rest, &err);
	if (config == NULL)
		return err.text;
	config_free(config);
	return "";
}

#define DEVELOPMENT "--environment=development --kafka-brokers=k1:9092 --postgres-dsn=host=db"
#define PRODUCTION  "--environment=production --kafka-brokers=k1:9093 --kafka-security=ssl --postgres-dsn=host=db"
#define TLS         " --tls-certificate-file=a.pem --tls-key-file=b.pem"
#define INGRESS     PRODUCTION TLS " --stripe-livemode=true --stripe-secret-files=@"

struct check {
	enum config_program program;
	const char *flags;
	const char *verdict; /* how it begins */
};

static void run_checks(const struct check *checks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *said = verdict(checks[i].program, checks[i].flags);

		if (strncmp(said, checks[i].verdict, strlen(checks[i].verdict)) != 0 ||
		    (checks[i].verdict[0] == '\0' && said[0] != '\0'))
			fail_msg("%s\n  said \"%s\"\n  not  \"%s\"", checks[i].flags, said, checks[i].verdict);
	}
}

/* Why: a server must know its environment, broker and database before it starts. How: each missing;
 * watchpostctl starts without, its commands ask for what they need. */
static void servers_need_the_basics(void **unused)
{
	static const struct check checks[] = {
		{CONFIG_INGRESS, "--kafka-brokers=a", "environment is required"},
		{CONFIG_AUDIT_LOG, "--environment=staging --postgres-dsn=host=db", "kafka_brokers is required"},
		{CONFIG_AUDIT_LOG, "--environment=staging --kafka-brokers=a", "postgres_dsn is required"},
		{CONFIG_AUDIT_LOG, DEVELOPMENT, ""},
		{CONFIG_SUBSCRIPTION_SYNC, DEVELOPMENT, ""},
		{CONFIG_CTL, "--log-level=info", ""},
	};

	(void)unused;
	run_checks(checks, ARRAY_LEN(checks));
}

/* Why: W1: TLS is the rule, plain only where a balancer ends it. How: on without files, off in
 * development and in production with and without a balancer. */
static void tls_needs_its_files(void **unused)
{
	static const struct check checks[] = {
		{CONFIG_INGRESS, DEVELOPMENT, "tls is on"},
		{CONFIG_INGRESS, DEVELOPMENT " --tls-certificate-file=a.pem", "tls is on"},
		{CONFIG_INGRESS, DEVELOPMENT TLS, ""},
		{CONFIG_INGRESS, DEVELOPMENT " --tls=off", ""},
		{CONFIG_INGRESS, INGRESS " --tls=off", "tls is off"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --postgres-dsn=", "agents is on: postgres_dsn is required"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --postgres-dsn= --agents=off", ""},
		{CONFIG_INGRESS, INGRESS " --tls=off --proxy-protocol-from=10.0.0.0/8", ""},
	};

	(void)unused;
	run_checks(checks, ARRAY_LEN(checks));
}

/* Why: production acts on real money: live events, signed, over encrypted connections. How: each rule
 * broken alone; the same in development is fine. */
static void production_is_strict(void **unused)
{
	static const struct check checks[] = {
		{CONFIG_INGRESS, INGRESS, ""},
		{CONFIG_INGRESS, INGRESS " --stripe-livemode=false", "stripe_livemode must be true"},
		{CONFIG_INGRESS, INGRESS " --stripe-secret-files=", "stripe_secret_files is required"},
		{CONFIG_INGRESS, INGRESS " --kafka-security=plaintext", "kafka_security = plaintext"},
		{CONFIG_INGRESS, INGRESS " --kafka-security=plaintext --kafka-brokers=127.0.0.1:9092,localhost:9", ""},
		{CONFIG_INGRESS, INGRESS " --kafka-security=plaintext --kafka-brokers=localhost.example:9092",
		 "kafka_security = plaintext"},
		{CONFIG_INGRESS, INGRESS " --kafka-security=plaintext --kafka-brokers=127.0.0.1:9092,k1:9092",
		 "kafka_security = plaintext"},
		{CONFIG_AUDIT_LOG, PRODUCTION, "seal_key_file is required"},
		{CONFIG_AUDIT_LOG, DEVELOPMENT " --postgres-timeout-ms=30001", "postgres_timeout_ms is at most 30000"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --postgres-timeout-ms=30001", ""},
		{CONFIG_AUDIT_LOG, PRODUCTION " --seal-key-file=seal.pem", ""},
		{CONFIG_SUBSCRIPTION_SYNC, PRODUCTION, ""},
		{CONFIG_SUBSCRIPTION_SYNC, PRODUCTION " --stripe-api-base=http://mock:12111", "stripe_api_base"},
		{CONFIG_SUBSCRIPTION_SYNC, DEVELOPMENT " --stripe-api-base=http://mock:12111", ""},
	};

	(void)unused;
	run_checks(checks, ARRAY_LEN(checks));
}

/* Why: SASL without a user or a password fails later, deep in librdkafka. How: each missing. */
static void sasl_needs_user_and_password(void **unused)
{
	static const struct check checks[] = {
		{CONFIG_AUDIT_LOG, DEVELOPMENT " --kafka-security=sasl_ssl", "kafka_security = sasl_ssl needs"},
		{CONFIG_AUDIT_LOG, DEVELOPMENT " --kafka-security=sasl_ssl --kafka-sasl-user=u",
		 "kafka_security = sasl_ssl needs"},
		{CONFIG_AUDIT_LOG,
		 DEVELOPMENT " --kafka-security=sasl_ssl --kafka-sasl-user=u --kafka-sasl-password-file=@", ""},
	};

	(void)unused;
	run_checks(checks, ARRAY_LEN(checks));
}

/* Why: two listeners on one port fail at the start with a puzzling word, or one hides the other with
 * SO_REUSEPORT. How: each pair; 0 is no port. */
static void ports_differ(void **unused)
{
	static const struct check checks[] = {
		{CONFIG_INGRESS, DEVELOPMENT TLS " --admin-port=8443", "admin_port and listen_port"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --redirect-port=8443", "redirect_port"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --redirect-port=9443 --admin-port=9443", "redirect_port"},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --redirect-port=8080 --admin-port=9443", ""},
		{CONFIG_INGRESS, DEVELOPMENT TLS " --listen-port=0", ""},
	};

	(void)unused;
	run_checks(checks, ARRAY_LEN(checks));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_need_the_basics),
		cmocka_unit_test(tls_needs_its_files),
		cmocka_unit_test(production_is_strict),
		cmocka_unit_test(sasl_needs_user_and_password),
		cmocka_unit_test(ports_differ),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
