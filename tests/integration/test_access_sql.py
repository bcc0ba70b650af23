"""The access functions of migrations 0006 to 0008 against a real PostgreSQL: R1, R2, R4 to R6, the outbox, account states.

Programs are played by psycopg2 connections of their own login roles; what is asserted is what the next program would be told.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import threading
import time

import psycopg2
import pytest

from postgres_fixture import PostgresCluster, wait_until

INGRESS, CTL, RELAY, FANOUT = ("watchpost_ingress", "watchpost_ctl", "watchpost_outbox_relay", "watchpost_revocation_fanout")
SYNC = "watchpost_subscription_sync"
numbers = iter(range(1, 1000000))


@pytest.fixture(scope="module")
def cluster():
    with PostgresCluster(fsync=False) as cluster:
        cluster.migrate()
        yield cluster


def ulid():
    return f"{next(numbers):026d}"


def account(cluster):
    name = "acct_" + ulid()
    cluster.query("select api.account_create(%s, 'Test')", [name], role=CTL)
    return name


def token_hash(text):
    return hashlib.sha256(text.encode()).digest()


def agent(cluster, of):
    """(agent id, hash of its token)"""
    name = "agent_" + ulid()
    cluster.query("select api.agent_connect(%s, %s, 'Test', null, %s, 'wp_ABCDE')", [name, of, token_hash(name)], role=CTL)
    return name, token_hash(name)


def node(cluster):
    """(node id, number, epoch) of a fresh row."""
    name = "node_" + ulid()
    return name, *cluster.query("select number, epoch from api.node_register(%s, 'test')", [name], role=INGRESS)[0]


POLL = "select clock, epoch, known, reset, number, kind, token_hash, agent_id, account_id, state from api.access_poll(%s, %s, %s, %s)"


def poll(cluster, name, applied, epoch, limit=1000):
    return cluster.query(POLL, [name, applied, epoch, limit], role=INGRESS)


def change(cluster, name, what):
    return cluster.query("select number, changed from api.agent_change(%s, %s, null)", [name, what], role=CTL)[0]


def lookup(cluster, digest):
    return cluster.query("select number, agent_state, account_state from api.agent_lookup(%s)", [digest], role=INGRESS)[0]


def refused(cluster, role, sql, parameters):
    """The SQLSTATE that a call ends with."""
    with pytest.raises(psycopg2.Error) as error:
        cluster.query(sql, parameters, role=role)
    return error.value.pgcode


# --- R4: changes

def test_a_change_is_seen_by_poll_and_lookup_with_its_number(cluster):
    # Why: R2 and R6 rest on both telling the same number. How: pause, resume, revoke; poll from before each.
    of = account(cluster)
    name, digest = agent(cluster, of)
    watcher, applied, epoch = node(cluster)
    for what, state in (("pause", "paused"), ("resume", "active"), ("revoke", "revoked")):
        number, changed = change(cluster, name, what)
        assert (number, changed) == (applied + 1, 1)
        assert [(r[0], r[2], r[3], *r[4:6], bytes(r[6]), *r[7:]) for r in poll(cluster, watcher, applied, epoch)] == [
            (number, True, False, number, "agent", digest, name, of, state)]
        assert lookup(cluster, digest) == (number, state, "active")
        applied = number


def test_a_repeated_change_returns_the_stored_number(cluster):
    # Why: R5, revoking again waits again for the same number. How: others change in between.
    first, _ = agent(cluster, account(cluster))
    other, _ = agent(cluster, account(cluster))
    number, changed = change(cluster, first, "revoke")
    assert change(cluster, other, "pause") == (number + 1, 1)
    assert changed == 1 and change(cluster, first, "revoke") == (number, 0)


def test_revoked_is_for_ever(cluster):
    # Why: promise 2. How: resume by every door, and by the table's own owner.
    of = account(cluster)
    name, digest = agent(cluster, of)
    change(cluster, name, "revoke")
    assert refused(cluster, CTL, "select api.agent_change(%s, 'resume', null)", [name]) == "WP409"
    assert cluster.query("select changed from api.account_agents_change(%s, 'resume', null)", [of], role=CTL) == [(0,)]
    assert refused(cluster, "postgres", "update wp.agents set state = 'active', revoked_at = null where agent_id = %s",
                   [name]) == "WP409"
    assert lookup(cluster, digest)[1] == "revoked"


def test_everything_of_an_account_at_once(cluster):
    # Why: one call must not leave one agent out, nor touch another account's. How: 50 agents, one revoked before.
    of, other = account(cluster), account(cluster)
    names = [agent(cluster, of)[0] for _ in range(50)]
    outsider, digest = agent(cluster, other)
    before, _ = change(cluster, names[0], "revoke")
    assert cluster.query("select number, changed from api.account_agents_change(%s, 'revoke', 'stolen laptop')", [of],
                         role=CTL) == [(before + 49, 49)]
    assert cluster.query("select count(*) from wp.agents where account_id = %s and state <> 'revoked'", [of]) == [(0,)]
    assert cluster.query("select array_agg(number order by number) = array_agg(rank order by number) from (select o.number, "
                         "row_number() over (order by o.outbox_id) as rank from wp.outbox o where key = %s) n", [of]) == [(True,)]
    assert lookup(cluster, digest)[1] == "active" and outsider


def test_numbers_follow_the_order_of_commits(cluster):
    # Why: R4; a number that commits after a later one would be passed over by polls for ever. How: a first transaction takes its
    # number and stays open; a second must wait for it.
    one, _ = agent(cluster, account(cluster))
    two, _ = agent(cluster, account(cluster))
    with contextlib.closing(cluster.connect(CTL)) as held, held.cursor() as cursor:
        held.autocommit = False
        cursor.execute("select number from api.agent_change(%s, 'pause', null)", [one])
        first = cursor.fetchone()[0]
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            second = pool.submit(change, cluster, two, "pause")
            time.sleep(0.3)
            assert not second.done()
            held.commit()
            assert second.result(timeout=10) == (first + 1, 1)


def test_a_leaked_token_is_revoked_by_its_hash(cluster):
    # Why: who finds a token has nothing else. How: by hash; an unknown one is refused and changes nothing.
    of = account(cluster)
    name, digest = agent(cluster, of)
    clock = cluster.query("select number from wp.access_clock")[0][0]
    assert refused(cluster, CTL, "select api.token_revoke(%s, null)", [token_hash("nobody's")]) == "WP404"
    assert cluster.query("select * from api.token_revoke(%s, 'found in a log')", [digest], role=CTL) == [(clock + 1, 1, name, of)]


def test_bad_changes_are_refused_and_change_nothing(cluster):
    # Why: bad input gets a precise error. How: each wrong argument; the clock stands still.
    of = account(cluster)
    name, _ = agent(cluster, of)
    clock = cluster.query("select number from wp.access_clock")[0][0]
    for sql, parameters, code in (
            ("select api.agent_change(%s, 'delete', null)", [name], "WP400"),
            ("select api.agent_change(%s, null, null)", [name], "WP400"),
            ("select api.agent_change('agent_1', 'revoke', null)", [], "WP404"),
            ("select api.agent_change(%s, 'revoke', %s)", [name, "x" * 201], "WP400"),
            ("select api.agent_change(%s, 'revoke', E'two\\nlines')", [name], "WP400"),
            ("select api.account_change(%s, 'revoke', null)", [of], "WP400"),
            ("select api.account_change('acct_1', 'suspend', null)", [], "WP404"),
            ("select api.account_agents_change('acct_1', 'revoke', null)", [], "WP404"),
            ("select api.agent_connect('agent_1', %s, 'x', null, %s, 'wp_ABCDE')", [of, token_hash("x")], "23514"),
            ("select api.agent_connect(%s, %s, 'x', null, %s, 'wp_ABCDE')", ["agent_" + ulid(), "acct_1", token_hash("x")], "WP404"),
            ("select api.agent_connect(%s, %s, 'x', null, %s, 'wp_abcde')", ["agent_" + ulid(), of, token_hash("x")], "23514"),
            ("select api.agent_connect(%s, %s, 'x', null, '\\x00', 'wp_ABCDE')", ["agent_" + ulid(), of], "23514"),
            ("select api.agent_connect(%s, %s, 'Test', null, %s, 'wp_ABCDE')", ["agent_" + ulid(), of, token_hash(name)], "WP409")):
        assert refused(cluster, CTL, sql, parameters) == code, sql
    assert cluster.query("select number from wp.access_clock") == [(clock,)]


# --- R1, R2: nodes and polls

def test_a_poll_says_when_it_was_limited(cluster):
    # Why: R2, only an answer that reaches its own clock extends the lease. How: five changes, two at a time.
    of = account(cluster)
    names = [agent(cluster, of)[0] for _ in range(5)]
    watcher, applied, epoch = node(cluster)
    last, _ = cluster.query("select number, changed from api.account_agents_change(%s, 'pause', null)", [of], role=CTL)[0]
    seen = []
    while True:
        rows = poll(cluster, watcher, applied, epoch, 2)
        assert all(row[0] == last for row in rows)
        fresh = [row[4] for row in rows if row[4] is not None]
        seen += fresh
        if not fresh:
            break
        assert len(fresh) <= 2
        applied = fresh[-1]
    assert seen == list(range(last - len(names) + 1, last + 1)) and applied == last


def test_in_force_counts_what_nodes_have_shown(cluster):
    # Why: R5 waits for applied_seq as the node itself showed it, never for what it was sent. How: one node polls from the new
    # number, one only from the old one.
    for row in cluster.query("select node_id from wp.nodes"):
        cluster.query("select api.node_leave(%s)", row, role=INGRESS)
    one, applied, epoch = node(cluster)
    two, _, _ = node(cluster)
    number, _ = change(cluster, agent(cluster, account(cluster))[0], "revoke")
    poll(cluster, one, applied, epoch)  # it is told; it has not shown
    assert cluster.query("select * from api.access_in_force(%s)", [number], role=CTL) == [(2, 0)]
    poll(cluster, one, number, epoch)
    assert cluster.query("select * from api.access_in_force(%s)", [number], role=CTL) == [(2, 1)]
    cluster.query("select api.node_leave(%s)", [two], role=INGRESS)
    assert cluster.query("select * from api.access_in_force(%s)", [number], role=CTL) == [(1, 1)]


def test_a_poll_that_does_not_fit_resets(cluster):
    # Why: R2: another epoch, a clock behind the node, a trimmed log: the cache must go, and such a node counts as behind. How: each.
    change(cluster, agent(cluster, account(cluster))[0], "revoke")
    watcher, applied, epoch = node(cluster)
    number, _ = change(cluster, agent(cluster, account(cluster))[0], "revoke")
    for at, of in ((applied, "00000009-other"), (number + 1000, epoch)):
        rows = poll(cluster, watcher, at, of)
        assert [(r[0], r[1], r[2], r[3], r[4]) for r in rows] == [(number, epoch, True, True, None)]
        assert cluster.query("select applied_seq from wp.nodes where node_id = %s", [watcher]) == [(0,)]
    cluster.query("update wp.access_log set changed_at = now() - interval '2 hours' where number <= %s", [number])
    assert cluster.query("select api.access_trim(3600, 100000)", role=FANOUT)[0][0] > 0
    assert [r[3] for r in poll(cluster, watcher, number - 1, epoch)] == [True]
    assert [r[3] for r in poll(cluster, watcher, number, epoch)] == [False]


def commits(cluster, role, sql, *parameters):
    """How a transaction commits after this call, on a server whose commits wait for nothing."""
    with contextlib.closing(cluster.connect(role)) as connection, connection.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")
        connection.autocommit = False
        cursor.execute(sql, parameters)
        cursor.execute("show synchronous_commit")
        how = cursor.fetchone()[0]
        connection.rollback()
        return how


def test_what_nodes_rely_on_is_durable_and_a_poll_is_quick(cluster):
    # Why: a crash that undid a revoke that nodes have seen, or a node's row, would let a revoked token in (R1, R4); what a poll
    # writes may be lost. How: what synchronous_commit is when each commits; seen failing without wp.commit_durably.
    of = account(cluster)
    name, _ = agent(cluster, of)
    here, number, epoch = node(cluster)
    assert commits(cluster, CTL, "select api.agent_change(%s, 'revoke', null)", name) == "on"
    assert commits(cluster, CTL, "select api.account_change(%s, 'suspend', null)", of) == "on"
    assert commits(cluster, INGRESS, "select api.node_register(%s, 'test')", "node_" + ulid()) == "on"
    with contextlib.closing(cluster.connect(INGRESS)) as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("set synchronous_commit = on")
        cursor.execute(POLL, [here, number, epoch, 100])
        cursor.execute("show synchronous_commit")
        assert cursor.fetchone() == ("off",)


def test_an_epoch_ends_with_a_promotion(cluster):
    # Why: numbers may fall back in a failover (R2). How: what the epoch is made of: the timeline stands first in it.
    _, _, epoch = node(cluster)
    timeline = cluster.query("select timeline_id from pg_control_checkpoint()")[0][0]
    assert int(epoch[:8], 16) == timeline and len(epoch) == 45


def test_a_node_id_is_used_once_and_a_forgotten_node_is_told(cluster):
    # Why: R1: a restart never speaks for its stalled predecessor; a row that was taken away ends its node's trust. How: register
    # twice; forget with a count that moved, then with one that stands.
    watcher, applied, epoch = node(cluster)
    assert refused(cluster, INGRESS, "select api.node_register(%s, 'again')", [watcher]) == "WP409"
    polls = dict(cluster.query("select * from api.node_polls()", role=FANOUT))[watcher]
    poll(cluster, watcher, applied, epoch)
    assert cluster.query("select api.node_forget(%s, %s)", [[watcher], [polls]], role=FANOUT) == [(0,)]
    assert cluster.query("select api.node_forget(%s, %s)", [[watcher], [polls + 1]], role=FANOUT) == [(1,)]
    assert [r[2] for r in poll(cluster, watcher, applied, epoch)] == [False]


def test_completions_close_when_nodes_show_or_time_is_over(cluster):
    # Why: R7 records when a change was in force. How: a node that shows, then one that does not.
    for row in cluster.query("select node_id from wp.nodes"):
        cluster.query("select api.node_leave(%s)", row, role=INGRESS)
    of = account(cluster)
    name, _ = agent(cluster, of)
    watcher, _, epoch = node(cluster)
    number, _ = change(cluster, name, "revoke")
    opened = [[number], ["evt_1"], [of], [name], ["revoked"], ["operator"], ["operator:x"], [int(time.time() * 1000)]]
    for _ in range(2):  # again: no change
        cluster.query("select api.access_completion_open(%s, %s, %s, %s, %s, %s, %s, %s)", opened, role=FANOUT)
    assert cluster.query("select * from api.access_complete(60000)", role=FANOUT) == [(0, 1)]
    poll(cluster, watcher, number, epoch)
    assert cluster.query("select * from api.access_complete(60000)", role=FANOUT) == [(1, 0)]
    assert cluster.query("select nodes, nodes_behind, in_force_at is not null from report.revocations where number = %s",
                         [number]) == [(1, 0, True)]
    opened[0], opened[1] = [number + 1000], ["evt_2"]
    cluster.query("select api.access_completion_open(%s, %s, %s, %s, %s, %s, %s, %s)", opened, role=FANOUT)
    time.sleep(0.05)
    assert cluster.query("select * from api.access_complete(10)", role=FANOUT) == [(1, 0)]
    assert cluster.query("select nodes_behind from report.revocations where number = %s", [number + 1000]) == [(1,)]


# --- uses

def test_uses_only_go_forward(cluster):
    # Why: late batches of several nodes. How: newer, older, an unknown hash.
    name, digest = agent(cluster, account(cluster))
    for used in (2000, 1000, 3000):
        cluster.query("select api.agents_used(%s, %s)", [[digest, token_hash("nobody")], [used, used]], role=INGRESS)
    assert cluster.query("select extract(epoch from last_used_at)::integer from report.agents where agent_id = %s", [name]) == [(3,)]


# --- the outbox

def read_outbox(cluster, key):
    rows = cluster.query("select key, number, type, payload from api.outbox_read(%s, 0, 10000)", [list(range(16))], role=RELAY)
    return [(number, kind, json.loads(payload)) for of, number, kind, payload in rows if of == key]


def test_outbox_has_every_act_in_order_and_no_secret(cluster):
    # Why: what was decided becomes events, in the order of each key. How: connect, pause, suspend, resume, revoke.
    of = account(cluster)
    name, digest = agent(cluster, of)
    change(cluster, name, "pause")
    for what in ("suspend", "resume"):
        cluster.query("select api.account_change(%s, %s, null)", [of, what], role=CTL)
    cluster.query("select api.agent_disconnect(%s)", [digest], role=INGRESS)
    rows = read_outbox(cluster, of)
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
    assert [(kind.rpartition(".")[2], said["change"], said["cause"]) for _, kind, said in rows] == [
        ("agent", "connected", "operator"), ("agent", "paused", "operator"), ("account", "suspended", "operator"),
        ("account", "resumed", "operator"), ("agent", "revoked", "agent")]
    assert rows[-1][2]["actor"] == f"agent:{name}" and rows[1][2]["actor"] == f"operator:{CTL}"
    assert digest.hex() not in json.dumps(rows)


def test_outbox_numbers_are_gapless_under_concurrent_changes(cluster):
    # Why: readers drop what is not the next number. How: eight sessions pause and resume agents of one account; some roll back.
    of = account(cluster)
    names = [agent(cluster, of)[0] for _ in range(8)]

    def work(name):
        with contextlib.closing(cluster.connect(CTL)) as connection, connection.cursor() as cursor:
            connection.autocommit = False
            for n in range(20):
                cursor.execute("select api.agent_change(%s, %s, null)", [name, "pause" if n % 2 == 0 else "resume"])
                connection.rollback() if n % 5 == 4 else connection.commit()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, names))
    found = [row[0] for row in read_outbox(cluster, of)]
    assert found == list(range(1, len(found) + 1)) and len(found) > 100


def test_relays_share_the_shards(cluster):
    # Why: several relays are safe, and each has work. How: three sessions claim in turn; one leaves.
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(contextlib.closing(cluster.connect(RELAY))) for _ in range(3)]

        def claim(session):
            with session.cursor() as cursor:
                cursor.execute("select * from api.outbox_claim()")
                return {row[0] for row in cursor.fetchall()}

        assert claim(sessions[0]) == set(range(16))
        for _ in range(3):
            held = [claim(session) for session in sessions]
        assert set().union(*held) == set(range(16)) and sum(map(len, held)) == 16 and all(4 <= len(h) <= 6 for h in held)
        sessions[1].close()
        wait_until(lambda: sum(len(claim(s)) for s in (sessions[0], sessions[2])) == 16, "the others to take over")


def test_published_rows_are_gone(cluster):
    # Why: the table is bounded by what waits. How: read, delete, read.
    of = account(cluster)
    agent(cluster, of)
    ids = [row[0] for row in cluster.query("select outbox_id from api.outbox_read(%s, 0, 10000)", [list(range(16))], role=RELAY)]
    assert cluster.query("select api.outbox_published(%s)", [ids], role=RELAY) == [(len(ids),)]
    assert read_outbox(cluster, of) == [] and cluster.query("select rows from api.outbox_depth()", role=RELAY) == [(0,)]


# --- accounts and subscriptions

def subscribe(cluster, customer, status, event_s):
    """What subscription-sync writes, straight into its table: this is about what follows for the account."""
    cluster.query("insert into wp.subscriptions (stripe_subscription_id, stripe_customer_id, status, cancel_at_period_end, livemode, "
                  "needs_refresh, event_s, merge_state) values (%s, %s, %s, false, false, false, %s, decode(repeat('00', 28), 'hex')) "
                  "on conflict (stripe_subscription_id) do update set status = excluded.status, event_s = excluded.event_s",
                  ["sub_" + customer[4:], customer, status, event_s])


def settle(cluster, customer, grace_h=1):
    cluster.query("select api.subscription_sync_accounts('{}', '{}', %s, true, %s)", [[customer], grace_h], role=SYNC)


def state(cluster, of):
    return cluster.query("select state from report.accounts where account_id = %s", [of])[0][0]


def linked(cluster):
    of = account(cluster)
    customer = "cus_" + of[5:]
    cluster.query("select api.account_link(%s, %s, false, false, 0)", [of, customer], role=CTL)
    return of, customer


@pytest.mark.parametrize("status,allowed", [("active", True), ("trialing", True), ("unpaid", False), ("canceled", False),
                                            ("paused", False), ("incomplete", False), ("incomplete_expired", False)])
def test_the_subscription_decides_the_account(cluster, status, allowed):
    # Why: the table. How: each status; nodes hear of every change by the access log.
    of, customer = linked(cluster)
    watcher, applied, epoch = node(cluster)
    subscribe(cluster, customer, status, int(time.time()))
    settle(cluster, customer)
    assert state(cluster, of) == ("active" if allowed else "suspended")
    told = [(r[5], r[8], r[9]) for r in poll(cluster, watcher, applied, epoch) if r[4]]
    assert told == ([] if allowed else [("account", of, "suspended")])


def test_past_due_has_its_grace(cluster):
    # Why: Stripe retries a payment for days; nobody sends an event when the grace is over. How: late since now, since long ago.
    of, customer = linked(cluster)
    now = int(time.time())
    subscribe(cluster, customer, "active", now - 9000)
    subscribe(cluster, customer, "past_due", now - 7000)
    subscribe(cluster, customer, "past_due", now)  # a later event of the same lateness does not begin it anew
    settle(cluster, customer, 2)
    assert state(cluster, of) == "active"
    assert cluster.query("select api.subscription_grace_settle(2, 100)", role=SYNC)[0][0] == 0
    assert cluster.query("select api.subscription_grace_settle(1, 100)", role=SYNC)[0][0] == 1
    assert state(cluster, of) == "suspended"
    subscribe(cluster, customer, "active", now + 1)
    settle(cluster, customer)
    assert state(cluster, of) == "active"


def test_an_operators_suspension_outlives_a_payment(cluster):
    # Why: two reasons, neither may lift the other. How: both, lifted in either order.
    of, customer = linked(cluster)
    cluster.query("select api.account_change(%s, 'suspend', 'fraud')", [of], role=CTL)
    subscribe(cluster, customer, "active", int(time.time()))
    settle(cluster, customer)
    assert state(cluster, of) == "suspended"
    subscribe(cluster, customer, "unpaid", int(time.time()) + 1)
    settle(cluster, customer)
    cluster.query("select api.account_change(%s, 'resume', null)", [of], role=CTL)
    assert state(cluster, of) == "suspended"
    subscribe(cluster, customer, "active", int(time.time()) + 2)
    settle(cluster, customer)
    assert state(cluster, of) == "active"


# --- who may call what, whose rows

def test_tenants_see_and_change_nothing_of_each_other(cluster):
    # Why: functions take the caller's proof and derive the scope. How: every function of the ingress that takes a token's hash is
    # called with B's; A's rows stay and are not told. A new function without a case fails the first line.
    a, b = account(cluster), account(cluster)
    (agent_a, _), (agent_b, hash_b) = agent(cluster, a), agent(cluster, b)
    found = {name for (name,) in cluster.query(
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'api' and "
        "has_function_privilege(%s, p.oid, 'execute') and 'p_account_id' = any (p.proargnames)", [INGRESS])}
    assert found == set(), "no function takes an account id from the ingress"
    cases = {"agent_lookup": [hash_b], "agent_self": [hash_b], "agent_disconnect": [hash_b], "agents_used": [[hash_b], [1000]]}
    proofs = {name for (name,) in cluster.query(
        "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'api' and "
        "has_function_privilege(%s, p.oid, 'execute') and p.pronargs > 0", [INGRESS])}
    assert proofs - {"node_register", "access_poll", "node_leave", "access_in_force"} == set(cases)
    rows = "select to_jsonb(g), u.last_used_at from wp.agents g left join wp.agent_uses u using (agent_id) where agent_id = %s"
    before = cluster.query(rows, [agent_a])
    for name, arguments in cases.items():
        told = cluster.query(f"select * from api.{name}({', '.join(['%s'] * len(arguments))})", arguments, role=INGRESS)
        assert agent_a not in str(told) and a not in str(told), name
    assert cluster.query(rows, [agent_a]) == before
    assert cluster.query("select state from wp.agents where agent_id = %s", [agent_b]) == [("revoked",)]


def test_writers_in_opposite_order_do_not_deadlock(cluster):
    # Why: one order of locks everywhere. How: accounts A and B are changed by agents, as a whole and by subscriptions at once, in
    # both orders, for two seconds; the server counts deadlocks.
    (a, customer_a), (b, customer_b) = linked(cluster), linked(cluster)
    names = [agent(cluster, of)[0] for of in (a, b) for _ in range(5)]
    for customer in (customer_a, customer_b):
        subscribe(cluster, customer, "active", 1000)
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before, over, failures = cluster.query(deadlocks), threading.Event(), []

    def work(number):
        order = 1 if number % 2 else -1
        with contextlib.closing(cluster.connect(CTL)) as ctl, contextlib.closing(cluster.connect(SYNC)) as sync:
            for turn in range(10000):
                if over.is_set():
                    return
                what = "pause" if turn % 2 else "resume"
                try:
                    with ctl.cursor() as cursor, sync.cursor() as other:
                        cursor.execute("select api.account_agents_change(%s, %s, null)", [(a, b)[::order][turn % 2], what])
                        cursor.execute("select api.agent_change(%s, %s, null)", [names[::order][turn % 10], what])
                        cursor.execute("select api.account_change(%s, %s, null)", [(a, b)[::order][turn % 2],
                                                                                  "suspend" if turn % 2 else "resume"])
                        other.execute("select api.subscription_sync_accounts('{}', '{}', %s, true, %s)",
                                      [[customer_a, customer_b][::order], 1])
                        other.execute("select api.subscription_grace_settle(%s, 10)", [turn % 2])
                except psycopg2.Error as error:
                    failures.append(error.pgcode)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(work, n) for n in range(6)]
        time.sleep(2)
        over.set()
        for job in jobs:
            job.result()
    assert failures == []
    time.sleep(0.6)  # statistics come late
    assert cluster.query(deadlocks) == before
