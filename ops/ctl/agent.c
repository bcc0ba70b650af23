/* `agent connect`, `list`, `show`, `revoke`, `pause` and `resume`. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/id.h"
#include "common/token.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/in_force.h"
#include "ops/ctl/rows.h"

enum { PARAMETERS_MAX = 6, LINE_BYTES_MAX = 128, TRIES = 5 };

#define AGENT_COLUMNS                                                                                                  \
	"agent_id, account_id, name, machine, token_prefix, state, " ROWS_TIME("created_at") ", " ROWS_TIME(           \
		"last_used_at") ", " ROWS_TIME("revoked_at")

static const struct table_column COLUMNS[] = {
	{"agent_id", TABLE_TEXT},   {"account_id", TABLE_TEXT},   {"name", TABLE_TEXT},
	{"machine", TABLE_TEXT},    {"token_prefix", TABLE_TEXT}, {"state", TABLE_TEXT},
	{"created_at", TABLE_TEXT}, {"last_used_at", TABLE_TEXT}, {"revoked_at", TABLE_TEXT},
};
static const struct rows AGENTS = {COLUMNS, ARRAY_LEN(COLUMNS)};

static bool check_agent(const char *id, struct err *err)
{
	return id_valid(bytes_of(id), "agent") ||
	       err_set(err, ERR_INVALID, "an agent's id is agent_ and 26 characters, as `agent list` shows it");
}

/* --- connect --------------------------------------------------------------------------------------- */

/* Where the token goes: a file of its own, or a terminal; never a pipe, where it would come to rest in some log. */
static bool open_out(const struct ctl *ctl, int *fd, struct err *err)
{
	const char *path = ctl_value(ctl, "out");
	*fd = -1;
	if (path == NULL) {
		if (!ctl_json(ctl) && isatty(STDOUT_FILENO))
			return true;
		return err_set(
			err, ERR_INVALID,
			"the token is shown on a terminal only; --out FILE writes it to a new file of mode 0600");
	}
	*fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd >= 0 || err_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_IO, "%s: %s", path, strerror(errno));
}

static bool write_token(int fd, const char *path, const struct secret *token, struct err *err)
{
	struct bytes text = secret_bytes(token);
	if (write(fd, text.data, text.len) == (ssize_t)text.len && write(fd, "\n", 1) == 1 && fsync(fd) == 0)
		return true;
	return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

/* The one place where a token is shown. */
static void show_token(const struct ctl *ctl, const struct secret *token)
{
	struct bytes text = secret_bytes(token);
	(void)fprintf(ctl_out(ctl), "\n  %.*s\n\nThis is the token. It is not kept and will not be shown again.\n",
		      (int)text.len, (const char *)text.data);
}

/* The same call again (an unknown outcome repeated) changes nothing. */
static bool store_agent(struct ctl *ctl, const struct pg_params *params, struct err *err)
{
	struct pg *pg = ctl_pg(ctl, err);
	for (int try = 1; pg != NULL; try++) {
		if (pg_run(pg, "select api.agent_connect($1, $2, $3, $4, $5, $6)", params, err))
			return true;
		if (try == TRIES || (err->code != ERR_TIMEOUT && err->code != ERR_UNAVAILABLE))
			return false;
	}
	return false;
}

static bool print_agent(struct ctl *ctl, const char *id, struct err *err)
{
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
	pg_params_text(params, id);
	bool ok = rows_show(ctl, &AGENTS, "select " AGENT_COLUMNS " from api.agent_show($1)", params, err);
	pg_params_free(params);
	return ok;
}

static bool connect_agent(struct ctl *ctl, const struct secret *token, const char *id, struct err *err)
{
	uint8_t hash[SHA256_BYTES];
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
	token_hash(secret_bytes(token), hash);
	pg_params_text(params, id);
	pg_params_text(params, ctl_value(ctl, "account"));
	pg_params_text(params, ctl_value(ctl, "name"));
	pg_params_text(params, ctl_value(ctl, "machine"));
	pg_params_bytea(params, bytes_make(hash, sizeof(hash)));
	pg_params_text_view(params, bytes_make(secret_bytes(token).data, TOKEN_PREFIX_CHARS));
	bool stored = store_agent(ctl, params, err);
	pg_params_free(params);
	return stored;
}

bool agent_connect_run(struct ctl *ctl, struct err *err)
{
	const char *path = ctl_value(ctl, "out");
	char id[ID_TEXT_BYTES];
	struct secret token;
	int fd = -1;
	if (ctl_value(ctl, "account") == NULL || ctl_value(ctl, "name") == NULL)
		return err_set(err, ERR_INVALID, "--account and --name are needed");
	if (!rows_account_id(ctl_value(ctl, "account"), err) || !open_out(ctl, &fd, err))
		return false;
	id_new("agent", clock_system(), id);
	token_new(&token);
	/* Written first: a token that is in force and nobody has would be a connection that nobody can use. */
	bool done = (fd < 0 || write_token(fd, path, &token, err)) && connect_agent(ctl, &token, id, err);
	if (fd >= 0)
		(void)close(fd);
	if (!done && fd >= 0)
		(void)unlink(path);
	if (done && fd < 0)
		show_token(ctl, &token);
	secret_wipe(&token);
	return done && print_agent(ctl, id, err);
}

/* --- list, show ------------------------------------------------------------------------------------ */

bool agent_show_run(struct ctl *ctl, struct err *err)
{
	const char *id = ctl_argument(ctl, 0);
	assert(id != NULL);
	return check_agent(id, err) && print_agent(ctl, id, err);
}

bool agent_list_run(struct ctl *ctl, struct err *err)
{
	const char *account = ctl_value(ctl, "account");
	if (account != NULL && !rows_account_id(account, err))
		return false;
	return rows_list(ctl, &AGENTS, "select " AGENT_COLUMNS " from api.agent_list($3, $1, $2::integer)", &account, 1,
			 err);
}

/* --- revoke, pause, resume (R4, R5) ------------------------------------------------------------------ */

static bool change(struct ctl *ctl, const char *sql, const char *id, const char *what, struct err *err)
{
	const char *reason;
	if (!in_force_reason(ctl, &reason, err))
		return false;
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
	pg_params_text(params, id);
	pg_params_text(params, what);
	pg_params_text(params, reason);
	bool done = in_force_change_and_show(ctl, sql, params, what, id, err);
	pg_params_free(params);
	return done;
}

/* One agent, or with --account and --all everything of an account. */
static bool change_chosen(struct ctl *ctl, const char *what, struct err *err)
{
	const char *id = ctl_argument(ctl, 0);
	const char *account = ctl_value(ctl, "account");
	bool all = ctl_switch(ctl, "all");
	if ((account != NULL) != all)
		return err_set(err, ERR_INVALID, "--account and --all go together: every agent of that account");
	if ((id != NULL) == all)
		return err_set(err, ERR_INVALID, "either an agent's id, or --account ACCOUNT --all");
	if (all)
		return rows_account_id(account, err) &&
		       change(ctl, "select number, changed from api.account_agents_change($1, $2, $3)", account, what,
			      err);
	return check_agent(id, err) &&
	       change(ctl, "select number, changed from api.agent_change($1, $2, $3)", id, what, err);
}

/* A leaked token comes by standard input, since arguments can be seen by others and stay in histories. */
static bool read_token(struct secret *token, struct err *err)
{
	char line[LINE_BYTES_MAX];
	size_t len = 0;
	bool read = fgets(line, sizeof(line), stdin) != NULL;
	if (read)
		len = strcspn(line, "\r\n");
	bool shaped = read && token_shape(bytes_make(line, len)) && secret_set(token, bytes_make(line, len), err);
	explicit_bzero(line, sizeof(line));
	return shaped || err_set(err, ERR_INVALID, "standard input holds no token: wp_ and 32 characters");
}

static bool revoke_token(struct ctl *ctl, struct err *err)
{
	struct secret token;
	uint8_t hash[SHA256_BYTES];
	const char *reason;
	if (ctl_argument(ctl, 0) != NULL || ctl_value(ctl, "account") != NULL || ctl_switch(ctl, "all"))
		return err_set(err, ERR_INVALID, "--token-stdin names the agent by itself");
	if (!in_force_reason(ctl, &reason, err) || !read_token(&token, err))
		return false;
	token_hash(secret_bytes(&token), hash);
	secret_wipe(&token);
	struct pg_params *params = rows_params(PARAMETERS_MAX, err);
	if (params == NULL)
		return false;
	pg_params_bytea(params, bytes_make(hash, sizeof(hash)));
	pg_params_text(params, reason);
	bool done = in_force_change_and_show(ctl, "select number, changed from api.token_revoke($1, $2)", params,
					     "revoke", "(by its token)", err);
	pg_params_free(params);
	return done;
}

bool agent_revoke_run(struct ctl *ctl, struct err *err)
{
	return ctl_switch(ctl, "token-stdin") ? revoke_token(ctl, err) : change_chosen(ctl, "revoke", err);
}

bool agent_pause_run(struct ctl *ctl, struct err *err)
{
	return change_chosen(ctl, "pause", err);
}

bool agent_resume_run(struct ctl *ctl, struct err *err)
{
	return change_chosen(ctl, "resume", err);
}
