/*
 * Fills a topic with events of subscriptions, as the ingress would have written them, as fast as Kafka takes them.
 *
 * bench_backlog BROKERS TOPIC EVENTS SUBSCRIPTIONS [FIRST]
 *
 * Every event is real: the generated encoder and the seven headers. Ids look like Stripe's: they begin with the time
 * and end at random, so they come nearly in order. Each customer has one subscription. FIRST numbers the first event,
 * so that a second call goes on where the first one ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "events.h"

enum {
	FLUSH_MS = 60000,
	POLL_MS = 100,
	EVENTS_PER_SECOND = 50, /* of the events' own time */
	FIRST_S = 1767225600,   /* 2026-01-01 */
	PERIOD_S = 2592000,
	ID_TIME_CHARS = 6,
	ID_RANDOM_CHARS = 8,
	ID_BYTES = 40
};

struct backlog {
	rd_kafka_t *producer;
	const char *topic;
	long long events, subscriptions, first;
	uint64_t random;
	long long failed;
	struct buf value;
};

static uint64_t next_random(struct backlog *backlog)
{
	backlog->random = backlog->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return backlog->random >> 20;
}

/* `chars` digits of base 62, the last one first. */
static void put_base62(char *out, uint64_t number, int chars)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	for (int i = chars - 1; i >= 0; i--, number /= 62)
		out[i] = digits[number % 62];
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	struct backlog *backlog = opaque;

	(void)producer;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	if (backlog->failed == 0)
		(void)fprintf(stderr, "bench_backlog: %s\n", rd_kafka_err2str(message->err));
	backlog->failed++;
}

static rd_kafka_t *make_producer(struct backlog *backlog, const char *brokers)
{
	static const char *const settings[][2] = {
		{"acks", "all"},
		{"enable.idempotence", "true"},
		{"linger.ms", "20"},
		{"batch.size", "1000000"},
		{"queue.buffering.max.messages", "200000"},
		{"partitioner", "murmur2_random"},
	};
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_opaque(conf, backlog);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	bool good = rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof(text)) == RD_KAFKA_CONF_OK;
	for (size_t i = 0; good && i < ARRAY_LEN(settings); i++)
		good = rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof(text)) == RD_KAFKA_CONF_OK;
	rd_kafka_t *producer = good ? rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text)) : NULL;
	if (producer == NULL) {
		(void)fprintf(stderr, "bench_backlog: %s\n", text);
		rd_kafka_conf_destroy(conf);
	}
	return producer;
}

static rd_kafka_headers_t *make_headers(const struct event_stripe_subscription *event)
{
	const struct event_type *type = event_type_get(EVENT_TYPE_STRIPE_SUBSCRIPTION);
	const struct event_head head = {.id = event->event_id,
					.type = bytes_of(type->name),
					.source = bytes_of("//watchpost.systems/development/ingress"),
					.dataschema = bytes_of(type->dataschema),
					.time_ms = event->created_s * 1000};
	struct event_headers laid;

	event_headers_write(&head, &laid);
	rd_kafka_headers_t *headers = rd_kafka_headers_new(laid.count);
	for (size_t i = 0; i < laid.count; i++)
		(void)rd_kafka_header_add(headers, laid.items[i].name, -1, laid.items[i].value.data,
					  (ssize_t)laid.items[i].value.len);
	return headers;
}

static bool produce(struct backlog *backlog, const struct event_stripe_subscription *event)
{
	buf_clear(&backlog->value);
	if (!event_stripe_subscription_encode(event, &backlog->value))
		return false;
	for (;;) {
		rd_kafka_headers_t *headers = make_headers(event);
		rd_kafka_resp_err_t code = rd_kafka_producev(backlog->producer, RD_KAFKA_V_TOPIC(backlog->topic),
							     RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
							     RD_KAFKA_V_KEY(event->customer.data, event->customer.len),
							     RD_KAFKA_V_VALUE(backlog->value.data, backlog->value.len),
							     RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);

		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			return true;
		rd_kafka_headers_destroy(headers);
		if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			return false;
		(void)rd_kafka_poll(backlog->producer, POLL_MS);
	}
}

static bool make_and_produce(struct backlog *backlog, long long number)
{
	char id[ID_BYTES] = "evt_", subscription[ID_BYTES], customer[ID_BYTES];
	char *at = id + strlen(id);
	long long which = (long long)(next_random(backlog) % (uint64_t)backlog->subscriptions);
	long long created_s = FIRST_S + number / EVENTS_PER_SECOND;
	bool late = number % 10 == 0;

	put_base62(at, (uint64_t)created_s, ID_TIME_CHARS);
	memcpy(at + ID_TIME_CHARS, "2eZvKYlo2C", 10);
	put_base62(at + ID_TIME_CHARS + 10, next_random(backlog), ID_RANDOM_CHARS);
	(void)snprintf(subscription, sizeof(subscription), "sub_1Bench2eZvKYlo2C%08lld", which);
	(void)snprintf(customer, sizeof(customer), "cus_Bench%08lld", which);
	const struct event_stripe_subscription event = {
		.event_id = bytes_of(id),
		.stripe_type = bytes_of("customer.subscription.updated"),
		.created_s = created_s,
		.api_version = bytes_of("2025-03-31.basil"),
		.has_api_version = true,
		.customer = bytes_of(customer),
		.has_customer = true,
		.object_id = bytes_of(subscription),
		.has_object_id = true,
		.subscription = bytes_of(subscription),
		.status = bytes_of(late ? "past_due" : "active"),
		.current_period_end_s = created_s + PERIOD_S,
		.has_current_period_end_s = true,
		.has_cancel_at_period_end = true,
	};

	return produce(backlog, &event);
}

static bool read_number(const char *text, long long least, long long *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' && end != text && *out >= least;
}

int main(int argc, char **argv)
{
	struct backlog backlog = {.random = 1};
	bool good = true;

	if (argc < 5 || argc > 6 || !read_number(argv[3], 1, &backlog.events) ||
	    !read_number(argv[4], 1, &backlog.subscriptions) ||
	    (argc == 6 && !read_number(argv[5], 0, &backlog.first))) {
		(void)fprintf(stderr, "usage: bench_backlog BROKERS TOPIC EVENTS SUBSCRIPTIONS [FIRST]\n");
		return 2;
	}
	backlog.topic = argv[2];
	backlog.random += (uint64_t)backlog.first;
	buf_init(&backlog.value, EVENT_VALUE_BYTES_MAX);
	backlog.producer = make_producer(&backlog, argv[1]);
	if (backlog.producer == NULL)
		return 1;
	for (long long i = 0; good && i < backlog.events; i++) {
		good = make_and_produce(&backlog, backlog.first + i);
		(void)rd_kafka_poll(backlog.producer, 0);
	}
	good = rd_kafka_flush(backlog.producer, FLUSH_MS) == RD_KAFKA_RESP_ERR_NO_ERROR && good && backlog.failed == 0;
	rd_kafka_destroy(backlog.producer);
	buf_free(&backlog.value);
	if (!good)
		(void)fprintf(stderr, "bench_backlog: Kafka did not take every event\n");
	return good ? 0 : 1;
}
