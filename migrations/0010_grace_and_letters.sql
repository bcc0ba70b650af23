-- 0010: accounts whose subscription ended while none was required are settled when one is required again; dead letters are counted
-- whole, and go when the topics' own records are gone.

set local role watchpost_owner;

create index accounts_unmarked on wp.accounts (account_id) where stripe_customer_id is not null and settle_after is null;
-- Linked before 0008, or settled for good since: once more, so that none is left out.
update wp.accounts set settle_after = now() where stripe_customer_id is not null and settle_after is null;

create or replace function api.subscription_grace_settle(p_past_due_grace_h integer, p_limit integer) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    late_before constant timestamptz := now() - make_interval(hours => p_past_due_grace_h);
    -- Where none is required now, one may be tomorrow, and what ends meanwhile is told to no account: then all are settled first of all.
    again constant timestamptz := case when p_past_due_grace_h is null then now() end;
    ids text[];
begin
    if p_past_due_grace_h is null then
        ids := array(
            select a.account_id from wp.accounts a where a.subscription_lapsed
            union
            select a.account_id from wp.accounts a where a.stripe_customer_id is not null and a.settle_after is null
            order by 1 limit least(greatest(p_limit, 0), 10000));
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
    perform wp.account_states_settle(ids, p_past_due_grace_h);
    return cardinality(ids);
end
$$;
comment on function api.subscription_grace_settle(integer, integer) is
    'Settles accounts that no event settles, at most p_limit at once; returns how many it looked at: those whose grace for a late payment '
    'ran out, or is longer by now; those linked a minute ago; p_past_due_grace_h null (no subscription is required): those suspended for '
    'want of one, and, once each, all that are linked, so that they are settled when one is required again.';

create or replace function api.worker_dead_letter(
    p_worker text, p_cluster_id text, p_topic text, p_partition integer, p_record_offset bigint,
    p_event_id text, p_event_type text, p_reason text, p_error_class text, p_attempts integer
) returns void
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    perform wp.worker_check(p_worker);
    insert into wp.dead_letters (worker, cluster_id, topic, partition, record_offset, event_id, event_type, reason,
        error_class, attempts)
    values (p_worker, p_cluster_id, p_topic, p_partition, p_record_offset, p_event_id, p_event_type, p_reason,
        p_error_class, p_attempts)
    on conflict do nothing;
    delete from wp.dead_letters d where d.ctid = any (array(
        select o.ctid from wp.dead_letters o
        where o.worker = p_worker and o.failed_at < now() - interval '400 days'
        order by o.failed_at limit 10
        for update skip locked));
end
$$;
comment on function api.worker_dead_letter(text, text, text, integer, bigint, text, text, text, text, integer) is
    'C6: records a dead letter in the transaction that moves the offset past it; the topic has confirmed it before. Takes ten rows of this '
    'worker along whose records are gone: topics keep them 400 days.';

create function api.dead_letter_counts() returns table (waiting bigint, redriven bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select count(*) filter (where d.redrives = 0), count(*) filter (where d.redrives > 0) from wp.dead_letters d
$$;
comment on function api.dead_letter_counts() is 'How many dead letters were not redriven, and how many were.';
grant execute on function api.dead_letter_counts() to watchpost_ctl;
