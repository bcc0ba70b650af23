/*
 * Drives common/kafka_*.h against a real broker, for test_kafka_wrappers.py. One verb a run:
 *
 *   produce BROKERS TOPIC COUNT          sends, prints "delivered N failed N refused N ms-until-first N"
 *   trickle BROKERS TOPIC SECONDS_MAX    sends every 5 ms until standard input ends; prints "down MS" at the first
 * refusal and "up MS" at the first delivery after one (wall clock), at the end "delivered N failed N refused N" read
 * BROKERS TOPIC PARTITIONS COUNT  reads from the beginning without a group, prints "records N per-second N" member
 * BROKERS GROUP TOPIC OFFSET joins, prints what happens a line each, takes orders from standard input: "commit P
 * OFFSET", "seek P OFFSET", "quit" admin BROKERS QUESTION ARGUMENT...   cluster-id | topics ENV PARTITIONS REPLICATION
 * | partitions T | watermarks T P | time T P MS | group G T P
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/kafka_admin.h"
#include "common/kafka_consumer.h"
#include "common/kafka_producer.h"
#include "common/topics.h"

enum {
	TRICKLE_MS = 5,
	TRICKLE_TIMEOUT_MS = 3000,
	WAIT_MS = 20000,
	WAITING_MAX = 5000,
	LINE_BYTES = 128,
	VALUE_BYTES = 400
};

static char plaintext[] = "plaintext";
static char nothing[] = "";

static NORETURN void die(const char *text)
{
	fprintf(stderr, "kafka_wrappers: %s\n", text);
	exit(EXIT_FAILURE);
}

static struct config config_for(char *brokers)
{
	return (struct config){
		.environment = ENVIRONMENT_DEVELOPMENT,
		.kafka_brokers = brokers,
		.kafka_security = plaintext,
		.kafka_ca_file = nothing,
		.kafka_sasl_mechanism = nothing,
		.kafka_sasl_user = nothing,
	};
}

static long number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end != '\0')
		die("not a number");
	return value;
}

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- produce --------------------------------------------------------------------------------------- */

struct tally {
	long delivered, failed, refused;
};

static void take(struct tally *tally, const struct kafka_ticket *list)
{
	for (; list != NULL; list = list->next) {
		if (list->delivery == KAFKA_DELIVERY_DONE)
			tally->delivered++;
		else
			tally->failed++;
	}
}

static enum kafka_send_result send_number(struct kafka_producer *producer, const char *topic, long number,
					  struct kafka_ticket *ticket)
{
	static const char filling[VALUE_BYTES];
	const struct event_header headers[] = {
		{"ce_id", bytes_of("evt_1")},
		{"ce_type", bytes_of("watchpost.stripe.other")},
		{"ce_source", bytes_of("//test")},
		{"content-type", bytes_of("application/msgpack")},
	};
	char key[32];
	const struct kafka_message message = {
		.topic = topic,
		.partition = -1,
		.key = bytes_make(key, (size_t)snprintf(key, sizeof(key), "cus_%ld", number % 1000)),
		.value = bytes_make(filling, sizeof(filling)),
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
	};

	return kafka_producer_send(producer, &message, ticket);
}

static struct kafka_producer *open_producer(struct config *config, const char *topic, int timeout_ms)
{
	const char *const topics[] = {topic, NULL};
	struct err err;
	struct kafka_producer *producer = kafka_producer_new(
		&(struct kafka_producer_options){
			.config = config,
			.client_id = "test",
			.topics = topics,
			.waiting_max = WAITING_MAX,
			.delivery_timeout_ms = timeout_ms,
		},
		&err);

	if (producer == NULL)
		die(err.text);
	return producer;
}

static int produce(struct config *config, const char *topic, long count)
{
	struct kafka_ticket *tickets = calloc((size_t)count, sizeof(*tickets));
	struct tally tally = {0};
	struct kafka_producer *producer = open_producer(config, topic, WAIT_MS);
	int64_t began = now_ms(), first_ms = -1;

	if (tickets == NULL)
		die("no memory");
	for (long i = 0; i < count;) {
		enum kafka_send_result result = send_number(producer, topic, i, &tickets[i]);

		if (result == KAFKA_SEND_QUEUED)
			i++;
		else if (result == KAFKA_SEND_REFUSED || result == KAFKA_SEND_TOO_LARGE)
			die("refused");
		else
			take(&tally, kafka_producer_poll(producer, 10));
		if (result == KAFKA_SEND_DOWN)
			tally.refused++;
		if (first_ms < 0 && tally.delivered > 0)
			first_ms = now_ms() - began;
	}
	take(&tally, kafka_producer_close(producer, WAIT_MS));
	free(tickets);
	printf("delivered %ld failed %ld refused %ld ms-until-first %d\n", tally.delivered, tally.failed, tally.refused,
	       (int)first_ms);
	return tally.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- trickle --------------------------------------------------------------------------------------- */

static void say_now(const char *what)
{
	printf("%s %lld\n", what, (long long)clock_wall_ms(clock_system()));
	(void)fflush(stdout);
}

static bool input_ended(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 0) > 0;
}

static int trickle(struct config *config, const char *topic, long seconds)
{
	const int64_t count_max = seconds * 1000 / TRICKLE_MS + 1;
	struct kafka_ticket *tickets = calloc((size_t)count_max, sizeof(*tickets));
	struct kafka_producer *producer = open_producer(config, topic, TRICKLE_TIMEOUT_MS);
	int64_t ends = now_ms() + seconds * 1000;
	struct tally tally = {0};
	bool down = true;
	long sent = 0;

	if (tickets == NULL)
		die("no memory");
	while (now_ms() < ends && sent < count_max && !input_ended()) {
		long delivered = tally.delivered;
		enum kafka_send_result result = send_number(producer, topic, sent, &tickets[sent]);

		sent += result == KAFKA_SEND_QUEUED;
		tally.refused += result == KAFKA_SEND_DOWN;
		if (result == KAFKA_SEND_DOWN && !down)
			say_now("down");
		down = down || result == KAFKA_SEND_DOWN;
		for (int64_t next = now_ms() + TRICKLE_MS; now_ms() < next;)
			take(&tally, kafka_producer_poll(producer, 1));
		if (tally.delivered > delivered && down && result == KAFKA_SEND_QUEUED) {
			down = false;
			say_now("up");
		}
	}
	take(&tally, kafka_producer_close(producer, WAIT_MS));
	free(tickets);
	printf("delivered %ld failed %ld refused %ld\n", tally.delivered, tally.failed, tally.refused);
	return EXIT_SUCCESS;
}

/* --- read ------------------------------------------------------------------------------------------ */

static int read_all(struct config *config, const char *topic, int partitions, long count)
{
	static struct kafka_record records[BATCH_ITEMS_MAX];
	struct kafka_partition at[PARTITIONS_MAX];
	struct err err;
	struct kafka_consumer *consumer =
		kafka_consumer_new(&(struct kafka_consumer_options){.config = config, .client_id = "test"}, &err);
	int64_t began = 0, next[PARTITIONS_MAX] = {0};
	long got = 0;

	if (consumer == NULL)
		die(err.text);
	for (int i = 0; i < partitions; i++)
		at[i] = (struct kafka_partition){topic, i, KAFKA_OFFSET_BEGINNING};
	if (!kafka_consumer_assign(consumer, at, (size_t)partitions, &err))
		die(err.text);
	while (got < count) {
		size_t n;

		if (!kafka_consumer_poll(consumer, 100, records, ARRAY_LEN(records), &n, &err))
			die(err.text);
		if (began == 0 && n > 0)
			began = now_ms();
		for (size_t i = 0; i < n; i++) {
			if (records[i].offset != next[records[i].partition]++)
				die("an offset was left out or came twice");
			if (records[i].header_count != 4)
				die("headers are missing");
		}
		got += (long)n;
		kafka_records_release(consumer);
	}
	printf("records %ld per-second %ld\n", got, got * 1000 / (now_ms() - began + 1));
	kafka_consumer_close(consumer, WAIT_MS);
	return EXIT_SUCCESS;
}

/* --- member ---------------------------------------------------------------------------------------- */

struct member {
	struct kafka_consumer *consumer;
	const char *topic;
	int64_t start;
};

static bool on_assign(void *arg, struct kafka_partition *partitions, size_t count)
{
	const struct member *member = arg;

	for (size_t i = 0; i < count; i++) {
		partitions[i].offset = member->start;
		printf("assign %d\n", partitions[i].partition);
	}
	return true;
}

static void on_revoke(void *arg, const struct kafka_partition *partitions, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count; i++)
		printf("revoke %d %lld\n", partitions[i].partition, (long long)partitions[i].offset);
}

static void on_out_of_range(void *arg, const struct kafka_partition *at, int64_t low, int64_t high)
{
	(void)arg;
	printf("out-of-range %d %lld %lld %lld\n", at->partition, (long long)at->offset, (long long)low,
	       (long long)high);
}

/* "VERB P OFFSET" */
static bool obey(struct member *member, char *line)
{
	struct kafka_partition at = {.topic = member->topic};
	char *rest = line;
	const char *verb = strsep(&rest, " \n");
	const char *partition = strsep(&rest, " \n");
	const char *offset = strsep(&rest, " \n");
	struct err err;

	if (strcmp(verb, "quit") == 0)
		return false;
	if (offset == NULL)
		die("no such order");
	at.partition = (int32_t)number(partition);
	at.offset = number(offset);
	if (strcmp(verb, "commit") == 0)
		kafka_consumer_commit(member->consumer, &at);
	else if (!kafka_consumer_seek(member->consumer, &at, &err))
		printf("refused %s\n", err_code_name(err.code));
	return true;
}

static bool orders(struct member *member)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[LINE_BYTES];

	if (poll(&in, 1, 0) <= 0)
		return true;
	return fgets(line, sizeof(line), stdin) != NULL && obey(member, line);
}

/* A line for each run of records: partition, first and last offset. */
static void show(const struct kafka_record *records, size_t count)
{
	for (size_t i = 0, from = 0; i < count; i++) {
		bool last = i + 1 == count || records[i + 1].partition != records[i].partition;

		if (!last && records[i + 1].offset != records[i].offset + 1)
			die("an offset was left out or came twice");
		if (!last)
			continue;
		printf("records %d %lld %lld\n", records[i].partition, (long long)records[from].offset,
		       (long long)records[i].offset);
		from = i + 1;
	}
}

static int join_group(struct config *config, const char *group, const char *topic, int64_t start)
{
	static struct kafka_record records[BATCH_ITEMS_MAX];
	struct member member = {.topic = topic, .start = start};
	struct err err;

	member.consumer = kafka_consumer_new(
		&(struct kafka_consumer_options){
			.config = config,
			.client_id = "test",
			.group = group,
			.events = {.on_assign = on_assign,
				   .on_revoke = on_revoke,
				   .on_out_of_range = on_out_of_range,
				   .owner = &member},
		},
		&err);
	if (member.consumer == NULL || !kafka_consumer_subscribe(member.consumer, &topic, 1, &err))
		die(err.text);
	while (orders(&member)) {
		size_t count;

		if (!kafka_consumer_poll(member.consumer, 50, records, ARRAY_LEN(records), &count, &err))
			die(err.text);
		show(records, count);
		kafka_records_release(member.consumer);
		(void)fflush(stdout);
	}
	kafka_consumer_close(member.consumer, WAIT_MS);
	return EXIT_SUCCESS;
}

/* --- admin ----------------------------------------------------------------------------------------- */

static bool ask_topics(struct kafka_admin *admin, char **words, struct err *err)
{
	const struct topics_options options = {
		.environment = strcmp(words[1], "staging") == 0 ? ENVIRONMENT_STAGING : ENVIRONMENT_DEVELOPMENT,
		.partitions = (int)number(words[2]),
		.replication = (int)number(words[3]),
		.timeout_ms = WAIT_MS,
	};
	size_t created;

	if (!topics_create(admin, &options, &created, err))
		return false;
	printf("%zu\n", created);
	return true;
}

static bool ask_offsets(struct kafka_admin *admin, char **words, struct err *err)
{
	int64_t low = 0, high = 0;
	bool ok;

	if (strcmp(words[0], "watermarks") == 0) {
		ok = kafka_admin_watermarks(admin, words[1], (int)number(words[2]), WAIT_MS, &low, &high, err);
		printf("%lld %lld\n", (long long)low, (long long)high);
		return ok;
	}
	if (strcmp(words[0], "time") == 0)
		ok = kafka_admin_offset_for_time(admin, words[1], (int)number(words[2]), number(words[3]), WAIT_MS,
						 &low, err);
	else
		ok = kafka_admin_group_offset(admin, words[1], words[2], (int)number(words[3]), WAIT_MS, &low, err);
	printf("%lld\n", (long long)low);
	return ok;
}

static bool ask(struct kafka_admin *admin, char **words, struct err *err)
{
	char id[KAFKA_CLUSTER_ID_BYTES];
	int32_t partitions;

	if (strcmp(words[0], "cluster-id") == 0)
		return kafka_admin_cluster_id(admin, WAIT_MS, id, err) && printf("%s\n", id) > 0;
	if (strcmp(words[0], "topics") == 0)
		return ask_topics(admin, words, err);
	if (strcmp(words[0], "partitions") == 0)
		return kafka_admin_partitions(admin, words[1], WAIT_MS, &partitions, err) &&
		       printf("%d\n", partitions) > 0;
	return ask_offsets(admin, words, err);
}

static int administer(struct config *config, char **words)
{
	struct err err;
	struct kafka_admin *admin = kafka_admin_new(config, "test", &err);
	bool ok;

	if (admin == NULL)
		die(err.text);
	ok = ask(admin, words, &err);
	if (!ok)
		fprintf(stderr, "%s\n", err.text);
	kafka_admin_free(admin);
	return ok ? EXIT_SUCCESS : err_exit_status(err.code);
}

int main(int argc, char **argv)
{
	struct config config;

	if (argc < 4)
		die("see the head of this file");
	config = config_for(argv[2]);
	if (strcmp(argv[1], "produce") == 0 && argc == 5)
		return produce(&config, argv[3], number(argv[4]));
	if (strcmp(argv[1], "trickle") == 0 && argc == 5)
		return trickle(&config, argv[3], number(argv[4]));
	if (strcmp(argv[1], "read") == 0 && argc == 6)
		return read_all(&config, argv[3], (int)number(argv[4]), number(argv[5]));
	if (strcmp(argv[1], "member") == 0 && argc == 6)
		return join_group(&config, argv[3], argv[4], number(argv[5]));
	if (strcmp(argv[1], "admin") == 0)
		return administer(&config, &argv[3]);
	die("see the head of this file");
}
