"""The workers against a real PostgreSQL and a real Kafka: C1 to C8, subscription-sync, audit-log."""

import contextlib
import hashlib
import http.server
import json
import os
import random
import signal
import struct
import subprocess
import threading
import time

import psycopg2
import pytest

from workers_fixture import (PREFIX, WorkerSystem, checkout_event, event, other_event, subscription_event, wait_until)

FULL = os.environ.get("WATCHPOST_COUNTS") == "full"
ACCOUNT = "acct_01H00000000000000000000001"
OTHER_ACCOUNT = "acct_01H00000000000000000000002"


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


@contextlib.contextmanager
def running(system, *kinds, **settings):
    """Workers until the end of the block; then they must end well by SIGTERM (C7)."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(system.worker(kind, **settings)) for kind in kinds]
        yield workers[0] if len(workers) == 1 else workers
        assert [worker.stop() for worker in workers] == [0] * len(workers)


def states(system, prefix):
    """subscription -> (status, needs_refresh) of the subscriptions whose id begins so."""
    return {row[0]: row[1:] for row in system.query(
        "select stripe_subscription_id, status, needs_refresh from report.subscriptions where starts_with(stripe_subscription_id, %s)",
        (prefix,))}


# --- the chain, a second time and from the records alone ---------------------------------------------------------------


def sized(data):
    return struct.pack(">I", len(data)) + data


def optional(data):
    return b"\0" if data is None else b"\1" + sized(data)


def genesis(cluster, topic, partition):
    return hashlib.sha256(b"watchpost chain genesis 1\n" + sized(cluster.encode()) + sized(topic.encode())
                          + struct.pack(">i", partition)).digest()


def link(head, message):
    headers = sorted((name.encode(), value or b"") for name, value in message.headers() or [])
    canonical = (b"watchpost record 1\n" + sized(message.topic().encode())
                 + struct.pack(">iqq", message.partition(), message.offset(), message.timestamp()[1]) + optional(message.key())
                 + b"\0" + struct.pack(">I", len(headers)) + b"".join(sized(n) + sized(v) for n, v in headers)
                 + optional(message.value()))
    return hashlib.sha256(head + canonical).digest()


def heads(system, topic="stripe"):
    """(partition, next offset) -> head, for every prefix of the topic."""
    cluster, found, now = system.broker.cluster_id(), {}, {}
    for message in system.read_all(topic):
        before = now.get(message.partition(), genesis(cluster, message.topic(), message.partition()))
        now[message.partition()] = link(before, message)
        found[message.partition(), message.offset() + 1] = now[message.partition()]
    return found


def assert_chain(system, topic="stripe"):
    """The heads in the offset rows are those of the records in Kafka."""
    expected = heads(system, topic)
    rows = system.query("select partition, next_offset, chain_head from wp.worker_offsets where worker = 'audit-log' and "
                        "topic = %s and cluster_id = %s and next_offset > 0", (PREFIX + topic, system.broker.cluster_id()))
    assert rows
    for partition, next_offset, head in rows:
        assert bytes(head) == expected[partition, next_offset], (partition, next_offset)


def assert_ledger_whole(system, topic="stripe"):
    """One row for every record, no more and no fewer."""
    rows = system.query("select partition, record_offset from report.audit where topic = %s and cluster_id = %s",
                        (PREFIX + topic, system.broker.cluster_id()))
    assert sorted(rows) == sorted((m.partition(), m.offset()) for m in system.read_all(topic))


# --- what they do --------------------------------------------------------------------------------------------------------


def test_an_event_becomes_state_and_a_ledger_row(system):
    """Why: the pipeline's second half. How: one event of each type; the views of API.md show what they should."""
    system.query("insert into wp.accounts (account_id, name) values (%s, 'One')", (ACCOUNT,))
    with running(system, "subscription-sync", "audit-log") as (sync, audit):
        system.send(checkout_event("cus_first", ACCOUNT),
                    subscription_event("sub_first", "cus_first", "active", current_period_end_s=1893456000),
                    other_event("cus_first"), other_event("cus_first", kind="stripe.quarantined"),
                    other_event("cus_first", "customer.deleted", kind="stripe.customer"))
        system.wait_until_read("subscription-sync")
        system.wait_until_read("audit-log")
        assert sync.get("/readyz") == (200, "ready\n") and audit.get("/healthz")[0] == 200
        assert sync.metric("watchpost_events_total", outcome="applied") == 2
        assert sync.metric("watchpost_events_total", outcome="ignored") == 3
        wait_until(lambda: "watchpost_consumer_lag{" in sync.get("/metrics")[1], "lag")
        assert sync.metric("watchpost_consumer_lag") == 0
    assert system.query("select stripe_customer_id, status, extract(epoch from current_period_end)::bigint, "
                        "cancel_at_period_end, livemode, needs_refresh, account_id from report.subscriptions "
                        "where stripe_subscription_id = 'sub_first'") == [
        ("cus_first", "active", 1893456000, False, False, False, ACCOUNT)]
    rows = system.query("select type, actor, account_id, summary from report.audit where stripe_customer_id = 'cus_first' "
                        "order by record_offset")
    assert [row[0] for row in rows] == ["watchpost.stripe." + name for name in (
        "checkout", "subscription", "other", "quarantined", "customer")]
    assert {row[1] for row in rows} == {"stripe"} and {row[2] for row in rows} == {ACCOUNT}
    assert "status=active" in rows[1][3] and "cus_first" not in rows[1][3]


SEQUENCES = {
    # name: (events as (second, status, previous status or change), the end, needs_refresh)
    "ordered": ([(10, "incomplete", "created"), (12, "active", "incomplete"), (14, "past_due", "active"),
                 (16, "active", "past_due")], "active", False),
    "samesecond": ([(10, "incomplete", "created"), (10, "active", "incomplete")], "active", False),
    "againstrank": ([(10, "past_due", None), (10, "active", "past_due")], "active", False),
    "undecidable": ([(10, "active", None), (10, "past_due", None)], "past_due", True),
    "deletedlate": ([(10, "active", None), (12, "canceled", "deleted"), (15, "active", None), (12, "past_due", None)],
                    "canceled", False),
    "expired": ([(10, "incomplete", "created"), (20, "incomplete_expired", "incomplete"), (20, "active", None)],
                "incomplete_expired", False),
}


def sequence_events(name, copy):
    subscription, customer = f"sub_{name}_{copy}", f"cus_{name}_{copy}"
    for second, status, hint in SEQUENCES[name][0]:
        change = hint if hint in ("created", "deleted") else "updated"
        more = {"previous_status": hint} if hint and change == "updated" else {}
        yield subscription_event(subscription, customer, status, 1700000000 + second, change, **more)


def test_any_order_ends_in_the_right_state(system):
    """Why: Stripe promises no order and delivers twice. How: every sequence many times over, each copy shuffled and with duplicates, in
    small batches, so that merges happen within a batch and across many; then the states, and resubscribing under a new id."""
    copies, generator = (200 if FULL else 30), random.Random(3)
    streams = []
    for name in SEQUENCES:
        for copy in range(copies):
            events = list(sequence_events(name, copy))
            events += generator.choices(events, k=generator.randrange(4))
            generator.shuffle(events)
            streams.append(events)
    everything = []
    while streams:
        stream = generator.choice(streams)
        everything.append(stream.pop())
        if not stream:
            streams.remove(stream)
    everything.append(subscription_event("sub_resubscribed", "cus_deletedlate_0", "active"))
    with running(system, "subscription-sync", batch_items_max=7) as sync:
        system.send(*everything)
        system.wait_until_read("subscription-sync")
        assert sync.metric("watchpost_events_total", outcome="duplicate") > 0
        assert sync.metric("watchpost_events_total", outcome="stale") > 0
    for name, (_, status, needs_refresh) in SEQUENCES.items():
        found = states(system, f"sub_{name}_")
        assert len(found) == copies and set(found.values()) == {(status, needs_refresh)}, name
    assert states(system, "sub_resubscribed") == {"sub_resubscribed": ("active", False)}


def test_the_database_refuses_what_a_merge_must_never_do(system):
    """Why: the database is the guard that does not trust the programs. How: the worker's own role asks it to revive a canceled
    subscription and to go back in time; both are refused, and so are a stale version and the tables themselves."""
    write = ("select api.subscription_sync_write(%s, %s, array['cus_guard'], array[%s], array[null]::bigint[], array[false], "
             "array[false], array[false], array[%s]::bigint[], array[%s])")
    state = b"\1\1" + bytes(26)
    with contextlib.closing(system.postgres.connect("watchpost_subscription_sync")) as connection:
        cursor = connection.cursor()

        def tell(version, status, second):
            cursor.execute(write, (["sub_guard"], [version], status, second, state))

        tell(0, "active", 10)
        with pytest.raises(psycopg2.Error) as caught:
            tell(1, "active", 9)
        assert caught.value.pgcode == "WP409"
        with pytest.raises(psycopg2.Error) as caught:
            tell(0, "active", 11)
        assert caught.value.pgcode == "40001"
        tell(1, "canceled", 9)
        with pytest.raises(psycopg2.Error) as caught:
            tell(2, "active", 99)
        assert caught.value.pgcode == "WP409"
        for sql in ("select 1 from wp.subscriptions", "select api.worker_position('audit-log', 'c', 't', 0, 0, null)"):
            with pytest.raises(psycopg2.Error):
                cursor.execute(sql)
    assert states(system, "sub_guard") == {"sub_guard": ("canceled", False)}


def test_accounts_follow_their_subscription(system):
    """Why: an account that needs a subscription is suspended without one. How: link by checkout, cancel, subscribe anew; a second
    customer does not take the account over, nor does a checkout of a connected account link anything."""
    system.query("insert into wp.accounts (account_id, name) values (%s, 'Two')", (OTHER_ACCOUNT,))

    def state():
        return system.query("select state, stripe_customer_id from report.accounts where account_id = %s", (OTHER_ACCOUNT,))[0]

    with running(system, "subscription-sync", require_subscription="on") as sync:
        system.send(checkout_event("cus_connected", OTHER_ACCOUNT, account="acct_1Connect"),
                    subscription_event("sub_two", "cus_two", "active", 100), checkout_event("cus_two", OTHER_ACCOUNT))
        wait_until(lambda: state() == ("active", "cus_two"), "the link")
        system.send(subscription_event("sub_two", "cus_two", "canceled", 200, "deleted"))
        wait_until(lambda: state() == ("suspended", "cus_two"), "the suspension")
        system.send(subscription_event("sub_two_b", "cus_two", "trialing", 300), checkout_event("cus_three", OTHER_ACCOUNT))
        wait_until(lambda: state() == ("active", "cus_two"), "the new subscription")
        sync.wait_for("link_refused")


def test_poison_goes_to_the_dead_letters_and_its_neighbours_do_not(system):
    """Why: C6; one bad record must neither stop a partition nor take good ones with it. How: a customer id that the database refuses
    (class 23), a status that nobody knows and a value that is no msgpack (decode), between good events of one partition."""
    garbage = event("stripe.subscription", {}, key="cus_poison")
    garbage["value"] = b"\xc1 not msgpack"
    garbage["headers"].append(("x-kept", b"yes"))
    with running(system, "subscription-sync") as sync:
        system.send(subscription_event("sub_poison_1", "cus_poison", "active"),
                    subscription_event("sub_poison_2", "not a customer", "active"),
                    subscription_event("sub_poison_3", "cus_poison", "delighted"), garbage,
                    subscription_event("sub_poison_4", "cus_poison", "active"), partition=1)
        system.wait_until_read("subscription-sync")
        assert sync.metric("watchpost_dlq_total", reason="decode") == 2
        assert sync.metric("watchpost_dlq_total", reason="23") == 1
    assert set(states(system, "sub_poison_")) == {"sub_poison_1", "sub_poison_4"}
    rows = system.query("select topic, partition, record_offset, reason, error_class, attempts from report.dead_letters "
                        "where worker = 'subscription-sync' order by record_offset")
    assert [row[4] for row in rows] == ["23", "decode", "decode"] and [row[5] for row in rows] == [2, 1, 1]
    letters = {int(dict(m.headers())["dl_offset"]): m for m in system.read_all("dead-letter")}
    assert sorted(letters) == [row[2] for row in rows]
    last = dict(letters[rows[2][2]].headers())
    assert letters[rows[2][2]].value() == garbage["value"] and letters[rows[2][2]].key() == b"cus_poison"
    assert last["x-kept"] == b"yes" and last["ce_type"] == b"watchpost.stripe.subscription"
    assert (last["dl_topic"], last["dl_partition"], last["dl_class"]) == ((PREFIX + "stripe").encode(), b"1", b"decode")
    assert last["dl_worker"].startswith(b"subscription-sync/") and last["dl_reason"] and last["dl_failed_at"]


def test_the_ledger_takes_everything_and_the_chain_is_right(system, tmp_path):
    """Why: the audit is over what Kafka has, not over what we understand. How: good, repeated and undecodable records, a tombstone and
    one without a key; then the chain computed again in Python, and every seal checked with openssl."""
    key = tmp_path / "seal.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, timeout=30)
    twice = other_event("cus_ledger")
    broken = event("stripe.other", {}, key="cus_ledger")
    broken["value"] = b"\x93"
    bare = {"key": None, "value": b"", "headers": [], "event_id": ""}
    tombstone = {"key": b"cus_ledger", "value": None, "headers": [("ce_id", None)], "event_id": ""}
    unknown = event("access.granted", {"account_id": ACCOUNT, "agent_id": "agt_1", "name": "typed by a person"}, key=ACCOUNT)
    with running(system, "audit-log", seal_interval_s=1, seal_key_file=key) as audit:
        system.send(twice, broken, bare, tombstone, twice, partition=2)
        system.send(unknown, topic="access")
        system.wait_until_read("audit-log")
        system.wait_until_read("audit-log", "access")
        audit.wait_for("sealed", 3)
        wait_until(lambda: system.query("select count(*) >= 3 from report.seals where topic like '%%stripe' and partition = 2")
                   == [(True,)], "three seals of one partition")
    assert_chain(system)
    assert_chain(system, "access")
    assert_ledger_whole(system)
    rows = system.query("select type, duplicate, event_id from report.audit where topic like '%%stripe' and partition = 2 "
                        "order by record_offset desc limit 5")
    assert [row[0] for row in rows[1:4]] == ["undecodable"] * 3
    assert rows[0][1] is True and rows[4][1] is False and rows[0][2] == rows[4][2] == twice["event_id"]
    assert system.query("select account_id, actor, summary from report.audit where type = 'watchpost.access.granted'") == [
        (ACCOUNT, "agt_1", "agent_id=agt_1")]
    assert_seals(system, key, tmp_path)


def assert_seals(system, key, folder):
    """Each seal is signed over its text, names the one before it, and its head is that of the records."""
    public = folder / "seal.pub"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, timeout=30)
    seals = system.query("select topic, partition, last_offset, head, signature, cluster_id, previous, hash, sealed_at_ms "
                         "from report.seals order by topic, partition, seal_number")
    expected, before = heads(system), {}
    assert seals
    for topic, partition, last_offset, head, signature, cluster, previous, digest, sealed_at_ms in seals:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(sealed_at_ms // 1000)) + f".{sealed_at_ms % 1000:03d}Z"
        text = (f"watchpost seal 1\ncluster {cluster}\ntopic {topic}\npartition {partition}\nlast_offset {last_offset}\n"
                f"head {head}\nsealed_at {at}\nprevious {previous}\n").encode()
        (folder / "text").write_bytes(text)
        (folder / "signature").write_bytes(bytes.fromhex(signature))
        subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", folder / "text",
                        "-sigfile", folder / "signature"], check=True, timeout=30, stdout=subprocess.DEVNULL)
        assert previous == before.get((topic, partition), genesis(cluster, topic, partition).hex())
        assert digest == hashlib.sha256(text + bytes.fromhex(signature)).hexdigest()
        before[topic, partition] = digest
        if topic == PREFIX + "stripe":
            assert head == expected[partition, last_offset + 1].hex()


def test_the_ledger_cannot_be_changed(system):
    """Why: a record that nobody can quietly change. How: even the owner of the tables is refused, but rows over 400 days old may go."""
    with running(system, "audit-log"):
        system.send(other_event("cus_fixed"))
        system.wait_until_read("audit-log")
    for sql in ("update wp.ledger set summary = 'x'", "delete from wp.ledger", "truncate wp.ledger",
                "update wp.seals set sealed_at = now()", "delete from wp.seals"):
        with pytest.raises(psycopg2.Error) as caught:
            system.query(sql)
        assert caught.value.pgcode == "WP403"
    system.query("insert into wp.ledger (chain_id, record_offset, recorded_at, occurred_at, duplicate, type, summary) "
                 "values (-1, 0, now() - interval '402 days', now(), false, 'old', ''), "
                 "(-1, 1, now() - interval '399 days', now(), false, 'young', '')")
    with contextlib.closing(system.postgres.connect("watchpost_audit_log")) as connection:
        cursor = connection.cursor()
        cursor.execute("select api.audit_forget(10)")
        assert cursor.fetchone() == (1,)
    assert system.query("select type from wp.ledger where chain_id = -1") == [("young",)]


# --- the refresher ---------------------------------------------------------------------------------------------------------


class StripeApi(http.server.ThreadingHTTPServer):
    """A stand-in for Stripe's API: answers by id, and notes what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), StripeHandler)
        self.answers, self.asked, self.before = {}, [], {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class StripeHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        subscription = self.path.rsplit("/", 1)[1]
        self.server.asked.append((subscription, self.headers["Authorization"]))
        self.server.before.get(subscription, lambda: None)()
        status, body = self.server.answers.get(subscription, (404, {"error": {"type": "invalid_request_error"}}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def api_subscription(subscription, customer, status):
    """As Stripe has it since 2025-03-31, with what we must not keep."""
    return {"id": subscription, "object": "subscription", "customer": {"id": customer, "email": "canary@example.com"},
            "status": status, "created": 1700000000, "cancel_at_period_end": True, "livemode": False,
            "default_payment_method": {"card": {"last4": "4242"}},
            "items": {"data": [{"current_period_end": 1800000000}, {"current_period_end": 1900000000}]}}


def tie(name):
    return [subscription_event(f"sub_{name}", f"cus_{name}", status, 1700000500) for status in ("active", "past_due")]


def test_the_refresher_asks_stripe_what_only_stripe_knows(system, tmp_path):
    """Why: two events of one second may contradict each other. How: four such ties; the API knows one, does not know one, is away at first for one, and
    for the last an event arrives while it answers, so that its answer is of an older version and must not be applied."""
    (tmp_path / "key").write_text("rk_test_canary", encoding="ascii")
    api = StripeApi()
    for name in ("known", "away", "late"):
        api.answers[f"sub_{name}"] = 200, api_subscription(f"sub_{name}", f"cus_{name}", "unpaid")
    away = [(200, api.answers["sub_away"][1]), (503, {})]
    api.before["sub_away"] = lambda: api.answers.__setitem__("sub_away", away.pop() if len(away) > 1 else away[0])

    def change_meanwhile():
        api.before.pop("sub_late", None)
        system.send(subscription_event("sub_late", "cus_late", "active", 1700000600))
        wait_until(lambda: states(system, "sub_late")["sub_late"] == ("active", False), "the later event")

    api.before["sub_late"] = change_meanwhile
    with running(system, "subscription-sync", stripe_api_key_file=tmp_path / "key", refresh_interval_ms=50,
                 stripe_api_base=f"http://127.0.0.1:{api.server_port}") as sync:
        system.send(*tie("known"), *tie("unknown"), *tie("away"), *tie("late"))
        wait_until(lambda: states(system, "sub_known") == {"sub_known": ("unpaid", False)}, "the refresh")
        wait_until(lambda: states(system, "sub_away") == {"sub_away": ("unpaid", False)}, "the second try")
        wait_until(lambda: any(line.get("outcome") == "changed_meanwhile" for line in sync.lines("subscription_refreshed")),
                   "the answer that came too late")
        assert states(system, "sub_late") == {"sub_late": ("active", False)}
        assert states(system, "sub_unknown") == {"sub_unknown": ("past_due", True)}
        # What was refreshed merges on: its state, written by the database, is read by the worker.
        system.send(subscription_event("sub_known", "cus_known", "active", 1700000400),
                    subscription_event("sub_known", "cus_known", "active", 1700000500))
        system.wait_until_read("subscription-sync")
        assert states(system, "sub_known") == {"sub_known": ("unpaid", False)}
        system.send(subscription_event("sub_known", "cus_known", "active", 1700000501))
        wait_until(lambda: states(system, "sub_known") == {"sub_known": ("active", False)}, "the next event")
        assert "rk_test_canary" not in sync.log.read_text()
    assert {key for _, key in api.asked} == {"Bearer rk_test_canary"}
    assert sum(name == "sub_unknown" for name, _ in api.asked) == 1
    assert system.query("select refresh_after = 'infinity', refresh_error from wp.subscriptions "
                        "where stripe_subscription_id = 'sub_unknown'") == [(True, "not_found")]
    api.shutdown()
    api.server_close()


# --- C1 to C8 ----------------------------------------------------------------------------------------------------------------


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
    system.broker.delete_before("stripe", 1, 15)
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


def test_records_with_gaps_between_their_offsets(own_system):
    """Why: offsets may skip (compaction, control records). How: records written in Kafka transactions leave a marker each; the row ends behind
    the last record and nothing is taken for lost."""
    import confluent_kafka  # pylint: disable=import-outside-toplevel
    system = own_system
    producer = confluent_kafka.Producer({"bootstrap.servers": system.broker.address, "transactional.id": "gaps"})
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
