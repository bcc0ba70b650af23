-- 0001: roles, schemas, the environment's name, the list of migrations.
--
-- The model that every migration follows
-- --------------------------------------
-- Applied by `watchpostctl migrate`, forward only, each file in one transaction of its own. A file holds no BEGIN and
-- no COMMIT, and once it was applied anywhere it never changes: its SHA-256 is kept and compared.
--
-- Three schemas:
--   wp      private: tables, domains, helper functions. Nobody but watchpost_owner holds a right in it.
--   api     what programs call: SECURITY DEFINER functions, EXECUTE granted to exactly the login roles that need them.
--   report  what operators and analysts read: views with stable columns, readable by watchpost_report.
--
-- Roles belong to the whole cluster, databases share them, so they are made only where they are missing. Login roles
-- have no password here; whoever installs the system sets it (development: ops/dev/postgres.sh roles).
-- The role that migrates owns the database, has CREATEROLE and NOINHERIT, and is never used by a program. No superuser
-- is needed, so pgaudit (CREATE EXTENSION, superuser) can be added before or after, in any schema.
--
-- A later migration looks like this:
--
--     set local role watchpost_owner;      -- first line: what follows belongs to the owner
--
--     create table wp.things (thing_id wp.thing_id primary key, …);
--     comment on table wp.things is '…';   -- every table and every function has a comment
--
--     create function api.thing_rename(p_thing_id text, p_name text) returns void
--         language plpgsql volatile security definer
--         set search_path = pg_catalog, wp, pg_temp
--     as $$
--     begin
--         …
--         if not found then
--             raise exception 'there is no such thing' using errcode = 'WP404';
--         end if;
--     end
--     $$;
--     comment on function api.thing_rename(text, text) is '…';
--     grant execute on function api.thing_rename(text, text) to watchpost_ctl;
--
-- Rules, each held by tests/integration/test_postgres.py for every function that exists:
--   * search_path is exactly `pg_catalog, wp, pg_temp`: pg_temp named last, or a caller's temporary table would come
--     first (CVE-2007-2138). All names are written with their schema all the same.
--   * Arguments are plain types named p_…; ids come as text and are checked by a domain, times as unix numbers with
--     their unit in the name. No dynamic SQL on arguments.
--   * Nothing is granted to PUBLIC: the default privileges below see to functions and types.
--   * Refusals of our own carry class WP: WP400 invalid, WP403 denied, WP404 not found, WP409 conflict. Their texts
--     are for people and hold no secret. Classes 22 and 23 mean that the data is at fault (C6).
--   * Order of locks: budget rows by id, keys and holds, connections, accounts by id, access_clock last.
--   * A view in `report` shows plain types and only ever gains columns at its end.

-- --- roles -------------------------------------------------------------------------------------------------------

do $roles$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('watchpost_owner', false, 'Watchpost: owns every object; nobody logs in as it'),
            ('watchpost_report', false, 'Watchpost: group of those who may read schema report'),
            ('watchpost_ingress', true, 'Watchpost: watchpost-ingress'),
            ('watchpost_subscription_sync', true, 'Watchpost: watchpost-subscription-sync'),
            ('watchpost_audit_log', true, 'Watchpost: watchpost-audit-log'),
            ('watchpost_revocation_fanout', true, 'Watchpost: watchpost-revocation-fanout'),
            ('watchpost_outbox_relay', true, 'Watchpost: watchpost-outbox-relay'),
            ('watchpost_ctl', true, 'Watchpost: watchpostctl, what operators change')
        ) as list (name, login, comment)
    loop
        begin
            execute format('create role %I %s noinherit', wanted.name,
                case when wanted.login then 'login' else 'nologin' end);
            execute format('comment on role %I is %L', wanted.name, wanted.comment);
        exception
            -- unique_violation: another database of this cluster is being migrated at the same moment.
            when duplicate_object or unique_violation then
                null;
        end;
        if exists (
            select from pg_catalog.pg_roles r
            where r.rolname = wanted.name
                and (r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls
                     or r.rolcanlogin <> wanted.login)
        ) then
            raise exception 'role % exists with rights that it must not have', wanted.name using errcode = 'WP409';
        end if;
    end loop;
end
$roles$;

-- So that this and later migrations can act as the owner.
grant watchpost_owner to current_user;

-- --- the database and schema public ----------------------------------------------------------------------------

do $database$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to watchpost_report, watchpost_ingress, watchpost_subscription_sync, '
        'watchpost_audit_log, watchpost_revocation_fanout, watchpost_outbox_relay, watchpost_ctl',
        current_database());
end
$database$;

-- Schema public belongs to whoever owns the database, a membership that NOINHERIT leaves asleep.
set local role pg_database_owner;
revoke all on schema public from public;
reset role;


-- --- schemas -----------------------------------------------------------------------------------------------------

create schema wp authorization watchpost_owner;
create schema api authorization watchpost_owner;
create schema report authorization watchpost_owner;

set local role watchpost_owner;

comment on schema wp is 'Private: tables and helpers. Programs reach them through schema api only.';
comment on schema api is 'What programs may call: SECURITY DEFINER functions, granted one by one.';
comment on schema report is 'What operators and analysts may read: stable views, read only.';

-- Global, not per schema: a per-schema rule cannot take away what PUBLIC is given by default.
alter default privileges revoke execute on functions from public;
alter default privileges revoke usage on types from public;
alter default privileges in schema report grant select on tables to watchpost_report;

grant usage on schema api to
    watchpost_ingress, watchpost_subscription_sync, watchpost_audit_log, watchpost_revocation_fanout,
    watchpost_outbox_relay, watchpost_ctl;
grant usage on schema report to watchpost_report;

-- --- migrations --------------------------------------------------------------------------------------------------

create table wp.schema_migrations (
    version integer primary key check (version > 0),
    name text not null,
    checksum text not null check (checksum ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz not null default clock_timestamp(),
    applied_by text not null default session_user,
    duration_ms bigint not null check (duration_ms >= 0)
);
comment on table wp.schema_migrations is
    'One row per applied file of migrations/, written by watchpostctl migrate in the same transaction.';
comment on column wp.schema_migrations.checksum is 'SHA-256 of the file, lower-case hex; a file that changed is refused.';

-- --- environment -------------------------------------------------------------------------------------------------

create table wp.environment (
    one_row boolean primary key default true check (one_row),
    name text not null check (name in ('production', 'staging', 'development'))
);
comment on table wp.environment is
    'The environment that this database belongs to: one row, written at the first migration, never changed.';

create function wp.refuse_change() returns trigger
    language plpgsql
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    raise exception 'rows of %.% are never changed or deleted', tg_table_schema, tg_table_name using errcode = 'WP403';
end
$$;
comment on function wp.refuse_change() is 'Trigger for tables whose rows are written once.';

create trigger environment_never_changes
    before update or delete or truncate on wp.environment
    for each statement execute function wp.refuse_change();

create function api.environment() returns text
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select name from wp.environment
$$;
comment on function api.environment() is
    'The environment of this database; every program asks at connect and refuses to work with another.';
grant execute on function api.environment() to
    watchpost_ingress, watchpost_subscription_sync, watchpost_audit_log, watchpost_revocation_fanout,
    watchpost_outbox_relay, watchpost_ctl;
