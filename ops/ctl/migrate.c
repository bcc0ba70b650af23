/* `migrate`: the files of migrations/ into the database, once each. */
#include <assert.h>
#include <string.h>

#include "common/clock.h"
#include "ops/ctl/commands.h"
#include "ops/ctl/migrations.h"

/* One lock for whoever migrates this database ("watchpos" in ASCII); held to the end of each file's transaction. */
static const int64_t migration_lock = 0x7761746368706f73;

enum { NS_PER_MS = 1000000 };

static const struct table_column columns[] = {
	{"version", TABLE_NUMBER},
	{"file", TABLE_TEXT},
	{"state", TABLE_TEXT},
	{"duration_ms", TABLE_NUMBER},
};

struct migrate {
	const struct ctl *ctl;
	struct pg *pg;
	struct pg_params *params;
	struct migrations files;
	struct table *table;
	bool dry_run;
};

static void show(struct migrate *m, const struct migration *file, const char *state, int64_t duration_ms)
{
	table_i64(m->table, file->version);
	table_text(m->table, file->name);
	table_text(m->table, state);
	if (duration_ms < 0)
		table_null(m->table);
	else
		table_i64(m->table, duration_ms);
}

/* --- what the database has ------------------------------------------------------------------------------------------
 */

static bool call_one_bool(struct pg *pg, const char *sql, const struct pg_params *params, bool *out, struct err *err)
{
	struct pg_result *result = pg_call(pg, sql, params, err);

	if (result == NULL)
		return false;
	assert(pg_rows(result) == 1 && pg_columns(result) == 1);
	*out = pg_get_bool(result, 0, 0);
	pg_result_free(result);
	return true;
}

/* The catalog may be asked by anyone, whatever roles exist yet. */
static bool was_ever_migrated(struct migrate *m, bool *out, struct err *err)
{
	return call_one_bool(m->pg,
			     "select exists (select from pg_catalog.pg_class c "
			     "join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
			     "where n.nspname = 'wp' and c.relname = 'schema_migrations')",
			     NULL, out, err);
}

static bool check_environment(struct migrate *m, struct err *err)
{
	const char *expected = environment_name(ctl_config(m->ctl)->environment);
	struct pg_result *result = pg_call(m->pg, "select name from wp.environment", NULL, err);
	bool ok;

	if (result == NULL)
		return false;
	ok = pg_rows(result) == 1 && strcmp(pg_get_text(result, 0, 0), expected) == 0;
	if (!ok)
		(void)err_set(err, ERR_CONFLICT, "the database belongs to environment %s, the configuration says %s",
			      pg_rows(result) == 1 ? pg_get_text(result, 0, 0) : "(none)", expected);
	pg_result_free(result);
	return ok;
}

/* What was applied must be the first files, unchanged. */
static bool check_applied(const struct migrate *m, const struct pg_result *applied, struct err *err)
{
	if (pg_rows(applied) > m->files.count)
		return err_set(err, ERR_CONFLICT, "the database has %d migrations, this folder %d: it is an older one",
			       pg_rows(applied), m->files.count);
	for (int i = 0; i < pg_rows(applied); i++) {
		const struct migration *file = &m->files.items[i];
		int64_t version;

		if (!pg_get_i64(applied, i, 0, &version) || version != file->version)
			return err_set(err, ERR_CONFLICT, "the database lacks %s and has later ones", file->name);
		if (strcmp(pg_get_text(applied, i, 1), file->checksum) != 0)
			return err_set(err, ERR_CONFLICT, "%s is not what was applied: its checksum differs",
				       file->name);
	}
	return true;
}

/* How many of the files the database has; acts as the owner from here to the end of the transaction. */
static bool count_applied(struct migrate *m, int *applied, struct err *err)
{
	struct pg_result *result;
	bool migrated, ok;

	*applied = 0;
	if (!was_ever_migrated(m, &migrated, err))
		return false;
	if (!migrated)
		return true;
	if (!pg_script(m->pg, "set local role watchpost_owner", err) || !check_environment(m, err))
		return false;
	result = pg_call(m->pg, "select version, checksum from wp.schema_migrations order by version", NULL, err);
	if (result == NULL)
		return false;
	ok = check_applied(m, result, err);
	*applied = pg_rows(result);
	pg_result_free(result);
	return ok;
}

/* --- what is done to it
 * ----------------------------------------------------------------------------------------------- */

/* Others who migrate at the same time wait here, and then find nothing left to do. */
static bool lock(struct migrate *m, struct err *err)
{
	bool locked;

	pg_params_clear(m->params);
	pg_params_i64(m->params, migration_lock);
	if (!call_one_bool(m->pg, "select pg_try_advisory_xact_lock($1)", m->params, &locked, err))
		return false;
	if (locked)
		return true;
	ctl_note(m->ctl, "another migration is under way; waiting for it");
	return pg_run(m->pg, "select pg_advisory_xact_lock($1)", m->params, err);
}

static bool record(struct migrate *m, const struct migration *file, int64_t duration_ms, struct err *err)
{
	if (!pg_in_transaction(m->pg))
		return err_set(err, ERR_INVALID, "the file ends its own transaction");
	if (!pg_script(m->pg, "set local role watchpost_owner", err))
		return false;
	pg_params_clear(m->params);
	pg_params_text(m->params, environment_name(ctl_config(m->ctl)->environment));
	if (!pg_run(m->pg, "insert into wp.environment (name) select $1 where not exists (select from wp.environment)",
		    m->params, err))
		return false;
	pg_params_clear(m->params);
	pg_params_i64(m->params, file->version);
	pg_params_text(m->params, file->name);
	pg_params_text(m->params, file->checksum);
	pg_params_i64(m->params, duration_ms);
	return pg_run(m->pg,
		      "insert into wp.schema_migrations (version, name, checksum, duration_ms) values ($1, $2, $3, $4)",
		      m->params, err);
}

static bool apply(struct migrate *m, const struct migration *file, struct err *err)
{
	int64_t started_ns = clock_mono_ns(clock_system());
	int64_t duration_ms;

	if (!pg_script(m->pg, "reset role", err) || !pg_script(m->pg, file->script, err))
		return err_context(err, "while applying %s", file->name);
	duration_ms = (clock_mono_ns(clock_system()) - started_ns) / NS_PER_MS;
	if (!record(m, file, duration_ms, err) || !pg_commit(m->pg, err))
		return err_context(err, "while applying %s", file->name);
	show(m, file, "applied", duration_ms);
	return true;
}

/* One file, under the lock; *done when none is left. */
static bool step(struct migrate *m, bool *done, struct err *err)
{
	int applied;
	bool ok = false;

	if (!pg_begin(m->pg, err))
		return false;
	if (!lock(m, err) || !count_applied(m, &applied, err))
		goto out;
	*done = applied == m->files.count;
	ok = *done || apply(m, &m->files.items[applied], err);
out:
	pg_rollback(m->pg);
	return ok;
}

static bool show_pending(struct migrate *m, struct err *err)
{
	int applied = 0;
	bool ok;

	if (!pg_begin(m->pg, err))
		return false;
	ok = pg_script(m->pg, "set transaction read only", err) && count_applied(m, &applied, err);
	pg_rollback(m->pg);
	for (int i = applied; ok && i < m->files.count; i++)
		show(m, &m->files.items[i], "pending", -1);
	return ok;
}

static bool apply_pending(struct migrate *m, struct err *err)
{
	bool done = false;

	for (int i = 0; !done && i <= m->files.count; i++)
		if (!step(m, &done, err))
			return false;
	assert(done);
	return true;
}

static bool connect(struct migrate *m, struct err *err)
{
	struct pg_options options = {
		.config = ctl_config(m->ctl), .program = "watchpostctl migrate", .skip_environment_check = true};

	m->pg = pg_new(&options, err);
	if (m->pg == NULL)
		return false;
	pg_set_timeout_ms(m->pg, MIGRATION_TIMEOUT_MS);
	return pg_connect(m->pg, err);
}

bool migrate_run(struct ctl *ctl, struct err *err)
{
	const char *folder = ctl_value(ctl, "dir");
	struct migrate m = {.ctl = ctl, .dry_run = ctl_switch(ctl, "dry-run")};
	struct err print_err = {0};
	bool ok = false;

	m.params = pg_params_new(4);
	m.table = table_new(columns, ARRAY_LEN(columns));
	if (m.params == NULL || m.table == NULL) {
		(void)err_set(err, ERR_FULL, "no memory for the migration");
		goto out;
	}
	if (!migrations_load(folder != NULL ? folder : "migrations", &m.files, err) || !connect(&m, err))
		goto out;
	ok = m.dry_run ? show_pending(&m, err) : apply_pending(&m, err);
	/* What was applied before a failure is applied, and shown. */
	if ((ok || table_rows(m.table) > 0) && !ctl_print(ctl, m.table, TABLE_LIST, ok ? err : &print_err))
		ok = false;
	m.table = NULL;
out:
	table_free(m.table);
	pg_params_free(m.params);
	migrations_free(&m.files);
	pg_free(m.pg);
	return ok;
}
