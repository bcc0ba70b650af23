"""All who write to PostgreSQL at once: the order of locks holds (docs/design.md, Postgres), so there is no deadlock.

How: a thread for each kind of writer calls its functions as its program does, over few accounts and agents so that they meet, in
either order; the server counts deadlocks, and no call may fail but by a refusal of ours. Every function of schema api that a
program may call and that writes must be called here: a new one fails the last test until it has a case.
"""

import contextlib
import hashlib
import random
import threading
import time

import psycopg2
import pytest

from agents_fixture import Agents, ulid
from postgres_fixture import LOGIN_ROLES, PostgresCluster
from system_fixture import FULL, state_fact

SECONDS = 60 if FULL else 6
REFUSALS = {"WP404", "WP409", "40001"}  # 40001: an agent was connected while everything of its account was changed


class World:
    """Six accounts with a customer and five agents each."""

    def __init__(self, postgres):
        self.postgres = postgres
        agents = Agents(postgres)
        self.accounts = [agents.account() for _ in range(6)]
        self.customers = ["cus_" + of[5:] for of in self.accounts]
        self.agents = [agents.connect(of) for of in self.accounts for _ in range(5)]
        self.hashes = [hashlib.sha256(token.encode()).digest() for _, token in self.agents]
        for of, customer in zip(self.accounts, self.customers):
            agents.query("select api.account_link(%s, %s, false, false, 0)", of, customer)


def operators(rng, world, call):
    what = rng.choice(("pause", "resume"))
    call("agent_change", rng.choice(world.agents)[0], what, None)
    call("account_agents_change", rng.choice(world.accounts), what, None)
    call("account_change", rng.choice(world.accounts), rng.choice(("suspend", "resume")), None)
    if rng.random() < 0.2:
        token = ulid().encode()
        call("agent_connect", "agent_" + ulid(), rng.choice(world.accounts), "Test", None, hashlib.sha256(token).digest(), "wp_ABCDE")
        call("token_revoke", hashlib.sha256(token).digest(), "a test")
    call("account_create", "acct_" + ulid(), "Test")
    call("account_link", rng.choice(world.accounts), rng.choice(world.customers), True, True, 1)
    call("subscription_refresh_write", [f"sub_{rng.randrange(12)}"], [rng.randrange(9)], [rng.choice(world.customers)], ["active"],
         [None], [False], [False], [1], True, 1, False)
    call("node_drain", "node_" + ulid())
    call("offset_reset", "audit-log", "cluster", "topic", 0, 5, 7)
    call("dead_letter_redriven", "audit-log", "cluster", "topic", 0, 1, 3)


def sync(rng, world, call):
    chosen = rng.sample(range(12), 4)
    ids = [f"sub_{n}" for n in chosen]
    with call.transaction():
        call("worker_position", "subscription-sync", "cluster", "topic", 0, 0, None)
        call("subscription_sync_seen", ["evt_" + ulid()])
        rows = dict((place, version) for place, version, _ in call("subscription_sync_lock", ids))
        status = rng.choice(("active", "unpaid", "past_due"))
        order = sorted(range(4), key=lambda i: ids[i])
        call("subscription_sync_write", [ids[i] for i in order], [rows.get(i + 1, 0) for i in order],
             [world.customers[chosen[i] % 6] for i in order], [status] * 4, [None] * 4, [False] * 4, [False] * 4, [True] * 4, [int(time.time() * 1000)] * 4,
             [b"\0" * 28] * 4)
        call("subscription_sync_accounts", [], [], [world.customers[n % 6] for n in chosen], True, 1)
    call("subscription_grace_settle", rng.choice((0, 1, None)), 10)
    call("subscription_refresh_due", 10, 1)
    call("subscription_refresh_failed", ids[0], 1, "away", 1)
    call("subscription_sync_forget", 1, 10)


def ingress(rng, world, call):
    node = "node_" + ulid()
    [(applied, epoch)] = call("node_register", node, "test")
    for _ in range(10):
        applied = max([row[5] or 0 for row in call("access_poll", node, applied, epoch, 100)] + [applied])
        chosen = rng.sample(world.hashes, 5)
        call("agents_used", chosen, [time.time_ns() // 10**6] * 5)
        call("agent_disconnect", hashlib.sha256(b"nobody").digest())
    call("node_leave", node)


def relay(rng, _, call):
    shards = [row[0] for row in call("outbox_claim")]
    rows = call("outbox_read", shards, 0, rng.choice((1, 10, 1000)))
    call("outbox_published", [row[0] for row in rows])


def fanout(_, world, call):
    with call.transaction():
        call("worker_position", "revocation-fanout", "cluster", "topic", 0, 0, None)
        number = time.time_ns()
        call("access_completion_open", [number, number + 1], ["evt_1", "evt_2"], world.accounts[:2], [None, None], ["suspended"] * 2,
             ["operator"] * 2, ["operator:x"] * 2, [1, 1])
    call("access_complete", 100)
    call("node_forget", [row[0] for row in call("node_polls")][:1], [-1])
    call("access_trim", 60, 1000)


def audit(_, world, call):
    at = call.steps
    with call.transaction():
        [(position, _)] = call("worker_position", "audit-log", "cluster", "topic", 0, 0, b"\0" * 32)
        call("worker_advance", "audit-log", "cluster", "topic", 0, position, position + 2, b"\1" * 32)
        call("audit_write", "cluster", "topic", 0, [position, position + 1], [at, at], [at, at], ["t", "t"], [ulid(), None],
             [world.accounts[0], None], [None, None], [None, None], ["s", "s"])
        call("worker_dead_letter", "audit-log", "cluster", "topic", 0, position, None, None, "a test", "decode", 1)
    call("audit_seal_write", "cluster", "topic", 0, position + 1, b"\1" * 32, at, b"\0" * 32, hashlib.sha256(ulid().encode()).digest(),
         b"\2" * 64)
    call("audit_forget", 10)


WRITERS = {"watchpost_ctl": operators, "watchpost_subscription_sync": sync, "watchpost_ingress": ingress,
           "watchpost_outbox_relay": relay, "watchpost_revocation_fanout": fanout, "watchpost_audit_log": audit}


class Call:
    """Calls a function of api by its name, with its own argument types."""

    def __init__(self, postgres, role, types, called):
        self.connection, self.types, self.called = postgres.connect(role), types, called
        self.steps, self.failures = 1, []
        with self.connection.cursor() as cursor:
            cursor.execute("set jit = off")  # as every session of ours

    @contextlib.contextmanager
    def transaction(self):
        self.connection.autocommit = False
        try:
            yield
            self.connection.commit()
        finally:
            self.connection.rollback()
            self.connection.autocommit = True

    def __call__(self, name, *arguments):
        self.called.add(name)
        self.steps += 1
        casts = ", ".join(f"%s::{kind}" for kind in self.types[name])
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(f"select * from api.{name}({casts})", arguments)
            except psycopg2.Error as error:
                if error.pgcode in REFUSALS and self.connection.autocommit:
                    return []  # an answer, not a failure
                raise
            return cursor.fetchall()


def argument_types(postgres):
    return {name: [kind for kind in kinds.split(", ") if kind] for name, kinds in postgres.query(
        "select p.proname, pg_get_function_identity_arguments(p.oid) from pg_proc p join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname = 'api'")}


@pytest.fixture(scope="module")
def outcome():
    """(deadlocks, failures by SQLSTATE and function, calls, names that were called, cluster's writing functions)"""
    with PostgresCluster(fsync=False) as postgres:
        postgres.migrate()
        types = {name: [kind.split(" ", 1)[1] for kind in kinds] for name, kinds in argument_types(postgres).items()}
        world, over, called, failures, calls = World(postgres), threading.Event(), set(), [], [0]

        def work(role, writer, seed):
            rng = random.Random(seed)
            call = Call(postgres, role, types, called)
            while not over.is_set():
                try:
                    writer(rng, world, call)
                except psycopg2.Error as error:
                    if error.pgcode not in REFUSALS:
                        failures.append((role, error.pgcode, str(error)))
            calls[0] += call.steps
            call.connection.close()

        threads = [threading.Thread(target=work, args=(role, writer, f"{role}{n}")) for role, writer in WRITERS.items()
                   for n in range(1 if writer in (audit,) else 2)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        over.set()
        for thread in threads:
            thread.join()
        time.sleep(1)  # statistics come late
        deadlocks = postgres.query("select deadlocks from pg_stat_database where datname = current_database()")[0][0]
        writing = {name for (name,) in postgres.query(
            "select distinct p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace, aclexplode(p.proacl) a "
            "where n.nspname = 'api' and p.provolatile = 'v' and a.grantee::regrole::text = any(%s)", [list(LOGIN_ROLES)])}
        yield deadlocks, failures, calls[0], called, writing


def test_no_deadlock_and_no_failure(outcome):
    # Why: see above. How: what the server counted, and what calls said.
    deadlocks, failures, calls, _, _ = outcome
    assert deadlocks == 0 and failures == []
    assert calls > 500
    state_fact(f"writers: {calls} calls of all writing functions at once in {SECONDS} s: no deadlock, no failure")


def test_every_writer_was_there(outcome):
    # Why: the rule is about all of them. How: every volatile function that a login role may call.
    _, _, _, called, writing = outcome
    assert writing - called == set()
