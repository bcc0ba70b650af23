-- 0005: the audit ledger and the seals of its hash chains.

set local role watchpost_owner;

-- --- tables ------------------------------------------------------------------------------------------------------

create table wp.chains (
    chain_id integer generated always as identity primary key,
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null check (partition >= 0),
    constraint chains_one_per_partition unique (cluster_id, topic, partition)
);
comment on table wp.chains is 'One row per topic partition of a Kafka cluster: what ledger rows and seals refer to.';

create table wp.ledger (
    chain_id integer not null,
    record_offset bigint not null,
    recorded_at timestamptz not null,
    occurred_at timestamptz not null,
    duplicate boolean not null,
    type text collate "C" not null,
    event_id text collate "C",
    account_id text collate "C",
    customer text collate "C",
    actor text collate "C",
    summary text not null,
    primary key (chain_id, record_offset)
);
-- Two indexes that grow at their right edge or hardly at all; the third finds a second delivery and is random by nature.
create index ledger_by_time on wp.ledger using brin (recorded_at);
create index ledger_by_event on wp.ledger (chain_id, hashtext(event_id)) where event_id is not null;
alter table wp.ledger set (autovacuum_vacuum_insert_scale_factor = 0.05);
comment on table wp.ledger is
    'One row per record of the audit topics, in their order; what each record says is in Kafka under the same topic, partition, offset.';
comment on column wp.ledger.recorded_at is 'When Kafka appended the record; rows are kept 400 days from then.';
comment on column wp.ledger.occurred_at is 'When it happened by the event itself.';
comment on column wp.ledger.duplicate is 'The same event stands earlier in this partition.';
comment on column wp.ledger.type is 'The event''s type, or undecodable.';
comment on column wp.ledger.customer is 'Of stripe events: the customer, by which the account is found when it is linked later.';

create table wp.seals (
    chain_id integer not null references wp.chains,
    seal_number bigint not null check (seal_number > 0),
    sealed_at timestamptz not null,
    sealed_at_ms bigint not null,
    last_offset bigint not null check (last_offset >= 0),
    head bytea not null check (octet_length(head) = 32),
    previous bytea not null check (octet_length(previous) = 32),
    hash bytea not null check (octet_length(hash) = 32),
    signature bytea not null check (octet_length(signature) = 64),
    primary key (chain_id, seal_number),
    constraint seals_one_successor unique (chain_id, previous)
);
comment on table wp.seals is 'Ed25519 signatures over chain heads, each naming the one before it (common/seal.h). Kept for ever.';
comment on column wp.seals.hash is 'SHA-256 of the seal''s text and signature: the next one''s previous.';

create trigger seals_never_change
    before update or delete or truncate on wp.seals
    for each statement execute function wp.refuse_change();
create trigger ledger_never_changes
    before update or truncate on wp.ledger
    for each statement execute function wp.refuse_change();
create trigger ledger_is_kept
    before delete on wp.ledger
    for each row when (old.recorded_at > now() - interval '400 days')
    execute function wp.refuse_change();

-- --- what audit-log calls ----------------------------------------------------------------------------------------

create function wp.chain_id(p_cluster_id text, p_topic text, p_partition integer) returns integer
    language plpgsql volatile
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    id integer;
begin
    select c.chain_id into id
    from wp.chains c
    where c.cluster_id = p_cluster_id and c.topic = p_topic and c.partition = p_partition;
    if not found then
        insert into wp.chains (cluster_id, topic, partition) values (p_cluster_id, p_topic, p_partition)
        on conflict on constraint chains_one_per_partition do update set topic = excluded.topic
        returning chain_id into id;
    end if;
    return id;
end
$$;
comment on function wp.chain_id(text, text, integer) is 'The number of a chain, made at its first use.';

create function api.audit_write(
    p_cluster_id text, p_topic text, p_partition integer, p_offsets bigint[], p_recorded_ms bigint[], p_occurred_ms bigint[],
    p_types text[], p_event_ids text[], p_accounts text[], p_customers text[], p_actors text[], p_summaries text[]
) returns setof bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    chain integer := wp.chain_id(p_cluster_id, p_topic, p_partition);
begin
    return query
        with written as (
            insert into wp.ledger (chain_id, record_offset, recorded_at, occurred_at, duplicate, type, event_id, account_id,
                customer, actor, summary)
            select chain, r.record_offset, to_timestamp(r.recorded_ms / 1000.0), to_timestamp(r.occurred_ms / 1000.0),
                r.event_id is not null and (
                    row_number() over (partition by r.event_id order by r.record_offset) > 1
                    -- Not exists(): that may be planned as one hash of the whole chain, built anew by every call.
                    or (select l.record_offset
                        from wp.ledger l
                        where l.chain_id = chain and hashtext(l.event_id) = hashtext(r.event_id) and l.event_id = r.event_id
                        limit 1) is not null),
                r.type, r.event_id, r.account_id, r.customer, r.actor, r.summary
            from unnest(p_offsets, p_recorded_ms, p_occurred_ms, p_types, p_event_ids, p_accounts, p_customers, p_actors,
                    p_summaries)
                as r (record_offset, recorded_ms, occurred_ms, type, event_id, account_id, customer, actor, summary)
            returning record_offset, duplicate
        )
        select w.record_offset from written w where w.duplicate;
end
$$;
comment on function api.audit_write(text, text, integer, bigint[], bigint[], bigint[], text[], text[], text[], text[], text[],
    text[]) is
    'Writes the ledger rows of a batch of one partition; returns the offsets of those whose event stands earlier in it.';
grant execute on function api.audit_write(text, text, integer, bigint[], bigint[], bigint[], text[], text[], text[], text[],
    text[], text[]) to watchpost_audit_log;

create function api.audit_seal_due(p_cluster_id text, p_topic text, p_partition integer, p_interval_s integer)
    returns table (next_offset bigint, head bytea, previous bytea)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select o.next_offset, o.chain_head, last.hash
    from wp.worker_offsets o
    join wp.chains c on c.cluster_id = o.cluster_id and c.topic = o.topic and c.partition = o.partition
    left join lateral (
        select s.hash, s.sealed_at from wp.seals s where s.chain_id = c.chain_id order by s.seal_number desc limit 1
    ) last on true
    where o.worker = 'audit-log' and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition
        and (last.sealed_at is null or last.sealed_at <= now() - make_interval(secs => p_interval_s))
$$;
comment on function api.audit_seal_due(text, text, integer, integer) is
    'Where a chain stands, if its last seal is p_interval_s old or there is none; previous is null before the first. A partition '
    'without records has no chain yet and is never due.';
grant execute on function api.audit_seal_due(text, text, integer, integer) to watchpost_audit_log;

create function api.audit_seal_write(
    p_cluster_id text, p_topic text, p_partition integer, p_last_offset bigint, p_head bytea, p_sealed_at_ms bigint,
    p_previous bytea, p_hash bytea, p_signature bytea
) returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    chain integer := wp.chain_id(p_cluster_id, p_topic, p_partition);
    last wp.seals%rowtype;
begin
    perform from wp.worker_offsets o
    where o.worker = 'audit-log' and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition
        and o.next_offset = p_last_offset + 1 and o.chain_head = p_head
    for update;
    if not found then
        return false;
    end if;
    select * into last from wp.seals s where s.chain_id = chain order by s.seal_number desc limit 1;
    if found and last.hash <> p_previous then
        return false;
    end if;
    insert into wp.seals (chain_id, seal_number, sealed_at, sealed_at_ms, last_offset, head, previous, hash, signature)
    values (chain, coalesce(last.seal_number, 0) + 1, to_timestamp(p_sealed_at_ms / 1000.0), p_sealed_at_ms, p_last_offset,
        p_head, p_previous, p_hash, p_signature);
    return true;
end
$$;
comment on function api.audit_seal_write(text, text, integer, bigint, bytea, bigint, bytea, bytea, bytea) is
    'Keeps a seal; false when the chain or its seals went on since they were read. The row lock lets one process seal at a time.';
grant execute on function api.audit_seal_write(text, text, integer, bigint, bytea, bigint, bytea, bytea, bytea)
    to watchpost_audit_log;

create function api.audit_forget(p_limit integer) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    gone bigint;
begin
    delete from wp.ledger
    where ctid = any (array(
        select l.ctid from wp.ledger l where l.recorded_at < now() - interval '401 days' limit p_limit
    ));
    get diagnostics gone = row_count;
    return gone;
end
$$;
comment on function api.audit_forget(integer) is
    'Deletes at most p_limit ledger rows that are over 400 days old (and a day more, so that Kafka forgets first); returns how many. '
    'The BRIN index finds the oldest blocks; younger rows are refused by a trigger.';
grant execute on function api.audit_forget(integer) to watchpost_audit_log;

-- --- what watchpostctl calls ---------------------------------------------------------------------------------------

create function api.audit_seal_list(p_cluster_id text, p_topic text, p_partition integer, p_after_number bigint, p_limit integer)
    returns table (seal_number bigint, sealed_at_ms bigint, last_offset bigint, head bytea, previous bytea, hash bytea,
        signature bytea)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select s.seal_number, s.sealed_at_ms, s.last_offset, s.head, s.previous, s.hash, s.signature
    from wp.seals s
    join wp.chains c on c.chain_id = s.chain_id
    where c.cluster_id = p_cluster_id and c.topic = p_topic and c.partition = p_partition
        and s.seal_number > coalesce(p_after_number, 0)
    order by s.seal_number
    limit least(greatest(p_limit, 0), 10000)
$$;
comment on function api.audit_seal_list(text, text, integer, bigint, integer) is
    'The seals of one partition, oldest first, after p_after_number; at most 10,000.';
grant execute on function api.audit_seal_list(text, text, integer, bigint, integer) to watchpost_ctl;

create function api.audit_head_list(p_cluster_id text)
    returns table (topic text, partition integer, next_offset bigint, head bytea, sealed_at timestamptz, sealed_offset bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select o.topic, o.partition, o.next_offset, o.chain_head, last.sealed_at, last.last_offset
    from wp.worker_offsets o
    left join wp.chains c on c.cluster_id = o.cluster_id and c.topic = o.topic and c.partition = o.partition
    left join lateral (
        select s.sealed_at, s.last_offset from wp.seals s where s.chain_id = c.chain_id order by s.seal_number desc limit 1
    ) last on true
    where o.worker = 'audit-log' and o.cluster_id = p_cluster_id
    order by o.topic, o.partition
$$;
comment on function api.audit_head_list(text) is 'Each partition''s chain head with its last seal: what verify ends at and status shows.';
grant execute on function api.audit_head_list(text) to watchpost_ctl;

-- --- what operators and analysts read --------------------------------------------------------------------------------

create view report.audit as
    select c.topic::text as topic, c.partition, l.record_offset, l.occurred_at,
        coalesce(l.account_id::text, a.account_id::text) as account_id, l.type::text as type, l.actor::text as actor, l.summary,
        l.recorded_at, l.event_id::text as event_id, l.duplicate, l.customer::text as stripe_customer_id,
        c.cluster_id::text as cluster_id
    from wp.ledger l
    join wp.chains c on c.chain_id = l.chain_id
    left join wp.accounts a on a.stripe_customer_id = l.customer;
comment on view report.audit is 'The audit ledger: one row per record of the audit topics, secret-free.';

create view report.seals as
    select c.topic::text as topic, c.partition, s.sealed_at, s.last_offset, encode(s.head, 'hex') as head,
        encode(s.signature, 'hex') as signature, c.cluster_id::text as cluster_id, s.seal_number,
        encode(s.previous, 'hex') as previous, encode(s.hash, 'hex') as hash, s.sealed_at_ms
    from wp.seals s
    join wp.chains c on c.chain_id = s.chain_id;
comment on view report.seals is 'Signed heads of the hash chains, in lower-case hex; docs/events.md says what is signed.';
