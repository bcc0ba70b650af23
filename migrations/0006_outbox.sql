-- 0006: the outbox: what was decided in Postgres becomes events in Kafka.

set local role watchpost_owner;

-- --- the table ---------------------------------------------------------------------------------------------------

create table wp.outbox (
    outbox_id bigint generated always as identity primary key,
    topic text collate "C" not null constraint outbox_topic_known check (topic in ('access', 'spend')),
    key text collate "C" not null constraint outbox_key_length check (octet_length(key) between 1 and 255),
    number bigint not null check (number > 0),
    shard smallint not null generated always as (hashtext(key) & 15) stored,
    event_id text collate "C" not null,
    type text collate "C" not null,
    schema_version integer not null check (schema_version > 0),
    time_ms bigint not null,
    payload jsonb not null,
    constraint outbox_gapless unique (topic, key, number)
);
create index outbox_by_shard on wp.outbox (shard, outbox_id);
-- Rows live for some milliseconds: dead ones are cleared away early, or every read walks over them.
alter table wp.outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);
comment on table wp.outbox is
    'Events written by the transaction that decided them, deleted when Kafka has them. Payload: the fields of the event''s schema.';
comment on column wp.outbox.number is
    'Gapless for each key, taken under the lock that serialises the key: who sees a number sees all below it. Readers drop '
    'what is not the next one.';
comment on column wp.outbox.shard is 'One relay at a time publishes a shard (session advisory locks), so a key has one writer.';

-- --- what outbox-relay calls --------------------------------------------------------------------------------------

create function wp.outbox_lock_class() returns integer
    language sql immutable
    set search_path = pg_catalog, wp, pg_temp
as $$
    select 1464880962
$$;
comment on function wp.outbox_lock_class() is
    'Class of the advisory locks of relays: objects 0 to 15 are the shards, 16 is held shared by every relay.';

create function api.outbox_claim() returns setof integer
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    class constant integer := wp.outbox_lock_class();
    mine integer[];
    relays integer;
    share integer;
    candidate integer;
begin
    -- A relay that stops dead is let go by the server, and its shards with it: a live one asks several times a second.
    perform set_config('idle_session_timeout', '10s', false);
    if not exists (
        select from pg_locks l
        where l.locktype = 'advisory' and l.classid = class::oid and l.objid = 16::oid and l.pid = pg_backend_pid()
            and l.database = (select d.oid from pg_database d where d.datname = current_database())
    ) then
        perform pg_advisory_lock_shared(class, 16);
    end if;
    select count(distinct l.pid) filter (where l.objid = 16::oid),
        coalesce(array_agg(l.objid::bigint::integer order by l.objid::bigint) filter
            (where l.objid <> 16::oid and l.pid = pg_backend_pid() and l.granted), '{}')
    into relays, mine
    from pg_locks l
    where l.locktype = 'advisory' and l.classid = class::oid
        and l.database = (select d.oid from pg_database d where d.datname = current_database());
    share := ceil(16.0 / greatest(relays, 1));
    while cardinality(mine) > share loop
        perform pg_advisory_unlock(class, mine[cardinality(mine)]);
        mine := trim_array(mine, 1);
    end loop;
    for candidate in 0..15 loop
        exit when cardinality(mine) >= share;
        if candidate <> all (mine) and pg_try_advisory_lock(class, candidate) then
            mine := mine || candidate;
        end if;
    end loop;
    return query select m from unnest(mine) as m order by m;
end
$$;
comment on function api.outbox_claim() is
    'The shards that this session may publish from now on: its share of 16 by the number of relays that are connected. Takes '
    'free ones, gives a surplus up; to be called between two batches, when nothing of the session''s is under way.';
grant execute on function api.outbox_claim() to watchpost_outbox_relay;

create function api.outbox_read(p_shards integer[], p_after bigint, p_limit integer)
    returns table (outbox_id bigint, topic text, key text, number bigint, event_id text, type text, schema_version integer,
        time_ms bigint, payload text)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select o.outbox_id, o.topic, o.key, o.number, o.event_id, o.type, o.schema_version, o.time_ms, o.payload::text
    from wp.outbox o
    where o.shard = any (p_shards::smallint[]) and o.outbox_id > p_after
        and not (p_after > 0 and exists (
            select from wp.outbox b
            where b.topic = o.topic and b.key = o.key and b.number < o.number and b.outbox_id <= p_after
        ))
    order by o.outbox_id
    limit least(greatest(p_limit, 0), 10000)
$$;
comment on function api.outbox_read(integer[], bigint, integer) is
    'The oldest rows of these shards after p_after, at most p_limit and 10,000. Ids are taken under the lock of the key, so that their order is '
    'the order of the numbers of each key. No horizon is needed: a number is visible only together with those below it. p_after passes '
    'over rows that could not be sent: their keys stop there, for readers drop what is not the next number.';
grant execute on function api.outbox_read(integer[], bigint, integer) to watchpost_outbox_relay;

create function api.outbox_published(p_outbox_ids bigint[]) returns bigint
    language plpgsql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
declare
    gone bigint;
begin
    delete from wp.outbox where outbox_id = any (p_outbox_ids);
    get diagnostics gone = row_count;
    return gone;
end
$$;
comment on function api.outbox_published(bigint[]) is 'Deletes rows that Kafka has acknowledged; returns how many there were.';
grant execute on function api.outbox_published(bigint[]) to watchpost_outbox_relay;

create function api.outbox_depth() returns table (rows bigint, oldest_ms bigint)
    language sql stable security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    select count(*), min(o.time_ms) from wp.outbox o
$$;
comment on function api.outbox_depth() is 'How many events wait to be published, and when the oldest of them happened.';
grant execute on function api.outbox_depth() to watchpost_outbox_relay, watchpost_ctl;
