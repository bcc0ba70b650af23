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

enum { PARAMETERS_MAX = 6, LINE_BYTES_MAX = 128, TRIES = 5 };

#define TIME(COLUMN) "to_char(" COLUMN " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define AGENT_COLUMNS                                                                                                  \
	"agent_id, account_id, name, machine, token_prefix, state, " TIME("created_at") ", " TIME(                     \
		"last_used_at") ", " TIME("revoked_at")

static const struct table_column columns[] = {
	{"agent_id", TABLE_TEXT},   {"account_id", TABLE_TEXT},   {"name", TABLE_TEXT},
	{"machine", TABLE_TEXT},    {"token_prefix", TABLE_TEXT}, {"state", TABLE_TEXT},
	{"created_at", TABLE_TEXT}, {"last_used_at", TABLE_TEXT}, {"revoked_at", TABLE_TEXT},
};

static bool out_of_memory(struct err *err)
{
	return err_set(err, ERR_FULL, "no memory for the command");
}

static bool check_account(const char *id, struct err *err)
{
	return id_valid(bytes_of(id), "acct") ||
	       err_set(err, ERR_INVALID, "an account's id is acct_ and 26 characters, as `account list` shows it");
}

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
	struct pg *pg = ctl_pg(ctl, err);
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	struct pg_result *row = NULL;
	if (params == NULL)
		return out_of_memory(err);
	pg_params_text(params, id);
	if (pg != NULL)
		row = pg_call(pg, "select " AGENT_COLUMNS " from api.agent_show($1)", params, err);
	pg_params_free(params);
	if (row == NULL)
		return false;
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	table_result(table, row);
	pg_result_free(row);
	return ctl_print(ctl, table, TABLE_RECORD, err);
}

static bool connect_agent(struct ctl *ctl, const struct secret *token, const char *id, struct err *err)
{
	uint8_t hash[SHA256_BYTES];
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	if (params == NULL)
		return out_of_memory(err);
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
	if (!check_account(ctl_value(ctl, "account"), err) || !open_out(ctl, &fd, err))
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

/* One page after `after`; *rows is how many came, and `after` their last id. */
static bool list_page(struct ctl *ctl, struct pg_params *params, char after[ID_TEXT_BYTES], struct table *table,
		      int *rows, struct err *err)
{
	struct pg *pg = ctl_pg(ctl, err);
	if (pg == NULL)
		return false;
	pg_params_clear(params);
	pg_params_text(params, ctl_value(ctl, "account"));
	pg_params_text(params, after[0] != '\0' ? after : NULL);
	pg_params_i64(params, CTL_PAGE_ROWS);
	struct pg_result *result =
		pg_call(pg, "select " AGENT_COLUMNS " from api.agent_list($1, $2, $3::integer)", params, err);
	if (result == NULL)
		return false;
	table_result(table, result);
	*rows = pg_rows(result);
	if (*rows > 0) {
		struct bytes last = pg_get(result, *rows - 1, 0);
		assert(last.len < ID_TEXT_BYTES);
		memcpy(after, last.data, last.len + 1); /* libpq ends values with a NUL */
	}
	pg_result_free(result);
	return true;
}

bool agent_list_run(struct ctl *ctl, struct err *err)
{
	char after[ID_TEXT_BYTES] = "";
	const char *account = ctl_value(ctl, "account");
	int rows = CTL_PAGE_ROWS;
	if (account != NULL && !check_account(account, err))
		return false;
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	struct table *table = table_new(columns, ARRAY_LEN(columns));
	bool ok = params != NULL && table != NULL ? true : out_of_memory(err);
	while (ok && rows == CTL_PAGE_ROWS)
		ok = list_page(ctl, params, after, table, &rows, err);
	pg_params_free(params);
	if (ok)
		return ctl_print(ctl, table, TABLE_LIST, err);
	table_free(table);
	return false;
}

/* --- revoke, pause, resume (R4, R5) ------------------------------------------------------------------ */

static bool change(struct ctl *ctl, const char *sql, const char *id, const char *what, struct err *err)
{
	const char *reason;
	if (!in_force_reason(ctl, &reason, err))
		return false;
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	if (params == NULL)
		return out_of_memory(err);
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
		return check_account(account, err) &&
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
	struct pg_params *params = pg_params_new(PARAMETERS_MAX);
	if (params == NULL)
		return out_of_memory(err);
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
