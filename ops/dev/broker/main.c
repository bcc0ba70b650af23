/* watchpost-dev-broker: the embedded Kafka broker of `make run BROKER=embedded`, on librdkafka's mock cluster. */
#include <errno.h>
#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/event.h"

enum { TOPICS_MAX = 64, PARTITIONS_DEFAULT = 4, EXIT_USAGE = 2, LIBRARY_ERROR_BYTES = 256 };

struct options {
	uint16_t port;
	int partitions;
	const char *bootstrap_file; /* NULL: none */
	enum environment environment;
	const char *topics[TOPICS_MAX];
	size_t topic_count;
};

struct broker {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
};

static const char summary[] =
	"watchpost-dev-broker: an embedded Kafka broker for trying Watchpost out, where there is no Java.\n"
	"It keeps nothing: records live in memory, at most 5 MB or 100,000 a partition, and are gone when it\n"
	"ends. It knows no look-up by time, no admin requests, no TLS. For anything else use Apache Kafka.\n";

static void usage(FILE *to)
{
	fprintf(to,
		"%s\n"
		"  --port PORT            listen on 127.0.0.1:PORT; default: any free port\n"
		"  --bootstrap-file FILE  write host:port to FILE when ready\n"
		"  --environment NAME     make this environment's topics; default: development\n"
		"  --topic NAME           make this topic instead; may be repeated\n"
		"  --partitions N         partitions of each topic; default: %d\n"
		"  --help, --version\n"
		"\n"
		"SIGTERM and SIGINT end it.\n",
		summary, PARTITIONS_DEFAULT);
}

static bool parse_number(const char *text, long max, long *number)
{
	char *end;

	errno = 0;
	*number = strtol(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *number >= 1 && *number <= max;
}

static bool parse_environment(const char *name, enum environment *environment)
{
	for (enum environment e = ENVIRONMENT_DEVELOPMENT; e <= ENVIRONMENT_PRODUCTION; e++) {
		if (strcmp(name, environment_name(e)) == 0) {
			*environment = e;
			return true;
		}
	}
	return false;
}

static bool take_option(struct options *options, int option, const char *value)
{
	long number;

	switch (option) {
	case 'p':
		if (!parse_number(value, UINT16_MAX, &number))
			return false;
		options->port = (uint16_t)number;
		return true;
	case 'n':
		if (!parse_number(value, PARTITIONS_MAX, &number))
			return false;
		options->partitions = (int)number;
		return true;
	case 'b':
		options->bootstrap_file = value;
		return true;
	case 'e':
		return parse_environment(value, &options->environment);
	case 't':
		if (options->topic_count == TOPICS_MAX || strlen(value) > KAFKA_TOPIC_BYTES_MAX)
			return false;
		options->topics[options->topic_count++] = value;
		return true;
	default:
		return false;
	}
}

/* false: end with *status. */
static bool parse_options(int argc, char **argv, struct options *options, int *status)
{
	static const struct option known[] = {
		{"port", required_argument, NULL, 'p'},
		{"partitions", required_argument, NULL, 'n'},
		{"bootstrap-file", required_argument, NULL, 'b'},
		{"environment", required_argument, NULL, 'e'},
		{"topic", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*status = EXIT_SUCCESS;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'h') {
			usage(stdout);
			return false;
		}
		if (option == 'v') {
			printf("watchpost-dev-broker %s\n", WATCHPOST_VERSION);
			return false;
		}
		if (!take_option(options, option, optarg))
			goto refuse;
	}
	if (optind == argc)
		return true;
refuse:
	usage(stderr);
	*status = EXIT_USAGE;
	return false;
}

/* The mock cluster binds to whatever port is free and has no way to be told otherwise. The dynamic linker finds this
 * bind before libc's, also for calls out of librdkafka: the first socket that would take any port gets ours. (It stands
 * in this file because everything else of the programs is linked into the tests.) */
static _Atomic(uint16_t) chosen_port;

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in with_port;

	if (address->sa_family == AF_INET && length >= sizeof(with_port)) {
		memcpy(&with_port, address, sizeof(with_port));
		if (with_port.sin_port == 0) {
			with_port.sin_port = htons(atomic_exchange(&chosen_port, 0));
			return (int)syscall(SYS_bind, fd, &with_port, (socklen_t)sizeof(with_port));
		}
	}
	return (int)syscall(SYS_bind, fd, address, length);
}

static void log_errors(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	fprintf(stderr, "watchpost-dev-broker: %s: %s\n", facility, text);
}

static bool make_topic(struct broker *broker, const char *name, int partitions)
{
	rd_kafka_resp_err_t code = rd_kafka_mock_topic_create(broker->cluster, name, partitions, 1);

	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		fprintf(stderr, "watchpost-dev-broker: topic %s: %s\n", name, rd_kafka_err2str(code));
	return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool make_topics(struct broker *broker, const struct options *options)
{
	for (size_t i = 0; i < options->topic_count; i++) {
		if (!make_topic(broker, options->topics[i], options->partitions))
			return false;
	}
	for (enum event_topic topic = 0; options->topic_count == 0 && topic < EVENT_TOPIC_COUNT; topic++) {
		char name[KAFKA_TOPIC_BYTES_MAX + 1];

		event_topic_name(topic, options->environment, name);
		if (!make_topic(broker, name, options->partitions))
			return false;
	}
	return true;
}

static bool start(struct broker *broker, const struct options *options)
{
	char text[LIBRARY_ERROR_BYTES];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	rd_kafka_conf_set_log_cb(conf, log_errors);
	if (rd_kafka_conf_set(conf, "log_level", "3", text, sizeof(text)) != RD_KAFKA_CONF_OK)
		goto fail;
	broker->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (broker->rk == NULL)
		goto fail;
	atomic_store(&chosen_port, options->port);
	broker->cluster = rd_kafka_mock_cluster_new(broker->rk, 1);
	if (broker->cluster == NULL) {
		fprintf(stderr, "watchpost-dev-broker: could not listen on 127.0.0.1:%u\n", options->port);
		return false;
	}
	return make_topics(broker, options);

fail:
	rd_kafka_conf_destroy(conf);
	fprintf(stderr, "watchpost-dev-broker: %s\n", text);
	return false;
}

/* In one step, so that who waits for the file never reads half of it. */
static bool write_bootstrap(const char *path, const char *bootstrap)
{
	char fresh[4096];
	int length = snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *file = length > 0 && (size_t)length < sizeof(fresh) ? fopen(fresh, "w") : NULL;
	bool ok;

	if (file == NULL)
		goto fail;
	ok = fprintf(file, "%s\n", bootstrap) > 0;
	ok = fclose(file) == 0 && ok;
	if (ok && rename(fresh, path) == 0)
		return true;
	(void)remove(fresh);
fail:
	fprintf(stderr, "watchpost-dev-broker: could not write %s\n", path);
	return false;
}

static void stop(struct broker *broker)
{
	if (broker->cluster != NULL)
		rd_kafka_mock_cluster_destroy(broker->cluster);
	if (broker->rk != NULL)
		rd_kafka_destroy(broker->rk);
}

int main(int argc, char **argv)
{
	struct options options = {.partitions = PARTITIONS_DEFAULT, .environment = ENVIRONMENT_DEVELOPMENT};
	struct broker broker = {0};
	int status = EXIT_FAILURE, received;
	const char *bootstrap;
	sigset_t ending;

	if (!parse_options(argc, argv, &options, &status))
		return status;
	/* Before there are threads, which inherit the mask: the signals come to sigwait alone. */
	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGTERM);
	(void)sigaddset(&ending, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &ending, NULL);
	status = EXIT_FAILURE;
	if (!start(&broker, &options))
		goto out;
	bootstrap = rd_kafka_mock_cluster_bootstraps(broker.cluster);
	printf("%s\nlistening on %s\n", summary, bootstrap);
	if (fflush(stdout) != 0 ||
	    (options.bootstrap_file != NULL && !write_bootstrap(options.bootstrap_file, bootstrap)))
		goto out;
	(void)sigwait(&ending, &received);
	status = EXIT_SUCCESS;
out:
	stop(&broker);
	return status;
}
