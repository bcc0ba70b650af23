#include "tests/unit/support/mock_kafka.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

struct mock_kafka {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	struct config config;
};

static char plaintext[] = "plaintext";
static char nothing[] = "";

/* A result that the test cannot do without, whatever NDEBUG says. */
static void must(bool ok)
{
	if (!ok)
		abort();
}

struct mock_kafka *mock_kafka_start(int brokers)
{
	struct mock_kafka *mock = calloc(1, sizeof(*mock));
	char text[256];

	must(mock != NULL);
	mock->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof(text));
	must(mock->rk != NULL);
	mock->cluster = rd_kafka_mock_cluster_new(mock->rk, brokers);
	must(mock->cluster != NULL);
	mock->config = (struct config){
		.environment = ENVIRONMENT_DEVELOPMENT,
		.kafka_brokers = strdup(rd_kafka_mock_cluster_bootstraps(mock->cluster)),
		.kafka_security = plaintext,
		.kafka_ca_file = nothing,
		.kafka_sasl_mechanism = nothing,
		.kafka_sasl_user = nothing,
	};
	must(mock->config.kafka_brokers != NULL);
	return mock;
}

void mock_kafka_stop(struct mock_kafka *mock)
{
	rd_kafka_mock_cluster_destroy(mock->cluster);
	rd_kafka_destroy(mock->rk);
	free(mock->config.kafka_brokers);
	free(mock);
}

const struct config *mock_kafka_config(const struct mock_kafka *mock)
{
	return &mock->config;
}

void mock_kafka_topic(struct mock_kafka *mock, const char *topic, int partitions, int replication)
{
	must(rd_kafka_mock_topic_create(mock->cluster, topic, partitions, replication) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

void mock_kafka_leader(struct mock_kafka *mock, const char *topic, int32_t partition, int32_t broker)
{
	must(rd_kafka_mock_partition_set_leader(mock->cluster, topic, partition, broker) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

void mock_kafka_topic_missing(struct mock_kafka *mock, const char *topic, bool missing)
{
	rd_kafka_mock_topic_set_error(mock->cluster, topic,
				      missing ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : RD_KAFKA_RESP_ERR_NO_ERROR);
}

void mock_kafka_broker_down(struct mock_kafka *mock, int32_t broker)
{
	must(rd_kafka_mock_broker_set_down(mock->cluster, broker) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

void mock_kafka_broker_up(struct mock_kafka *mock, int32_t broker)
{
	must(rd_kafka_mock_broker_set_up(mock->cluster, broker) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

void mock_kafka_refuse_size(struct mock_kafka *mock)
{
	enum { PRODUCE = 0 }; /* the API key of the protocol */
	rd_kafka_mock_push_request_errors(mock->cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
}

void mock_kafka_answer_after(struct mock_kafka *mock, int32_t broker, int ms)
{
	must(rd_kafka_mock_broker_set_rtt(mock->cluster, broker, ms) == RD_KAFKA_RESP_ERR_NO_ERROR);
}
