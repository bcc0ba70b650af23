-- 0009: what a revoke waits for is shorter. A change of access is told to the nodes by the database itself, besides over Kafka (R7): LISTEN
-- watchpost_access. It is a reason to poll and nothing else; whoever does not hear it polls all the same. Noting uses waits for no disk.

set local role watchpost_owner;

create or replace function wp.access_take(p_count bigint) returns bigint
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
    perform pg_notify('watchpost_access', '');
    return first;
end
$$;

create or replace function api.agents_used(p_token_hashes bytea[], p_used_ms bigint[]) returns void
    language sql volatile security definer
    set search_path = pg_catalog, wp, pg_temp
as $$
    insert into wp.agent_uses as u (agent_id, last_used_at)
    select a.agent_id, to_timestamp(max(i.used_ms) / 1000.0)
    from (select set_config('synchronous_commit', 'off', true)) unsynchronised,
        unnest(p_token_hashes, p_used_ms) as i (token_hash, used_ms)
    join wp.agents a on a.token_hash = i.token_hash
    group by a.agent_id
    order by a.agent_id
    on conflict (agent_id) do update set last_used_at = excluded.last_used_at where u.last_used_at < excluded.last_used_at
$$;
comment on function api.agents_used(bytea[], bigint[]) is
    'Notes when tokens were last accepted; only forward, in the order of the agents'' ids. Its commit waits for no disk: the node''s '
    'polls, which revokes wait for, come over the same connection.';
