/*
 * A Kafka cluster inside the test process: librdkafka's mock, on real local ports.
 *
 * What it cannot do: look-ups by time, admin requests, TLS (see docs of rd_kafka_mock.h).
 */
#ifndef WATCHPOST_TESTS_UNIT_SUPPORT_MOCK_KAFKA_H
#define WATCHPOST_TESTS_UNIT_SUPPORT_MOCK_KAFKA_H

#include <stdint.h>

#include "common/config.h"

struct mock_kafka;

/* Brokers have the ids 1 … brokers. Never NULL: a test without a cluster cannot go on. */
struct mock_kafka *mock_kafka_start(int brokers);
void mock_kafka_stop(struct mock_kafka *mock);

/* kafka_brokers and the other Kafka settings; lives as long as the mock. */
const struct config *mock_kafka_config(const struct mock_kafka *mock);

void mock_kafka_topic(struct mock_kafka *mock, const char *topic, int partitions, int replication);
void mock_kafka_leader(struct mock_kafka *mock, const char *topic, int32_t partition, int32_t broker);
/* The mock makes every topic that it is asked for; this is how one is missing. */
void mock_kafka_topic_missing(struct mock_kafka *mock, const char *topic, bool missing);

/* Faults. */
void mock_kafka_broker_down(struct mock_kafka *mock, int32_t broker); /* connections break, new ones are refused */
void mock_kafka_broker_up(struct mock_kafka *mock, int32_t broker);
void mock_kafka_answer_after(struct mock_kafka *mock, int32_t broker, int ms);
void mock_kafka_refuse_size(struct mock_kafka *mock); /* the next message is over the topic's max.message.bytes */

#endif
