/*
 * POST /v1/events from a whole request to its answer. The test plays the engine, authentication and the publisher: the
 * functions that the route calls are defined here, so the linker takes none of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "events.h"
#include "ingress/auth/auth.h"
#include "ingress/ingress.h"
#include "ingress/loop.h"
#include "ingress/routes/agent_events.h"

static const int64_t NOW_MS = 1795804509123;

struct request {
	struct bytes body;
	struct request_kept *kept;
	int answers, status, retry_after_s;
	char code[64], reason[64], field[64], content[512];
};

static struct clock_fake fake;
static struct ingress ingress = {.source = "//test", .agent_topic = "watchpost.development.agent"};
static const struct caller CALLER = {.agent_id = "agent_1", .account_id = "acct_1"};
static struct request req;
static bool refuse; /* the caller, when he is looked at again */
static int required, published;
static bool as_batch;
static char ids[PUBLISH_BATCH_MAX][128];
static struct event_agent_report first;
static uint8_t first_value[EVENT_AGENT_REPORT_BYTES_MAX];
static int64_t first_time_ms;
static void (*done)(struct request *req, const struct kafka_ticket *ticket);

/* --- what the route calls ----------------------------------------------------------------------------- */

const struct caller *request_caller(const struct request *r)
{
	assert_ptr_equal(r, &req);
	return &CALLER;
}

void auth_require(struct request *r, void (*then)(struct request *req))
{
	assert_int_equal(published, 0);
	required++;
	if (!refuse)
		then(r);
}

struct bytes request_body(const struct request *r)
{
	assert_int_equal(required, 1);
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

void request_note(struct request *r, const char *key, struct bytes value)
{
	assert_ptr_equal(r, &req);
	assert_true((strcmp(key, "agent") == 0 || strcmp(key, "events") == 0) && value.len > 0);
}

void request_keep(struct request *r, struct request_kept *kept)
{
	assert_null(r->kept);
	r->kept = kept;
}

struct request_kept *request_kept(const struct request *r)
{
	return r->kept;
}

static void end(struct request *r)
{
	r->answers++;
	if (r->kept != NULL)
		r->kept->release(r->kept);
	r->kept = NULL;
}

static void keep(char out[64], const char *text)
{
	(void)snprintf(out, 64, "%s", text != NULL ? text : "");
}

void request_fail(struct request *r, const struct problem *problem)
{
	r->status = problem->status;
	r->retry_after_s = problem->retry_after_s;
	keep(r->code, problem->code);
	keep(r->reason, problem->reason);
	keep(r->field, problem->field);
	end(r);
}

void request_finish(struct request *r, const struct answer *answer)
{
	r->status = answer->status;
	keep(r->reason, answer->reason);
	(void)snprintf(r->content, sizeof(r->content), "%.*s", (int)answer->body.len, (const char *)answer->body.data);
	end(r);
}

static void take(const struct kafka_message *message, size_t at)
{
	struct event_head head;
	struct err err;
	assert_string_equal(message->topic, "watchpost.development.agent");
	assert_int_equal(message->partition, -1);
	assert_true(bytes_equal_text(message->key, "acct_1"));
	assert_true(event_head_read(message->headers, message->header_count, &head, &err));
	assert_true(bytes_equal_text(head.type, "watchpost.agent.report") && head.sequence == 0);
	(void)snprintf(ids[at], sizeof(ids[at]), "%.*s", (int)head.id.len, (const char *)head.id.data);
	if (at == 0) {
		/* Everything is copied while this runs. */
		memcpy(first_value, message->value.data, message->value.len);
		assert_true(event_agent_report_decode(bytes_make(first_value, message->value.len), &first, &err));
		first_time_ms = head.time_ms;
	}
	published++;
}

void publish_request(struct publisher *publisher, struct request *r, const struct kafka_message *message,
		     void (*then)(struct request *r, const struct kafka_ticket *ticket))
{
	(void)publisher;
	assert_ptr_equal(r, &req);
	take(message, 0);
	done = then;
}

void publish_batch(struct publisher *publisher, struct request *r, const struct kafka_message *messages, size_t count,
		   void (*then)(struct request *r, const struct kafka_ticket *ticket))
{
	(void)publisher;
	assert_ptr_equal(r, &req);
	for (size_t i = 0; i < count; i++)
		take(&messages[i], i);
	as_batch = true;
	done = then;
}

/* --- the tests ---------------------------------------------------------------------------------------- */

static int reset(void **state)
{
	(void)state;
	clock_fake_init(&fake, 0, NOW_MS);
	if (req.kept != NULL)
		req.kept->release(req.kept);
	memset(&req, 0, sizeof(req));
	memset(&first, 0, sizeof(first));
	required = published = 0;
	refuse = as_batch = false;
	done = NULL;
	return 0;
}

static void handle(const char *body)
{
	req.body = bytes_of(body);
	agent_events_handle(&req);
}

static void deliver(enum kafka_delivery delivery)
{
	done(&req, &(struct kafka_ticket){.delivery = delivery});
}

/* Why: W6: what is published is built from an allow list and from the caller, and answered when it is kept. How: a
 * report with every member; the event's fields, its time, its id; nothing is answered before the delivery. */
static void one_report(void **state)
{
	(void)state;
	handle("{\"id\":\"o-1\",\"type\":\"purchase.failed\",\"occurred_at\":\"2026-11-27T00:00:00Z\",\"amount\":7,"
	       "\"decision_id\":\"dec_01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"currency\":\"eur\",\"text\":\"a\\nb\"}");
	assert_true(published == 1 && !as_batch && req.answers == 0);
	assert_string_equal(ids[0], "acct_1/o-1");
	assert_true(bytes_equal_text(first.account_id, "acct_1") && bytes_equal_text(first.agent_id, "agent_1"));
	assert_true(bytes_equal_text(first.report_id, "o-1") && bytes_equal_text(first.kind, "purchase.failed"));
	assert_true(bytes_equal_text(first.text, "a\nb") && bytes_equal_text(first.currency, "eur"));
	assert_true(first.has_amount && first.amount == 7 && first.received_at_ms == NOW_MS);
	assert_true(first.has_occurred_at_ms && first.occurred_at_ms == first_time_ms && first_time_ms < NOW_MS);
	deliver(KAFKA_DELIVERY_DONE);
	assert_true(req.answers == 1 && req.status == 202);
	assert_string_equal(req.content, "{\"accepted\":1,\"events\":[{\"id\":\"acct_1/o-1\"}]}\n");
}

/* Why: absent is absent, and an id of the agent's is optional. How: the smallest report. */
static void smallest_report(void **state)
{
	(void)state;
	handle("{\"type\":\"note\"}");
	assert_true(id_valid(bytes_of(ids[0]), "evt"));
	assert_false(first.has_report_id || first.has_occurred_at_ms || first.has_decision_id || first.has_amount ||
		     first.has_currency || first.has_text);
	assert_int_equal(first_time_ms, NOW_MS);
	deliver(KAFKA_DELIVERY_DONE);
	assert_non_null(strstr(req.content, ids[0]));
}

/* Why: a list is one answer, its ids in order; what is not kept whole is 503. How: two reports, kept and not. */
static void a_list(void **state)
{
	(void)state;
	for (int kept = 0; kept <= 1; kept++) {
		reset(NULL);
		handle("{\"events\":[{\"id\":\"a\",\"type\":\"note\"},{\"id\":\"b\",\"type\":\"note\"}]}");
		assert_true(published == 2 && as_batch && req.answers == 0);
		deliver(kept ? KAFKA_DELIVERY_DONE : KAFKA_DELIVERY_FAILED);
		assert_int_equal(req.status, kept ? 202 : 503);
		assert_int_equal(req.retry_after_s, kept ? 0 : 1);
		assert_string_equal(req.reason, kept ? "kept" : "kafka_failed");
		assert_string_equal(req.content,
				    kept ? "{\"accepted\":2,\"events\":[{\"id\":\"acct_1/a\"},{\"id\":\"acct_1/b\"}]}\n"
					 : "");
	}
}

/* Why: R3: who is not accepted any more when the body is whole publishes nothing. How: authentication refuses. */
static void a_revoked_caller(void **state)
{
	(void)state;
	refuse = true;
	handle("{\"type\":\"note\"}");
	assert_true(required == 1 && published == 0 && req.answers == 0);
}

/* Why: each fault has its status and code (docs/answers.md), and nothing is published. How: one of each kind. */
static void faults(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		int status;
		const char *code, *field;
	} cases[] = {
		{"{", 400, "json_invalid", ""},
		{"[]", 422, "event_invalid", ""},
		{"{\"type\":\"note\",\"amount\":-1}", 422, "event_invalid", "amount"},
		{"{\"events\":[{\"type\":\"note\"},{\"type\":\"note\",\"text\":\"sk_live_51Habc\"}]}", 422,
		 "secret_refused", "events[1].text"},
		{"{\"type\":\"note\",\"text\":\"4242 4242 4242 4242\"}", 422, "card_data_refused", "text"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		reset(NULL);
		handle(cases[i].body);
		assert_true(published == 0 && req.answers == 1);
		assert_int_equal(req.status, cases[i].status);
		assert_string_equal(req.code, cases[i].code);
		assert_string_equal(req.field, cases[i].field);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_report, reset), cmocka_unit_test_setup(smallest_report, reset),
		cmocka_unit_test_setup(a_list, reset),     cmocka_unit_test_setup(a_revoked_caller, reset),
		cmocka_unit_test_setup(faults, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
