/*
 * What Kafka's answer alone takes: one message at a time, each sent when the one before it is acknowledged. No server
 * that answers after the acknowledgement is faster for a client with one connection.
 *
 * bench_kafka_alone BROKERS TOPIC SECONDS
 *
 * The message is as long as a webhook's event, partitions take turns, the producer is set as ours is. Prints the same
 * figures as watchpost-load, as JSON: per_second, p50_us, p99_us, and cpu_us of its own per message.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/compiler.h"

enum { WARM_UP = 500, SAMPLES_MAX = 1000000, PARTITIONS = 4, MESSAGE_BYTES = 600, POLL_MS = 1000, ANSWER_S_MAX = 10 };

static double seconds_of(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* The opaque of a message is where its answer is told. */
static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	(void)producer;
	(void)opaque;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		(void)fprintf(stderr, "bench_kafka_alone: %s\n", rd_kafka_err2str(message->err));
		exit(1);
	}
	*(bool *)message->_private = true;
}

static rd_kafka_t *make_producer(const char *brokers)
{
	static const char *const settings[][2] = {{"acks", "all"}, {"enable.idempotence", "true"}, {"linger.ms", "0"}};
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof(text)) != RD_KAFKA_CONF_OK)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) != RD_KAFKA_CONF_OK)
			return NULL;
	}
	return rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
}

/* Sends one message and waits for its answer. */
static bool send_one(rd_kafka_t *producer, rd_kafka_topic_t *topic, int32_t partition)
{
	static char message[MESSAGE_BYTES];
	bool answered = false;
	double give_up = seconds_of(CLOCK_MONOTONIC) + ANSWER_S_MAX;

	if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, message, sizeof(message), NULL, 0, &answered) != 0)
		return false;
	while (!answered && seconds_of(CLOCK_MONOTONIC) < give_up)
		(void)rd_kafka_poll(producer, POLL_MS);
	return answered;
}

static int measure(rd_kafka_t *producer, rd_kafka_topic_t *topic, double seconds, double *took_us)
{
	size_t count = 0;
	double began, cpu, now;

	for (int i = 0; i < WARM_UP; i++) {
		if (!send_one(producer, topic, i % PARTITIONS))
			return 1;
	}
	began = now = seconds_of(CLOCK_MONOTONIC);
	cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	while (now < began + seconds && count < SAMPLES_MAX) {
		double sent = now;

		if (!send_one(producer, topic, (int32_t)(count % PARTITIONS)))
			return 1;
		now = seconds_of(CLOCK_MONOTONIC);
		took_us[count++] = (now - sent) * 1e6;
	}
	cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(took_us, count, sizeof(*took_us), by_size);
	(void)printf("{\"per_second\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"cpu_us\": %.1f}\n",
		     (double)count / (now - began), took_us[count / 2], took_us[count * 99 / 100],
		     cpu * 1e6 / (double)count);
	return 0;
}

int main(int argc, char **argv)
{
	rd_kafka_t *producer = argc == 4 ? make_producer(argv[1]) : NULL;
	rd_kafka_topic_t *topic = producer != NULL ? rd_kafka_topic_new(producer, argv[2], NULL) : NULL;
	double *took_us = calloc(SAMPLES_MAX, sizeof(*took_us));
	int status = 1;

	if (argc != 4)
		(void)fprintf(stderr, "usage: bench_kafka_alone BROKERS TOPIC SECONDS\n");
	else if (topic != NULL && took_us != NULL)
		status = measure(producer, topic, strtod(argv[3], NULL), took_us);
	free(took_us);
	if (topic != NULL)
		rd_kafka_topic_destroy(topic);
	if (producer != NULL)
		rd_kafka_destroy(producer);
	return status;
}
