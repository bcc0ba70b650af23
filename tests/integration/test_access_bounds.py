"""What access changes and account states (migrations 0006 to 0008) must bear: a program that stops in the middle of its transaction,
a server that is set to forget, two who write at the same moment, a large table, and settings that change.

Programs are played by psycopg2 connections of their own login roles.
"""

import concurrent.futures
import contextlib
import hashlib
import time

import psycopg2
import pytest

from agents_fixture import Agents, ulid
from postgres_fixture import PostgresCluster, wait_until

INGRESS, CTL, RELAY, SYNC = ("watchpost_ingress", "watchpost_ctl", "watchpost_outbox_relay", "watchpost_subscription_sync")
DAY_S = 86400
SHARDS = list(range(16))


@pytest.fixture(scope="module")
def cluster():
    # synchronous_commit is off in it, as on a server that was tuned for speed.
    with PostgresCluster(fsync=False) as postgres:
        postgres.migrate()
        yield postgres


@pytest.fixture
def agents(cluster):
    return Agents(cluster)


@contextlib.contextmanager
def session(cluster, role):
    """A cursor of a transaction that nobody commits unless the test does."""
    with contextlib.closing(cluster.connect(role)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        yield cursor


def linked(agents):
    of = agents.account()
    customer = "cus_" + of[5:]
    agents.query("select api.account_link(%s, %s, false, false, 0)", of, customer)
    return of, customer


def subscribe(cursor, customer, status, event_s, name=""):
    """What subscription-sync writes, straight into its table."""
    cursor.execute("insert into wp.subscriptions (stripe_subscription_id, stripe_customer_id, status, cancel_at_period_end, livemode, "
                   "needs_refresh, event_s, merge_state) values (%s, %s, %s, false, false, false, %s, decode(repeat('00', 28), 'hex')) "
                   "on conflict (stripe_subscription_id) do update set status = excluded.status, event_s = excluded.event_s",
                   ["sub_" + name + customer[4:], customer, status, event_s])


def subscribed(cluster, customer, status, event_s, name=""):
    with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
        subscribe(cursor, customer, status, event_s, name)


def settle(cluster, customer, grace_h=1):
    cluster.query("select * from api.subscription_sync_accounts('{}', '{}', %s, true, %s)", [[customer], grace_h], role=SYNC)


def tick(cluster, grace_h, limit=100):
    return cluster.query("select api.subscription_grace_settle(%s::integer, %s)", [grace_h, limit], role=SYNC)[0][0]


def state(cluster, of):
    return cluster.query("select state from report.accounts where account_id = %s", [of])[0][0]


def refresh(cluster, subscription, customer, status, created_s, version=0):
    return cluster.query("select outcome from api.subscription_refresh_write(%s, %s, %s, %s, %s::bigint[], %s, %s, %s, true, 1, false)",
                         [[subscription], [version], [customer], [status], [None], [False], [False], [created_s]], role=SYNC)[0][0]


# --- who stops while others wait

def test_a_worker_that_stops_dead_holds_no_revoke_up(cluster, agents):
    """Why: the clock's lock is held until the commit (R4), so whoever stops dead before it would hold up every revoke there is. How: a
    batch of subscription-sync suspends an account and never commits; a revoke of another account is timed."""
    of, customer = linked(agents)
    name, _ = agents.connect(agents.account())
    with session(cluster, SYNC) as worker:
        worker.execute("select api.worker_position('subscription-sync', 'c', 't', 0, 0, null)")
        worker.execute("select api.worker_advance('subscription-sync', 'c', 't', 0, 0, 5, null)")
        worker.execute("select * from api.subscription_sync_accounts('{}', '{}', %s, true, 1)", [[customer]])
        began = time.monotonic()
        agents.change(name, "revoke")
        assert time.monotonic() - began < 4, "an idle worker has ten seconds until it holds the clock, then one"
        with pytest.raises(psycopg2.OperationalError):
            worker.execute("select 1")
    assert state(cluster, of) == "active"


def test_an_access_change_is_kept_whatever_the_server_is_set_to(cluster, agents):
    """Why: promise 2; a crash must not bring a token back whose revoke returned. How: what holds until the commit, in a server with
    synchronous_commit off; a stronger setting stays."""
    for wanted, kept in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
        name, _ = agents.connect(agents.account())
        for role, sql, parameters in ((CTL, "select api.agent_change(%s, 'pause', null)", [name]),
                                      (INGRESS, "select api.node_register(%s, 'test')", ["node_" + ulid()])):
            with session(cluster, role) as cursor:
                cursor.execute(f"set local synchronous_commit = {wanted}")
                cursor.execute(sql, parameters)
                cursor.execute("show synchronous_commit")
                assert cursor.fetchone() == (kept,)


def test_no_timeout_cuts_the_wait_for_a_standby(cluster, agents):
    """Why: a COMMIT whose wait for a synchronous standby is cut short is shown as committed, though a failover loses it. How: the
    standby that must confirm does not exist; a revoke with a short statement_timeout neither returns nor is seen, until none must."""
    name, _ = agents.connect(agents.account())
    cluster.query("alter system set synchronous_standby_names = 'nobody'")
    cluster.query("select pg_reload_conf()")
    wait_until(lambda: cluster.query("show synchronous_standby_names") == [("nobody",)], "the setting")
    with contextlib.closing(cluster.connect(CTL)) as connection, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor = connection.cursor()
        cursor.execute("set statement_timeout = '200ms'")
        revoke = pool.submit(cursor.execute, "select api.agent_change(%s, 'revoke', null)", [name])
        try:
            wait_until(lambda: cluster.query("select wait_event from pg_stat_activity where pid = %s", [connection.info.backend_pid])
                       == [("SyncRep",)], "the wait")
            time.sleep(0.6)
            assert not revoke.done()
            assert agents.query("select state from api.agent_show(%s)", name) == [("active",)]
        finally:
            cluster.query("alter system reset synchronous_standby_names")
            cluster.query("select pg_reload_conf()")
        revoke.result(timeout=10)
    assert agents.query("select state from api.agent_show(%s)", name) == [("revoked",)]


# --- the outbox

def read(cluster, after, of):
    return [row[:2] for row in cluster.query("select outbox_id, number, key from api.outbox_read(%s, %s, 10000)", [SHARDS, after],
                                             role=RELAY) if row[2] == of]


def test_a_key_stops_behind_what_was_passed_over(cluster, agents):
    """Why: readers drop what is not the next number, so a row that cannot be sent must hold the later ones of its key, and no other
    key. How: p_after passes over the first of an account's rows."""
    stuck, other = agents.account(), agents.account()
    agents.connect(stuck)
    agents.connect(stuck)
    agents.connect(other)
    (first, _), _ = read(cluster, 0, stuck)
    assert read(cluster, first, stuck) == [] and [number for _, number in read(cluster, first, other)] == [1]
    assert [number for _, number in read(cluster, first - 1, stuck)] == [1, 2]


def test_an_older_open_transaction_hides_only_its_own(cluster, agents):
    """Why: ids are taken before the commit, so a lower one may be seen later. How: one connects an agent and stays open, another
    account's is committed; then the first commits: it is found from the start, with the lower id."""
    slow, quick = agents.account(), agents.account()
    with session(cluster, CTL) as cursor:
        cursor.execute("select api.agent_connect(%s, %s, 'Test', null, %s, 'wp_ABCDE')",
                       ["agent_" + ulid(), slow, hashlib.sha256(slow.encode()).digest()])
        agents.connect(quick)
        assert read(cluster, 0, slow) == [] and len(read(cluster, 0, quick)) == 1
        cursor.connection.commit()
    assert read(cluster, 0, slow)[0] < read(cluster, 0, quick)[0]


# --- large tables

def test_calls_touch_the_rows_they_are_about(cluster, agents):
    """Why: with 100,000 agents a call that walks over them takes a core away from those that matter. How: 5,000 agents; the server
    counts what each call reads of the table."""
    of, crowd = agents.account(), agents.account()
    made = [agents.connect(of) for _ in range(5)]
    cluster.query("insert into wp.agents (agent_id, account_id, name, token_hash, token_prefix) select 'agent_0' || lpad(n::text, 25, '0'), "
                  "%s, 'x', sha256(n::text::bytea), 'wp_ABCDE' from generate_series(1, 5000) n", [crowd])
    cluster.query("analyze wp.agents")
    hashes = [hashlib.sha256(token.encode()).digest() for _, token in made]
    calls = ((CTL, "select count(*) from api.agent_show(%s)", [made[0][0]]),
             (CTL, "select count(*) from api.agent_list(%s, null, 100)", [of]),
             (CTL, "select count(*) from api.agent_list(null, %s, 10)", [made[0][0]]),
             (INGRESS, "select count(*) from api.agent_lookup(%s)", [hashes[0]]),
             (INGRESS, "select count(*) from api.agent_self(%s)", [hashes[0]]),
             (INGRESS, "select api.agents_used(%s, %s)", [hashes[:2], [1, 2]]),
             (CTL, "select api.agent_change(%s, 'pause', null)", [made[1][0]]),
             (INGRESS, "select api.agent_disconnect(%s)", [hashes[2]]),
             (CTL, "select api.token_revoke(%s, null)", [hashes[3]]),
             (CTL, "select api.account_agents_change(%s, 'pause', null)", [of]))
    for role, sql, parameters in calls:
        with session(cluster, role) as cursor:
            cursor.execute(sql, parameters)
            cursor.execute("select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables where relname = 'agents'")
            assert cursor.fetchone()[0] <= 100, sql


# --- late payments

def test_the_grace_begins_when_we_learn_of_it(cluster, agents):
    """Why: Stripe's API does not say since when a payment is late, and the newest event may be years old; suspending at once would take
    the grace away. How: a backfill of an old subscription, and a refresh of a known one; asking again does not begin it anew."""
    (new, new_customer), (known, customer) = linked(agents), linked(agents)
    old_s = int(time.time()) - 400 * DAY_S
    assert refresh(cluster, "sub_" + new_customer[4:], new_customer, "past_due", old_s) == "inserted"
    subscribed(cluster, customer, "active", old_s)
    version = cluster.query("select version from wp.subscriptions where stripe_customer_id = %s", [customer])[0][0]
    assert refresh(cluster, "sub_" + customer[4:], customer, "past_due", old_s, version) == "changed"
    assert (state(cluster, new), state(cluster, known)) == ("active", "active")
    since = "select past_due_since from wp.subscriptions where stripe_customer_id = %s"
    began = cluster.query(since, [customer])
    cluster.query("update wp.subscriptions set needs_refresh = true where stripe_customer_id = %s", [customer])
    assert refresh(cluster, "sub_" + customer[4:], customer, "past_due", old_s, version + 1) == "changed"
    assert cluster.query(since, [customer]) == began
    subscribed(cluster, customer, "active", old_s + 1)
    assert cluster.query(since, [customer]) == [(None,)]


def test_two_who_find_a_subscription_missing(cluster, agents):
    """Why: an event and a reconcile may bring a subscription at the same moment; that is no fault of either. How: one inserts and
    stays open, the other waits for it and is told."""
    _, customer = linked(agents)
    with session(cluster, "postgres") as cursor, concurrent.futures.ThreadPoolExecutor(1) as pool:
        subscribe(cursor, customer, "active", 1000)
        second = pool.submit(refresh, cluster, "sub_" + customer[4:], customer, "canceled", 1000)
        time.sleep(0.3)
        assert not second.done()
        cursor.connection.commit()
        assert second.result(timeout=10) == "changed_meanwhile"


def test_a_kept_account_does_not_stand_before_the_others(cluster, agents):
    """Why: a tick settles so many at once; what it looks at in vain every time would fill it for ever. How: an account with a second,
    active subscription comes first by its id; one at a time is settled."""
    late_s = int(time.time()) - 5 * 3600
    (kept, kept_customer), (late, customer) = sorted((linked(agents), linked(agents)))
    subscribed(cluster, kept_customer, "past_due", late_s)
    subscribed(cluster, kept_customer, "active", late_s, "second_")
    subscribed(cluster, customer, "past_due", late_s)
    assert tick(cluster, 1, 1) == 1
    assert (state(cluster, kept), state(cluster, late)) == ("active", "suspended")
    assert tick(cluster, 1, 1) == 0


def test_a_longer_grace_brings_accounts_back(cluster, agents):
    """Why: the setting can be reloaded, and no event follows. How: suspended under one hour, then ten hours."""
    of, customer = linked(agents)
    subscribed(cluster, customer, "past_due", int(time.time()) - 5 * 3600)
    settle(cluster, customer, 1)
    assert state(cluster, of) == "suspended"
    assert tick(cluster, 10) >= 1 and state(cluster, of) == "active"


def test_where_no_subscription_is_required_nobody_lacks_one(cluster, agents):
    """Why: with require_subscription off an account that lapsed before could never come back. How: a tick without it, then one with it;
    the operator's part stays as it is."""
    (of, customer), (both, both_customer) = linked(agents), linked(agents)
    agents.change_account(both, "suspend")
    for name in (customer, both_customer):
        subscribed(cluster, name, "unpaid", 1000)
        settle(cluster, name)
    while tick(cluster, None) > 0:
        pass
    assert (state(cluster, of), state(cluster, both)) == ("active", "suspended")
    agents.change_account(both, "resume")
    assert state(cluster, both) == "active"
    assert tick(cluster, 1) >= 2 and (state(cluster, of), state(cluster, both)) == ("suspended", "suspended")


def test_what_ends_while_none_is_required_counts_when_one_is(cluster, agents):
    """Why: with require_subscription off no event settles an account; switched on again, it must not stay active for want of an event.
    How: active and long settled; off for a tick, in which nobody settles it twice; the subscription ends; on. Seen failing: active."""
    of, customer = linked(agents)
    subscribed(cluster, customer, "active", 1000)
    cluster.query("update wp.accounts set settle_after = null where account_id = %s", [of])
    while tick(cluster, None) > 0:
        pass
    subscribed(cluster, customer, "canceled", 2000)
    assert state(cluster, of) == "active"
    tick(cluster, 1)
    assert state(cluster, of) == "suspended"


def test_a_link_and_an_event_at_the_same_moment(cluster, agents):
    """Why: neither sees the other: who writes the subscription finds no account, who links finds the old subscription. How: so it is
    done; a minute later (its end is moved here) the state is settled once more."""
    of = agents.account()
    customer = "cus_" + of[5:]
    subscribed(cluster, customer, "active", 1000)
    with session(cluster, "postgres") as event:
        subscribe(event, customer, "canceled", 2000)
        event.execute("select * from api.subscription_sync_accounts('{}', '{}', %s, true, 1)", [[customer]])
        agents.query("select api.account_link(%s, %s, false, true, 1)", of, customer)
        event.connection.commit()
    tick(cluster, 1)
    assert state(cluster, of) == "active", "not yet: an event may be under way"
    cluster.query("update wp.accounts set settle_after = settle_after - interval '1 minute' where account_id = %s", [of])
    tick(cluster, 1)
    assert state(cluster, of) == "suspended"
    assert cluster.query("select settle_after from wp.accounts where account_id = %s", [of]) == [(None,)]


def test_lists_are_whole_and_in_order(cluster, agents):
    """Why: an operator pages through them. How: pages of three over eight agents, of an account and of all."""
    of = agents.account()
    made = sorted(agents.connect(of)[0] for _ in range(8))
    seen, after = [], None
    while page := [row[0] for row in agents.query("select agent_id from api.agent_list(%s, %s, 3)", of, after)]:
        seen += page
        after = page[-1]
    assert seen == made
    everyone = [row[0] for row in agents.query("select agent_id from api.agent_list(null, null, 1000)")]
    assert everyone == sorted(everyone) and (set(made) <= set(everyone) or len(everyone) == 1000)


def test_two_who_swap_customers_do_not_deadlock(cluster, agents):
    """Why: a link claims a customer that another transaction may be letting go, each holding its own account. How: six operators give two
    accounts each other's customer and a free one, for a second; refusals are the only failures."""
    (a, customer_a), (b, customer_b) = linked(agents), linked(agents)
    over, failures = time.monotonic() + 1, []

    def work(of, customers):
        with contextlib.closing(cluster.connect(CTL)) as connection, connection.cursor() as cursor:
            turn = 0
            while time.monotonic() < over:
                turn += 1
                try:
                    cursor.execute("select api.account_link(%s, %s, true, true, 1)", [of, customers[turn % len(customers)]])
                except psycopg2.Error as error:
                    if error.pgcode != "WP409":
                        failures.append(error.pgcode)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for job in [pool.submit(work, of, customers) for of, customers in 3 * (
                (a, (customer_a, customer_b, "cus_free")), (b, (customer_b, customer_a, "cus_free")))]:
            job.result()
    assert failures == []


def test_dead_letters_are_counted_whole_and_go_with_their_records(cluster):
    """Why: status must see a new one behind ten thousand old ones, and the table must not grow for ever. How: 10,001 that were redriven,
    twelve of them older than topics keep records, and a young one of another worker; each new one takes ten of its worker's along."""
    cluster.query("delete from wp.dead_letters")
    cluster.query("insert into wp.dead_letters (worker, cluster_id, topic, partition, record_offset, reason, error_class, attempts, redrives, failed_at) "
                  "select case n when 1 then 'audit-log' else 'subscription-sync' end, 'c', 't', 0, n, 'r', '22', 1, 1, "
                  "case when n between 2 and 13 then now() - interval '401 days' else now() end from generate_series(1, 10001) n")

    def one(offset):
        cluster.query("select api.worker_dead_letter('subscription-sync', 'c', 't', 0, %s, null, null, 'r', '22', 1)", [offset], role=SYNC)
        return cluster.query("select waiting, redriven from api.dead_letter_counts()", role=CTL)[0]

    assert [one(20001), one(20002), one(20003)] == [(1, 9991), (2, 9989), (3, 9989)]
    assert cluster.query("select worker from wp.dead_letters where record_offset = 1") == [("audit-log",)]
