/* What all Kafka clients share: properties, security, error codes, destruction that cannot hang. */
#include "common/kafka_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "common/log.h"

enum { LIBRARY_ERROR_BYTES = 256 };

/* librdkafka's log lines become ours. They name brokers and errors, never credentials. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	if (level <= LOG_CRIT)
		LOG(ERROR, "kafka_library", F_TEXT("facility", facility), F_TEXT("text", text));
	else if (level <= LOG_WARNING)
		LOG(WARN, "kafka_library", F_TEXT("facility", facility), F_TEXT("text", text));
	else if (level <= LOG_INFO)
		LOG(INFO, "kafka_library", F_TEXT("facility", facility), F_TEXT("text", text));
	else
		LOG(DEBUG, "kafka_library", F_TEXT("facility", facility), F_TEXT("text", text));
}

bool kafka_conf_set(rd_kafka_conf_t *conf, const struct kafka_property *properties, size_t count, struct err *err)
{
	char text[LIBRARY_ERROR_BYTES];

	for (size_t i = 0; i < count; i++) {
		if (rd_kafka_conf_set(conf, properties[i].name, properties[i].value, text, sizeof(text)) !=
		    RD_KAFKA_CONF_OK)
			return err_set(err, ERR_INVALID, "while configuring the Kafka client: %s", text);
	}
	return true;
}

bool kafka_conf_set_number(rd_kafka_conf_t *conf, const char *name, int64_t value, struct err *err)
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%" PRId64, value);

	assert(length > 0 && (size_t)length < sizeof(text));
	return kafka_conf_set(conf, &(struct kafka_property){name, text}, 1, err);
}

/* librdkafka wants the password as a string. Its own copy lives as long as the client. */
static bool set_password(rd_kafka_conf_t *conf, const struct secret *password, struct err *err)
{
	struct bytes bytes = secret_bytes(password);
	char text[SECRET_BYTES_MAX + 1];
	bool ok;

	if (bytes.len == 0 || memchr(bytes.data, '\0', bytes.len) != NULL)
		return err_set(err, ERR_INVALID, "kafka_sasl_password_file: missing, or the password has a NUL byte");
	assert(bytes.len <= SECRET_BYTES_MAX);
	memcpy(text, bytes.data, bytes.len);
	text[bytes.len] = '\0';
	ok = kafka_conf_set(conf, &(struct kafka_property){"sasl.password", text}, 1, err);
	OPENSSL_cleanse(text, sizeof(text));
	return ok;
}

static bool set_security(rd_kafka_conf_t *conf, const struct config *config, struct err *err)
{
	const struct kafka_property protocol = {"security.protocol", config->kafka_security};
	const struct kafka_property ca = {"ssl.ca.location", config->kafka_ca_file};
	const struct kafka_property sasl[] = {
		{"sasl.mechanisms", config->kafka_sasl_mechanism},
		{"sasl.username", config->kafka_sasl_user},
	};

	if (!kafka_conf_set(conf, &protocol, 1, err))
		return false;
	if (config->kafka_ca_file[0] != '\0' && !kafka_conf_set(conf, &ca, 1, err))
		return false;
	if (strncmp(config->kafka_security, "sasl_", strlen("sasl_")) != 0)
		return true;
	return kafka_conf_set(conf, sasl, ARRAY_LEN(sasl), err) &&
	       set_password(conf, &config->kafka_sasl_password_file, err);
}

rd_kafka_conf_t *kafka_conf_new(const struct config *config, const char *client_id, struct err *err)
{
	const struct kafka_property common[] = {
		{"bootstrap.servers", config->kafka_brokers},
		{"client.id", client_id},
		{"socket.nagle.disable", "true"},
		{"socket.keepalive.enable", "true"},
		/* Back within half a second of the broker's return, so never wait long between tries. */
		{"reconnect.backoff.ms", "20"},
		{"reconnect.backoff.max.ms", "100"},
		{"socket.connection.setup.timeout.ms", "2000"},
		/* All brokers stay connected: a connection that was reaped while idle is remade before it is needed. */
		{"enable.sparse.connections", "false"},
		{"topic.metadata.refresh.fast.interval.ms", "100"},
		/* Asking for a topic must not make it: topics are made with their retention (common/topics.h). */
		{"allow.auto.create.topics", "false"},
		{"log.connection.close", "false"},
	};
	rd_kafka_conf_t *conf;

	assert(config != NULL && client_id != NULL);
	if (config->kafka_brokers == NULL || config->kafka_brokers[0] == '\0') {
		(void)err_set(err, ERR_INVALID, "kafka_brokers: not set");
		return NULL;
	}
	conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, on_log);
	if (kafka_conf_set(conf, common, ARRAY_LEN(common), err) && set_security(conf, config, err))
		return conf;
	rd_kafka_conf_destroy(conf);
	return NULL;
}

rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err)
{
	char text[LIBRARY_ERROR_BYTES];
	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));

	if (rk == NULL) {
		rd_kafka_conf_destroy(conf);
		(void)err_set(err, ERR_INVALID, "while making a Kafka client: %s", text);
	}
	return rk;
}

static enum err_code code_of(rd_kafka_resp_err_t code)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
		return ERR_TIMEOUT;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
		return ERR_NOT_FOUND;
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return ERR_DENIED;
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		return ERR_TOO_LARGE;
	case RD_KAFKA_RESP_ERR__QUEUE_FULL:
		return ERR_FULL;
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
	case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
	case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
	case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		return ERR_INVALID;
	case RD_KAFKA_RESP_ERR__FATAL:
	case RD_KAFKA_RESP_ERR__FENCED:
	case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
		return ERR_CONFLICT;
	default:
		return ERR_UNAVAILABLE;
	}
}

bool kafka_err_set(struct err *err, rd_kafka_resp_err_t code, const char *fmt, ...)
{
	char action[ERR_TEXT_BYTES_MAX];
	va_list args;

	assert(code != RD_KAFKA_RESP_ERR_NO_ERROR);
	va_start(args, fmt);
	(void)vsnprintf(action, sizeof(action), fmt, args);
	va_end(args);
	return err_set(err, code_of(code), "%s: %s", action, rd_kafka_err2str(code));
}

int64_t kafka_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int kafka_remaining_ms(int64_t deadline_ms)
{
	int64_t remaining = deadline_ms - kafka_now_ms();

	return remaining > 0 ? (int)remaining : 0;
}

struct timespec kafka_after_ms(int ms)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (long)(ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	return at;
}

void kafka_rest_ms(int ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&pause, NULL);
}

bool kafka_thread_start(pthread_t *thread, void *(*run)(void *), void *arg, struct err *err)
{
	sigset_t all, before;
	int failed;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(thread, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed != 0)
		return err_set(err, ERR_IO, "while starting a thread: %s", strerror(failed));
	return true;
}

struct destruction {
	rd_kafka_t *rk;
	void (*then)(void *arg);
	void *arg;
};

static void *destroy_main(void *arg)
{
	struct destruction *destruction = arg;

	/* Consumers were closed before; without the flag a close that hung would be waited for again. */
	rd_kafka_destroy_flags(destruction->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	if (destruction->then != NULL)
		destruction->then(destruction->arg);
	free(destruction);
	return NULL;
}

void kafka_client_destroy(rd_kafka_t *rk, int timeout_ms)
{
	kafka_client_destroy_then(rk, timeout_ms, NULL, NULL);
}

void kafka_client_destroy_then(rd_kafka_t *rk, int timeout_ms, void (*then)(void *arg), void *arg)
{
	struct destruction *destruction = malloc(sizeof(*destruction));
	struct timespec until = kafka_after_ms(timeout_ms);
	pthread_t thread;
	struct err err;

	assert(rk != NULL && timeout_ms >= 0);
	if (destruction == NULL) {
		LOG(WARN, "kafka_client_left", F_TEXT("reason", "no memory to destroy it"));
		return;
	}
	*destruction = (struct destruction){.rk = rk, .then = then, .arg = arg};
	if (!kafka_thread_start(&thread, destroy_main, destruction, &err)) {
		LOG(WARN, "kafka_client_left", F_ERR(&err));
		free(destruction);
		return;
	}
	if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return;
	(void)pthread_detach(thread);
	if (timeout_ms > 0)
		LOG(WARN, "kafka_client_left", F_TEXT("reason", "destroying it takes too long"));
}

bool kafka_query_offset(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t time_ms, int timeout_ms,
			int64_t *offset, struct err *err)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *entry = rd_kafka_topic_partition_list_add(list, topic, partition);
	rd_kafka_resp_err_t code;

	entry->offset = time_ms; /* the time goes in where the offset comes out */
	code = rd_kafka_offsets_for_times(rk, list, timeout_ms);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		code = entry->err;
	*offset = entry->offset;
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_err_set(err, code, "while asking for an offset of %s [%" PRId32 "]", topic, partition);
	return true;
}
