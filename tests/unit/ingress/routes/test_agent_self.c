/*
 * GET and DELETE /v1/agent. The test plays the engine, authentication, Postgres and the waiting for R5: the functions
 * that the routes call are defined here, so the linker takes none of the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ingress/access/in_force.h"
#include "ingress/auth/auth.h"
#include "ingress/routes/agent_self.h"

struct request {
	struct request_kept *kept;
	int answers, status;
	char reason[64], content[1024];
};

struct pg_result {
	int rows;
	const char *columns[9]; /* NULL: null */
	bool freed;
};

static const struct caller CALLER = {.agent_id = "agent_1", .account_id = "acct_1", .token_hash = {7}};
static struct request req;
static int required, stored, refused;
static int refuse_at; /* the look at the caller that refuses him; 0: none */
static void (*told)(struct request *req, struct pg_ticket *ticket);
static void (*in_force)(struct request *req, const struct in_force *result);

/* --- what the routes call ------------------------------------------------------------------------------ */

const struct caller *request_caller(const struct request *r)
{
	assert_ptr_equal(r, &req);
	return &CALLER;
}

void auth_require(struct request *r, void (*then)(struct request *req))
{
	if (++required != refuse_at)
		then(r);
}

void auth_refuse(struct request *r, const char *reason)
{
	assert_ptr_equal(r, &req);
	assert_non_null(reason);
	refused++;
}

void store_request(struct request *r, enum store_call call, const struct pg_params *params,
		   void (*done)(struct request *req, struct pg_ticket *ticket))
{
	assert_ptr_equal(r, &req);
	assert_int_equal(call, STORE_AGENT_SELF);
	assert_non_null(params);
	stored++;
	told = done;
}

void in_force_make(struct request *r, enum store_call call, struct pg_params *params,
		   void (*done)(struct request *req, const struct in_force *result))
{
	assert_ptr_equal(r, &req);
	assert_int_equal(call, STORE_AGENT_DISCONNECT);
	assert_non_null(params);
	pg_params_free(params);
	in_force = done;
}

int pg_rows(const struct pg_result *result)
{
	return result->rows;
}

struct bytes pg_get(const struct pg_result *result, int row, int column)
{
	assert_true(row == 0 && column < 9);
	return bytes_of(result->columns[column]);
}

bool pg_get_i64(const struct pg_result *result, int row, int column, int64_t *out)
{
	if (result->columns[column] == NULL)
		return false;
	*out = strtoll(pg_get(result, row, column).data != NULL ? result->columns[column] : "", NULL, 10);
	return true;
}

void pg_result_free(struct pg_result *result)
{
	result->freed = true;
}

void request_note(struct request *r, const char *key, struct bytes value)
{
	assert_ptr_equal(r, &req);
	assert_string_equal(key, "agent");
	assert_true(bytes_equal_text(value, "agent_1"));
}

void request_keep(struct request *r, struct request_kept *kept)
{
	r->kept = kept;
}

struct request_kept *request_kept(const struct request *r)
{
	return r->kept;
}

static void end(struct request *r, int status, const char *reason)
{
	r->answers++;
	r->status = status;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", reason);
}

void request_fail(struct request *r, const struct problem *problem)
{
	assert_true(problem->status == 503 && problem->retry_after_s > 0);
	end(r, problem->status, problem->reason);
}

void request_finish(struct request *r, const struct answer *answer)
{
	(void)snprintf(r->content, sizeof(r->content), "%.*s", (int)answer->body.len, (const char *)answer->body.data);
	end(r, answer->status, answer->reason);
}

/* --- the tests ---------------------------------------------------------------------------------------- */

static int reset(void **state)
{
	(void)state;
	if (req.kept != NULL)
		req.kept->release(req.kept);
	memset(&req, 0, sizeof(req));
	required = stored = refused = refuse_at = 0;
	return 0;
}

static struct pg_result row_of(const char *name, const char *state, const char *used)
{
	return (struct pg_result){
		.rows = 1,
		.columns = {"agent_1", name, NULL, "wp_ABCDE", state, "1795804509123", used, "acct_1", "suspended"}};
}

static void tell(struct pg_result *row)
{
	told(&req, &(struct pg_ticket){.outcome = PG_DONE, .result = row});
	assert_true(row->freed);
}

/* Why: the answer of API.md, with the names as JSON. How: an agent that was never used and one that was. */
static void who_am_i(void **state)
{
	(void)state;
	struct pg_result never = row_of("Jane's \"agent\"", "paused", NULL);
	struct pg_result used = row_of("é", "active", "1795804510000");
	agent_self_get(&req);
	tell(&never);
	assert_true(req.answers == 1 && req.status == 200 && required == 2);
	assert_string_equal(req.content,
			    "{\"agent\":{\"id\":\"agent_1\",\"name\":\"Jane's \\\"agent\\\"\",\"state\":\"paused\","
			    "\"token_prefix\":\"wp_ABCDE\",\"created_at\":\"2026-11-27T18:35:09.123Z\","
			    "\"last_used_at\":null},\"account\":{\"id\":\"acct_1\",\"state\":\"suspended\"}}\n");
	reset(NULL);
	agent_self_get(&req);
	tell(&used);
	assert_non_null(strstr(req.content, "\"name\":\"é\""));
	assert_non_null(strstr(req.content, "\"last_used_at\":\"2026-11-27T18:35:10.000Z\""));
	reset(NULL);
}

/* Why: R3: neither what is asked nor what was waited for goes to who was revoked meanwhile. How: authentication refuses
 * before the question, and before the answer; the row is gone, and the row says revoked. */
static void a_revoked_caller_is_told_nothing(void **state)
{
	(void)state;
	struct pg_result row = row_of("n", "active", NULL);
	struct pg_result revoked = row_of("n", "revoked", NULL);
	struct pg_result nobody = {.rows = 0};
	refuse_at = 1;
	agent_self_get(&req);
	assert_true(stored == 0 && req.answers == 0);
	reset(NULL);
	refuse_at = 2;
	agent_self_get(&req);
	tell(&row);
	assert_true(stored == 1 && req.answers == 0);
	reset(NULL);
	agent_self_get(&req);
	tell(&nobody);
	agent_self_get(&req);
	tell(&revoked);
	assert_true(refused == 2 && req.answers == 0);
	reset(NULL);
}

/* Why: an answer that Postgres did not give is 503. How: a ticket that failed. */
static void postgres_failed(void **state)
{
	(void)state;
	agent_self_get(&req);
	told(&req, &(struct pg_ticket){.outcome = PG_FAILED, .code = ERR_UNAVAILABLE});
	assert_true(req.answers == 1 && req.status == 503);
	assert_string_equal(req.reason, "postgres_failed");
}

/* Why: API.md, and no body without R5. How: done, and refused since the token is nobody's. */
static void disconnecting(void **state)
{
	(void)state;
	agent_self_delete(&req);
	assert_true(required == 1 && req.answers == 0);
	in_force(&req, &(struct in_force){.number = 9, .nodes = 2, .of = 3, .after_ms = 1001});
	assert_true(req.answers == 1 && req.status == 200);
	assert_string_equal(req.content, "{\"revoked\":true,\"in_force\":{\"nodes\":2,\"of\":3,\"after_ms\":1001}}\n");
	reset(NULL);
	agent_self_delete(&req);
	in_force(&req, &(struct in_force){.refused = true, .code = ERR_NOT_FOUND});
	assert_true(refused == 1 && req.answers == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_am_i, reset),
		cmocka_unit_test_setup(a_revoked_caller_is_told_nothing, reset),
		cmocka_unit_test_setup(postgres_failed, reset),
		cmocka_unit_test_setup(disconnecting, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
