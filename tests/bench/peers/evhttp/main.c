/*
 * The obvious C peer of the benchmarks: evhttp, jansson and librdkafka with its default settings. It checks the
 * signature or the agent's token, publishes to Kafka and answers after the delivery report, which a timer polls for.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

static rd_kafka_t *producer;
static const char *topic;
static char secret[256];

static int verified(const char *header, const unsigned char *body, size_t len)
{
	const char *stamp = strstr(header, "t="), *signature = strstr(header, "v1=");
	if (stamp == NULL || signature == NULL)
		return 0;
	long long seconds = strtoll(stamp + 2, NULL, 10);
	if (llabs((long long)time(NULL) - seconds) > 300)
		return 0;
	char prefix[32], hex[65];
	unsigned char mac[32];
	unsigned mac_len = sizeof(mac);
	int prefix_len = snprintf(prefix, sizeof(prefix), "%lld.", seconds);
	unsigned char *text = malloc((size_t)prefix_len + len);
	memcpy(text, prefix, (size_t)prefix_len);
	memcpy(text + prefix_len, body, len);
	HMAC(EVP_sha256(), secret, (int)strlen(secret), text, (size_t)prefix_len + len, mac, &mac_len);
	free(text);
	for (int i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", mac[i]);
	return strlen(signature + 3) >= 64 && CRYPTO_memcmp(hex, signature + 3, 64) == 0;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	struct evhttp_request *req = message->_private;
	(void)rk;
	(void)opaque;
	if (message->err)
		evhttp_send_reply(req, 503, "Service Unavailable", NULL);
	else
		evhttp_send_reply(req, strcmp(evhttp_request_get_uri(req), "/v1/events") == 0 ? 202 : 200, "OK", NULL);
}

/* Publishes `out` (and lets it go); on_delivery answers. */
static void publish(struct evhttp_request *req, const char *key, json_t *out)
{
	char *value = out != NULL ? json_dumps(out, JSON_COMPACT) : NULL;
	rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__INVALID_ARG;
	if (value != NULL && key != NULL)
		err = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, strlen(key)),
					RD_KAFKA_V_VALUE(value, strlen(value)),
					RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(req),
					RD_KAFKA_V_END);
	free(value);
	json_decref(out);
	if (err)
		evhttp_send_reply(req, 503, "Service Unavailable", NULL);
}

static void on_webhook(struct evhttp_request *req, void *unused)
{
	(void)unused;
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(in);
	const unsigned char *body = evbuffer_pullup(in, -1);
	const char *header = evhttp_find_header(evhttp_request_get_input_headers(req), "Stripe-Signature");
	if (header == NULL || !verified(header, body, len)) {
		evhttp_send_reply(req, 400, "Bad Request", NULL);
		return;
	}
	json_t *event = json_loadb((const char *)body, len, 0, NULL);
	json_t *object = json_object_get(json_object_get(event, "data"), "object");
	const char *customer = json_string_value(json_object_get(object, "customer"));
	json_t *out = json_pack("{s:s?, s:s?, s:s?, s:s?}", "event_id", json_string_value(json_object_get(event, "id")),
				"type", json_string_value(json_object_get(event, "type")), "customer", customer,
				"status", json_string_value(json_object_get(object, "status")));
	publish(req, customer, out);
	json_decref(event);
}

struct agent {
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char account[24];
};
static struct agent *agents; /* sorted by hash */
static size_t agent_count;

static int compare_agents(const void *a, const void *b)
{
	return memcmp(a, b, SHA256_DIGEST_LENGTH);
}

static int read_tokens(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[128];
	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		struct agent *grown = reallocarray(agents, agent_count + 1, sizeof(*agents));
		if (grown == NULL)
			return 0;
		agents = grown;
		SHA256((const unsigned char *)line, strcspn(line, "\r\n"), agents[agent_count].hash);
		(void)snprintf(agents[agent_count].account, sizeof(agents->account), "acct_%zu", agent_count);
		agent_count++;
	}
	fclose(file);
	qsort(agents, agent_count, sizeof(*agents), compare_agents);
	return 1;
}

static void on_event(struct evhttp_request *req, void *unused)
{
	(void)unused;
	struct evbuffer *in = evhttp_request_get_input_buffer(req);
	const char *header = evhttp_find_header(evhttp_request_get_input_headers(req), "Authorization");
	struct agent wanted, *agent = NULL;
	if (header != NULL && strncmp(header, "Bearer ", 7) == 0) {
		SHA256((const unsigned char *)header + 7, strlen(header + 7), wanted.hash);
		agent = bsearch(&wanted, agents, agent_count, sizeof(*agents), compare_agents);
	}
	if (agent == NULL) {
		evhttp_send_reply(req, 401, "Unauthorized", NULL);
		return;
	}
	size_t len = evbuffer_get_length(in);
	json_t *event = json_loadb((const char *)evbuffer_pullup(in, -1), len, 0, NULL);
	json_t *out = json_pack("{s:s, s:s?, s:s?, s:s?, s:I, s:s?, s:s?}", "account", agent->account, "id",
				json_string_value(json_object_get(event, "id")), "type",
				json_string_value(json_object_get(event, "type")), "occurred_at",
				json_string_value(json_object_get(event, "occurred_at")), "amount",
				json_integer_value(json_object_get(event, "amount")), "currency",
				json_string_value(json_object_get(event, "currency")), "text",
				json_string_value(json_object_get(event, "text")));
	publish(req, agent->account, out);
	json_decref(event);
}

static void on_timer(evutil_socket_t fd, short what, void *unused)
{
	(void)fd;
	(void)what;
	(void)unused;
	rd_kafka_poll(producer, 0);
}

int main(int argc, char **argv)
{
	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: %s PORT BROKERS TOPIC SECRET-FILE [TOKENS-FILE]\n", argv[0]);
		return 2;
	}
	if (argc == 6 && !read_tokens(argv[5]))
		return 1;
	FILE *file = fopen(argv[4], "re");
	if (file == NULL || fgets(secret, sizeof(secret), file) == NULL)
		return 1;
	fclose(file);
	secret[strcspn(secret, "\r\n")] = '\0';
	topic = argv[3];
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set(conf, "bootstrap.servers", argv[2], text, sizeof(text));
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (producer == NULL)
		return 1;
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);
	evhttp_set_cb(http, "/webhooks/stripe", on_webhook, NULL);
	evhttp_set_cb(http, "/v1/events", on_event, NULL);
	if (evhttp_bind_socket(http, "127.0.0.1", (unsigned short)strtol(argv[1], NULL, 10)) != 0)
		return 1;
	struct event *timer = event_new(base, -1, EV_PERSIST, on_timer, NULL);
	struct timeval every = {.tv_usec = 1000};
	event_add(timer, &every);
	event_base_dispatch(base);
	return 0;
}
