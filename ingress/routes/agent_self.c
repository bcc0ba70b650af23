#include "ingress/routes/agent_self.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json_write.h"
#include "ingress/access/in_force.h"
#include "ingress/auth/auth.h"
#include "ingress/store/store.h"

enum {
	BODY_BYTES_MAX = 4096, /* a name of 100 characters, escaped six-fold, and ids */
	NUMBER_BYTES = 24
};

/* The columns of api.agent_self (ingress/store/store.c). */
enum {
	COLUMN_AGENT_ID,
	COLUMN_NAME,
	COLUMN_MACHINE,
	COLUMN_TOKEN_PREFIX,
	COLUMN_STATE,
	COLUMN_CREATED_MS,
	COLUMN_LAST_USED_MS,
	COLUMN_ACCOUNT_ID,
	COLUMN_ACCOUNT_STATE
};

/* In the order in which they happen. */
static void ask_who(struct request *req);
static void told_who(struct request *req, struct pg_ticket *ticket);
static void say_who(struct request *req);
static void disconnect(struct request *req);
static void disconnected(struct request *req, const struct in_force *result);

/* The digest of the caller's token, as the one parameter; NULL without memory. */
static struct pg_params *token_params(const struct request *req)
{
	struct pg_params *params = pg_params_new(1);
	if (params != NULL)
		pg_params_bytea(params, bytes_make(request_caller(req)->token_hash, SHA256_BYTES));
	return params;
}

/* --- GET -------------------------------------------------------------------------------------------- */

/* The answer, while its caller is looked at again. */
struct said {
	struct request_kept kept;
	struct buf body;
};

static void forget_said(struct request_kept *kept)
{
	struct said *said = CONTAINER_OF(kept, struct said, kept);
	buf_free(&said->body);
	free(said);
}

void agent_self_get(struct request *req)
{
	request_note(req, "agent", bytes_of(request_caller(req)->agent_id));
	auth_require(req, ask_who);
}

static void ask_who(struct request *req)
{
	struct pg_params *params = token_params(req);
	if (params == NULL) {
		request_unavailable(req, "memory");
		return;
	}
	store_request(req, STORE_AGENT_SELF, params, told_who);
	pg_params_free(params);
}

/* ,"name":"…" or null. */
static bool put_time(struct buf *body, const char *name, const struct pg_result *row, int column)
{
	char text[CLOCK_TEXT_BYTES];
	int64_t ms = 0;
	if (!pg_get_i64(row, 0, column, &ms))
		return buf_printf(body, ",\"%s\":null", name);
	clock_format_ms(ms, text);
	return buf_printf(body, ",\"%s\":\"%s\"", name, text);
}

static bool put_text(struct buf *body, const char *before, const struct pg_result *row, int column)
{
	return buf_append_text(body, before) && json_write_text(body, pg_get(row, 0, column));
}

static bool put_who(struct buf *body, const struct pg_result *row)
{
	return put_text(body, "{\"agent\":{\"id\":", row, COLUMN_AGENT_ID) &&
	       put_text(body, ",\"name\":", row, COLUMN_NAME) && put_text(body, ",\"state\":", row, COLUMN_STATE) &&
	       put_text(body, ",\"token_prefix\":", row, COLUMN_TOKEN_PREFIX) &&
	       put_time(body, "created_at", row, COLUMN_CREATED_MS) &&
	       put_time(body, "last_used_at", row, COLUMN_LAST_USED_MS) &&
	       put_text(body, "},\"account\":{\"id\":", row, COLUMN_ACCOUNT_ID) &&
	       put_text(body, ",\"state\":", row, COLUMN_ACCOUNT_STATE) && buf_append_text(body, "}}\n");
}

static void told_who(struct request *req, struct pg_ticket *ticket)
{
	struct said *said = NULL;
	if (ticket->outcome != PG_DONE) {
		request_unavailable(req, "postgres_failed");
		return;
	}
	/* Nobody, or nobody any more: the change is on its way to this node. */
	if (pg_rows(ticket->result) != 1 || bytes_equal_text(pg_get(ticket->result, 0, COLUMN_STATE), "revoked")) {
		auth_refuse(req, "token_revoked");
		goto out;
	}
	said = calloc(1, sizeof(*said));
	if (said == NULL) {
		request_unavailable(req, "memory");
		goto out;
	}
	said->kept.release = forget_said;
	buf_init(&said->body, BODY_BYTES_MAX);
	request_keep(req, &said->kept);
	if (put_who(&said->body, ticket->result))
		auth_require(req, say_who); /* R3: the answer waited */
	else
		request_unavailable(req, "memory");
out:
	pg_result_free(ticket->result);
}

static void say_who(struct request *req)
{
	const struct said *said = CONTAINER_OF(request_kept(req), struct said, kept);
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "told",
					     .content_type = "application/json",
					     .body = buf_bytes(&said->body)});
}

/* --- DELETE ----------------------------------------------------------------------------------------- */

void agent_self_delete(struct request *req)
{
	request_note(req, "agent", bytes_of(request_caller(req)->agent_id));
	auth_require(req, disconnect);
}

static void disconnect(struct request *req)
{
	in_force_make(req, STORE_AGENT_DISCONNECT, token_params(req), disconnected);
}

static void disconnected(struct request *req, const struct in_force *result)
{
	char body[128];
	if (result->refused) {
		auth_refuse(req, "token_unknown");
		return;
	}
	int len = snprintf(body, sizeof(body),
			   "{\"revoked\":true,\"in_force\":{\"nodes\":%" PRId64 ",\"of\":%" PRId64
			   ",\"after_ms\":%" PRId64 "}}\n",
			   result->nodes, result->of, result->after_ms);
	assert(len > 0 && (size_t)len < sizeof(body));
	request_finish(req, &(struct answer){.status = 200,
					     .reason = "disconnected",
					     .content_type = "application/json",
					     .body = bytes_make(body, (size_t)len)});
}
