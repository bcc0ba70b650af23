-- 0007: agents, and who may do what: the access clock and its log, ingress nodes, revocation (R1 to R7).

set local role watchpost_owner;

-- --- tables ------------------------------------------------------------------------------------------------------

create domain wp.agent_id as text collate "C"
    constraint agent_id_form check (value ~ '^agent_[0-7][0-9A-HJKMNP-TV-Z]{25}$');
comment on domain wp.agent_id is 'agent_ and a ULID.';

alter table wp.accounts
    add column suspended_by_operator boolean not null default false,
    add column subscription_lapsed boolean not null default false,
    add column access_number bigint not null default 0,
    add column access_events bigint not null default 0;
update wp.accounts set subscription_lapsed = true where state = 'suspended';
alter table wp.accounts add constraint accounts_state_follows
    check ((state = 'suspended') = (suspended_by_operator or subscription_lapsed));
comment on column wp.accounts.access_number is 'Of the last change of its state (R4): what a repeated change waits for.';
comment on column wp.accounts.access_events is 'The last outbox number of this account''s key in topic access.';

create table wp.agents (
    agent_id wp.agent_id primary key,
    account_id wp.account_id not null references wp.accounts,
    name text not null
        constraint agents_name_form check (char_length(name) between 1 and 100 and name !~ '[[:cntrl:]]'),
    machine text
        constraint agents_machine_form check (char_length(machine) between 1 and 255 and machine !~ '[[:cntrl:]]'),
    token_hash bytea not null
        constraint agents_token_hash_form check (octet_length(token_hash) = 32)
        constraint agents_one_per_token unique,
    token_prefix text collate "C" not null constraint agents_token_prefix_form check (token_prefix ~ '^wp_[A-Z2-7]{5}$'),
    state text not null default 'active' constraint agents_state_known check (state in ('active', 'paused', 'revoked')),
    access_number bigint not null default 0,
    created_at timestamptz not null default clock_timestamp(),
    revoked_at timestamptz,
    constraint agents_revoked_at_follows check ((state = 'revoked') = (revoked_at is not null))
);
create index agents_by_account on wp.agents (account_id, agent_id);
alter table wp.agents set (fillfactor = 90);
comment on table wp.agents is 'One row for each connection of an agent: its token''s SHA-256 and first eight characters, nothing else of it.';
comment on column wp.agents.access_number is 'Of the last change of its state (R4): what a repeated change waits for.';

create function wp.agent_guard() returns trigger
    language plpgsql
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    raise exception 'agent % is revoked, which is for ever, and its token and account never change', old.agent_id
        using errcode = 'WP409';
end
$$;
comment on function wp.agent_guard() is 'Revoked agents stay so; fires only when a program tries.';
create trigger agents_guard
    before update on wp.agents
    for each row
    when ((old.state = 'revoked' and new.state <> 'revoked') or old.token_hash <> new.token_hash
        or old.account_id <> new.account_id)
    execute function wp.agent_guard();

-- Apart from the agents, so that noting a use never holds up a revoke.
create table wp.agent_uses (
    agent_id wp.agent_id primary key references wp.agents,
    last_used_at timestamptz not null
);
alter table wp.agent_uses set (fillfactor = 50);
comment on table wp.agent_uses is 'When each agent''s token was last accepted, to about a minute.';

create table wp.access_clock (
    one_row boolean primary key default true check (one_row),
    number bigint not null check (number >= 0),
    trimmed bigint not null check (trimmed >= 0 and trimmed <= number),
    database_id uuid not null
);
alter table wp.access_clock set (fillfactor = 10, autovacuum_vacuum_threshold = 200);
insert into wp.access_clock (number, trimmed, database_id) values (0, 0, gen_random_uuid());
comment on table wp.access_clock is
    'The number of the last access change. Its row lock is the last that a transaction takes (R4), so numbers follow the order of commits.';
comment on column wp.access_clock.trimmed is 'Changes up to this number are no longer in the log.';

create table wp.access_log (
    number bigint primary key,
    kind text not null constraint access_log_kind_known check (kind in ('agent', 'account')),
    token_hash bytea,
    agent_id wp.agent_id,
    account_id wp.account_id not null,
    state text not null,
    changed_at timestamptz not null default clock_timestamp(),
    constraint access_log_agent_complete check ((kind = 'agent') = (agent_id is not null and token_hash is not null))
);
comment on table wp.access_log is 'Every access change in the order of commits, for nodes to catch up; kept an hour.';

create table wp.nodes (
    node_id text collate "C" primary key constraint nodes_id_form check (node_id ~ '^node_[0-7][0-9A-HJKMNP-TV-Z]{25}$'),
    name text not null
        constraint nodes_name_form check (char_length(name) between 1 and 255 and name !~ '[[:cntrl:]]'),
    started_at timestamptz not null default clock_timestamp(),
    applied_seq bigint not null,
    polls bigint not null default 0,
    last_poll_at timestamptz not null default clock_timestamp(),
    drain boolean not null default false
);
alter table wp.nodes set (fillfactor = 20, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
comment on table wp.nodes is 'One row for each start of an ingress process (R1). A revoke waits until every row shows its number (R5).';
comment on column wp.nodes.polls is 'Counts polls: who watches it knows by a clock of its own how long a node has been silent.';

create table wp.access_completions (
    number bigint primary key,
    event_id text collate "C" not null,
    account_id wp.account_id not null,
    agent_id wp.agent_id,
    change text not null,
    cause text not null,
    actor text not null,
    changed_at timestamptz not null,
    opened_at timestamptz not null default clock_timestamp(),
    in_force_at timestamptz,
    nodes integer,
    nodes_behind integer
);
create index access_completions_open on wp.access_completions (number) where in_force_at is null;
create index access_completions_by_time on wp.access_completions using brin (changed_at);
comment on table wp.access_completions is 'When each access change was in force on every node (R7), as revocation-fanout saw it; kept 400 days.';
comment on column wp.access_completions.nodes_behind is 'Nodes that had not shown the number by then: their leases had run out.';

-- --- a change (R4) -----------------------------------------------------------------------------------------------

create function wp.access_epoch() returns text
    language sql stable
    set search_path = pg_catalog, wp, pg_temp
as $$
    select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '-' || c.database_id from wp.access_clock c
$$;
comment on function wp.access_epoch() is
    'The history that numbers belong to: the WAL''s timeline, which a failover and a restore move on, and this database.';

-- statement_timeout is no threat to an acknowledged change: PostgreSQL 15 disarms it before it commits, so it never cuts a COMMIT's
-- wait for a synchronous standby short (which would show the change as committed while no standby has it). The session waits, and
-- whoever asked gives up by a clock of its own and asks again. tests/integration/test_access_bounds.py holds the server to it.
create function wp.commit_durably() returns void
    language sql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
    select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') in ('off', 'local')
$$;
comment on function wp.commit_durably() is
    'The transaction''s commit returns when disk and synchronous standby have it, whatever the server''s setting: what nodes have '
    'seen or relied on (a revoke, their own row) must not be undone by a crash.';

create function wp.access_take(p_count bigint) returns bigint
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    idle constant interval := current_setting('idle_in_transaction_session_timeout')::interval;
    first bigint;
begin
    perform wp.commit_durably();
    -- From here on every other change waits for this transaction's end. A worker whose process or network stops between this and
    -- its COMMIT is let go after a second; it repeats its batch (C6).
    if idle = interval '0' or idle > interval '1 second' then
        perform set_config('idle_in_transaction_session_timeout', '1s', true);
    end if;
    update wp.access_clock c set number = c.number + p_count returning c.number - p_count + 1 into strict first;
    return first;
end
$$;
comment on function wp.access_take(bigint) is
    'The first of p_count numbers. The last lock that a transaction takes, and at most once in it: it is held until the commit.';

create function wp.now_ms() returns bigint
    language sql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
    select (extract(epoch from clock_timestamp()) * 1000)::bigint
$$;
comment on function wp.now_ms() is 'Milliseconds since 1970 UTC.';

create function wp.event_id() returns text
    language sql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
    select 'evt_' || replace(gen_random_uuid()::text, '-', '')
$$;
comment on function wp.event_id() is 'An id for an event that is made in the database: evt_ and 32 hex digits.';

create function wp.agents_change(p_agent_ids text[], p_change text, p_cause text, p_actor text, p_reason text)
    returns table (number bigint, changed integer)
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
    -- A plan that a session made while the table was small reads all of it for each of a thousand ids: 10 s at 100,000 agents.
    set enable_seqscan = off
as $$
declare
    target constant text := case p_change when 'revoke' then 'revoked' when 'pause' then 'paused' when 'resume' then 'active' end;
    ids text[];
    first bigint;
begin
    if target is null then
        raise exception 'a change is revoke, pause or resume' using errcode = 'WP400';
    end if;
    select array_agg(l.agent_id order by l.agent_id) into ids from (
        select a.agent_id from wp.agents a
        where a.agent_id = any (p_agent_ids) and a.state not in ('revoked', target)
        order by a.agent_id
        for no key update
    ) l;
    if ids is null then
        return query
            select coalesce(max(a.access_number), 0), 0 from wp.agents a where a.agent_id = any (p_agent_ids);
        return;
    end if;
    perform from wp.accounts c
    where c.account_id in (select a.account_id from wp.agents a where a.agent_id = any (ids))
    order by c.account_id
    for no key update;
    first := wp.access_take(cardinality(ids));
    update wp.agents a
    set state = target, access_number = first + i.place - 1,
        revoked_at = case when target = 'revoked' then clock_timestamp() end
    from unnest(ids) with ordinality as i (agent_id, place)
    where a.agent_id = i.agent_id;
    insert into wp.access_log (number, kind, token_hash, agent_id, account_id, state)
    select a.access_number, 'agent', a.token_hash, a.agent_id, a.account_id, a.state
    from wp.agents a where a.agent_id = any (ids);
    insert into wp.outbox (topic, key, number, event_id, type, schema_version, time_ms, payload)
    select 'access', a.account_id, c.access_events + row_number() over (partition by a.account_id order by a.agent_id),
        wp.event_id(), 'watchpost.access.agent', 1, wp.now_ms(),
        jsonb_strip_nulls(jsonb_build_object('account_id', a.account_id, 'agent_id', a.agent_id, 'agent_name', a.name,
            'token_prefix', a.token_prefix, 'change', case p_change when 'revoke' then 'revoked' when 'pause' then 'paused'
            else 'resumed' end, 'cause', p_cause, 'actor', p_actor, 'reason', p_reason, 'access_number', a.access_number))
    from wp.agents a join wp.accounts c on c.account_id = a.account_id
    where a.agent_id = any (ids)
    order by a.account_id, a.agent_id;
    update wp.accounts c set access_events = c.access_events + n.events
    from (select a.account_id, count(*) as events from wp.agents a where a.agent_id = any (ids) group by a.account_id) n
    where c.account_id = n.account_id;
    perform pg_notify('watchpost_outbox', '');
    return query select first + cardinality(ids) - 1, cardinality(ids);
end
$$;
comment on function wp.agents_change(text[], text, text, text, text) is
    'R4 for agents: locks them by id, then their accounts by id, then the clock; marks, appends to the log and to the outbox. '
    'Returns the last number, and how many changed; nothing to change: the last number that they have, and 0.';

create function wp.accounts_change(
    p_account_ids text[], p_suspend boolean[], p_cause text, p_actor text, p_reason text
) returns table (number bigint, changed integer)
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    ids text[];
    first bigint;
begin
    perform from wp.accounts c where c.account_id = any (p_account_ids) order by c.account_id for no key update;
    select array_agg(c.account_id order by c.account_id) into ids
    from wp.accounts c
    join unnest(p_account_ids, p_suspend) as w (account_id, suspend) on w.account_id = c.account_id
    where w.suspend <> case p_cause when 'operator' then c.suspended_by_operator else c.subscription_lapsed end;
    if ids is null then
        return query
            select coalesce(max(c.access_number), 0), 0 from wp.accounts c where c.account_id = any (p_account_ids);
        return;
    end if;
    first := wp.access_take(cardinality(ids));
    update wp.accounts c
    set suspended_by_operator = flags.by_operator, subscription_lapsed = flags.lapsed,
        state = case when flags.by_operator or flags.lapsed then 'suspended' else 'active' end,
        access_number = first + flags.place - 1, access_events = c.access_events + 1
    from (
        select i.account_id, i.place,
            case when p_cause = 'operator' then w.suspend else b.suspended_by_operator end as by_operator,
            case when p_cause = 'operator' then b.subscription_lapsed else w.suspend end as lapsed
        from unnest(ids) with ordinality as i (account_id, place)
        join unnest(p_account_ids, p_suspend) as w (account_id, suspend) on w.account_id = i.account_id
        join wp.accounts b on b.account_id = i.account_id
    ) flags
    where c.account_id = flags.account_id;
    insert into wp.access_log (number, kind, account_id, state)
    select c.access_number, 'account', c.account_id, c.state from wp.accounts c where c.account_id = any (ids);
    insert into wp.outbox (topic, key, number, event_id, type, schema_version, time_ms, payload)
    select 'access', c.account_id, c.access_events, wp.event_id(), 'watchpost.access.account', 2, wp.now_ms(),
        jsonb_strip_nulls(jsonb_build_object('account_id', c.account_id,
            'change', case when w.suspend then 'suspended' else 'resumed' end, 'cause', p_cause, 'actor', p_actor,
            'reason', p_reason, 'state', c.state, 'access_number', c.access_number))
    from wp.accounts c
    join unnest(p_account_ids, p_suspend) as w (account_id, suspend) on w.account_id = c.account_id
    where c.account_id = any (ids)
    order by c.account_id;
    perform pg_notify('watchpost_outbox', '');
    return query select first + cardinality(ids) - 1, cardinality(ids);
end
$$;
comment on function wp.accounts_change(text[], boolean[], text, text, text) is
    'R4 for accounts, each named once: sets the operator''s part of the state (cause operator) or the subscription''s, and the '
    'state that follows from both. Returns as wp.agents_change.';

create function wp.operator() returns text
    language sql stable
    set search_path = pg_catalog, wp, pg_temp
as $$
    select 'operator:' || session_user
$$;
comment on function wp.operator() is 'Who acts, for events: operators log in with roles of their own.';

create function wp.reason_check(p_reason text) returns void
    language plpgsql immutable
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    if char_length(p_reason) not between 1 and 200 or p_reason ~ '[[:cntrl:]]' then
        raise exception 'a reason has 1 to 200 characters and no control characters' using errcode = 'WP400';
    end if;
end
$$;
comment on function wp.reason_check(text) is 'Refuses (WP400) what is no reason; null is none and is accepted.';

-- --- what operators call -------------------------------------------------------------------------------------------

create function api.agent_connect(
    p_agent_id text, p_account_id text, p_name text, p_machine text, p_token_hash bytea, p_token_prefix text
) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    events bigint;
begin
    if not exists (select from wp.accounts c where c.account_id = p_account_id) then
        raise exception 'there is no such account' using errcode = 'WP404';
    end if;
    insert into wp.agents (agent_id, account_id, name, machine, token_hash, token_prefix)
    values (p_agent_id, p_account_id, p_name, p_machine, p_token_hash, p_token_prefix)
    on conflict do nothing;
    if not found then
        if not exists (
            select from wp.agents a
            where a.agent_id = p_agent_id and a.account_id = p_account_id and a.token_hash = p_token_hash and a.name = p_name
                and a.machine is not distinct from p_machine
        ) then
            raise exception 'another agent has this id or token' using errcode = 'WP409';
        end if;
        return;
    end if;
    update wp.accounts c set access_events = c.access_events + 1 where c.account_id = p_account_id
    returning c.access_events into events;
    insert into wp.outbox (topic, key, number, event_id, type, schema_version, time_ms, payload)
    values ('access', p_account_id, events, wp.event_id(), 'watchpost.access.agent', 1, wp.now_ms(),
        jsonb_build_object('account_id', p_account_id, 'agent_id', p_agent_id, 'agent_name', p_name,
            'token_prefix', p_token_prefix, 'change', 'connected', 'cause', 'operator', 'actor', wp.operator()));
    perform pg_notify('watchpost_outbox', '');
end
$$;
comment on function api.agent_connect(text, text, text, text, bytea, text) is
    'Connects an agent under the caller''s id; the same call again (an unknown outcome repeated) changes nothing. Nobody can have '
    'cached a token that did not exist, so this takes no access number.';
grant execute on function api.agent_connect(text, text, text, text, bytea, text) to watchpost_ctl;

create function wp.agents_shown(p_agent_ids text[])
    returns table (agent_id text, account_id text, name text, machine text, token_prefix text, state text, created_at timestamptz,
        last_used_at timestamptz, revoked_at timestamptz)
    language sql stable
    set search_path = pg_catalog, wp, pg_temp
as $$
    select a.agent_id::text, a.account_id::text, a.name, a.machine, a.token_prefix::text, a.state, a.created_at, u.last_used_at,
        a.revoked_at
    from wp.agents a
    left join wp.agent_uses u on u.agent_id = a.agent_id
    where a.agent_id = any (p_agent_ids)
    order by a.agent_id
$$;
comment on function wp.agents_shown(text[]) is 'Agents as operators see them, in the order of their ids.';

-- Each has its own condition, so that each finds its rows by an index; one condition for all would walk over every agent.
create function api.agent_list(p_account_id text, p_after text, p_limit integer)
    returns table (agent_id text, account_id text, name text, machine text, token_prefix text, state text, created_at timestamptz,
        last_used_at timestamptz, revoked_at timestamptz)
    language plpgsql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    at_most constant integer := least(greatest(p_limit, 0), 1000);
    ids text[];
begin
    if p_account_id is null then
        ids := array(
            select a.agent_id from wp.agents a
            where a.agent_id > coalesce(p_after, '') collate "C"
            order by a.agent_id limit at_most);
    else
        ids := array(
            select a.agent_id from wp.agents a
            where a.account_id = p_account_id and a.agent_id > coalesce(p_after, '') collate "C"
            order by a.account_id, a.agent_id limit at_most);
    end if;
    return query select * from wp.agents_shown(ids);
end
$$;
comment on function api.agent_list(text, text, integer) is
    'Agents in the order of their ids after p_after (null: from the first), of one account or (null) all; at most 1,000.';
grant execute on function api.agent_list(text, text, integer) to watchpost_ctl;

create function api.agent_show(p_agent_id text)
    returns table (agent_id text, account_id text, name text, machine text, token_prefix text, state text, created_at timestamptz,
        last_used_at timestamptz, revoked_at timestamptz)
    language plpgsql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    return query select * from wp.agents_shown(array[p_agent_id]);
    if not found then
        raise exception 'there is no such agent' using errcode = 'WP404';
    end if;
end
$$;
comment on function api.agent_show(text) is 'One agent; WP404 when there is none.';
grant execute on function api.agent_show(text) to watchpost_ctl;

create function api.agent_change(p_agent_id text, p_change text, p_reason text)
    returns table (number bigint, changed integer)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    present text;
begin
    perform wp.reason_check(p_reason);
    select a.state into present from wp.agents a where a.agent_id = p_agent_id for no key update;
    if not found then
        raise exception 'there is no such agent' using errcode = 'WP404';
    elsif present = 'revoked' and p_change <> 'revoke' then
        raise exception 'the agent is revoked, which is for ever' using errcode = 'WP409';
    end if;
    return query select * from wp.agents_change(array[p_agent_id], p_change, 'operator', wp.operator(), p_reason);
end
$$;
comment on function api.agent_change(text, text, text) is
    'revoke, pause or resume (R4). Returns the number to wait for (R5) and how many changed: 0 when it was so already.';
grant execute on function api.agent_change(text, text, text) to watchpost_ctl;

create function api.account_agents_change(p_account_id text, p_change text, p_reason text)
    returns table (number bigint, changed integer)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    ids text[];
begin
    perform wp.reason_check(p_reason);
    if not exists (select from wp.accounts c where c.account_id = p_account_id) then
        raise exception 'there is no such account' using errcode = 'WP404';
    end if;
    select array_agg(a.agent_id) into ids from wp.agents a where a.account_id = p_account_id;
    return query select * from wp.agents_change(coalesce(ids, '{}'), p_change, 'account', wp.operator(), p_reason);
    -- With a change the account is locked now, and who connects an agent needs that lock: what came meanwhile shows here.
    if exists (
        select from wp.agents a where a.account_id = p_account_id and a.agent_id <> all (coalesce(ids, '{}'))
    ) then
        raise exception 'an agent was connected meanwhile' using errcode = '40001';
    end if;
end
$$;
comment on function api.account_agents_change(text, text, text) is
    'Everything of this account, at once: as api.agent_change for all of its agents that are not revoked. 40001: repeat it.';
grant execute on function api.account_agents_change(text, text, text) to watchpost_ctl;

create function api.token_revoke(p_token_hash bytea, p_reason text)
    returns table (number bigint, changed integer, agent_id text, account_id text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    id text;
    account text;
begin
    perform wp.reason_check(p_reason);
    select a.agent_id, a.account_id into id, account from wp.agents a where a.token_hash = p_token_hash;
    if not found then
        raise exception 'no agent has this token' using errcode = 'WP404';
    end if;
    return query
        select c.number, c.changed, id, account from wp.agents_change(array[id], 'revoke', 'leaked', wp.operator(), p_reason) c;
end
$$;
comment on function api.token_revoke(bytea, text) is 'Revokes whoever has this token, for tokens that leaked; as api.agent_change.';
grant execute on function api.token_revoke(bytea, text) to watchpost_ctl;

create function api.account_change(p_account_id text, p_change text, p_reason text)
    returns table (number bigint, changed integer)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    perform wp.reason_check(p_reason);
    if p_change is null or p_change not in ('suspend', 'resume') then
        raise exception 'a change is suspend or resume' using errcode = 'WP400';
    elsif not exists (select from wp.accounts c where c.account_id = p_account_id) then
        raise exception 'there is no such account' using errcode = 'WP404';
    end if;
    return query
        select * from wp.accounts_change(array[p_account_id], array[p_change = 'suspend'], 'operator', wp.operator(), p_reason);
end
$$;
comment on function api.account_change(text, text, text) is
    'The operator''s part of an account''s state (R4); one whose subscription lapsed stays suspended after a resume. Returns as '
    'api.agent_change.';
grant execute on function api.account_change(text, text, text) to watchpost_ctl;

create function api.node_list()
    returns table (node_id text, name text, started_at timestamptz, applied_seq bigint, last_poll_at timestamptz, drain boolean,
        behind bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select n.node_id::text, n.name, n.started_at, n.applied_seq, n.last_poll_at, n.drain, c.number - n.applied_seq
    from wp.nodes n, wp.access_clock c
    order by n.started_at, n.node_id
$$;
comment on function api.node_list() is 'The ingress nodes that a revoke waits for, and how many changes each has not shown yet.';
grant execute on function api.node_list() to watchpost_ctl;

create function api.node_drain(p_node_id text) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    update wp.nodes n set drain = true where n.node_id = p_node_id;
    if not found then
        raise exception 'there is no such node' using errcode = 'WP404';
    end if;
end
$$;
comment on function api.node_drain(text) is 'Asks a node to stop as after SIGTERM; its next poll tells it.';
grant execute on function api.node_drain(text) to watchpost_ctl;

-- --- what the ingress calls ------------------------------------------------------------------------------------------

create function api.node_register(p_node_id text, p_name text) returns table (number bigint, epoch text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    perform wp.commit_durably();
    insert into wp.nodes (node_id, name, applied_seq)
    select p_node_id, p_name, c.number from wp.access_clock c
    on conflict do nothing;
    if not found then
        raise exception 'this node id was used before' using errcode = 'WP409';
    end if;
    return query select c.number, wp.access_epoch() from wp.access_clock c;
end
$$;
comment on function api.node_register(text, text) is
    'R1: the row of a process that starts, under an id that was never used. It must be committed before the first poll is sent.';
grant execute on function api.node_register(text, text) to watchpost_ingress;

create function api.access_poll(p_node_id text, p_applied bigint, p_epoch text, p_limit integer)
    returns table (clock bigint, epoch text, known boolean, reset boolean, drain boolean, number bigint, kind text,
        token_hash bytea, agent_id text, account_id text, state text)
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    with present as (
        select c.number as clock, e.epoch, e.epoch <> p_epoch or p_applied > c.number or p_applied < c.trimmed as reset
        from wp.access_clock c, (select wp.access_epoch() as epoch) e,
            (select set_config('synchronous_commit', 'off', true)) unsynchronised
    ), node as (
        update wp.nodes n
        set applied_seq = case when p.reset then 0 else p_applied end, polls = n.polls + 1, last_poll_at = clock_timestamp()
        from present p
        where n.node_id = p_node_id
        returning n.drain
    )
    select p.clock, p.epoch, n.drain is not null, p.reset, coalesce(n.drain, false), l.number, l.kind, l.token_hash,
        l.agent_id::text, l.account_id::text, l.state
    from present p
    left join node n on true
    left join lateral (
        select g.* from wp.access_log g
        where g.number > p_applied and not p.reset
        order by g.number
        limit least(greatest(p_limit, 1), 10000)
    ) l on true
    order by l.number
$$;
comment on function api.access_poll(text, bigint, text, integer) is
    'R2: the changes after p_applied in the order of commits, and the clock and epoch of the same snapshot (one statement); always '
    'a row, its number null when there is no change. Records what the node has applied. known false: the node has no row (it was '
    'silent too long) and must register anew. reset: another epoch, a clock behind p_applied, or a log trimmed behind it; nothing is '
    'listed, and the node empties its cache and goes on from clock. Its commit waits for no disk and no standby: a crash may lose '
    'what a row shows, which makes a revoke wait longer; what the node has applied it has applied.';
grant execute on function api.access_poll(text, bigint, text, integer) to watchpost_ingress;

create function api.node_leave(p_node_id text) returns void
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    delete from wp.nodes n where n.node_id = p_node_id
$$;
comment on function api.node_leave(text) is 'A node that accepts nothing any more takes its row away, so that no revoke waits for it.';
grant execute on function api.node_leave(text) to watchpost_ingress;

create function api.agent_lookup(p_token_hash bytea)
    returns table (number bigint, epoch text, agent_id text, agent_state text, account_id text, account_state text)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select c.number, wp.access_epoch(), a.agent_id::text, a.state, a.account_id::text, o.state
    from wp.access_clock c
    left join wp.agents a on a.token_hash = p_token_hash
    left join wp.accounts o on o.account_id = a.account_id
$$;
comment on function api.agent_lookup(bytea) is
    'R3, R6: whose token this is, with the access number and epoch of the same snapshot; agent_id is null when nobody''s.';
grant execute on function api.agent_lookup(bytea) to watchpost_ingress;

create function api.agent_self(p_token_hash bytea)
    returns table (agent_id text, name text, machine text, token_prefix text, state text, created_at timestamptz,
        last_used_at timestamptz, account_id text, account_state text)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select a.agent_id::text, a.name, a.machine, a.token_prefix::text, a.state, a.created_at, u.last_used_at, a.account_id::text,
        o.state
    from wp.agents a
    join wp.accounts o on o.account_id = a.account_id
    left join wp.agent_uses u on u.agent_id = a.agent_id
    where a.token_hash = p_token_hash and a.state <> 'revoked'
$$;
comment on function api.agent_self(bytea) is 'What an agent may know of itself; nothing for a token that is revoked or nobody''s.';
grant execute on function api.agent_self(bytea) to watchpost_ingress;

create function api.agent_disconnect(p_token_hash bytea) returns table (number bigint, agent_id text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    id text;
begin
    select a.agent_id into id from wp.agents a where a.token_hash = p_token_hash;
    if not found then
        raise exception 'no agent has this token' using errcode = 'WP404';
    end if;
    return query select c.number, id from wp.agents_change(array[id], 'revoke', 'agent', 'agent:' || id, null) c;
end
$$;
comment on function api.agent_disconnect(bytea) is
    'An agent revokes its own token (R4); again: the number of the first time. Returns the number to wait for (R5).';
grant execute on function api.agent_disconnect(bytea) to watchpost_ingress;

create function api.agents_used(p_token_hashes bytea[], p_used_ms bigint[]) returns void
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    insert into wp.agent_uses as u (agent_id, last_used_at)
    select a.agent_id, to_timestamp(max(i.used_ms) / 1000.0)
    from unnest(p_token_hashes, p_used_ms) as i (token_hash, used_ms)
    join wp.agents a on a.token_hash = i.token_hash
    group by a.agent_id
    order by a.agent_id
    on conflict (agent_id) do update set last_used_at = excluded.last_used_at where u.last_used_at < excluded.last_used_at
$$;
comment on function api.agents_used(bytea[], bigint[]) is 'Notes when tokens were last accepted; only forward, in the order of the agents'' ids.';
grant execute on function api.agents_used(bytea[], bigint[]) to watchpost_ingress;

create function api.access_in_force(p_number bigint) returns table (nodes integer, in_force integer)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select count(*)::integer, count(*) filter (where n.applied_seq >= p_number)::integer from wp.nodes n
$$;
comment on function api.access_in_force(bigint) is 'R5: how many nodes there are, and how many of them show p_number.';
grant execute on function api.access_in_force(bigint) to watchpost_ingress, watchpost_ctl, watchpost_revocation_fanout;

-- --- what revocation-fanout calls (R7) ---------------------------------------------------------------------------------

create function api.access_completion_open(
    p_numbers bigint[], p_event_ids text[], p_accounts text[], p_agents text[], p_changes text[], p_causes text[], p_actors text[],
    p_changed_ms bigint[]
) returns void
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    insert into wp.access_completions (number, event_id, account_id, agent_id, change, cause, actor, changed_at)
    select i.number, i.event_id, i.account_id, i.agent_id, i.change, i.cause, i.actor, to_timestamp(i.changed_ms / 1000.0)
    from unnest(p_numbers, p_event_ids, p_accounts, p_agents, p_changes, p_causes, p_actors, p_changed_ms)
        as i (number, event_id, account_id, agent_id, change, cause, actor, changed_ms)
    order by i.number
    on conflict do nothing
$$;
comment on function api.access_completion_open(bigint[], text[], text[], text[], text[], text[], text[], bigint[]) is
    'Changes whose completion is to be recorded; known ones stay as they are.';
grant execute on function api.access_completion_open(bigint[], text[], text[], text[], text[], text[], text[], bigint[])
    to watchpost_revocation_fanout;

create function api.access_complete(p_wait_ms integer) returns table (completed bigint, pending bigint)
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    with present as (
        select o.number, (select count(*)::integer from wp.nodes n) as nodes,
            (select count(*)::integer from wp.nodes n where n.applied_seq < o.number) as behind, o.opened_at
        from wp.access_completions o
        where o.in_force_at is null
        order by o.number
        limit 10000
        for update of o skip locked
    ), done as (
        update wp.access_completions o
        set in_force_at = clock_timestamp(), nodes = p.nodes, nodes_behind = p.behind
        from present p
        where o.number = p.number
            and (p.behind = 0 or p.opened_at <= clock_timestamp() - make_interval(secs => p_wait_ms / 1000.0))
        returning o.number
    )
    select (select count(*) from done), (select count(*) from present) - (select count(*) from done)
$$;
comment on function api.access_complete(integer) is
    'Closes what every node shows, or what was opened p_wait_ms ago: by then the leases of nodes that do not show it have run out.';
grant execute on function api.access_complete(integer) to watchpost_revocation_fanout;

create function api.node_polls() returns table (node_id text, polls bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select n.node_id::text, n.polls from wp.nodes n order by n.node_id
$$;
comment on function api.node_polls() is 'For who forgets nodes: a count that stands still for ten leases of its own clock is a node that is gone (R1).';
grant execute on function api.node_polls() to watchpost_revocation_fanout;

create function api.node_forget(p_node_ids text[], p_polls bigint[]) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    gone bigint;
begin
    delete from wp.nodes n using unnest(p_node_ids, p_polls) as i (node_id, polls)
    where n.node_id = i.node_id and n.polls = i.polls;
    get diagnostics gone = row_count;
    return gone;
end
$$;
comment on function api.node_forget(text[], bigint[]) is 'Deletes the rows of these nodes, if they have not polled since their polls were counted.';
grant execute on function api.node_forget(text[], bigint[]) to watchpost_revocation_fanout;

create function api.access_trim(p_keep_s integer, p_limit integer) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    last bigint;
    gone bigint := 0;
begin
    select max(o.number) into last from (
        select l.number from wp.access_log l
        where l.changed_at < now() - make_interval(secs => greatest(p_keep_s, 60))
        order by l.number
        limit least(greatest(p_limit, 0), 100000)
    ) o;
    delete from wp.access_completions c
    where c.changed_at < now() - interval '400 days' and c.in_force_at is not null;
    if last is not null then
        delete from wp.access_log l where l.number <= last;
        get diagnostics gone = row_count;
        update wp.access_clock c set trimmed = greatest(c.trimmed, last);
    end if;
    return gone;
end
$$;
comment on function api.access_trim(integer, integer) is
    'Forgets changes that are older than p_keep_s (and a minute at the least), oldest first; returns how many. Takes the clock''s lock.';
grant execute on function api.access_trim(integer, integer) to watchpost_revocation_fanout;

-- --- what operators and analysts read --------------------------------------------------------------------------------

create view report.agents as
    select a.agent_id::text as agent_id, a.account_id::text as account_id, a.name, a.token_prefix::text as token_prefix, a.state,
        a.created_at, u.last_used_at, a.revoked_at, a.machine
    from wp.agents a
    left join wp.agent_uses u on u.agent_id = a.agent_id;
comment on view report.agents is 'Every connection of an agent; the prefix is for recognising a token, not for finding one.';

create view report.nodes as
    select n.node_id::text as node_id, n.started_at, n.applied_seq, n.last_poll_at, n.name, n.drain from wp.nodes n;
comment on view report.nodes is 'The ingress nodes that a revoke waits for.';

create view report.revocations as
    select o.number, o.account_id::text as account_id, o.agent_id::text as agent_id, o.change, o.cause, o.actor, o.changed_at,
        o.in_force_at, o.nodes, o.nodes_behind, o.event_id::text as event_id
    from wp.access_completions o;
comment on view report.revocations is 'Every access change, and when it was in force on all nodes.';
