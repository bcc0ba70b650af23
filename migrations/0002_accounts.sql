-- 0002: accounts and the Stripe customer that pays for each.

set local role watchpost_owner;

-- --- ids ---------------------------------------------------------------------------------------------------------

-- Ids are made by the caller (prefix and ULID); the first of the 26 characters holds three bits.
create domain wp.account_id as text collate "C"
    constraint account_id_form check (value ~ '^acct_[0-7][0-9A-HJKMNP-TV-Z]{25}$');
comment on domain wp.account_id is 'acct_ and a ULID.';

create domain wp.stripe_customer_id as text collate "C"
    constraint stripe_customer_id_form check (value ~ '^cus_[A-Za-z0-9_]+$' and octet_length(value) <= 255);
comment on domain wp.stripe_customer_id is 'Stripe''s id of a customer; Stripe allows 255 characters.';

-- --- accounts ----------------------------------------------------------------------------------------------------

create table wp.accounts (
    account_id wp.account_id primary key,
    name text not null
        constraint accounts_name_form check (char_length(name) between 1 and 100 and name !~ '[[:cntrl:]]'),
    state text not null default 'active' constraint accounts_state_known check (state in ('active', 'suspended')),
    stripe_customer_id wp.stripe_customer_id constraint accounts_one_per_customer unique,
    created_at timestamptz not null default clock_timestamp()
);
comment on table wp.accounts is 'Who owns agents. Suspended: its agents are refused.';
comment on column wp.accounts.stripe_customer_id is 'The customer whose subscription decides the state; null: not linked.';

-- The one place that links, for the operator's command and for checkout.session.completed alike. An outcome instead of
-- an exception, so that a batch of events goes on.
create function wp.account_link(p_account_id text, p_stripe_customer_id text, p_replace boolean) returns text
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
    end if;
    begin
        update wp.accounts set stripe_customer_id = p_stripe_customer_id where account_id = p_account_id;
    exception
        when unique_violation then
            return 'customer_taken';
    end;
    return 'linked';
end
$$;
comment on function wp.account_link(text, text, boolean) is
    'Links an account to a Stripe customer: linked, unchanged, or refused as account_unknown, account_linked '
    '(to another customer, and p_replace is false) or customer_taken (by another account).';

-- --- what watchpostctl calls ---------------------------------------------------------------------------------------

create function api.account_create(p_account_id text, p_name text)
    returns table (account_id text, name text, state text, stripe_customer_id text, created_at timestamptz)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    insert into wp.accounts as a (account_id, name) values (p_account_id, p_name)
        on conflict on constraint accounts_pkey do nothing;
    return query
        select a.account_id::text, a.name, a.state, a.stripe_customer_id::text, a.created_at
        from wp.accounts a
        where a.account_id = p_account_id and a.name = p_name;
    if not found then
        raise exception 'another account has this id' using errcode = 'WP409';
    end if;
end
$$;
comment on function api.account_create(text, text) is
    'Makes an account under the caller''s id; the same call again (an unknown outcome repeated) changes nothing.';
grant execute on function api.account_create(text, text) to watchpost_ctl;

create function api.account_list(p_after text, p_limit integer)
    returns table (account_id text, name text, state text, stripe_customer_id text, created_at timestamptz)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select a.account_id::text, a.name, a.state, a.stripe_customer_id::text, a.created_at
    from wp.accounts a
    where a.account_id > coalesce(p_after, '') collate "C"
    order by a.account_id
    limit least(greatest(p_limit, 0), 1000)
$$;
comment on function api.account_list(text, integer) is
    'Accounts in the order of their ids, after p_after (null: from the first), at most p_limit and 1,000.';
grant execute on function api.account_list(text, integer) to watchpost_ctl;

create function api.account_show(p_account_id text)
    returns table (account_id text, name text, state text, stripe_customer_id text, created_at timestamptz)
    language plpgsql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    return query
        select a.account_id::text, a.name, a.state, a.stripe_customer_id::text, a.created_at
        from wp.accounts a
        where a.account_id = p_account_id;
    if not found then
        raise exception 'there is no such account' using errcode = 'WP404';
    end if;
end
$$;
comment on function api.account_show(text) is 'One account; WP404 when there is none.';
grant execute on function api.account_show(text) to watchpost_ctl;

create function api.account_link(
    p_account_id text, p_stripe_customer_id text, p_replace boolean, p_require_subscription boolean, p_past_due_active boolean
) returns text
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    outcome text := wp.account_link(p_account_id, p_stripe_customer_id, p_replace);
begin
    case outcome
        when 'linked', 'unchanged' then
            if p_require_subscription then
                perform wp.account_states_settle(array[p_account_id], p_past_due_active);
            end if;
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
comment on function api.account_link(text, text, boolean, boolean, boolean) is
    'Links an account to a Stripe customer and, where an account needs a subscription, settles its state (wp.account_states_settle '
    'comes with 0004); returns linked or unchanged. WP404: no such account. WP409: the customer belongs to another account, or the '
    'account has another customer and p_replace is false.';
grant execute on function api.account_link(text, text, boolean, boolean, boolean) to watchpost_ctl;

-- --- what operators read -------------------------------------------------------------------------------------------

create view report.accounts as
    select a.account_id::text as account_id, a.name, a.state, a.stripe_customer_id::text as stripe_customer_id, a.created_at
    from wp.accounts a;
comment on view report.accounts is 'Every account with its state and the Stripe customer that pays for it.';
