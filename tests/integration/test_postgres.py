"""The schema and its rights (migrations/), watchpostctl migrate and account, and the private cluster of ops/dev/postgres.sh.

Rights are read from the catalogs for whatever exists, so that a function or table of a later migration is held to the
same rules without a change here.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import stat
import subprocess

import psycopg2
import pytest

from postgres_fixture import CTL, LOGIN_ROLES, ROOT, PostgresCluster, free_port, wait_until

ACCOUNT = "acct_01JDCZ4S3E3YJ5WJ2B8D5N6P7Q"
OTHER_ACCOUNT = "acct_01JDCZ4S3E3YJ5WJ2B8D5N6P7R"
INVALID, NOT_FOUND, CONFLICT = 2, 3, 4  # exit statuses, docs/exit-codes.md
FUNCTIONS = """
    select p.oid::regprocedure::text, p.prosecdef, p.proconfig, o.rolname, o.rolcanlogin,
           obj_description(p.oid, 'pg_proc'), n.nspname
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner
    where n.nspname in ('wp', 'api', 'report')"""


@pytest.fixture(scope="module")
def cluster():
    """One migrated cluster for the tests that only read it or add rows."""
    with PostgresCluster(fsync=False) as c:
        c.migrate()
        yield c


@pytest.fixture
def fresh():
    """A cluster with an empty database, for the tests of migrate itself."""
    with PostgresCluster(fsync=False) as c:
        yield c


@pytest.fixture
def folder(tmp_path):
    """A copy of migrations/ that a test may change."""
    return pathlib.Path(shutil.copytree(ROOT / "migrations", tmp_path / "migrations"))


def migrate(cluster, folder, *words):
    return cluster.ctl("migrate", "--dir", folder, *words, role="watchpost_migrator", check=False)


def versions(cluster):
    """Applied versions; [] when nothing was ever applied."""
    if cluster.query("select to_regclass('wp.schema_migrations')") == [(None,)]:
        return []
    return [row[0] for row in cluster.query("select version from wp.schema_migrations order by version")]


# --- rights ------------------------------------------------------------------------------------------------------


def test_login_roles_are_the_expected_ones(cluster):
    # A login role that nobody planned is a door. Works by comparing every role that can log in with the list.
    found = {row[0] for row in cluster.query("select rolname from pg_roles where rolcanlogin")}
    assert found == {*LOGIN_ROLES, "postgres", "watchpost_migrator", "operator"}


def test_programs_have_no_special_rights(cluster):
    # Programs hold no table privileges and nothing that leads to them: attributes and memberships are read from
    # the catalog. The migrator owns everything by membership, so it must not inherit, and no program may be it.
    bad = cluster.query("""select rolname from pg_roles where rolname = any(%s) and
        (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls or rolinherit)""", [list(LOGIN_ROLES)])
    assert bad == []
    members = cluster.query("""select m.member::regrole::text, m.roleid::regrole::text from pg_auth_members m
        where m.roleid::regrole::text not like 'pg\\_%%' order by 1""")
    assert members == [("operator", "watchpost_report"), ("watchpost_migrator", "watchpost_owner")]
    migrator = cluster.query("select rolsuper, rolinherit from pg_roles where rolname = 'watchpost_migrator'")
    assert migrator == [(False, False)]


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_programs_hold_no_table_privileges(cluster, role):
    # DESIGN, Postgres: "Programs hold no table privileges." Works by asking for every relation, column and sequence
    # outside the system catalogs whether any right exists, by whatever way.
    held = cluster.query("""
        select c.oid::regclass::text, privilege
        from pg_class c join pg_namespace n on n.oid = c.relnamespace,
             unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
        where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_toast%%'
            and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and (has_table_privilege(%(role)s, c.oid, privilege)
                 or (privilege in ('select', 'insert', 'update', 'references')
                     and has_any_column_privilege(%(role)s, c.oid, privilege)))
        union all
        select c.oid::regclass::text, 'sequence' from pg_class c
        where case when c.relkind = 'S' then has_sequence_privilege(%(role)s, c.oid, 'usage, select, update') end""",
                         {"role": role})
    assert held == []
    schemas = cluster.query("""select nspname from pg_namespace
        where nspname not like 'pg\\_%%' and nspname <> 'information_schema'
            and (has_schema_privilege(%s, oid, 'usage') or has_schema_privilege(%s, oid, 'create'))""", [role, role])
    assert schemas == [("api",)]
    assert cluster.query("""select has_schema_privilege(%s, 'api', 'create'),
        has_database_privilege(%s, 'watchpost', 'create'), has_database_privilege(%s, 'watchpost', 'temp')""",
                         [role] * 3) == [(False, False, False)]


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_programs_execute_only_their_own_functions(cluster, role):
    # Each program calls its own functions: no role may run what another role's name is on, besides api.environment().
    # Works by the naming rule: a function that watchpost_<x> may run is granted to it by name, and none by PUBLIC.
    granted = cluster.query("""
        select p.oid::regprocedure::text,
               exists (select from aclexplode(p.proacl) a where a.grantee = %(role)s::regrole and a.privilege_type = 'EXECUTE')
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname in ('wp', 'api', 'report', 'public') and has_function_privilege(%(role)s, p.oid, 'execute')""",
                            {"role": role})
    assert all(by_name for _, by_name in granted), granted
    assert any(name == "api.environment()" for name, _ in granted)
    assert all(name.startswith("api.") for name, _ in granted), granted


def test_functions_are_shared_between_programs_only_on_purpose(cluster):
    # A function granted to several programs widens what a stolen password may do: each such case is named here.
    # worker_… functions belong to the runtime that every worker runs on.
    shared = dict(cluster.query("""
        select p.proname, array_agg(a.grantee::regrole::text order by a.grantee::regrole::text) from pg_proc p
            join pg_namespace n on n.oid = p.pronamespace, aclexplode(p.proacl) a
        where n.nspname = 'api' and a.grantee::regrole::text = any(%s) group by p.oid having count(*) > 1""",
                                [list(LOGIN_ROLES)]))
    assert shared.pop("environment") == sorted(LOGIN_ROLES)
    on_purpose = {
        "subscription_refresh_write": ["watchpost_ctl", "watchpost_subscription_sync"],  # stripe reconcile
        "outbox_depth": ["watchpost_ctl", "watchpost_outbox_relay"],  # status
        "access_in_force": ["watchpost_ctl", "watchpost_ingress", "watchpost_revocation_fanout"],  # whoever revokes waits
    }
    for name, roles in shared.items():
        if name.startswith("worker_"):
            assert not {"watchpost_ingress", "watchpost_ctl"} & set(roles), (name, roles)
        else:
            assert on_purpose.get(name) == roles, (name, roles)


def test_every_api_function_is_safe(cluster):
    # DESIGN: SECURITY DEFINER, fixed search_path, owned by a NOLOGIN role. Every function in our schemas is read from
    # the catalog; helpers in wp must have the fixed search_path, too, because definers call them.
    functions = cluster.query(FUNCTIONS)
    assert len([f for f in functions if f[6] == "api"]) >= 5
    for name, definer, config, owner, owner_logs_in, comment, schema in functions:
        # Nothing else may be set but how plans are made.
        assert [line for line in config if line != "enable_seqscan=off"] == ["search_path=pg_catalog, wp, pg_temp"], name
        assert owner == "watchpost_owner" and not owner_logs_in, name
        assert comment, f"{name} has no comment"
        assert definer == (schema == "api"), name
        assert schema != "report", name


def test_nothing_is_granted_to_public(cluster):
    # PUBLIC is everybody who will ever have a login. Works over every list of rights in our schemas, the database
    # and schema public, with the built-in defaults spelled out where a list is empty.
    rights = cluster.query("""
        select 'function ' || p.oid::regprocedure, a.privilege_type from pg_proc p
            join pg_namespace n on n.oid = p.pronamespace, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where n.nspname in ('wp', 'api', 'report', 'public') and a.grantee = 0
        union all
        select 'relation ' || c.oid::regclass, a.privilege_type from pg_class c
            join pg_namespace n on n.oid = c.relnamespace, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
        where n.nspname in ('wp', 'api', 'report', 'public') and a.grantee = 0
        union all
        select 'domain ' || t.oid::regtype, a.privilege_type from pg_type t
            join pg_namespace n on n.oid = t.typnamespace, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
        where n.nspname in ('wp', 'api', 'report') and t.typtype in ('d', 'e') and a.grantee = 0
        union all
        select 'schema ' || n.nspname, a.privilege_type from pg_namespace n,
            aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        where n.nspname in ('wp', 'api', 'report', 'public') and a.grantee = 0
        union all
        select 'database', a.privilege_type from pg_database d,
            aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        where d.datname = 'watchpost' and a.grantee = 0""")
    assert rights == []


def test_tables_and_views_are_owned_and_explained(cluster):
    # Whoever comes later reads the database itself: every table, view and domain has a comment and the one owner.
    relations = cluster.query("""
        select c.oid::regclass::text, c.relowner::regrole::text, obj_description(c.oid, 'pg_class') from pg_class c
            join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('wp', 'api', 'report') and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition""")
    assert len(relations) >= 4
    for name, owner, comment in relations:
        assert owner == "watchpost_owner", name
        assert comment, f"{name} has no comment"


def test_report_is_read_only(cluster):
    # Schema report is for people: it may be read and never written, also not through a view that Postgres finds
    # updatable. Works by the catalog for every view, and once by trying.
    cluster.query("select api.account_create(%s, 'Report')", [ACCOUNT], role="watchpost_ctl")
    views = cluster.query("""
        select c.oid::regclass::text, has_table_privilege('watchpost_report', c.oid, 'select'),
            has_table_privilege('watchpost_report', c.oid, 'insert, update, delete, truncate')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'report' and c.relkind <> 'c'""")
    assert views and all(readable and not writable for _, readable, writable in views), views
    elsewhere = cluster.query("""select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('wp', 'api') and c.relkind in ('r', 'v', 'p') and has_table_privilege('operator', c.oid, 'select')""")
    assert elsewhere == []
    names = cluster.query("select account_id, name, state, stripe_customer_id from report.accounts where account_id = %s",
                          [ACCOUNT], role="operator")
    assert names == [(ACCOUNT, "Report", "active", None)]
    for sql in ("update report.accounts set name = 'x'", "delete from report.accounts", "create table x ()",
                "select api.account_list(null, 1)"):
        with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ReadOnlySqlTransaction)):
            cluster.query(sql, role="operator")


def test_report_accounts_has_the_columns_of_the_interface(cluster):
    # Scripts rely on these names; columns may be added at the end only.
    columns = [row[0] for row in cluster.query("""select attname from pg_attribute
        where attrelid = 'report.accounts'::regclass and attnum > 0 order by attnum""")]
    assert set(columns) >= {"account_id", "name", "state", "stripe_customer_id", "created_at"}


def test_environment_row_never_changes(cluster):
    # The name decides which programs may use the database; not even the owner changes it by accident.
    for sql in ("update wp.environment set name = 'production'", "delete from wp.environment",
                "truncate wp.environment"):
        with pytest.raises(psycopg2.Error) as caught:
            cluster.query(sql)
        assert caught.value.pgcode == "WP403"


# --- accounts ----------------------------------------------------------------------------------------------------


def test_account_commands(cluster):
    # The operator's path from nothing to a linked account, as --json shows it to a script.
    made = json.loads(cluster.ctl("account", "create", "Bülow & Söhne", "--json").stdout)
    assert made["name"] == "Bülow & Söhne" and made["state"] == "active" and made["stripe_customer_id"] is None
    assert made["created_at"].endswith("Z")
    linked = json.loads(cluster.ctl("account", "link", made["account_id"], "--customer", "cus_A1", "--json").stdout)
    assert linked["outcome"] == "linked"
    again = json.loads(cluster.ctl("account", "link", made["account_id"], "--customer", "cus_A1", "--json").stdout)
    assert again["outcome"] == "unchanged"
    shown = json.loads(cluster.ctl("account", "show", made["account_id"], "--json").stdout)
    assert shown["stripe_customer_id"] == "cus_A1"
    assert made["account_id"] in cluster.ctl("account", "list").stdout


def test_linking_settles_the_state(cluster):
    # Where an account needs a subscription, an operator's link decides at once, in the same transaction; no event has to come first.
    account = json.loads(cluster.ctl("account", "create", "Settled", "--json").stdout)["account_id"]

    def link(require):
        cluster.ctl("account", "link", account, "--customer", "cus_settled", "--require-subscription", require)
        return cluster.query("select state from report.accounts where account_id = %s", [account])[0][0]

    assert link("off") == "active"
    assert link("on") == "suspended"
    cluster.query("""insert into wp.subscriptions (stripe_subscription_id, stripe_customer_id, status, cancel_at_period_end, livemode,
        needs_refresh, event_s, merge_state)
        values ('sub_settled', 'cus_settled', 'active', false, false, false, 1, decode(repeat('01', 28), 'hex'))""")
    try:
        assert link("on") == "active"
    finally:
        cluster.query("delete from wp.subscriptions where stripe_subscription_id = 'sub_settled'")


def test_account_link_refuses_conflicts(cluster):
    # One customer pays for one account, and a link is not moved by a slip. Each refusal has its exit status and text.
    first = json.loads(cluster.ctl("account", "create", "One", "--json").stdout)["account_id"]
    second = json.loads(cluster.ctl("account", "create", "Two", "--json").stdout)["account_id"]
    cluster.ctl("account", "link", first, "--customer", "cus_C1")
    taken = cluster.ctl("account", "link", second, "--customer", "cus_C1", check=False)
    assert (taken.returncode, "belongs to another account" in taken.stderr) == (CONFLICT, True)
    moved = cluster.ctl("account", "link", first, "--customer", "cus_C2", check=False)
    assert (moved.returncode, "linked to another customer" in moved.stderr) == (CONFLICT, True)
    cluster.ctl("account", "link", first, "--customer", "cus_C2", "--replace")
    cluster.ctl("account", "link", second, "--customer", "cus_C1")
    unknown = cluster.ctl("account", "link", OTHER_ACCOUNT, "--customer", "cus_C9", "--json", check=False)
    assert unknown.returncode == NOT_FOUND and json.loads(unknown.stderr)["error"]["code"] == "not_found"
    for bad in (["account", "link", first], ["account", "link", first, "--customer", "sub_1"],
                ["account", "show", "acct_1"], ["account", "create", ""], ["account", "create", "a\tb"],
                ["account", "create", "x" * 101]):
        assert cluster.ctl(*bad, check=False).returncode == INVALID, bad


def test_account_link_races(cluster):
    # Two operators give one customer to two accounts at the same moment: exactly one wins, the other is told.
    ids = [json.loads(cluster.ctl("account", "create", f"Race {n}", "--json").stdout)["account_id"] for n in range(4)]

    def link(account):
        try:
            return cluster.query("select api.account_link(%s, 'cus_race', false, false, 168)", [account], role="watchpost_ctl")[0][0]
        except psycopg2.Error as error:
            return error.pgcode

    with concurrent.futures.ThreadPoolExecutor(len(ids)) as pool:
        assert sorted(pool.map(link, ids)) == ["WP409"] * 3 + ["linked"]


def test_account_create_is_repeatable(cluster):
    # A client that lost the answer repeats the call under the same id; only a different account under it is refused.
    first = cluster.query("select * from api.account_create(%s, 'Same')", [OTHER_ACCOUNT], role="watchpost_ctl")
    assert cluster.query("select * from api.account_create(%s, 'Same')", [OTHER_ACCOUNT], role="watchpost_ctl") == first
    with pytest.raises(psycopg2.Error) as caught:
        cluster.query("select * from api.account_create(%s, 'Another')", [OTHER_ACCOUNT], role="watchpost_ctl")
    assert caught.value.pgcode == "WP409"


def test_account_list_pages(cluster):
    # `account list` reads pages of 1,000; rows at the seams must be there once.
    cluster.query("""insert into wp.accounts (account_id, name)
        select 'acct_01ZZZZZZZZZZZZZZZZZZZ' || lpad(n::text, 5, '0'), 'Many' from generate_series(1, 2001) n""")
    try:
        listed = json.loads(cluster.ctl("account", "list", "--json").stdout)
        ids = [row["account_id"] for row in listed]
        assert ids == sorted(set(ids)) and len([row for row in listed if row["name"] == "Many"]) == 2001
    finally:
        cluster.query("delete from wp.accounts where name = 'Many'")


# --- migrate -------------------------------------------------------------------------------------------------------


def test_dry_run_changes_nothing(fresh):
    # `--dry-run` is what a careful operator runs first: it lists every file as pending and leaves no trace.
    before = fresh.query("select count(*), max(oid::bigint) from pg_class")
    rows = json.loads(fresh.ctl("migrate", "--dry-run", "--json", role="watchpost_migrator").stdout)
    assert [row["state"] for row in rows] == ["pending"] * len(list((ROOT / "migrations").glob("*.sql")))
    assert fresh.query("select count(*), max(oid::bigint) from pg_class") == before
    assert fresh.query("select count(*) from pg_namespace where nspname in ('wp', 'api', 'report')") == [(0,)]
    assert fresh.query("select count(*) from pg_roles where rolname like 'watchpost%%'") == [(1,)]


def test_migrate_records_and_repeats(fresh, folder):
    # The list in the database is the SHA-256 of each file; a second run finds nothing to do.
    rows = json.loads(migrate(fresh, folder, "--json").stdout)
    assert [row["state"] for row in rows] == ["applied"] * len(rows) and all(row["duration_ms"] >= 0 for row in rows)
    sums = subprocess.run(["sha256sum", *sorted(folder.glob("*.sql"))], capture_output=True, text=True, check=True).stdout
    assert [row[0] for row in fresh.query("select checksum from wp.schema_migrations order by version")] == \
        [line.split()[0] for line in sums.splitlines()]
    assert json.loads(migrate(fresh, folder, "--json").stdout) == []
    assert fresh.query("select name from wp.environment") == [("development",)]


def test_changed_file_is_refused(fresh, folder):
    # A file that was applied is history. Changing it must be told, before anything else is applied.
    (folder / "0003_workers.sql").rename(folder / "kept")
    for later in folder.glob("*.sql"):
        if later.name >= "0004":
            later.unlink()
    assert migrate(fresh, folder).returncode == 0
    (folder / "kept").rename(folder / "0003_workers.sql")
    with open(folder / "0002_accounts.sql", "a", encoding="utf-8") as file:
        file.write("\n-- a remark\n")
    for words in (["--dry-run"], []):
        refused = migrate(fresh, folder, *words)
        assert refused.returncode == CONFLICT and "0002_accounts.sql" in refused.stderr
    assert versions(fresh) == [1, 2]


def test_older_folder_is_refused(fresh, folder):
    # An old watchpostctl against a newer database would believe that nothing is missing.
    assert migrate(fresh, folder).returncode == 0
    max(folder.glob("*.sql")).unlink()
    refused = migrate(fresh, folder)
    assert refused.returncode == CONFLICT and "older" in refused.stderr


def test_failing_file_leaves_the_ones_before_it(fresh, folder):
    # Each file is a transaction of its own: what fails is undone whole, what went before stays and is shown.
    next_number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{next_number:04}_bad.sql").write_text("set local role watchpost_owner;\ncreate table wp.half ();\nselect 1/0;\n")
    failed = migrate(fresh, folder, "--json")
    assert failed.returncode == INVALID and f"{next_number:04}_bad.sql" in failed.stderr
    assert [row["state"] for row in json.loads(failed.stdout)] == ["applied"] * (next_number - 1)
    assert versions(fresh) == list(range(1, next_number))
    assert fresh.query("select to_regclass('wp.half')") == [(None,)]
    (folder / f"{next_number:04}_bad.sql").write_text("set local role watchpost_owner;\ncreate table wp.half ();\n")
    assert migrate(fresh, folder).returncode == 0


def test_file_that_commits_is_refused(fresh, folder):
    # A COMMIT inside a file would leave it half recorded; it is told, and nothing is recorded.
    assert migrate(fresh, folder).returncode == 0
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04}_commits.sql").write_text("commit;\n")
    refused = migrate(fresh, folder)
    assert refused.returncode == INVALID and "ends its own transaction" in refused.stderr
    assert versions(fresh) == list(range(1, number))


@pytest.mark.parametrize("name,text", [("0900_gap.sql", "select 1;"), ("0002_twice.sql", "select 1;"),
                                       ("new.sql", "select 1;"), ("0006_NUL.sql", "select 1;\0drop"), ("0006_.sql", "x")])
def test_bad_folder_is_refused(fresh, folder, name, text):
    # Two branches that both made 0006, a lost file, a wrong name: found before the database is touched.
    (folder / name).write_text(text)
    refused = migrate(fresh, folder)
    assert refused.returncode == INVALID and versions(fresh) == []


def test_two_at_once_serialise(fresh, folder):
    # Two nodes that are deployed together both migrate. Every file is applied once, by one of them; both succeed.
    number = len(list(folder.glob("*.sql"))) + 1
    (folder / f"{number:04}_slow.sql").write_text("select pg_sleep(0.3);\n")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: migrate(fresh, folder, "--json"), range(3)))
    assert [run.returncode for run in runs] == [0, 0, 0], [run.stderr for run in runs]
    applied = sorted(row["version"] for run in runs for row in json.loads(run.stdout))
    assert applied == list(range(1, number + 1)) == versions(fresh)


def test_migrate_killed_midway_is_repeated(fresh, folder):
    # A migrate that dies leaves no lock and nothing half done: the next one goes on.
    number = len(list(folder.glob("*.sql"))) + 1
    slow = folder / f"{number:04}_slow.sql"
    slow.write_text("set local role watchpost_owner;\ncreate table wp.half ();\nselect pg_sleep(60);\n")
    with subprocess.Popen([CTL, *fresh.settings("watchpost_migrator"), "migrate", "--dir", folder]) as process:
        try:
            wait_until(lambda: fresh.query("select count(*) from pg_stat_activity where query like '%%pg_sleep(60)%%' "
                                           "and pid <> pg_backend_pid()") == [(1,)], "the slow migration")
        finally:
            process.kill()
    fresh.query("select pg_terminate_backend(pid) from pg_stat_activity where query like '%%pg_sleep(60)%%' "
                "and pid <> pg_backend_pid()")
    slow.write_text("set local role watchpost_owner;\ncreate table wp.half ();\n")
    assert migrate(fresh, folder).returncode == 0
    assert versions(fresh) == list(range(1, number + 1))


def test_other_environment_is_refused(cluster):
    # A production configuration must never touch a development database, and the other way round: neither migrate
    # nor any other command goes on.
    try:
        cluster.environment = "production"
        for role, words in (("watchpost_migrator", ["migrate"]), ("watchpost_migrator", ["migrate", "--dry-run"]),
                            ("watchpost_ctl", ["account", "list"])):
            refused = cluster.ctl(*words, role=role, check=False)
            assert refused.returncode == CONFLICT, words
            assert "development" in refused.stderr and "production" in refused.stderr
    finally:
        cluster.environment = "development"


def test_database_that_was_not_migrated_says_so(fresh):
    # The most likely mistake of a new operator gets the answer that helps.
    refused = fresh.ctl("account", "list", role="watchpost_migrator", check=False)
    assert refused.returncode != 0 and "watchpostctl migrate" in refused.stderr


def test_second_database_of_a_cluster(fresh):
    # Roles belong to the cluster: the second database finds them there. Two databases at once must not trip either.
    assert fresh.migrate().returncode == 0
    for name in ("second", "third"):
        fresh.query(f"create database {name} owner watchpost_migrator")
    dsn = fresh.dsn("watchpost_migrator")

    def one(name):
        return subprocess.run([CTL, *fresh.settings("watchpost_migrator"), "--postgres-dsn",
                               dsn.replace("dbname=watchpost", f"dbname={name}"), "migrate"], cwd=ROOT,
                              capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in pool.map(one, ("second", "third")):
            assert done.returncode == 0, done.stderr


def test_pgaudit_can_be_added():
    # Operators are audited by pgaudit: the extension must install beside our schemas, before or after migrating.
    with PostgresCluster(fsync=False, shared_preload_libraries="pgaudit") as c:
        c.query("create extension pgaudit")
        c.migrate()
        assert c.query("select extname from pg_extension where extname = 'pgaudit'") == [("pgaudit",)]


# --- the private cluster -----------------------------------------------------------------------------------------


def test_cluster_keeps_secrets_out_of_its_log():
    # Promise 4: no password, statement, parameter or error text reaches the server's log, and password files are for
    # the owner alone. Canaries go through every way that PostgreSQL could log; then the log is searched.
    with PostgresCluster(fsync=False) as c:
        c.migrate()
        for sql, values in (("select %s::int", ["canary-text"]), ("select 'canary-literal' from nowhere", None),
                            ("insert into wp.accounts (account_id, name) values (%s, 'canary-name')", ["canary-id"]),
                            ("do $$ begin raise exception 'canary-raise' using detail = 'canary-detail'; end $$", None)):
            with pytest.raises(psycopg2.Error):
                c.query(sql, values)
        with contextlib.closing(c.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("prepare p as select $1::int")
            with pytest.raises(psycopg2.Error):
                cursor.execute("execute p ('canary-parameter')")
        log = (c.home() / "postgres.log").read_text(encoding="utf-8", errors="replace")
        assert "ready to accept connections" in log and "canary" not in log
        for role in (*LOGIN_ROLES, "postgres", "operator", "watchpost_migrator"):
            file = pathlib.Path(c.password_file(role))
            assert stat.S_IMODE(file.stat().st_mode) == 0o600 and len(file.read_text(encoding="ascii")) >= 32
            assert c.password(role) not in log
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(c.dsn("watchpost_ctl"), password="wrong")


def test_cluster_survives_kill():
    # "2xx means kept" rests on fsync: it is on unless a test turns it off, and a committed row survives SIGKILL of
    # every process. Starting again is what `make run` does after a crash.
    with PostgresCluster() as c:
        assert c.query("show fsync") == [("on",)] and c.query("show synchronous_commit") == [("on",)]
        c.migrate()
        c.query("select api.account_create(%s, 'Kept')", [ACCOUNT], role="watchpost_ctl")
        c.kill()
        with pytest.raises(psycopg2.OperationalError):
            c.query("select 1")
        c.start()
        assert c.query("select name from report.accounts", role="operator") == [("Kept",)]
        c.script("roles")  # keeps the passwords
        c.start()          # runs already
        c.restart()
        assert c.query("select count(*) from report.accounts", role="operator") == [(1,)]


def test_cluster_where_the_server_user_cannot_reach(tmp_path):
    # A clone below /root is closed to the user that root drops to: the data goes elsewhere, and `home` says where.
    os.chmod(tmp_path, 0o700)
    folder = tmp_path / "var"
    folder.mkdir()

    def run(*words):
        return subprocess.run([ROOT / "ops/dev/postgres.sh", *words], capture_output=True, text=True, check=True).stdout.strip()

    run("start", folder, str(free_port()))
    try:
        home = pathlib.Path(run("home", folder))
        assert run("psql", folder, "postgres", "-Atc", "select 1") == "1"
        if os.geteuid() == 0:
            assert not home.is_relative_to(tmp_path)
    finally:
        run("stop", folder)
    shutil.rmtree(home)
