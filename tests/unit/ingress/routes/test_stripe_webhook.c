/*
 * The route from a whole request to its answer (W4 to W8). The test plays the engine and the publisher: the functions
 * that the route calls are defined here, so the linker takes none of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/digest.h"
#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/routes/stripe_webhook.h"

static const char SECRET[] = "whsec_route";
static const char BODY[] =
	"{\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"customer.subscription.updated\",\"created\":1769000000,"
	"\"livemode\":false,\"data\":{\"object\":{\"id\":\"sub_1\",\"object\":\"subscription\","
	"\"customer\":\"cus_1\",\"status\":\"active\"}}}";
static const int64_t NOW_S = 1769000000;

struct request {
	struct http_head head;
	struct http_header signature;
	bool signature_twice;
	struct bytes body;
	int answers;
	int status;
	char code[64], reason[64], field[64], content[64];
	int retry_after_s;
};

static struct clock_fake fake;
static struct config config;
static struct settings settings = {.config = &config};
static struct ingress ingress = {.source = "//test", .stripe_topic = "watchpost.development.stripe"};
static struct request req;
static int published;
static char published_key[64];
static void (*published_done)(struct request *req, const struct kafka_ticket *ticket);

/* --- what the route calls --- */

const struct http_head *request_head(const struct request *r)
{
	return &r->head;
}

struct bytes request_body(const struct request *r)
{
	return r->body;
}

struct loop *request_loop(const struct request *r)
{
	(void)r;
	return NULL;
}

struct ingress *loop_ingress(const struct loop *loop)
{
	(void)loop;
	return &ingress;
}

const struct clock *loop_clock(const struct loop *loop)
{
	(void)loop;
	return &fake.clock;
}

const struct settings *loop_settings(const struct loop *loop)
{
	(void)loop;
	return &settings;
}

const struct http_header *http_head_find(const struct http_head *head, const char *name, bool *many)
{
	assert_ptr_equal(head, &req.head);
	assert_string_equal(name, "stripe-signature");
	*many = req.signature_twice;
	return req.signature_twice || req.signature.value.data == NULL ? NULL : &req.signature;
}

void request_note(struct request *r, const char *key, struct bytes value)
{
	assert_ptr_equal(r, &req);
	assert_true(strcmp(key, "event") != 0 && value.len > 0);
}

static void keep(char out[64], const char *text)
{
	(void)snprintf(out, 64, "%s", text != NULL ? text : "");
}

void request_fail(struct request *r, const struct problem *problem)
{
	r->answers++;
	r->status = problem->status;
	r->retry_after_s = problem->retry_after_s;
	keep(r->code, problem->code);
	keep(r->reason, problem->reason);
	keep(r->field, problem->field);
}

void request_finish(struct request *r, const struct answer *answer)
{
	r->answers++;
	r->status = answer->status;
	keep(r->reason, answer->reason);
	(void)snprintf(r->content, sizeof(r->content), "%.*s", (int)answer->body.len, (const char *)answer->body.data);
}

void publish_request(struct publisher *publisher, struct request *r, const struct kafka_message *message,
		     void (*done)(struct request *r, const struct kafka_ticket *ticket))
{
	(void)publisher;
	assert_ptr_equal(r, &req);
	assert_string_equal(message->topic, "watchpost.development.stripe");
	assert_int_equal(message->partition, -1);
	assert_int_equal(message->header_count, 7);
	assert_true(message->value.len > 0);
	(void)snprintf(published_key, sizeof(published_key), "%.*s", (int)message->key.len,
		       (const char *)message->key.data);
	published++;
	published_done = done;
}

/* --- a request --- */

static void signature_set(const char *body, int64_t at_s)
{
	static char value[128];
	char start[32], hex[SHA256_HEX_BYTES];
	uint8_t mac[SHA256_BYTES];
	struct secret secret;
	struct err err;

	assert_true(secret_set(&secret, bytes_of(SECRET), &err));
	struct hmac_key *key = hmac_key_new(&secret);
	assert_non_null(key);
	(void)snprintf(start, sizeof(start), "%lld.", (long long)at_s);
	hmac_sha256(key, (const struct bytes[]){bytes_of(start), bytes_of(body)}, 2, mac);
	hmac_key_free(key);
	hex_encode(mac, sizeof(mac), hex);
	(void)snprintf(value, sizeof(value), "t=%lld,v1=%s", (long long)at_s, hex);
	req.signature.value = bytes_of(value);
	req.body = bytes_of(body);
}

static int setup(void **state)
{
	struct secret_list list = {.count = 1};
	struct err err;

	(void)state;
	req = (struct request){.answers = 0};
	published = 0;
	published_done = NULL;
	clock_fake_init(&fake, 0, NOW_S * 1000);
	assert_true(secret_set(&list.items[0], bytes_of(SECRET), &err));
	settings.stripe = stripe_verifier_new(&list, 300, &err);
	signature_set(BODY, NOW_S);
	return settings.stripe != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	stripe_verifier_free(settings.stripe);
	return 0;
}

/* Why: promise 1, where it is kept or broken. How: nothing is answered before the delivery report; one that says done
 * is 200, one that says failed is 503. */
static void only_a_delivered_record_is_a_200(void **state)
{
	(void)state;
	stripe_webhook_handle(&req);
	assert_int_equal(published, 1);
	assert_int_equal(req.answers, 0);
	assert_string_equal(published_key, "cus_1");
	published_done(&req, &(struct kafka_ticket){.delivery = KAFKA_DELIVERY_DONE});
	assert_int_equal(req.answers, 1);
	assert_int_equal(req.status, 200);
	assert_string_equal(req.reason, "kept");
	assert_string_equal(req.content, "{\"received\":true}\n");

	stripe_webhook_handle(&req);
	published_done(&req, &(struct kafka_ticket){.delivery = KAFKA_DELIVERY_FAILED});
	assert_int_equal(req.answers, 2);
	assert_int_equal(req.status, 503);
	assert_string_equal(req.reason, "kafka_failed");
	assert_true(req.retry_after_s > 0);
}

static void expect_refused(const char *reason)
{
	stripe_webhook_handle(&req);
	assert_int_equal(req.answers, 1);
	assert_int_equal(req.status, 400);
	assert_string_equal(req.code, "signature_invalid");
	assert_string_equal(req.reason, reason);
	assert_string_equal(req.field, "");
	assert_int_equal(published, 0);
}

/* Why: one answer for every fault, the reason in the log and counted. How: the header missing, doubled, and outdated by
 * the clock that the loop gives. */
static void faults_of_the_signature(void **state)
{
	(void)state;
	uint64_t before = stripe_webhook_failures_total(STRIPE_SIGNATURE_REPEATED);

	req.signature_twice = true;
	expect_refused("signature_repeated");
	assert_int_equal(stripe_webhook_failures_total(STRIPE_SIGNATURE_REPEATED), before + 1);
	req = (struct request){.body = req.body};
	expect_refused("signature_missing");
	req = (struct request){.answers = 0};
	signature_set(BODY, NOW_S);
	clock_fake_advance_ms(&fake, 301000);
	expect_refused("signature_too_old");
}

/* Why: the signature comes first, so that strangers learn nothing about what we read. How: a broken body under a wrong
 * signature, then under a good one. */
static void body_is_read_behind_the_signature(void **state)
{
	(void)state;
	req.body = bytes_of("{");
	expect_refused("signature_wrong");
	req = (struct request){.answers = 0};
	signature_set("{", NOW_S);
	stripe_webhook_handle(&req);
	assert_int_equal(req.status, 400);
	assert_string_equal(req.code, "json_invalid");
	req = (struct request){.answers = 0};
	signature_set("{\"id\":\"evt_1\"}", NOW_S);
	stripe_webhook_handle(&req);
	assert_string_equal(req.code, "event_invalid");
	assert_string_equal(req.field, "type");
	assert_int_equal(published, 0);
}

/* Why: an event of the mode that is not ours must not be turned away, or Stripe disables the endpoint. How: the same
 * event in an environment of the other mode. */
static void the_other_mode_is_published_too(void **state)
{
	(void)state;
	config.stripe_livemode = true;
	stripe_webhook_handle(&req);
	config.stripe_livemode = false;
	assert_int_equal(published, 1);
	assert_int_equal(req.answers, 0);
}

/* Why: without a secret the fault is ours, and the event must come again. How: a verifier of no secrets. */
static void without_a_secret_it_is_503(void **state)
{
	(void)state;
	struct secret_list none = {.count = 0};
	struct err err;

	stripe_verifier_free(settings.stripe);
	settings.stripe = stripe_verifier_new(&none, 300, &err);
	stripe_webhook_handle(&req);
	assert_int_equal(req.status, 503);
	assert_string_equal(req.reason, "stripe_secret_missing");
	assert_true(req.retry_after_s > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_a_delivered_record_is_a_200, setup, teardown),
		cmocka_unit_test_setup_teardown(faults_of_the_signature, setup, teardown),
		cmocka_unit_test_setup_teardown(body_is_read_behind_the_signature, setup, teardown),
		cmocka_unit_test_setup_teardown(the_other_mode_is_published_too, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_secret_it_is_503, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
