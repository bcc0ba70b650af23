-- 0008: an account's state follows its subscription, as an access change (R4), with a grace for late payments.

set local role watchpost_owner;

-- --- since when a payment is late ----------------------------------------------------------------------------------

alter table wp.subscriptions add column past_due_since timestamptz;
update wp.subscriptions set past_due_since = to_timestamp(event_s) where status = 'past_due';
create index subscriptions_past_due on wp.subscriptions (past_due_since) where past_due_since is not null;
comment on column wp.subscriptions.past_due_since is
    'When it became past_due: the second of the event that said so, or when Stripe''s API said so first; null in every other status.';

create function wp.subscription_past_due() returns trigger
    language plpgsql
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    new.past_due_since := case when new.status = 'past_due' then coalesce(new.past_due_since, to_timestamp(new.event_s)) end;
    return new;
end
$$;
comment on function wp.subscription_past_due() is 'Keeps past_due_since; fires only when a subscription becomes or ceases to be past_due.';
create trigger subscriptions_past_due_begins
    before insert on wp.subscriptions
    for each row when (new.status = 'past_due')
    execute function wp.subscription_past_due();
create trigger subscriptions_past_due_changes
    before update on wp.subscriptions
    for each row when ((old.status = 'past_due') <> (new.status = 'past_due'))
    execute function wp.subscription_past_due();

create or replace function wp.subscription_refresh_one(
    p_subscription_id text, p_version bigint, p_customer text, p_status text, p_period_end_s bigint, p_cancel boolean,
    p_livemode boolean, p_created_s bigint, p_dry_run boolean
) returns text
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    present wp.subscriptions%rowtype;
    -- Stripe's API does not say since when, and the newest event may be years old: the grace begins when we learn of it.
    late_since constant timestamptz := case when p_status = 'past_due' then now() end;
begin
    select * into present from wp.subscriptions s where s.stripe_subscription_id = p_subscription_id for update;
    if not found then
        if not p_dry_run then
            insert into wp.subscriptions (stripe_subscription_id, stripe_customer_id, status, current_period_end,
                cancel_at_period_end, livemode, needs_refresh, event_s, merge_state, past_due_since)
            values (p_subscription_id, p_customer, p_status, to_timestamp(p_period_end_s), p_cancel, p_livemode, false,
                p_created_s, wp.subscription_refreshed_state(p_created_s, p_status, p_period_end_s, p_cancel), late_since)
            on conflict do nothing;
        end if;
        return case when p_dry_run or found then 'inserted' else 'changed_meanwhile' end;
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
            refresh_failures = 0, refresh_error = null, past_due_since = coalesce(s.past_due_since, late_since),
            merge_state = wp.subscription_refreshed_state(s.event_s, p_status, p_period_end_s, p_cancel)
        where s.stripe_subscription_id = p_subscription_id;
    end if;
    return 'changed';
end
$$;

-- --- what follows for accounts -------------------------------------------------------------------------------------

alter table wp.accounts add column settle_after timestamptz;
create index accounts_to_settle on wp.accounts (settle_after) where settle_after is not null;
create index accounts_lapsed on wp.accounts (account_id) where subscription_lapsed;
comment on column wp.accounts.settle_after is
    'Linked a moment ago: who writes a subscription of the customer at the same moment sees no account to settle, and who links does not '
    'see that subscription. So the state is settled once more, when both have long ended.';

create or replace function wp.account_link(p_account_id text, p_stripe_customer_id text, p_replace boolean) returns text
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    present text;
begin
    select stripe_customer_id into present from wp.accounts where account_id = p_account_id for update;
    if not found then
        return 'account_unknown';
    elsif present = p_stripe_customer_id then
        return 'unchanged';
    elsif present is not null and not p_replace then
        return 'account_linked';
    -- Also when its account is letting it go at this moment: who waited for that, with the own account locked, could be waited for.
    elsif exists (select from wp.accounts where stripe_customer_id = p_stripe_customer_id) then
        return 'customer_taken';
    end if;
    begin
        update wp.accounts
        set stripe_customer_id = p_stripe_customer_id, settle_after = clock_timestamp() + interval '1 minute'
        where account_id = p_account_id;
    exception
        when unique_violation then
            return 'customer_taken';
    end;
    return 'linked';
end
$$;

create function wp.account_states_settle(p_account_ids text[], p_past_due_grace_h integer) returns bigint
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    ids text[];
    lapsed boolean[];
    settled integer;
begin
    select array_agg(w.account_id), array_agg(w.lapsed) into ids, lapsed from (
        select a.account_id::text, p_past_due_grace_h is not null and not exists (
            select from wp.subscriptions s
            where s.stripe_customer_id = a.stripe_customer_id
                and (s.status in ('active', 'trialing')
                    or (s.status = 'past_due' and s.past_due_since > now() - make_interval(hours => p_past_due_grace_h)))
        ) as lapsed
        from wp.accounts a
        where a.account_id = any (p_account_ids) and a.stripe_customer_id is not null
    ) w;
    if ids is null then
        return 0;
    end if;
    select c.changed into settled from wp.accounts_change(ids, lapsed, 'subscription', 'subscription-sync', null) c;
    return settled;
end
$$;
comment on function wp.account_states_settle(text[], integer) is
    'Sets the subscription''s part of the state of linked accounts; returns how many changed. active and trialing allow, past_due '
    'allows for p_past_due_grace_h hours, every other status suspends; p_past_due_grace_h null: no subscription is required, all allow. '
    'To be called last: it takes the access clock''s lock.';

drop function api.account_link(text, text, boolean, boolean, boolean);
create function api.account_link(
    p_account_id text, p_stripe_customer_id text, p_replace boolean, p_require_subscription boolean, p_past_due_grace_h integer
) returns text
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    outcome text := wp.account_link(p_account_id, p_stripe_customer_id, p_replace);
begin
    case outcome
        when 'linked', 'unchanged' then
            perform wp.account_states_settle(array[p_account_id], case when p_require_subscription then p_past_due_grace_h end);
            return outcome;
        when 'account_unknown' then
            raise exception 'there is no such account' using errcode = 'WP404';
        when 'account_linked' then
            raise exception 'the account is linked to another customer' using errcode = 'WP409';
        when 'customer_taken' then
            raise exception 'the customer belongs to another account' using errcode = 'WP409';
    end case;
end
$$;
comment on function api.account_link(text, text, boolean, boolean, integer) is
    'Links an account to a Stripe customer and settles its state, which needs a subscription where p_require_subscription is true; '
    'returns linked or unchanged. WP404: no such account. WP409: the customer belongs to another account, or the account has another '
    'customer and p_replace is false.';
grant execute on function api.account_link(text, text, boolean, boolean, integer) to watchpost_ctl;

drop function api.subscription_sync_accounts(text[], text[], text[], boolean, boolean);
create function api.subscription_sync_accounts(
    p_accounts text[], p_customers text[], p_changed_customers text[], p_require_subscription boolean,
    p_past_due_grace_h integer
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
        perform wp.account_states_settle(touched, p_past_due_grace_h);
    end if;
end
$$;
comment on function api.subscription_sync_accounts(text[], text[], text[], boolean, integer) is
    'Links accounts to customers (the first link stands: another one is an operator''s decision) and, where an account needs a '
    'subscription, settles the states of all that are touched. Returns wp.account_link''s outcome by place, from 1.';
grant execute on function api.subscription_sync_accounts(text[], text[], text[], boolean, integer) to watchpost_subscription_sync;

drop function api.subscription_refresh_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[], bigint[], boolean,
    boolean, boolean);
create function api.subscription_refresh_write(
    p_subscription_ids text[], p_versions bigint[], p_customers text[], p_statuses text[], p_period_end_s bigint[],
    p_cancel boolean[], p_livemode boolean[], p_created_s bigint[], p_require_subscription boolean,
    p_past_due_grace_h integer, p_dry_run boolean
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
        perform wp.account_states_settle(touched, p_past_due_grace_h);
    end if;
end
$$;
comment on function api.subscription_refresh_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[], bigint[],
    boolean, integer, boolean) is
    'Applies answers of Stripe''s API in the order of their ids. Outcomes: inserted, changed, same, changed_meanwhile (the row is not at '
    'p_versions any more), terminal (Stripe says it lives, we know that it ended). p_dry_run says what would be.';
grant execute on function api.subscription_refresh_write(text[], bigint[], text[], text[], bigint[], boolean[], boolean[],
    bigint[], boolean, integer, boolean) to watchpost_subscription_sync, watchpost_ctl;

drop function wp.account_states_settle(text[], boolean);

create function api.subscription_grace_settle(p_past_due_grace_h integer, p_limit integer) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    late_before constant timestamptz := now() - make_interval(hours => p_past_due_grace_h);
    -- Where none is required now, one may be tomorrow: then these are settled first of all.
    again constant timestamptz := case when p_past_due_grace_h is null then now() end;
    ids text[];
begin
    if p_past_due_grace_h is null then
        ids := array(
            select a.account_id from wp.accounts a where a.subscription_lapsed
            order by a.account_id limit least(greatest(p_limit, 0), 10000));
    else
        ids := array(
            select a.account_id from wp.accounts a where a.settle_after <= now()
            union
            -- Not those that another subscription keeps active: they would stand before the others for ever.
            select a.account_id from wp.subscriptions s join wp.accounts a on a.stripe_customer_id = s.stripe_customer_id
            where s.past_due_since <= late_before and not a.subscription_lapsed and not exists (
                select from wp.subscriptions o
                where o.stripe_customer_id = s.stripe_customer_id
                    and (o.status in ('active', 'trialing') or o.past_due_since > late_before)
            )
            union
            select a.account_id from wp.subscriptions s join wp.accounts a on a.stripe_customer_id = s.stripe_customer_id
            where s.past_due_since > late_before and a.subscription_lapsed
            order by 1 limit least(greatest(p_limit, 0), 10000));
    end if;
    perform from wp.accounts a where a.account_id = any (ids) order by a.account_id for update;
    update wp.accounts a set settle_after = again
    where a.account_id = any (ids) and a.settle_after is distinct from again;
    return wp.account_states_settle(ids, p_past_due_grace_h);
end
$$;
comment on function api.subscription_grace_settle(integer, integer) is
    'Settles accounts that no event settles, at most p_limit at once; returns how many changed: those whose grace for a late payment ran '
    'out, or is longer by now; those linked a minute ago; p_past_due_grace_h null (no subscription is required): those suspended for '
    'want of one.';
grant execute on function api.subscription_grace_settle(integer, integer) to watchpost_subscription_sync;
