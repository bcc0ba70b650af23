#include "common/pg_pipe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/id.h"
#include "common/log.h"
#include "common/pg_connector.h"
#include "common/pg_internal.h"

enum { NS_PER_MS = 1000000, RESULTS_END = 2 };

/* DOWN (until retry_ns) → CONNECTING (a thread) → UP → DOWN; CONNECTING → DOWN when it failed. */
enum pipe_state { PIPE_DOWN, PIPE_CONNECTING, PIPE_UP };
static const char *const state_names[] = {"down", "connecting", "up"};

/* What one Sync answers. */
struct slot {
	struct pg_ticket *ticket; /* NULL: nobody waits any more (timed out), or a rollback of our own */
	int64_t deadline_ns;
	uint8_t commits;    /* bit n: step n is a commit */
	bool transactional; /* begins or ends a transaction */
};

struct pg_pipe {
	struct pg_pipe_options options;
	struct pg_settings *settings;
	enum pipe_state state;
	struct pg_connector *connector; /* CONNECTING */
	PGconn *conn;                   /* UP */
	bool broken;                    /* UP, but a send failed: the next turn ends it */
	bool unflushed;
	uint64_t serial;
	int64_t retry_ns;
	int backoff_ms;
	struct err down; /* why it is not up */

	/* A ring: slots[(first + n) % slot_count] is the n-th that the server has yet to answer. */
	struct slot *slots;
	size_t slot_count, first, used;
	size_t swept; /* how many from the first on have no ticket because their time was over */
	int64_t head_since_ns;

	/* The first slot's answer so far. */
	PGresult *kept;
	uint8_t step;
	struct pg_ticket verdict; /* outcome PG_FAILED once a step has failed */

	struct pg_ticket *finished, **finished_end; /* what turn will return */
};

static int64_t now(const struct pg_pipe *pipe)
{
	return clock_mono_ns(pipe->options.clock);
}

static int timeout_ms(const struct pg_pipe *pipe)
{
	return pipe->options.timeout_ms;
}

static void set_state(struct pg_pipe *pipe, enum pipe_state to)
{
	enum pipe_state from = pipe->state;

	assert((from == PIPE_DOWN && to == PIPE_CONNECTING) || (from == PIPE_CONNECTING && to != PIPE_CONNECTING) ||
	       (from == PIPE_UP && to == PIPE_DOWN));
	assert((to == PIPE_CONNECTING) == (pipe->connector != NULL));
	assert((to == PIPE_UP) == (pipe->conn != NULL));
	TRACE(PG, "pg_pipe_state", F_TEXT("from", state_names[from]), F_TEXT("to", state_names[to]));
	pipe->state = to;
	pipe->serial++;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

static bool check_options(const struct pg_pipe_options *options, struct err *err)
{
	assert(options->config != NULL && options->program != NULL && options->clock != NULL);
	assert(options->statement_count > 0 && options->statement_count <= PG_STATEMENTS_MAX);
	assert(options->waiting_max > 0 && options->waiting_max <= PG_PIPE_WAITING_MAX);
	if (options->config->postgres_dsn == NULL || options->config->postgres_dsn[0] == '\0')
		return err_set(err, ERR_INVALID, "the setting postgres_dsn is not given");
	if (options->config->environment == ENVIRONMENT_NONE)
		return err_set(err, ERR_INVALID, "the setting environment is not given");
	return true;
}

static void free_pipe(struct pg_pipe *pipe)
{
	PQclear(pipe->kept);
	PQfinish(pipe->conn);
	pg_connector_abandon(pipe->connector);
	pg_settings_free(pipe->settings);
	free(pipe->slots);
	free(pipe);
}

struct pg_pipe *pg_pipe_open(const struct pg_pipe_options *options, struct err *err)
{
	struct pg_pipe *pipe;

	if (!check_options(options, err))
		return NULL;
	pipe = calloc(1, sizeof(*pipe));
	if (pipe == NULL)
		goto no_memory;
	pipe->options = *options;
	pipe->options.config = NULL; /* what is needed of it is copied */
	if (pipe->options.timeout_ms == 0)
		pipe->options.timeout_ms = (int)options->config->postgres_timeout_ms;
	pipe->slot_count = options->waiting_max;
	pipe->slots = calloc(pipe->slot_count, sizeof(*pipe->slots));
	pipe->settings = pg_settings_copy(options->config, err);
	pipe->finished_end = &pipe->finished;
	pipe->retry_ns = INT64_MIN;
	(void)err_set(&pipe->down, ERR_UNAVAILABLE, "not connected yet");
	if (pipe->slots == NULL || pipe->settings == NULL) {
		free_pipe(pipe);
		goto no_memory;
	}
	return pipe;
no_memory:
	(void)err_set(err, ERR_FULL, "no memory for a connection to Postgres");
	return NULL;
}

bool pg_pipe_set_config(struct pg_pipe *pipe, const struct config *config, struct err *err)
{
	struct pg_settings *settings = pg_settings_copy(config, err);

	if (settings == NULL)
		return false;
	pg_settings_free(pipe->settings);
	pipe->settings = settings;
	return true;
}

/* --- tickets ------------------------------------------------------------------------------------------------------ */

static struct slot *slot_at(const struct pg_pipe *pipe, size_t n)
{
	assert(n < pipe->used);
	return &pipe->slots[(pipe->first + n) % pipe->slot_count];
}

static void finish(struct pg_pipe *pipe, struct pg_ticket *ticket)
{
	assert(ticket->outcome != PG_WAITING && ticket->next == NULL);
	*pipe->finished_end = ticket;
	pipe->finished_end = &ticket->next;
}

static void fail_ticket(struct pg_pipe *pipe, struct pg_ticket *ticket, enum err_code code, const char *failure)
{
	ticket->outcome = PG_FAILED;
	ticket->code = code;
	ticket->failure = failure;
	finish(pipe, ticket);
}

static struct pg_ticket *take_finished(struct pg_pipe *pipe)
{
	struct pg_ticket *list = pipe->finished;

	pipe->finished = NULL;
	pipe->finished_end = &pipe->finished;
	return list;
}

/* Forgets the first slot's answer so far. */
static void start_answer(struct pg_pipe *pipe)
{
	PQclear(pipe->kept);
	pipe->kept = NULL;
	pipe->step = 0;
	pipe->verdict = (struct pg_ticket){0};
	pipe->head_since_ns = now(pipe);
}

/* --- losing the connection ---------------------------------------------------------------------------------------- */

/* From UP or CONNECTING; pipe->down says why. */
static void go_down(struct pg_pipe *pipe)
{
	uint32_t spread;

	PQfinish(pipe->conn);
	pipe->conn = NULL;
	pipe->connector = NULL;
	pipe->broken = false;
	pipe->unflushed = false;
	for (size_t i = 0; i < pipe->used; i++) {
		struct pg_ticket *ticket = slot_at(pipe, i)->ticket;

		if (ticket != NULL)
			fail_ticket(pipe, ticket, ERR_UNAVAILABLE, "the connection to Postgres was lost");
	}
	pipe->used = 0;
	pipe->swept = 0;
	start_answer(pipe);
	/* Spread by up to a half, so that not every loop of every node comes back at once. */
	id_random(&spread, sizeof(spread));
	pipe->retry_ns = now(pipe) + (int64_t)pipe->backoff_ms * NS_PER_MS / 2 +
			 (int64_t)(spread % 1000) * pipe->backoff_ms * NS_PER_MS / 2000;
	pipe->backoff_ms =
		2 * pipe->backoff_ms < PG_PIPE_BACKOFF_MS_MAX ? 2 * pipe->backoff_ms : PG_PIPE_BACKOFF_MS_MAX;
	set_state(pipe, PIPE_DOWN);
}

static void lose(struct pg_pipe *pipe, const char *why)
{
	assert(pipe->state == PIPE_UP);
	(void)err_set(&pipe->down, ERR_UNAVAILABLE, "%s", why);
	LOG(WARN, "pg_lost", F_TEXT("program", pipe->options.program), F_U64("waiting", pipe->used),
	    F_ERR(&pipe->down));
	go_down(pipe);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

static void connect_failed(struct pg_pipe *pipe, const struct err *err)
{
	/* Told once for each reason, not once for each try. */
	if (strcmp(err->text, pipe->down.text) != 0)
		LOG(WARN, "pg_down", F_ERR(err));
	pipe->down = *err;
	go_down(pipe);
}

static void start_connecting(struct pg_pipe *pipe)
{
	struct err err = {0};

	assert(pipe->state == PIPE_DOWN && pipe->used == 0);
	pipe->connector = pg_connector_start(&pipe->options, pipe->settings, &err);
	if (pipe->connector == NULL) {
		pipe->down = err;
		pipe->retry_ns = now(pipe) + (int64_t)PG_PIPE_BACKOFF_MS_MAX * NS_PER_MS;
		return;
	}
	if (pipe->backoff_ms == 0)
		pipe->backoff_ms = PG_PIPE_BACKOFF_MS_MIN;
	set_state(pipe, PIPE_CONNECTING);
}

static void look_at_connector(struct pg_pipe *pipe)
{
	struct err err = {0};

	if (!pg_connector_take(pipe->connector, &pipe->conn, &err))
		return;
	pipe->connector = NULL;
	if (pipe->conn == NULL) {
		connect_failed(pipe, &err);
		return;
	}
	pipe->backoff_ms = PG_PIPE_BACKOFF_MS_MIN;
	err_clear(&pipe->down);
	start_answer(pipe);
	set_state(pipe, PIPE_UP);
	LOG(INFO, "pg_up", F_I64("backend", PQbackendPID(pipe->conn)));
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static enum pg_send_result refuse(struct pg_ticket *ticket, const struct err *err)
{
	ticket->code = err->code;
	ticket->failure = "the parameters of the call are bad";
	return PG_SEND_REFUSED;
}

static struct slot *add_slot(struct pg_pipe *pipe, struct pg_ticket *ticket)
{
	struct slot *slot;

	assert(pipe->used < pipe->slot_count);
	if (pipe->used == 0)
		start_answer(pipe);
	pipe->used++;
	slot = slot_at(pipe, pipe->used - 1);
	*slot = (struct slot){.ticket = ticket, .deadline_ns = now(pipe) + (int64_t)timeout_ms(pipe) * NS_PER_MS};
	return slot;
}

/* A call that was sent in part leaves the connection in an unknown state. */
static bool sync_and_flush(struct pg_pipe *pipe)
{
	int left;

	if (PQpipelineSync(pipe->conn) != 1)
		return false;
	left = PQflush(pipe->conn);
	pipe->unflushed = left == 1;
	return left >= 0;
}

static void note_transaction(const struct pg_pipe *pipe, struct slot *slot, size_t step, size_t statement)
{
	const char *sql = pipe->options.statements[statement].sql;

	if (strcmp(sql, "commit") == 0)
		slot->commits |= (uint8_t)(1u << step);
	if (strcmp(sql, "begin") == 0 || strcmp(sql, "commit") == 0)
		slot->transactional = true;
}

static bool send_step(struct pg_pipe *pipe, size_t statement, const struct pg_arguments *arguments)
{
	char name[PG_STATEMENT_NAME_BYTES];

	assert(statement < pipe->options.statement_count);
	pg_statement_name(statement, name);
	return PQsendQueryPrepared(pipe->conn, name, arguments->count, arguments->values, arguments->lengths,
				   arguments->formats, 0) == 1;
}

enum pg_send_result pg_pipe_send(struct pg_pipe *pipe, size_t statement, const struct pg_params *params,
				 struct pg_ticket *ticket)
{
	struct pg_step step = {.statement = statement, .params = params};

	return pg_pipe_send_steps(pipe, &step, 1, ticket);
}

enum pg_send_result pg_pipe_send_steps(struct pg_pipe *pipe, const struct pg_step *steps, size_t count,
				       struct pg_ticket *ticket)
{
	struct pg_arguments arguments[PG_PIPE_STEPS_MAX];
	struct err err = {0};
	struct slot *slot;
	bool sent = true;

	assert(count > 0 && count <= PG_PIPE_STEPS_MAX);
	*ticket = (struct pg_ticket){.outcome = PG_WAITING};
	if (pipe->state != PIPE_UP || pipe->broken)
		return PG_SEND_DOWN;
	if (pipe->used == pipe->slot_count)
		return PG_SEND_FULL;
	for (size_t i = 0; i < count; i++)
		if (!pg_params_arguments(steps[i].params, &arguments[i], ticket->sqlstate, &err))
			return refuse(ticket, &err);
	slot = add_slot(pipe, ticket);
	for (size_t i = 0; sent && i < count; i++) {
		note_transaction(pipe, slot, i, steps[i].statement);
		sent = send_step(pipe, steps[i].statement, &arguments[i]);
	}
	/* Queued all the same: the ticket comes back failed, with the others, at the next turn. */
	pipe->broken = !sent || !sync_and_flush(pipe);
	return PG_SEND_QUEUED;
}

/* After a failure inside a transaction, so that what is sent next does not run in its ruins. */
static void send_rollback(struct pg_pipe *pipe)
{
	(void)add_slot(pipe, NULL); /* there is room: the slot that failed has just gone */
	pipe->broken =
		PQsendQueryParams(pipe->conn, "rollback", 0, NULL, NULL, NULL, NULL, 0) != 1 || !sync_and_flush(pipe);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void note_failure(struct pg_pipe *pipe, const PGresult *raw)
{
	struct err err = {0};

	(void)pg_error_from_result(pipe->conn, raw, pipe->verdict.sqlstate, &err);
	pipe->verdict.outcome = PG_FAILED;
	pipe->verdict.code = err.code;
	pipe->verdict.failure = "Postgres refused the call";
	if (err.code == ERR_INTERNAL)
		LOG(WARN, "pg_call_failed", F_ERR(&err));
}

/* COMMIT of a transaction that had failed succeeds, as a rollback. */
static bool rolled_back(const struct pg_pipe *pipe, const struct slot *slot, PGresult *raw)
{
	return (slot->commits & (1u << pipe->step)) != 0 && strcmp(PQcmdStatus(raw), "COMMIT") != 0;
}

static void take_step(struct pg_pipe *pipe, PGresult *raw)
{
	struct slot *slot = slot_at(pipe, 0);
	ExecStatusType status = PQresultStatus(raw);

	if (status == PGRES_FATAL_ERROR) {
		note_failure(pipe, raw);
	} else if (status == PGRES_PIPELINE_ABORTED) {
		/* The step before it failed, and is noted. */
	} else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		pipe->broken = true;
	} else if (rolled_back(pipe, slot, raw)) {
		pipe->verdict.outcome = PG_FAILED;
		pipe->verdict.code = ERR_INTERNAL;
		pipe->verdict.failure = "the transaction had failed and was rolled back";
	} else if (PQnfields(raw) > 0) {
		PQclear(pipe->kept);
		pipe->kept = raw;
		raw = NULL;
	}
	PQclear(raw);
	pipe->step++;
}

/* The Sync was answered: the first slot is done. */
static void complete_slot(struct pg_pipe *pipe)
{
	struct pg_ticket *ticket = slot_at(pipe, 0)->ticket;

	if (ticket != NULL && pipe->verdict.outcome == PG_FAILED) {
		memcpy(ticket->sqlstate, pipe->verdict.sqlstate, sizeof(ticket->sqlstate));
		fail_ticket(pipe, ticket, pipe->verdict.code, pipe->verdict.failure);
	} else if (ticket != NULL) {
		ticket->outcome = PG_DONE;
		ticket->result = pipe->kept;
		pipe->kept = NULL;
		finish(pipe, ticket);
	}
	pipe->first = (pipe->first + 1) % pipe->slot_count;
	pipe->used--;
	if (pipe->swept > 0)
		pipe->swept--;
	start_answer(pipe);
}

static void read_answers(struct pg_pipe *pipe)
{
	int ends = 0; /* NULLs in a row: one ends a step, two mean that there is nothing more */

	while (pipe->used > 0 && ends < RESULTS_END && !PQisBusy(pipe->conn)) {
		PGresult *raw = PQgetResult(pipe->conn);

		if (raw == NULL) {
			ends++;
			continue;
		}
		ends = 0;
		if (PQresultStatus(raw) != PGRES_PIPELINE_SYNC) {
			take_step(pipe, raw);
			continue;
		}
		PQclear(raw);
		complete_slot(pipe);
		if (PQtransactionStatus(pipe->conn) == PQTRANS_INERROR)
			send_rollback(pipe);
	}
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* Every call has the same time to live, so the first that is left is the next one due. */
static void sweep(struct pg_pipe *pipe)
{
	while (pipe->swept < pipe->used && slot_at(pipe, pipe->swept)->deadline_ns <= now(pipe)) {
		struct slot *slot = slot_at(pipe, pipe->swept++);

		if (slot->ticket != NULL)
			fail_ticket(pipe, slot->ticket, ERR_TIMEOUT, "Postgres did not answer in time");
		slot->ticket = NULL;
		/* Its transaction may be open, and nobody will end it: what is sent next must not become part of it. */
		pipe->broken = pipe->broken || slot->transactional;
	}
}

/* When a server that has been at the first call since then must have ended it by itself. */
static int64_t dead_ns(const struct pg_pipe *pipe)
{
	return pipe->head_since_ns + ((int64_t)timeout_ms(pipe) + PG_GRACE_MS) * NS_PER_MS;
}

static void turn_up(struct pg_pipe *pipe, unsigned ready)
{
	bool alive = true;
	int left;

	if ((ready & PG_PIPE_READ) != 0)
		alive = PQconsumeInput(pipe->conn) == 1;
	/* What came before the end is still an answer. */
	read_answers(pipe);
	if (alive && !pipe->broken && pipe->unflushed) {
		left = PQflush(pipe->conn);
		pipe->unflushed = left == 1;
		alive = left >= 0;
	}
	sweep(pipe);
	if (!alive || pipe->broken || PQstatus(pipe->conn) == CONNECTION_BAD)
		lose(pipe, "the connection to Postgres was lost");
	else if (pipe->used > 0 && now(pipe) >= dead_ns(pipe))
		lose(pipe, "Postgres does not answer");
}

struct pg_ticket *pg_pipe_turn(struct pg_pipe *pipe, unsigned ready)
{
	switch (pipe->state) {
	case PIPE_DOWN:
		if (now(pipe) >= pipe->retry_ns)
			start_connecting(pipe);
		break;
	case PIPE_CONNECTING:
		look_at_connector(pipe);
		break;
	case PIPE_UP:
		turn_up(pipe, ready);
		break;
	}
	return take_finished(pipe);
}

/* When the next turn is due without anything to read or write. */
static int64_t wake_ns(const struct pg_pipe *pipe)
{
	int64_t wake = INT64_MAX;

	if (pipe->state == PIPE_DOWN)
		return pipe->retry_ns;
	if (pipe->state == PIPE_CONNECTING)
		return INT64_MAX;
	if (pipe->broken)
		return 0;
	if (pipe->used > 0)
		wake = dead_ns(pipe);
	if (pipe->swept < pipe->used && slot_at(pipe, pipe->swept)->deadline_ns < wake)
		wake = slot_at(pipe, pipe->swept)->deadline_ns;
	return wake;
}

void pg_pipe_watch(const struct pg_pipe *pipe, struct pg_watch *out)
{
	*out = (struct pg_watch){.fd = -1, .serial = pipe->serial, .wake_ns = wake_ns(pipe)};
	if (pipe->state == PIPE_CONNECTING) {
		out->fd = pg_connector_fd(pipe->connector);
		out->interest = PG_PIPE_READ;
	} else if (pipe->state == PIPE_UP) {
		out->fd = PQsocket(pipe->conn);
		out->interest = PG_PIPE_READ | (pipe->unflushed ? PG_PIPE_WRITE : 0u);
	}
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

struct pg_ticket *pg_pipe_close(struct pg_pipe *pipe)
{
	struct pg_ticket *list;

	if (pipe == NULL)
		return NULL;
	for (size_t i = 0; i < pipe->used; i++)
		if (slot_at(pipe, i)->ticket != NULL)
			fail_ticket(pipe, slot_at(pipe, i)->ticket, ERR_UNAVAILABLE, "shutting down");
	list = take_finished(pipe);
	free_pipe(pipe);
	return list;
}

bool pg_pipe_up(const struct pg_pipe *pipe)
{
	return pipe->state == PIPE_UP && !pipe->broken;
}

size_t pg_pipe_waiting(const struct pg_pipe *pipe)
{
	return pipe->used;
}

const char *pg_pipe_down_reason(const struct pg_pipe *pipe)
{
	return pg_pipe_up(pipe) ? "" : pipe->down.text;
}
