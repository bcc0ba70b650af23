/* watchpost-load: reads the flags, runs the load, prints one JSON line. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/load.h"

static const char USAGE[] =
	"usage: watchpost-load --port N[,N…] [options]\n"
	"  --path P          what to POST to (/webhooks/stripe; /v1/events with --tokens-file)\n"
	"  --secret-file F   sign with this whsec_ secret\n"
	"  --tokens-file F   agents' events instead of webhooks, each with the next token of this file\n"
	"  --connections N   connections, each with one request under way (64)\n"
	"  --seconds S       stop after S seconds (10); 0: no bound\n"
	"  --count N         stop after N requests\n"
	"  --warmup-ms N     not counted, first\n"
	"  --rate N          at most N requests a second\n"
	"  --timeout-ms N    longest wait for an answer (10000)\n"
	"  --customers N     different customers (1000)\n"
	"  --body-bytes N    size of an event (3000)\n"
	"  --pool N          make and sign N requests ahead and repeat them\n"
	"  --run TEXT        part of every event id\n"
	"  --acked F         write down the ids answered 2xx\n"
	"  --retry           send an event again until it is answered 2xx\n"
	"  --tls             speak TLS\n";

static char secret_text[SECRET_BYTES_MAX + 1];

static bool read_secret(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t n = file != NULL ? fread(secret_text, 1, SECRET_BYTES_MAX, file) : 0;
	if (file != NULL)
		(void)fclose(file);
	while (n > 0 && (secret_text[n - 1] == '\n' || secret_text[n - 1] == ' '))
		n--;
	secret_text[n] = '\0';
	return n > 0;
}

static bool read_ports(struct load_options *options, const char *text)
{
	while (*text != '\0' && options->port_count < 16) {
		char *end;
		long port = strtol(text, &end, 10);
		if (port <= 0 || port > 65535)
			return false;
		options->ports[options->port_count++] = (uint16_t)port;
		text = *end == ',' ? end + 1 : end;
		if (*end != ',' && *end != '\0')
			return false;
	}
	return options->port_count > 0;
}

static bool read_flag(struct load_options *options, int flag, const char *value)
{
	long long number = value != NULL ? strtoll(value, NULL, 10) : 0;
	switch (flag) {
	case 'p':
		return read_ports(options, value);
	case 'P':
		options->path = value;
		return true;
	case 's':
		options->secret = secret_text;
		return read_secret(value);
	case 'k':
		options->tokens_path = value;
		return true;
	case 'r':
		options->run = value;
		return strlen(value) < 20;
	case 'a':
		options->acked_path = value;
		return true;
	case 'c':
		options->connections = (int)number;
		return number > 0 && number <= LOAD_CONNECTIONS_MAX;
	case 'S':
		options->seconds = number;
		return number >= 0;
	case 'n':
		options->count = number;
		return number > 0;
	case 'w':
		options->warmup_ms = number;
		return number >= 0;
	case 'R':
		options->rate_per_s = number;
		return number > 0;
	case 't':
		options->timeout_ms = number;
		return number > 0;
	case 'C':
		options->customers = (int)number;
		return number > 0;
	case 'b':
		options->body_bytes = (int)number;
		return number > 0 && number < LOAD_REQUEST_BYTES_MAX - 2000;
	case 'o':
		options->pool = (int)number;
		return number > 0 && number <= 100000;
	case 'T':
		options->tls = true;
		return true;
	case 'y':
		options->retry = true;
		return true;
	default:
		return false;
	}
}

static const struct option FLAGS[] = {
	{"port", required_argument, NULL, 'p'},
	{"path", required_argument, NULL, 'P'},
	{"secret-file", required_argument, NULL, 's'},
	{"tokens-file", required_argument, NULL, 'k'},
	{"run", required_argument, NULL, 'r'},
	{"acked", required_argument, NULL, 'a'},
	{"connections", required_argument, NULL, 'c'},
	{"seconds", required_argument, NULL, 'S'},
	{"count", required_argument, NULL, 'n'},
	{"warmup-ms", required_argument, NULL, 'w'},
	{"rate", required_argument, NULL, 'R'},
	{"timeout-ms", required_argument, NULL, 't'},
	{"customers", required_argument, NULL, 'C'},
	{"body-bytes", required_argument, NULL, 'b'},
	{"pool", required_argument, NULL, 'o'},
	{"tls", no_argument, NULL, 'T'},
	{"retry", no_argument, NULL, 'y'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
	struct load_options options = {.run = "load",
				       .connections = 64,
				       .seconds = 10,
				       .timeout_ms = 10000,
				       .customers = 1000,
				       .body_bytes = 3000};
	int flag;
	while ((flag = getopt_long(argc, argv, "", FLAGS, NULL)) != -1) {
		if (flag == 'h') {
			(void)fputs(USAGE, stdout);
			return 0;
		}
		if (!read_flag(&options, flag, optarg)) {
			(void)fprintf(stderr, "watchpost-load: bad or unknown flag\n%s", USAGE);
			return 2;
		}
	}
	if (options.port_count == 0) {
		(void)fputs(USAGE, stderr);
		return 2;
	}
	if (options.path == NULL)
		options.path = options.tokens_path != NULL ? "/v1/events" : "/webhooks/stripe";
	static struct load_report report;
	struct err err;
	if (!load_run(&options, &report, &err)) {
		(void)fprintf(stderr, "watchpost-load: %s\n", err.text);
		return 1;
	}
	load_report_print(stdout, &report);
	return 0;
}
