/*
 * What W4 and W6 cost for one event, without HTTP and Kafka: nanoseconds of one core, the least of several rounds.
 *
 * make bench-programs && build/bench/micro_stripe [EVENT.json]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "ingress/stripe/event.h"
#include "ingress/stripe/signature.h"
#include "tests/bench/micro.h"

enum { ROUNDS = 9, TIMES = 20000, FILE_BYTES_MAX = 65536 };
static const char SECRET[] = "whsec_micro";
static const int64_t NOW_S = 1769000000;

static struct bytes file_read(const char *path)
{
	static char text[FILE_BYTES_MAX];
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		perror(path);
		exit(1);
	}
	size_t len = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	return bytes_make(text, len);
}

struct work {
	struct stripe_verifier *verifier;
	char header[128];
	struct bytes body;
};

static void work_sign(struct work *work)
{
	struct secret_list list = {.count = 1};
	struct err err;
	uint8_t mac[SHA256_BYTES];
	char hex[SHA256_HEX_BYTES];
	const struct bytes parts[] = {bytes_of("1769000000."), work->body};

	if (!secret_set(&list.items[0], bytes_of(SECRET), &err))
		abort();
	struct hmac_key *key = hmac_key_new(&list.items[0]);
	work->verifier = stripe_verifier_new(&list, 300, &err);
	if (key == NULL || work->verifier == NULL)
		abort();
	hmac_sha256(key, parts, ARRAY_LEN(parts), mac);
	hmac_key_free(key);
	hex_encode(mac, sizeof(mac), hex);
	(void)snprintf(work->header, sizeof(work->header), "t=1769000000,v1=%s", hex);
}

static void do_signature(struct work *work)
{
	if (stripe_verify(work->verifier, bytes_of(work->header), work->body, NOW_S) != STRIPE_SIGNATURE_GOOD)
		abort();
}

static void do_projection(struct work *work)
{
	struct stripe_projection projection;
	const char *field;

	if (stripe_project(work->body, &projection, &field) != STRIPE_PROJECTION_DONE)
		abort();
}

static void do_event(struct work *work)
{
	struct stripe_projection projection;
	struct stripe_event event;
	struct buf value;
	const char *field;

	buf_init(&value, STRIPE_EVENT_BYTES_MAX);
	if (stripe_project(work->body, &projection, &field) != STRIPE_PROJECTION_DONE ||
	    !stripe_event_build(&projection, false, &value, &event, &field))
		abort();
	buf_free(&value);
}

static void measure(const char *name, void (*step)(struct work *), struct work *work)
{
	int64_t least_ns = INT64_MAX;

	for (int round = 0; round < ROUNDS; round++) {
		int64_t start_ns = micro_cpu_ns();
		for (int i = 0; i < TIMES; i++)
			step(work);
		int64_t spent_ns = (micro_cpu_ns() - start_ns) / TIMES;
		least_ns = spent_ns < least_ns ? spent_ns : least_ns;
	}
	printf("%-24s %6lld ns\n", name, (long long)least_ns);
}

int main(int argc, char **argv)
{
	struct work work = {
		.body = file_read(argc > 1 ? argv[1] : "tests/fixtures/stripe/subscription_updated_active.json")};

	work_sign(&work);
	printf("body                     %6zu bytes\n", work.body.len);
	measure("signature (W4)", do_signature, &work);
	measure("projection (W6)", do_projection, &work);
	measure("projection and event (W6)", do_event, &work);
	stripe_verifier_free(work.verifier);
	return 0;
}
