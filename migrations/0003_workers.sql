-- 0003: where each worker stands in each partition (C1, C3, C8), and what it set aside (C6).

set local role watchpost_owner;

-- --- offset rows -------------------------------------------------------------------------------------------------

create table wp.worker_offsets (
    worker text collate "C" not null
        constraint worker_offsets_worker_known check (worker ~ '^[a-z][a-z-]{1,40}$'),
    cluster_id text collate "C" not null
        constraint worker_offsets_cluster_form check (cluster_id ~ '^[!-~]{1,63}$'),
    topic text collate "C" not null constraint worker_offsets_topic_form check (topic ~ '^[a-zA-Z0-9._-]{1,249}$'),
    partition integer not null check (partition >= 0),
    next_offset bigint not null check (next_offset >= 0),
    chain_head bytea constraint worker_offsets_chain_head_form check (octet_length(chain_head) = 32),
    updated_at timestamptz not null default clock_timestamp(),
    primary key (worker, cluster_id, topic, partition)
);
-- Every batch updates its row in place: room on the page keeps that a HOT update.
alter table wp.worker_offsets set (fillfactor = 10, autovacuum_vacuum_threshold = 200);
comment on table wp.worker_offsets is
    'The next offset of each worker in each partition of each Kafka cluster; moved in the transaction of the effect (C3).';
comment on column wp.worker_offsets.chain_head is 'The hash chain''s head after the record before next_offset; of audit-log only.';

create table wp.offset_resets (
    reset_id bigint generated always as identity primary key,
    worker text collate "C" not null,
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    from_offset bigint not null,
    to_offset bigint not null,
    chain_head bytea,
    reset_by text not null default session_user,
    reset_at timestamptz not null default clock_timestamp()
);
comment on table wp.offset_resets is
    'Every move by hand of an offset row (C8): records between from_offset and to_offset were passed over or are read again.';
comment on column wp.offset_resets.chain_head is 'The chain''s head at the reset: the chain goes on from it behind the gap.';
create trigger offset_resets_never_change
    before update or delete or truncate on wp.offset_resets
    for each statement execute function wp.refuse_change();

-- A login role speaks for its own worker only.
create function wp.worker_check(p_worker text) returns void
    language plpgsql stable
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    if session_user <> 'watchpost_' || replace(p_worker, '-', '_')
        and not pg_has_role(session_user, 'watchpost_owner', 'member') then
        raise exception 'role % does not speak for worker %', session_user, p_worker using errcode = 'WP403';
    end if;
end
$$;
comment on function wp.worker_check(text) is 'Refuses (WP403) a session that is not this worker''s own login role.';

create function api.worker_position(
    p_worker text, p_cluster_id text, p_topic text, p_partition integer, p_start_offset bigint, p_chain_head bytea
) returns table (next_offset bigint, chain_head bytea)
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    perform wp.worker_check(p_worker);
    if p_start_offset is not null then
        insert into wp.worker_offsets (worker, cluster_id, topic, partition, next_offset, chain_head)
        values (p_worker, p_cluster_id, p_topic, p_partition, p_start_offset, p_chain_head)
        on conflict do nothing;
    end if;
    return query
        select o.next_offset, o.chain_head
        from wp.worker_offsets o
        where o.worker = p_worker and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition
        for update;
end
$$;
comment on function api.worker_position(text, text, text, integer, bigint, bytea) is
    'C1: the offset row, locked, so that a predecessor''s transaction has ended. No row and p_start_offset null: nothing is '
    'returned; else the row is made with p_start_offset and p_chain_head (C8).';

create function api.worker_advance(
    p_worker text, p_cluster_id text, p_topic text, p_partition integer,
    p_expected_offset bigint, p_next_offset bigint, p_chain_head bytea
) returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    perform wp.worker_check(p_worker);
    if p_next_offset <= p_expected_offset then
        raise exception 'an offset row only moves forward' using errcode = 'WP400';
    end if;
    -- A process that stops dead in its transaction holds the row no longer than Kafka leaves it the partition.
    perform set_config('idle_in_transaction_session_timeout', '10s', true);
    update wp.worker_offsets o
    set next_offset = p_next_offset, chain_head = p_chain_head, updated_at = now()
    where o.worker = p_worker and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition
        and o.next_offset = p_expected_offset;
    return found;
end
$$;
comment on function api.worker_advance(text, text, text, integer, bigint, bigint, bytea) is
    'C3: moves the offset row forward if it stands at p_expected_offset; false: another process moved it, drop the batch.';

-- --- dead letters ------------------------------------------------------------------------------------------------

create table wp.dead_letters (
    worker text collate "C" not null,
    cluster_id text collate "C" not null,
    topic text collate "C" not null,
    partition integer not null,
    record_offset bigint not null,
    event_id text,
    event_type text,
    reason text not null constraint dead_letters_reason_length check (octet_length(reason) <= 512),
    error_class text not null,
    attempts integer not null check (attempts > 0),
    failed_at timestamptz not null default clock_timestamp(),
    redriven_at timestamptz,
    redriven_by text,
    redrives integer not null default 0 check (redrives >= 0),
    primary key (worker, cluster_id, topic, partition, record_offset)
);
create index dead_letters_by_time on wp.dead_letters (failed_at);
comment on table wp.dead_letters is
    'One row per record that a worker set aside (C6); the record itself is in the topic dead-letter. Names and reasons only.';
comment on column wp.dead_letters.error_class is 'decode, or the two-character SQLSTATE class.';

create function api.worker_dead_letter(
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
end
$$;
comment on function api.worker_dead_letter(text, text, text, integer, bigint, text, text, text, text, integer) is
    'C6: records a dead letter in the transaction that moves the offset past it; the topic has confirmed it before.';

do $grants$
declare
    worker_role text;
begin
    foreach worker_role in array array['watchpost_subscription_sync', 'watchpost_audit_log', 'watchpost_revocation_fanout']
    loop
        execute format('grant execute on function api.worker_position(text, text, text, integer, bigint, bytea) to %I', worker_role);
        execute format('grant execute on function api.worker_advance(text, text, text, integer, bigint, bigint, bytea) to %I', worker_role);
        execute format('grant execute on function api.worker_dead_letter(text, text, text, integer, bigint, text, text, text, text, integer) to %I', worker_role);
    end loop;
end
$grants$;

-- --- what watchpostctl calls ---------------------------------------------------------------------------------------

create function api.offset_list(p_worker text, p_cluster_id text)
    returns table (worker text, cluster_id text, topic text, partition integer, next_offset bigint, updated_at timestamptz)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select o.worker, o.cluster_id, o.topic, o.partition, o.next_offset, o.updated_at
    from wp.worker_offsets o
    where (p_worker is null or o.worker = p_worker) and (p_cluster_id is null or o.cluster_id = p_cluster_id)
    order by o.worker, o.cluster_id, o.topic, o.partition
$$;
comment on function api.offset_list(text, text) is 'Offset rows, all or of one worker, of one Kafka cluster or all.';
grant execute on function api.offset_list(text, text) to watchpost_ctl;

create function api.offset_reset(
    p_worker text, p_cluster_id text, p_topic text, p_partition integer, p_expected_offset bigint, p_next_offset bigint
) returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    head bytea;
begin
    if p_next_offset < 0 then
        raise exception 'an offset is not negative' using errcode = 'WP400';
    end if;
    select o.chain_head into head
    from wp.worker_offsets o
    where o.worker = p_worker and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition
        and o.next_offset = p_expected_offset
    for update;
    if not found then
        return false;
    end if;
    -- A chain has no second branch: records that are in it are never chained again.
    if head is not null and p_next_offset < p_expected_offset then
        raise exception 'audit-log has these records in its hash chain; its offset only moves forward' using errcode = 'WP409';
    end if;
    insert into wp.offset_resets (worker, cluster_id, topic, partition, from_offset, to_offset, chain_head)
    values (p_worker, p_cluster_id, p_topic, p_partition, p_expected_offset, p_next_offset, head);
    update wp.worker_offsets o
    set next_offset = p_next_offset, updated_at = now()
    where o.worker = p_worker and o.cluster_id = p_cluster_id and o.topic = p_topic and o.partition = p_partition;
    return true;
end
$$;
comment on function api.offset_reset(text, text, text, integer, bigint, bigint) is
    'C8: moves an offset row by hand, if it stands at p_expected_offset, and records it. Running workers notice: their next '
    'batch is fenced and they read the row again; a partition that stood still goes on. WP409: back into a hash chain.';
grant execute on function api.offset_reset(text, text, text, integer, bigint, bigint) to watchpost_ctl;

create function api.offset_reset_list(p_worker text)
    returns table (worker text, cluster_id text, topic text, partition integer, from_offset bigint, to_offset bigint,
        chain_head bytea, reset_by text, reset_at timestamptz)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select r.worker, r.cluster_id, r.topic, r.partition, r.from_offset, r.to_offset, r.chain_head, r.reset_by, r.reset_at
    from wp.offset_resets r
    where p_worker is null or r.worker = p_worker
    order by r.reset_id
$$;
comment on function api.offset_reset_list(text) is
    'Resets, oldest first; audit verify reads from it where the chain of a partition has a gap and with which head it goes on.';
grant execute on function api.offset_reset_list(text) to watchpost_ctl;

create function api.dead_letter_list(p_worker text, p_after_ms bigint, p_limit integer)
    returns table (worker text, cluster_id text, topic text, partition integer, record_offset bigint, event_id text,
        event_type text, reason text, error_class text, attempts integer, failed_at timestamptz, redriven_at timestamptz,
        redrives integer)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select d.worker, d.cluster_id, d.topic, d.partition, d.record_offset, d.event_id, d.event_type, d.reason, d.error_class,
        d.attempts, d.failed_at, d.redriven_at, d.redrives
    from wp.dead_letters d
    where (p_worker is null or d.worker = p_worker)
        and d.failed_at >= to_timestamp(coalesce(p_after_ms, 0) / 1000.0)
    order by d.failed_at, d.worker, d.topic, d.partition, d.record_offset
    limit least(greatest(p_limit, 0), 10000)
$$;
comment on function api.dead_letter_list(text, bigint, integer) is 'Dead letters since p_after_ms, oldest first, at most 10,000.';
grant execute on function api.dead_letter_list(text, bigint, integer) to watchpost_ctl;

create function api.dead_letter_redriven(
    p_worker text, p_cluster_id text, p_topic text, p_partition integer, p_record_offset bigint, p_redrives_max integer
) returns boolean
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
begin
    update wp.dead_letters d
    set redriven_at = clock_timestamp(), redriven_by = session_user, redrives = d.redrives + 1
    where d.worker = p_worker and d.cluster_id = p_cluster_id and d.topic = p_topic and d.partition = p_partition
        and d.record_offset = p_record_offset and d.redrives < p_redrives_max;
    return found;
end
$$;
comment on function api.dead_letter_redriven(text, text, text, integer, bigint, integer) is
    'Counts a redrive before it is sent; false: there is no such row, or it was redriven p_redrives_max times (loop guard).';
grant execute on function api.dead_letter_redriven(text, text, text, integer, bigint, integer) to watchpost_ctl;

-- --- what operators read -------------------------------------------------------------------------------------------

create view report.dead_letters as
    select d.topic::text as topic, d.partition, d.record_offset, d.reason, d.failed_at,
        d.worker::text as worker, d.event_id, d.event_type, d.error_class, d.attempts, d.redriven_at, d.redrives
    from wp.dead_letters d;
comment on view report.dead_letters is 'Records that a worker set aside, with the reason and the place in the original topic.';
