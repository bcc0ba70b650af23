#include "common/kafka_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char brokers[] = "broker.example:9092";
static char nothing[] = "";
static char plaintext[] = "plaintext";
static char sasl_ssl[] = "sasl_ssl";
static char mechanism[] = "SCRAM-SHA-512";
static char user[] = "watchpost";
static char nonsense[] = "none";

static struct config config_for(char *security)
{
	return (struct config){
		.kafka_brokers = brokers,
		.kafka_security = security,
		.kafka_ca_file = nothing,
		.kafka_sasl_mechanism = mechanism,
		.kafka_sasl_user = user,
	};
}

static void assert_property(const rd_kafka_conf_t *conf, const char *name, const char *want)
{
	char value[256];
	size_t size = sizeof(value);

	assert_int_equal(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
	assert_string_equal(value, want);
}

/* Why: quick recovery and low latency rest on these, and a typing error would only show as slowness. */
static void test_common_properties(void **state)
{
	struct config config = config_for(plaintext);
	struct err err;
	rd_kafka_conf_t *conf = kafka_conf_new(&config, "client", &err);

	(void)state;
	assert_non_null(conf);
	assert_property(conf, "bootstrap.servers", brokers);
	assert_property(conf, "client.id", "client");
	assert_property(conf, "security.protocol", "plaintext");
	assert_property(conf, "socket.nagle.disable", "true");
	assert_property(conf, "reconnect.backoff.max.ms", "100");
	assert_property(conf, "allow.auto.create.topics", "false");
	rd_kafka_conf_destroy(conf);
}

/* Why: production speaks SASL over TLS with the password from a file. How: all of it arrives; a missing password or one
 * with a NUL byte is refused, and no text shows it. */
static void test_security(void **state)
{
	struct config config = config_for(sasl_ssl);
	struct err err;
	rd_kafka_conf_t *conf;

	(void)state;
	assert_null(kafka_conf_new(&config, "client", &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "kafka_sasl_password_file"));
	assert_true(secret_set(&config.kafka_sasl_password_file, bytes_make("can\0ary", 7), &err));
	assert_null(kafka_conf_new(&config, "client", &err));
	assert_null(strstr(err.text, "can"));
	assert_true(secret_set(&config.kafka_sasl_password_file, bytes_of("canary"), &err));
	conf = kafka_conf_new(&config, "client", &err);
	assert_non_null(conf);
	assert_property(conf, "security.protocol", "sasl_ssl");
	assert_property(conf, "sasl.mechanisms", mechanism);
	assert_property(conf, "sasl.username", user);
	assert_property(conf, "sasl.password", "canary");
	rd_kafka_conf_destroy(conf);
	secret_wipe(&config.kafka_sasl_password_file);
}

/* Why: a wrong setting must name itself at start. */
static void test_wrong_settings_are_refused(void **state)
{
	struct config config = config_for(nonsense);
	struct err err;

	(void)state;
	assert_null(kafka_conf_new(&config, "client", &err));
	assert_int_equal(err.code, ERR_INVALID);
	assert_non_null(strstr(err.text, "security.protocol"));
	config.kafka_brokers = nothing;
	assert_null(kafka_conf_new(&config, "client", &err));
	assert_non_null(strstr(err.text, "kafka_brokers"));
}

/* Why: callers decide by our code: what to retry, what to refuse, what to answer. */
static void test_error_codes(void **state)
{
	static const struct {
		rd_kafka_resp_err_t theirs;
		enum err_code ours;
	} known[] = {
		{RD_KAFKA_RESP_ERR__TIMED_OUT, ERR_TIMEOUT},
		{RD_KAFKA_RESP_ERR__TRANSPORT, ERR_UNAVAILABLE},
		{RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, ERR_UNAVAILABLE},
		{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ERR_NOT_FOUND},
		{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ERR_DENIED},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ERR_TOO_LARGE},
		{RD_KAFKA_RESP_ERR__QUEUE_FULL, ERR_FULL},
		{RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, ERR_CONFLICT},
		{RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, ERR_INVALID},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		assert_false(kafka_err_set(&err, known[i].theirs, "while testing"));
		assert_int_equal(err.code, known[i].ours);
		assert_ptr_equal(strstr(err.text, "while testing: "), err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common_properties),
		cmocka_unit_test(test_security),
		cmocka_unit_test(test_wrong_settings_are_refused),
		cmocka_unit_test(test_error_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
