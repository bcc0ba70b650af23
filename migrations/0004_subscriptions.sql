-- 0004: what Stripe said about subscriptions.

set local role watchpost_owner;

create domain wp.stripe_subscription_id as text collate "C"
    constraint stripe_subscription_id_form check (value ~ '^sub_[A-Za-z0-9_]+$' and octet_length(value) <= 255);
comment on domain wp.stripe_subscription_id is 'Stripe''s id of a subscription; Stripe allows 255 characters.';

-- --- tables ------------------------------------------------------------------------------------------------------

create table wp.stripe_events (
    event_id text collate "C" primary key constraint stripe_events_id_length check (octet_length(event_id) <= 255),
    seen_at timestamptz not null default now()
);
create index stripe_events_by_time on wp.stripe_events using brin (seen_at);
comment on table wp.stripe_events is
    'Ids of the events that were applied, so that a second delivery is known; forgotten after dedupe_days.';

create table wp.subscriptions (
    stripe_subscription_id wp.stripe_subscription_id primary key,
    stripe_customer_id wp.stripe_customer_id not null,
    status text not null constraint subscriptions_status_known check (status in (
        'incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'incomplete_expired', 'canceled')),
    current_period_end timestamptz,
    cancel_at_period_end boolean not null,
    livemode boolean not null,
    needs_refresh boolean not null,
    event_s bigint not null,
    merge_state bytea not null constraint subscriptions_merge_state_form check (octet_length(merge_state) between 28 and 98),
    version bigint not null default 1,
    updated_at timestamptz not null default now(),
    refresh_after timestamptz,
    refresh_failures integer not null default 0,
    refresh_error text
);
alter table wp.subscriptions set (fillfactor = 70);
create index subscriptions_by_customer on wp.subscriptions (stripe_customer_id);
create index subscriptions_to_refresh on wp.subscriptions (refresh_after) where needs_refresh;
comment on table wp.subscriptions is
    'A customer id and a subscription state for each subscription, and nothing more of what Stripe knows.';
comment on column wp.subscriptions.event_s is 'The second of the newest event that counts.';
comment on column wp.subscriptions.merge_state is
    'The same state as a merge needs it: the candidates of the winning second (common/subscription.h).';
comment on column wp.subscriptions.version is 'Counts changes: an answer of Stripe''s API is applied only to the version it was asked for.';
comment on column wp.subscriptions.refresh_after is 'With needs_refresh: when to ask Stripe''s API; infinity: it does not know the id.';

-- --- the guard that does not trust the programs ------------------------------------------------------------------

create function wp.subscription_guard() returns trigger
    language plpgsql
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    raise exception 'subscription %: % at second % may not become % at second %', old.stripe_subscription_id,
        old.status, old.event_s, new.status, new.event_s using errcode = 'WP409';
end
$$;
comment on function wp.subscription_guard() is
    'Terminal states never come back, older never beats newer; fires only when a program tries.';

create trigger subscriptions_guard
    before update on wp.subscriptions
    for each row
    when (
        (old.status in ('canceled', 'incomplete_expired') and new.status not in ('canceled', 'incomplete_expired'))
        or (new.event_s < old.event_s
            and (old.status in ('canceled', 'incomplete_expired')) = (new.status in ('canceled', 'incomplete_expired')))
    )
    execute function wp.subscription_guard();

-- --- what subscription-sync calls --------------------------------------------------------------------------------

create function api.subscription_sync_seen(p_event_ids text[]) returns setof integer
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    with fresh as (
        insert into wp.stripe_events (event_id)
        select distinct i.id from unnest(p_event_ids) as i (id) order by i.id
        on conflict do nothing
        returning event_id
    )
    select min(i.place)::integer
    from unnest(p_event_ids) with ordinality as i (id, place)
    join fresh f on f.event_id = i.id
    group by f.event_id
$$;
comment on function api.subscription_sync_seen(text[]) is
    'Remembers event ids; returns the places (from 1) of those that were not known, each once.';
grant execute on function api.subscription_sync_seen(text[]) to watchpost_subscription_sync;

create function api.subscription_sync_lock(p_subscription_ids text[])
    returns table (place integer, version bigint, merge_state bytea)
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    with locked as materialized (
        select s.stripe_subscription_id, s.version, s.merge_state
        from wp.subscriptions s
        where s.stripe_subscription_id = any (p_subscription_ids)
        order by s.stripe_subscription_id
        for update
    )
    select i.place::integer, l.version, l.merge_state
    from unnest(p_subscription_ids) with ordinality as i (id, place)
    join locked l on l.stripe_subscription_id = i.id
$$;
comment on function api.subscription_sync_lock(text[]) is
    'Locks the rows of these subscriptions in the order of their ids; place is the position in the argument, from 1.';
grant execute on function api.subscription_sync_lock(text[]) to watchpost_subscription_sync;

create function api.subscription_sync_write(
    p_subscription_ids text[], p_versions bigint[], p_customers text[], p_statuses text[], p_period_end_s bigint[],
    p_cancel boolean[], p_livemode boolean[], p_needs_refresh boolean[], p_event_s bigint[], p_states bytea[]
) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    written bigint;
begin
    insert into wp.subscriptions as s (stripe_subscription_id, stripe_customer_id, status, current_period_end,
        cancel_at_period_end, livemode, needs_refresh, event_s, merge_state, version, refresh_after)
    select r.id, r.customer, r.status, to_timestamp(r.period_end_s), r.cancel, r.live, r.needs_refresh, r.event_s, r.state,
        r.version + 1, case when r.needs_refresh then now() + interval '2 seconds' end
    from unnest(p_subscription_ids, p_versions, p_customers, p_statuses, p_period_end_s, p_cancel, p_livemode,
            p_needs_refresh, p_event_s, p_states)
        as r (id, version, customer, status, period_end_s, cancel, live, needs_refresh, event_s, state)
    on conflict (stripe_subscription_id) do update
    set status = excluded.status, current_period_end = excluded.current_period_end,
        cancel_at_period_end = excluded.cancel_at_period_end, needs_refresh = excluded.needs_refresh,
        event_s = excluded.event_s, merge_state = excluded.merge_state, version = excluded.version,
        updated_at = now(), refresh_after = excluded.refresh_after, refresh_failures = 0, refresh_error = null
    where s.version + 1 = excluded.version;
    get diagnostics written = row_count;
    if written <> cardinality(p_subscription_ids) then
        raise exception 'another transaction wrote % of % subscriptions first',
            cardinality(p_subscription_ids) - written, cardinality(p_subscription_ids) using errcode = '40001';
    end if;
end
$$;
comment on function api.subscription_sync_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[], boolean[],
    bigint[], bytea[]) is
    'Writes merged states, each id once. p_versions: as api.subscription_sync_lock returned them, 0 for a new row; a row '
    'that is not at its version makes the call fail with 40001, so that the batch is repeated. A subscription''s customer and mode never change '
    'at Stripe and stay as first written. The refresher waits two seconds, until the second that it asks about is over.';
grant execute on function api.subscription_sync_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[], boolean[],
    bigint[], bytea[]) to watchpost_subscription_sync;

create function wp.account_states_settle(p_account_ids text[], p_past_due_active boolean) returns bigint
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    changed bigint;
begin
    with wanted as (
        select a.account_id, case when exists (
                select from wp.subscriptions s
                where s.stripe_customer_id = a.stripe_customer_id
                    and (s.status in ('active', 'trialing') or (s.status = 'past_due' and p_past_due_active))
            ) then 'active' else 'suspended' end as state
        from wp.accounts a
        where a.account_id = any (p_account_ids) and a.stripe_customer_id is not null
    )
    update wp.accounts a set state = w.state from wanted w where a.account_id = w.account_id and a.state <> w.state;
    get diagnostics changed = row_count;
    return changed;
end
$$;
comment on function wp.account_states_settle(text[], boolean) is
    'Sets the state of linked accounts by their subscriptions; returns how many changed. The caller holds the accounts'' rows. '
    'The one place where a subscription changes an account: who must hear of it is told from here.';

create function api.subscription_sync_accounts(
    p_accounts text[], p_customers text[], p_changed_customers text[], p_require_subscription boolean,
    p_past_due_active boolean
) returns table (place integer, outcome text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    touched text[];
begin
    select array_agg(l.account_id) into touched from (
        select a.account_id
        from wp.accounts a
        where a.account_id = any (p_accounts) or (p_require_subscription and a.stripe_customer_id = any (p_changed_customers))
        order by a.account_id
        for update
    ) l;
    return query
        select l.place::integer, wp.account_link(l.account_id, l.customer, false)
        from unnest(p_accounts, p_customers) with ordinality as l (account_id, customer, place)
        order by l.place;
    if p_require_subscription then
        perform wp.account_states_settle(touched, p_past_due_active);
    end if;
end
$$;
comment on function api.subscription_sync_accounts(text[], text[], text[], boolean, boolean) is
    'Links accounts to customers (the first link stands: another one is an operator''s decision) and, where an account needs a '
    'subscription, settles the states of all that are touched. Returns wp.account_link''s outcome by place, from 1.';
grant execute on function api.subscription_sync_accounts(text[], text[], text[], boolean, boolean) to watchpost_subscription_sync;

create function api.subscription_sync_forget(p_days integer, p_limit integer) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    gone bigint;
begin
    delete from wp.stripe_events
    where event_id in (
        select event_id from wp.stripe_events where seen_at < now() - make_interval(days => greatest(p_days, 1)) limit p_limit
    );
    get diagnostics gone = row_count;
    return gone;
end
$$;
comment on function api.subscription_sync_forget(integer, integer) is
    'Forgets at most p_limit event ids that are older than p_days; returns how many.';
grant execute on function api.subscription_sync_forget(integer, integer) to watchpost_subscription_sync;

-- --- asking Stripe's API -------------------------------------------------------------------------------------------

create function api.subscription_refresh_due(p_limit integer, p_lease_s integer)
    returns table (stripe_subscription_id text, version bigint, refresh_failures integer)
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    update wp.subscriptions s
    set refresh_after = now() + make_interval(secs => greatest(p_lease_s, 1))
    from (
        select d.stripe_subscription_id
        from wp.subscriptions d
        where d.needs_refresh and d.refresh_after <= now()
        order by d.refresh_after
        limit least(greatest(p_limit, 0), 1000)
        for update skip locked
    ) due
    where s.stripe_subscription_id = due.stripe_subscription_id
    returning s.stripe_subscription_id::text, s.version, s.refresh_failures
$$;
comment on function api.subscription_refresh_due(integer, integer) is
    'Takes rows that need a refresh for p_lease_s: nobody else takes them before that.';
grant execute on function api.subscription_refresh_due(integer, integer) to watchpost_subscription_sync;

create function api.subscription_refresh_failed(p_subscription_id text, p_version bigint, p_error text, p_retry_s integer)
    returns void
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    update wp.subscriptions s
    set refresh_failures = s.refresh_failures + 1, refresh_error = left(p_error, 200),
        refresh_after = case when p_retry_s is null then 'infinity' else now() + make_interval(secs => p_retry_s) end
    where s.stripe_subscription_id = p_subscription_id and s.version = p_version
$$;
comment on function api.subscription_refresh_failed(text, bigint, text, integer) is
    'Notes that Stripe''s API did not answer; p_retry_s null: it does not know the id and is not asked again until an event comes.';
grant execute on function api.subscription_refresh_failed(text, bigint, text, integer) to watchpost_subscription_sync;

create function wp.subscription_refreshed_state(p_event_s bigint, p_status text, p_period_end_s bigint, p_cancel boolean)
    returns bytea
    language plpgsql immutable
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    candidate bytea := '\x0000';
begin
    candidate := set_byte(candidate, 0, array_position(array['incomplete', 'trialing', 'active', 'past_due', 'unpaid',
        'paused', 'incomplete_expired', 'canceled'], p_status));
    candidate := set_byte(candidate, 1, p_cancel::integer);
    return '\x0102'::bytea || int8send(0) || int8send(p_event_s) || candidate || int8send(coalesce(p_period_end_s, 0));
end
$$;
comment on function wp.subscription_refreshed_state(bigint, text, bigint, boolean) is
    'subscription_encode of common/subscription.c for one answer of Stripe''s API: version 1, phase refreshed, no edges.';

create function wp.subscription_refresh_one(
    p_subscription_id text, p_version bigint, p_customer text, p_status text, p_period_end_s bigint, p_cancel boolean,
    p_livemode boolean, p_created_s bigint, p_dry_run boolean
) returns text
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    present wp.subscriptions%rowtype;
begin
    select * into present from wp.subscriptions s where s.stripe_subscription_id = p_subscription_id for update;
    if not found then
        if not p_dry_run then
            insert into wp.subscriptions (stripe_subscription_id, stripe_customer_id, status, current_period_end,
                cancel_at_period_end, livemode, needs_refresh, event_s, merge_state)
            values (p_subscription_id, p_customer, p_status, to_timestamp(p_period_end_s), p_cancel, p_livemode, false,
                p_created_s, wp.subscription_refreshed_state(p_created_s, p_status, p_period_end_s, p_cancel));
        end if;
        return 'inserted';
    elsif present.version <> p_version then
        return 'changed_meanwhile';
    elsif present.status in ('canceled', 'incomplete_expired') and p_status not in ('canceled', 'incomplete_expired') then
        return 'terminal';
    elsif not present.needs_refresh and present.status = p_status and present.cancel_at_period_end = p_cancel
        and present.current_period_end is not distinct from to_timestamp(p_period_end_s) then
        return 'same';
    end if;
    if not p_dry_run then
        update wp.subscriptions s
        set status = p_status, current_period_end = to_timestamp(p_period_end_s), cancel_at_period_end = p_cancel,
            needs_refresh = false, version = s.version + 1, updated_at = now(), refresh_after = null,
            refresh_failures = 0, refresh_error = null,
            merge_state = wp.subscription_refreshed_state(s.event_s, p_status, p_period_end_s, p_cancel)
        where s.stripe_subscription_id = p_subscription_id;
    end if;
    return 'changed';
end
$$;
comment on function wp.subscription_refresh_one(text, bigint, text, text, bigint, boolean, boolean, bigint, boolean) is
    'Applies one answer of Stripe''s API, if the row is at the version that it was asked for. It counts for the second of '
    'the row''s newest event and beats every event of that second; every later event beats it.';

create function api.subscription_refresh_write(
    p_subscription_ids text[], p_versions bigint[], p_customers text[], p_statuses text[], p_period_end_s bigint[],
    p_cancel boolean[], p_livemode boolean[], p_created_s bigint[], p_require_subscription boolean,
    p_past_due_active boolean, p_dry_run boolean
) returns table (stripe_subscription_id text, outcome text)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    touched text[];
begin
    return query
        select r.id, wp.subscription_refresh_one(r.id, r.version, r.customer, r.status, r.period_end_s, r.cancel, r.live,
            r.created_s, p_dry_run)
        from (
            select * from unnest(p_subscription_ids, p_versions, p_customers, p_statuses, p_period_end_s, p_cancel, p_livemode,
                p_created_s) as u (id, version, customer, status, period_end_s, cancel, live, created_s)
            order by u.id
        ) r;
    if p_require_subscription and not p_dry_run then
        select array_agg(l.account_id) into touched from (
            select a.account_id from wp.accounts a where a.stripe_customer_id = any (p_customers) order by a.account_id for update
        ) l;
        perform wp.account_states_settle(touched, p_past_due_active);
    end if;
end
$$;
comment on function api.subscription_refresh_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[], bigint[],
    boolean, boolean, boolean) is
    'Applies answers of Stripe''s API in the order of their ids. Outcomes: inserted, changed, same, changed_meanwhile (the row is not at '
    'p_versions any more), terminal (Stripe says it lives, we know that it ended). p_dry_run says what would be.';
grant execute on function api.subscription_refresh_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[],
    bigint[], boolean, boolean, boolean) to watchpost_subscription_sync, watchpost_ctl;

create function api.subscription_versions(p_after text, p_limit integer)
    returns table (stripe_subscription_id text, version bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select s.stripe_subscription_id::text, case when s.updated_at < now() - interval '2 seconds' then s.version else -1 end
    from wp.subscriptions s
    where s.stripe_subscription_id > coalesce(p_after, '') collate "C"
    order by s.stripe_subscription_id
    limit least(greatest(p_limit, 0), 10000)
$$;
comment on function api.subscription_versions(text, integer) is
    'Ids and versions after p_after: what a reconcile reads before it asks Stripe. -1: just changed, leave it alone.';
grant execute on function api.subscription_versions(text, integer) to watchpost_ctl;

-- --- what operators read -------------------------------------------------------------------------------------------

create view report.subscriptions as
    select s.stripe_customer_id::text as stripe_customer_id, s.stripe_subscription_id::text as stripe_subscription_id, s.status,
        s.current_period_end, s.cancel_at_period_end, s.livemode, s.needs_refresh, s.updated_at,
        a.account_id::text as account_id
    from wp.subscriptions s
    left join wp.accounts a on a.stripe_customer_id = s.stripe_customer_id;
comment on view report.subscriptions is 'Every subscription with the account that its customer pays for.';
