"""subscription-sync and audit-log against a real PostgreSQL and a real Kafka: what they make of events."""

import contextlib
import os
import random
import subprocess

import psycopg2
import pytest

from audit_chain import assert_chain, assert_ledger_whole, assert_seals
from stripe_api_fixture import StripeApi, api_subscription
from workers_fixture import (PREFIX, WorkerSystem, checkout_event, event, other_event, running, states, subscription_event,
                             wait_until)

FULL = os.environ.get("WATCHPOST_COUNTS") == "full"
ACCOUNT = "acct_01H00000000000000000000001"
OTHER_ACCOUNT = "acct_01H00000000000000000000002"


@pytest.fixture(scope="module", name="system")
def one_system():
    """One PostgreSQL and one Kafka for the tests that break neither; each test has customers of its own."""
    with WorkerSystem() as system:
        yield system


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
    customer does not take the account over, nor does a checkout of a connected account link anything. Where no subscription is required
    any more, a suspension for want of one ends."""
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
        system.send(subscription_event("sub_two_b", "cus_two", "canceled", 400, "deleted"))
        wait_until(lambda: state() == ("suspended", "cus_two"), "the second suspension")
    with running(system, "subscription-sync", require_subscription="off"):
        wait_until(lambda: state() == ("active", "cus_two"), "its end: none is required any more")


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


def test_a_dead_letter_that_fits_into_no_message_is_cut(system):
    """Why: C6; a record that is as large as Kafka takes leaves no room for what a dead letter adds, and must not stop its partition
    for that. How: garbage of nearly the largest size, and a good event behind it."""
    huge = event("stripe.subscription", {}, key="cus_huge")
    huge["value"] = bytes(999_500)
    with running(system, "subscription-sync", retry_backoff_max_ms=100) as sync:
        system.send(huge, subscription_event("sub_huge", "cus_huge", "active"), partition=2)
        wait_until(lambda: "sub_huge" in states(system, "sub_huge"), "the event behind it", 20)
        assert sync.metric("watchpost_dlq_total", reason="decode") == 1
    letters = [m for m in system.read_all("dead-letter") if dict(m.headers()).get("dl_cut")]
    assert len(letters) == 1 and not letters[0].value()
    headers = dict(letters[0].headers())
    rows = system.query("select record_offset from report.dead_letters where partition = 2 and worker = 'subscription-sync'")
    assert rows == [(int(headers["dl_offset"]),)] and "ce_type" not in headers


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


def tie(name):
    return [subscription_event(f"sub_{name}", f"cus_{name}", status, 1700000500) for status in ("active", "past_due")]


def test_an_answer_that_cannot_be_stored_holds_up_no_other(system, tmp_path):
    """Why: one row must not keep the refresher from all behind it. How: Stripe names a time that Postgres does not know for the tie that
    is asked for first; the second one is refreshed all the same, and the first is noted and left for later."""
    (tmp_path / "key").write_text("rk_test_canary", encoding="ascii")
    api = StripeApi()
    api.answers["sub_wild"] = 200, {**api_subscription("sub_wild", "cus_wild", "unpaid"), "items": {"data": [{"current_period_end": 9 * 10**18}]}}
    api.answers["sub_tame"] = 200, api_subscription("sub_tame", "cus_tame", "unpaid")
    with running(system, "subscription-sync", stripe_api_key_file=tmp_path / "key", refresh_interval_ms=50,
                 stripe_api_base=f"http://127.0.0.1:{api.server_port}") as sync:
        system.send(*tie("wild"))
        wait_until(lambda: states(system, "sub_wild"), "the first tie")
        system.send(*tie("tame"))
        wait_until(lambda: states(system, "sub_tame") == {"sub_tame": ("unpaid", False)}, "the second one's refresh", 30)
        sync.wait_for("subscription_not_refreshed")
    assert system.query("select needs_refresh, refresh_error, refresh_failures > 0 from wp.subscriptions "
                        "where stripe_subscription_id = 'sub_wild'") == [(True, "invalid", True)]
    api.shutdown()
    api.server_close()


def test_the_refresher_asks_stripe_what_only_stripe_knows(system, tmp_path):
    """Why: two events of one second may contradict each other. How: four such ties; the API knows one, does not know one (asked first), is
    away at first for one, and for the last an event arrives while it answers, so that its answer is of an older version and must not be applied."""
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
        system.send(*tie("unknown"))
        sync.wait_for("subscription_not_refreshed")
        system.send(*tie("known"), *tie("away"), *tie("late"))
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
