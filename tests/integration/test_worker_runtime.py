"""The runtime of the workers, C1 to C8: crashes, fences, scaling, a database or a cluster that goes away."""

import contextlib
import signal
import threading
import time

import confluent_kafka
import psycopg2
import pytest

from agents_fixture import Agents
from audit_chain import assert_chain, assert_ledger_whole, link
from workers_fixture import PREFIX, WorkerSystem, event, other_event, running, states, subscription_event, wait_until


@pytest.fixture(scope="module", name="system")
def one_system():
    """One PostgreSQL and one Kafka for the tests that break neither; each test has customers of its own."""
    with WorkerSystem() as system:
        yield system


@pytest.fixture(name="own_system")
def system_of_its_own():
    """For tests that break the servers."""
    with WorkerSystem() as system:
        yield system


def stream(count, prefix, customers=50):
    """Events of which the last one of each subscription decides."""
    return [subscription_event(f"sub_{prefix}_{n % customers}", f"cus_{prefix}_{n % customers}",
                               "active" if n < count - customers else "paused", 1700000000 + n) for n in range(count)]


def assert_stream(system, prefix, customers=50):
    found = states(system, f"sub_{prefix}_")
    assert len(found) == customers and set(found.values()) == {("paused", False)}


def test_fenced_once_goes_on_and_three_times_leaves(system):
    """Why: C3; whoever lost the race must not write, and must not go round for ever. How: move the row under the worker once: it
    drops the batch, reads the row again and goes on behind it. Then a trigger makes every move find 0 rows: after three it leaves
    with an error, and the row has not moved."""
    with running(system, "subscription-sync") as sync:
        system.send(subscription_event("sub_fence_0", "cus_fence", "active"), partition=3)
        system.wait_until_read("subscription-sync")
        here = system.offsets("subscription-sync")[3]
        system.query("update wp.worker_offsets set next_offset = next_offset + 1 where worker = 'subscription-sync' and "
                     "partition = 3 and topic like '%%stripe'")
        system.send(*(subscription_event(f"sub_fence_{n}", "cus_fence", "active") for n in (1, 2)), partition=3)
        system.wait_until_read("subscription-sync")
        assert system.offsets("subscription-sync")[3] == here + 2
        assert set(states(system, "sub_fence_")) == {"sub_fence_0", "sub_fence_2"}
        assert sync.metric("watchpost_worker_fenced_total") == 1
    system.query("create function wp.nobody_moves() returns trigger language plpgsql as 'begin return null; end'; "
                 "create trigger nobody_moves before update on wp.worker_offsets for each row execute function wp.nobody_moves()")
    try:
        with system.worker("subscription-sync") as sync:
            system.send(subscription_event("sub_fence_3", "cus_fence", "active"), partition=3)
            assert sync.process.wait(60) not in (0, 2)
            assert len(sync.lines("fenced")) == 2 and "three times" not in sync.lines("stopped")[0]["error"]
            assert "3 times in a row" in sync.lines("stopped")[0]["error"]
    finally:
        system.query("drop trigger nobody_moves on wp.worker_offsets; drop function wp.nobody_moves()")
    assert system.offsets("subscription-sync")[3] == here + 2
    with running(system, "subscription-sync"):
        system.wait_until_read("subscription-sync")
    assert "sub_fence_3" in states(system, "sub_fence_")


def test_two_fences_in_one_poll_lose_nothing(own_system):
    """Why: C3; records read before a seek look like a gap, which is legal, so they must be dropped for every partition that was sought. How:
    two partitions of large records, which Kafka gives in turns; the first batches are slow, so that the next poll holds several
    runs of each; in that one the first move of either partition finds 0 rows. Seen failing: the second fence made the first one
    forgotten, and the ledger lacked what lay between."""
    system = own_system
    system.query("create sequence wp.moves; create sequence wp.moves_0; create sequence wp.moves_1; "
                 "create function wp.fence_each_once() returns trigger language plpgsql security definer as $$ begin "
                 "if nextval('wp.moves') <= 2 then perform pg_sleep(1.5); return new; end if; "
                 "if nextval('wp.moves_' || new.partition) = 1 then return null; end if; return new; end $$; "
                 "create trigger fence_each_once before update on wp.worker_offsets for each row execute function wp.fence_each_once()")
    for partition in (0, 1):
        system.send(*(event("stripe.other", {"stripe_type": "invoice.paid", "created_s": 1700000000, "livemode": False,
                                             "customer": f"cus_two_{n}", "padding": "x" * 3000}) for n in range(3000)),
                    partition=partition)
    with running(system, "audit-log") as audit:
        system.wait_until_read("audit-log")
        assert len(audit.lines("fenced")) == 2
    assert_ledger_whole(system)
    assert_chain(system)


def test_two_owners_of_one_partition_write_each_record_once(system):
    """Why: C3; a process that was thought dead comes back and still believes it owns its partitions. How: two audit-logs in two consumer groups
    both own everything. Whatever they fight out, the ledger has each record once and the chain is that of the records."""
    with system.worker("audit-log", consumer_group="zombies", batch_items_max=20) as one, \
            system.worker("audit-log", batch_items_max=20) as two:
        one.wait_for("started")
        two.wait_for("started")
        for part in range(10):
            system.send(*(other_event(f"cus_zombie_{n}") for n in range(100)))
            time.sleep(0.05 * part)
        wait_until(lambda: one.lines("fenced") + two.lines("fenced"), "a fenced batch")
        both_left = all(worker.process.poll() is not None for worker in (one, two))
        if not both_left:
            system.wait_until_read("audit-log")
    with running(system, "audit-log"):
        system.wait_until_read("audit-log")
    assert_ledger_whole(system)
    assert_chain(system)


def test_a_stopped_process_does_not_hold_its_rows(system):
    """Why: a process that stops dead inside a transaction holds the offset row. How: a session of the same role moves the row and falls
    silent, like a stopped worker; the database ends it after ten seconds, and the worker goes on."""
    with contextlib.closing(system.postgres.connect("watchpost_audit_log")) as silent:
        silent.autocommit = False
        with running(system, "audit-log") as audit:
            audit.wait_for("assigned", 16)
            at = system.offsets("audit-log")[0]
            silent.cursor().execute("select api.worker_advance('audit-log', %s, %s, 0, %s, %s, null)",
                                    (system.broker.cluster_id(), PREFIX + "stripe", at, at + 1))
            system.send(other_event("cus_silent"), partition=0)
            system.wait_until_read("audit-log", seconds=40)
            assert audit.lines("backing_off") or audit.metric("watchpost_worker_batches_total") > 0
    assert_chain(system)


def test_sigterm_in_the_middle_of_work(system):
    """Why: C7. How: SIGTERM while batches are under way, several times; each time exit 0, and in the end nothing is missing or
    doubled: the ledger has each record once and every subscription its last state."""
    system.send(*stream(6000, "term"))
    for _ in range(4):
        with system.worker("subscription-sync", batch_items_max=50) as sync, \
                system.worker("audit-log", batch_items_max=50) as audit:
            sync.wait_for("assigned")
            audit.wait_for("assigned")
            time.sleep(0.2)
            assert sync.stop() == 0 and audit.stop() == 0
            assert sync.lines("stopped")[0]["status"] == "0"
    with running(system, "subscription-sync", "audit-log"):
        system.wait_until_read("subscription-sync")
        system.wait_until_read("audit-log")
    assert_stream(system, "term")
    assert_ledger_whole(system)
    assert_chain(system)


def test_kill_in_the_middle_of_work(system):
    """Why: C3; a crash between effect and offset must not exist. How: kill -9 again and again while batches are under way."""
    system.send(*stream(6000, "kill"))
    for _ in range(4):
        with system.worker("subscription-sync", batch_items_max=50) as sync, \
                system.worker("audit-log", batch_items_max=50) as audit:
            sync.wait_for("assigned", seconds=60)
            audit.wait_for("assigned", seconds=60)
            time.sleep(0.1)
            for worker in (sync, audit):
                worker.signal(signal.SIGKILL)
                worker.process.wait(10)
    with running(system, "subscription-sync", "audit-log"):
        system.wait_until_read("subscription-sync")
        system.wait_until_read("audit-log")
    assert_stream(system, "kill")
    assert_ledger_whole(system)
    assert_chain(system)


def test_one_to_four_to_one(system):
    """Why: workers of a kind are scaled by starting more. How: under load 1 → 4 → 1 audit-logs; the lag comes down, nothing is lost
    or doubled, and all that leave end well."""
    generator_ends = threading.Event()

    def load():
        for part in range(40):
            system.send(*(other_event(f"cus_scale_{n}") for n in range(250)))
            time.sleep(0.05)
        generator_ends.set()

    thread = threading.Thread(target=load)
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(system.worker("audit-log", batch_items_max=100))]
        workers[0].wait_for("assigned")
        thread.start()
        workers += [stack.enter_context(system.worker("audit-log", batch_items_max=100)) for _ in range(3)]
        for worker in workers[1:]:
            worker.wait_for("assigned", seconds=60)
        for worker in workers[1:]:
            assert worker.stop() == 0
        thread.join(60)
        assert generator_ends.is_set()
        system.wait_until_read("audit-log")
        wait_until(lambda: workers[0].metric("watchpost_consumer_lag") == 0, "the lag to fall to nothing")
        assert workers[0].stop() == 0
    assert_ledger_whole(system)
    assert_chain(system)


def test_postgres_goes_away_and_comes_back(own_system):
    """Why: C6; nothing is skipped while the database is away, and polling goes on. How: kill every process of PostgreSQL three times and freeze it
    once while both workers work; they stay alive, say that they are not ready, and in the end everything is there once."""
    system = own_system
    with running(system, "subscription-sync", "audit-log", batch_items_max=50, postgres_timeout_ms=1000,
                 retry_backoff_max_ms=500) as (sync, audit):
        sync.wait_for("assigned")
        audit.wait_for("assigned")
        for part in range(4):
            system.send(*stream(2000, f"away{part}"))
            time.sleep(0.1)
            if part < 3:
                system.postgres.kill()
                system.send(*stream(200, f"during{part}"))  # a worker that was done already has something to fail at
                audit.wait_for("backing_off", part + 1)
                wait_until(lambda: audit.get("/readyz")[0] == 503, "not ready")
                assert audit.get("/healthz")[0] == 200
                system.postgres.start()
            else:
                system.postgres.pause()
                time.sleep(4)
                system.postgres.resume()
        system.wait_until_read("subscription-sync", seconds=90)
        system.wait_until_read("audit-log", seconds=90)
        wait_until(lambda: sync.get("/readyz")[0] == 200, "ready again")
    for part in range(4):
        assert_stream(system, f"away{part}")
    assert_ledger_whole(system)
    assert_chain(system)
    assert system.query("select count(*) from wp.dead_letters") == [(0,)]


def test_a_slow_database_and_a_locked_row_end_nothing(system):
    """Why: C6; a batch that never gets done in its time must become smaller, or it is tried for ever, and a lock that is not to be had in time
    is no reason to leave. How: every subscription takes 10 ms to write and a statement may take half a second, for a batch of 400; then a
    row is locked by another session for some seconds while the role has a lock_timeout."""
    system.query("create function wp.slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.01); return new; end'; "
                 "create trigger slowly before insert on wp.subscriptions for each row execute function wp.slowly(); "
                 "alter role watchpost_subscription_sync set lock_timeout = '100ms'")
    try:
        system.send(*(subscription_event(f"sub_slow_{n}", "cus_slow", "active") for n in range(400)), partition=0)
        with running(system, "subscription-sync", postgres_timeout_ms=500, retry_backoff_max_ms=200) as sync:
            system.wait_until_read("subscription-sync")
            assert len(states(system, "sub_slow_")) == 400
            wait_until(lambda: sync.get("/readyz")[0] == 200, "ready")
            with contextlib.closing(system.postgres.connect()) as other:
                other.autocommit = False
                other.cursor().execute("select from wp.subscriptions where stripe_subscription_id = 'sub_slow_7' for update")
                seen = len(sync.lines("backing_off"))
                system.send(subscription_event("sub_slow_7", "cus_slow", "paused", 1700000100), partition=0)
                sync.wait_for("backing_off", seen + 4)
            system.wait_until_read("subscription-sync")
        assert states(system, "sub_slow_7")["sub_slow_7"] == ("paused", False)
    finally:
        system.query("alter role watchpost_subscription_sync reset lock_timeout; drop trigger slowly on wp.subscriptions; "
                     "drop function wp.slowly()")


def test_readiness_waits_for_the_first_assignment(own_system):
    """Why: /readyz must not say ready before the offset rows were read (C1). How: a session holds the table of the rows, so that the worker
    cannot read them; it is not ready until the session ends."""
    system = own_system
    with contextlib.closing(system.postgres.connect()) as other:
        other.autocommit = False
        other.cursor().execute("lock table wp.worker_offsets in access exclusive mode")
        with running(system, "subscription-sync", postgres_timeout_ms=1000) as sync:
            sync.wait_for("started")
            while not sync.lines("backing_off"):
                assert sync.get("/readyz")[0] != 200
                time.sleep(0.02)
            assert "no partitions assigned yet" in sync.get("/readyz")[1]
            other.rollback()
            wait_until(lambda: sync.get("/readyz")[0] == 200, "ready")


def test_a_new_kafka_cluster_begins_new_rows(own_system):
    """Why: C8; offsets of one cluster mean nothing in another. How: the broker comes back empty under another cluster id while the workers run, and
    once more while they do not; each time new rows begin at the log's start, the old ones stay, and chains are per cluster."""
    system = own_system
    with running(system, "subscription-sync", "audit-log"):
        system.send(*stream(400, "old"))
        system.wait_until_read("subscription-sync")
        system.wait_until_read("audit-log")
        system.broker.become_new_cluster()
        system.broker.make_topics()
        system.send(*stream(200, "new"))
        system.wait_until_read("subscription-sync", seconds=90)
        system.wait_until_read("audit-log", seconds=90)
    assert_stream(system, "old")
    assert_stream(system, "new")
    assert_ledger_whole(system)
    assert_chain(system)
    system.broker.become_new_cluster()
    system.broker.make_topics()
    with running(system, "subscription-sync", "audit-log"):
        system.send(*stream(100, "newer"))
        system.wait_until_read("subscription-sync")
        system.wait_until_read("audit-log")
    assert_stream(system, "newer")
    assert_ledger_whole(system)
    assert_chain(system)
    assert system.query("select count(distinct cluster_id) from wp.worker_offsets") == [(3,)]


def test_retention_overtakes_a_worker(own_system):
    """Why: C8; records that are gone must be noticed, not skipped. How: the log's start moves past the worker's row in one partition; that
    one stands still and says so, the others go on, and only a reset by an operator moves it, in the running process."""
    system = own_system
    with running(system, "audit-log"):
        for partition in range(4):
            system.send(*(other_event(f"cus_gone_{n}") for n in range(10)), partition=partition)
        system.wait_until_read("audit-log")
    system.send(*(other_event(f"cus_gone_{n}") for n in range(10)), partition=1)
    system.broker.delete_before(PREFIX + "stripe", 1, 15)
    with running(system, "audit-log") as audit:
        wait_until(lambda: audit.get("/readyz")[0] == 503 and "stripe/1: offset 10" in audit.get("/readyz")[1], "the reason", 40)
        system.send(*(other_event(f"cus_gone_{n}") for n in range(5)), partition=0)
        wait_until(lambda: system.offsets("audit-log")[0] == 15, "the other partitions to go on")
        assert system.offsets("audit-log")[1] == 10
        with contextlib.closing(system.postgres.connect("watchpost_ctl")) as operator:
            cursor = operator.cursor()
            place = ("audit-log", system.broker.cluster_id(), PREFIX + "stripe", 1)
            cursor.execute("select api.offset_reset(%s, %s, %s, %s, 9, 15)", place)
            assert cursor.fetchone() == (False,)
            cursor.execute("select api.offset_reset(%s, %s, %s, %s, 10, 15)", place)
            assert cursor.fetchone() == (True,)
            with pytest.raises(psycopg2.Error) as caught:
                cursor.execute("select api.offset_reset(%s, %s, %s, %s, 15, 3)", place)
            assert caught.value.pgcode == "WP409"
        wait_until(lambda: system.offsets("audit-log")[1] == 20, "the partition to go on")
        wait_until(lambda: audit.get("/readyz")[0] == 200, "ready again")
    resets = system.query("select from_offset, to_offset, chain_head, reset_by from wp.offset_resets")
    assert [(row[0], row[1], row[3]) for row in resets] == [(10, 15, "watchpost_ctl")]
    head = bytes(resets[0][2])
    for message in system.read_all("stripe"):
        if message.partition() == 1:
            head = link(head, message)
    assert bytes(system.query("select chain_head from wp.worker_offsets where partition = 1 and topic like '%%stripe'")[0][0]) == head


def test_retention_overtakes_a_worker_that_backs_off(own_system):
    """Why: C8 and C6 together; a partition that is out of range while the others are paused must be named, must hold no other up, and must
    be read again after its reset. How: in each partition in turn the log's start moves past the row, while the offset row of another is
    locked, so that its batch fails again and again; then the lock goes, and an operator resets."""
    system = own_system
    ends = [10] * 4
    with running(system, "audit-log"):
        for partition in range(4):
            system.send(*(other_event(f"cus_both_{n}") for n in range(10)), partition=partition)
        system.wait_until_read("audit-log")
    for gone in range(4):
        busy = (gone + 1) % 4
        for partition in (gone, busy):
            system.send(*(other_event(f"cus_both_{n}") for n in range(10)), partition=partition)
        system.broker.delete_before(PREFIX + "stripe", gone, ends[gone] + 5)
        with contextlib.closing(system.postgres.connect()) as other:
            other.autocommit = False
            other.cursor().execute("select from wp.worker_offsets where partition = %s for update", [busy])
            with running(system, "audit-log", postgres_timeout_ms=300, retry_backoff_max_ms=300, batch_items_max=4) as audit:
                audit.wait_for("backing_off", 3)
                other.rollback()
                wait_until(lambda: f"stripe/{gone}: offset {ends[gone]} " in audit.get("/readyz")[1], "the reason", 40)
                ends[busy] += 10
                wait_until(lambda: system.offsets("audit-log")[busy] == ends[busy], "the other partition to go on", 40)
                with contextlib.closing(system.postgres.connect("watchpost_ctl")) as operator:
                    operator.cursor().execute("select api.offset_reset(%s, %s, %s, %s, %s, %s)", [
                        "audit-log", system.broker.cluster_id(), PREFIX + "stripe", gone, ends[gone], ends[gone] + 5])
                ends[gone] += 10
                wait_until(lambda: system.offsets("audit-log")[gone] == ends[gone], "the partition to go on", 40)


def test_records_with_gaps_between_their_offsets(own_system):
    """Why: offsets may skip (compaction, control records). How: records written in Kafka transactions leave a marker each; the row ends behind
    the last record and nothing is taken for lost."""
    system = own_system
    producer = confluent_kafka.Producer({"bootstrap.servers": system.broker.bootstrap, "transactional.id": "gaps"})
    producer.init_transactions(30)
    last = 0
    for n in range(5):
        sent = other_event(f"cus_gap_{n}")
        producer.begin_transaction()
        producer.produce(PREFIX + "stripe", key=sent["key"], value=sent["value"], headers=sent["headers"], partition=0)
        producer.commit_transaction(30)
        last = 2 * n
    with running(system, "audit-log"):
        wait_until(lambda: system.offsets("audit-log").get(0) == last + 1, "the last record")
    assert_ledger_whole(system)
    assert_chain(system)


def test_sighup_takes_new_settings_and_refuses_wrong_ones(system, tmp_path):
    """Why: a reload must not end a worker. How: change a reloadable setting in the file, then one that is not; the worker goes on."""
    config = tmp_path / "worker.conf"
    config.write_text("batch_items_max = 100\n", encoding="ascii")
    with running(system, "subscription-sync", config=config) as sync:
        sync.wait_for("assigned")
        config.write_text("batch_items_max = 200\nlog_level = debug\n", encoding="ascii")
        sync.signal(signal.SIGHUP)
        sync.wait_for("reloaded")
        config.write_text("batch_items_max = 200\nconsumer_group = other\n", encoding="ascii")
        sync.signal(signal.SIGHUP)
        sync.wait_for("reload_refused")
        system.send(subscription_event("sub_hup", "cus_hup", "active"))
        wait_until(lambda: states(system, "sub_hup"), "work after the reload")


def test_a_subscription_is_required_from_a_reload_on(system, tmp_path):
    """Why: the setting may be switched on and off in the running worker. How: off, then on, while the upkeep of accounts runs; it is
    still there and suspends an account without a subscription, and lets it go when the setting is off again. Seen failing: the
    statement was prepared without the type of its first parameter, and the worker ended."""
    account = Agents(system.postgres).account()
    state = f"select state from report.accounts where account_id = '{account}'"
    config = tmp_path / "worker.conf"
    config.write_text("require_subscription = false\n", encoding="ascii")
    with running(system, "subscription-sync", config=config) as sync:
        sync.wait_for("assigned")
        time.sleep(1.5)  # a tick
        system.query("select api.account_link(%s, 'cus_required', false, false, 1)", [account])
        system.query("update wp.accounts set settle_after = now() where account_id = %s", [account])
        for turn, (required, wanted) in enumerate((("true", "suspended"), ("false", "active"))):
            config.write_text(f"require_subscription = {required}\n", encoding="ascii")
            sync.signal(signal.SIGHUP)
            sync.wait_for("reloaded", turn + 1)
            wait_until(lambda wanted=wanted: system.query(state) == [(wanted,)] or sync.process.poll() is not None, wanted, 30)
            assert sync.process.poll() is None, sync.lines("stopped")
