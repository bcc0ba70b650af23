"""From Stripe's own library to the views and the exports: the whole pipeline with real input, read with other people's tools."""

import csv
import datetime
import io
import json
import pathlib
import struct
import subprocess
import time

import msgpack
import pytest

from postgres_fixture import CTL
from system_fixture import STRIPE, System, state_fact

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = sorted((HERE.parent / "fixtures/stripe").glob("*.json"))
EVENTS = {path: json.loads(path.read_text(encoding="utf-8")) for path in FIXTURES}
EXIT_CHANGED = 4  # docs/exit-codes.md: a record is not as it was sealed


@pytest.fixture(scope="module", name="system")
def one_system():
    """Over TLS, sealing every second. What Stripe's library sent is sent once, for all tests."""
    with System(tls=True, workers={"audit-log": {"seal_interval_s": 1}}) as system:
        system.started_at = now()
        system.copies = write_copies(system.folder)
        system.results = send_with_sdk(system, [*FIXTURES, *sorted(system.folder.glob("copy*.json"))])
        system.wait_until_read()
        yield system


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def write_copies(folder):
    """One more file for each fixture about a subscription, with event, subscription and customer of its own: every status and every
    API version gets a row. Returns subscription -> the event's object."""
    objects = {}
    for number, event in enumerate(subscription_events()):
        thing = event["data"]["object"]
        customer = thing["customer"]["id"] if isinstance(thing["customer"], dict) else thing["customer"]
        text = json.dumps(event)
        for old, new in ((event["id"], f"evt_copy{number}"), (thing["id"], f"sub_copy{number}"), (customer, f"cus_copy{number}")):
            text = text.replace(old, new)
        (folder / f"copy{number}.json").write_text(text, encoding="utf-8")
        objects[f"sub_copy{number}"] = json.loads(text)["data"]["object"]
    return objects


def send_with_sdk(system, files):
    """Signs each file with the official library, checks it with it, and posts it over TLS; what was answered."""
    done = subprocess.run(
        ["env", f"NODE_EXTRA_CA_CERTS={system.folder / 'tls/ca.pem'}", "node", HERE / "stripe_sdk/send.mjs"], capture_output=True,
        text=True, timeout=120, check=False, input=json.dumps({
            "url": f"https://localhost:{system.ingress.settings['listen_port']}/webhooks/stripe", "secret": system.stripe_secret,
            "files": [str(path) for path in files]}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def subscription_events():
    """The events about subscriptions that change state here: not those of the other mode or of a connected account, whose
    customers are not ours."""
    return [event for event in EVENTS.values()
            if event["type"].startswith("customer.subscription.") and not event["livemode"] and "account" not in event]


def period_end(subscription):
    """Of the subscription itself before 2025-03-31, the earliest of its items since (docs/events.md)."""
    if "current_period_end" in subscription:
        return subscription["current_period_end"]
    return min(item["current_period_end"] for item in subscription["items"]["data"])


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_stripes_library_to_both_views(system):
    """Why: real input, all the way. How: the official SDK signs and sends every fixture, and once more each one about a subscription under
    ids of its own; every event is a row of report.audit, in the type that it has by docs/events.md; every subscription is in
    report.subscriptions as its event has it, the one of many events in the end that one of them told."""
    assert len(FIXTURES) >= 25 and len(system.copies) >= 10
    assert [(r["status"], r["body"].strip()) for r in system.results] == [(200, '{"received":true}')] * len(system.results)
    audited = dict(system.query("select event_id, type from report.audit where event_id not like 'evt_copy%%'"))
    assert set(audited) == {event["id"] for event in EVENTS.values()}
    for event in EVENTS.values():
        about = ("quarantined" if event["livemode"] else "subscription" if event["type"].startswith("customer.subscription.")
                 else {"checkout.session.completed": "checkout", "customer.deleted": "customer"}.get(event["type"], "other"))
        assert audited[event["id"]] == f"watchpost.stripe.{about}", event["type"]
    states = system.states()
    for subscription, thing in system.copies.items():
        assert states.pop(subscription) == (thing["status"], period_end(thing), thing["cancel_at_period_end"], False)
    assert {subscription: state[0] for subscription, state in states.items()} == {
        event["data"]["object"]["id"]: "canceled" for event in subscription_events()}
    state_fact(f"pipeline: Stripe's own library signed and sent {len(system.results)} events of {len(FIXTURES)} real shapes over TLS; all "
               f"are in report.audit, {len(system.copies) + len(states)} subscriptions in report.subscriptions as the events have them")


def test_any_reader_reads_the_topic(system):
    """Why: docs/events.md promises that nobody needs our code. How: kcat and Python's msgpack, as the page says; every event is there
    under its key, and its value has the id of its header."""
    values = subprocess.run(["kcat", "-C", "-q", "-e", "-b", system.kafka.bootstrap, "-t", STRIPE, "-f", "%R%s"], capture_output=True,
                            timeout=60, check=True).stdout
    heads = subprocess.run(["kcat", "-C", "-q", "-e", "-b", system.kafka.bootstrap, "-t", STRIPE, "-f", "%k %h\n"], capture_output=True,
                           text=True, timeout=60, check=True).stdout.splitlines()
    payloads = []
    while values:
        size = struct.unpack(">i", values[:4])[0]
        payloads.append(msgpack.unpackb(values[4:4 + size]))
        values = values[4 + size:]
    # kcat reads the partitions in its own order each time, so the two are matched by their ids.
    by_id = {dict(pair.split("=", 1) for pair in line.split(" ", 1)[1].split(","))["ce_id"]: line.split(" ", 1)[0] for line in heads}
    assert {payload["event_id"] for payload in payloads} >= {event["id"] for event in EVENTS.values()}
    for payload in payloads:
        assert by_id[payload["event_id"]] == payload.get("customer", payload["event_id"])


def test_verify_and_the_offline_export(system, tmp_path):
    """Why: a record nobody can quietly change. How: the chains verify against Kafka and Postgres; an export verifies with nothing but the
    public key; the same export with one byte of one record changed, shortened, or with another key does not."""
    deadline = time.monotonic() + 20
    while system.query("select count(distinct (topic, partition)) from report.seals where topic = %s", (STRIPE,))[0][0] < 4:
        assert time.monotonic() < deadline, "a seal for each partition"
        time.sleep(0.1)
    key = ("--public-key", system.seal_public_key)
    assert system.ctl("audit", "verify", *key).returncode == 0
    done = subprocess.run([*ctl_command(system), "audit", "replay", "--format", "msgpack", *map(str, key)], capture_output=True,
                          timeout=60, check=True)
    export = tmp_path / "export"
    export.write_bytes(done.stdout)
    assert verify_file(export, system.seal_public_key).returncode == 0
    changed = subscription_events()[0]["data"]["object"]["id"].encode()
    other = changed[:-1] + (b"x" if changed[-1:] != b"x" else b"y")
    assert done.stdout.count(changed) >= 1
    for spoilt in (done.stdout.replace(changed, other, 1), done.stdout[:-1], done.stdout[:len(done.stdout) // 2]):
        export.write_bytes(spoilt)
        assert verify_file(export, system.seal_public_key).returncode not in (0, 1), "refused, and not by a crash"
    export.write_bytes(done.stdout.replace(changed, other, 1))
    assert verify_file(export, system.seal_public_key).returncode == EXIT_CHANGED
    export.write_bytes(done.stdout)
    stranger = tmp_path / "stranger.pub"
    subprocess.run(f"openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out {stranger}", shell=True, check=True, timeout=30)
    assert verify_file(export, stranger).returncode not in (0, 1)
    state_fact("pipeline: the audit chains verify live and from an export with the public key alone; a changed export is refused")


def ctl_command(system):
    return [str(word) for word in (CTL, *system.postgres.settings("watchpost_ctl"), *system.kafka.settings())]


def verify_file(export, key):
    """Offline: no address of anything is given."""

    return subprocess.run([CTL, "--environment", "development", "audit", "verify", "--file", export, "--public-key", key],
                          capture_output=True, text=True, timeout=60, check=False)


def test_replay_filters_and_formats(system):
    """Why: analysts narrow down and take rows away. How: each filter alone against what report.audit says; CSV and JSON lines of the same
    question have the same rows; a window that ended before, or begins after, is empty."""
    everything = lines(system.ctl("audit", "replay", "--topic", "stripe").stdout)
    assert len(everything) == system.query("select count(*) from report.audit where topic = %s", (STRIPE,))[0][0]
    for kind in ("watchpost.stripe.subscription", "customer.deleted", "watchpost.stripe.quarantined"):
        column = "type" if kind.startswith("watchpost.") else "summary"
        wanted = [row[0] for row in system.query(f"select event_id from report.audit where {column} like %s",
                                                 (kind if column == "type" else f"%{kind}%",))]
        found = lines(system.ctl("audit", "replay", "--type", kind).stdout)
        assert sorted(ids_of(found)) == sorted(wanted) and wanted, kind
    customer = system.query("select stripe_customer_id from report.audit group by 1 order by count(*) desc limit 1")[0][0]
    account = json.loads(system.ctl("account", "create", "Replay", "--json").stdout)["account_id"]
    assert lines(system.ctl("audit", "replay", "--account", account).stdout) == []
    system.ctl("account", "link", account, "--customer", customer)
    wanted = [row[0] for row in system.query("select event_id from report.audit where stripe_customer_id = %s", (customer,))]
    assert sorted(ids_of(lines(system.ctl("audit", "replay", "--account", account).stdout))) == sorted(wanted)
    rows = list(csv.DictReader(io.StringIO(system.ctl("audit", "replay", "--topic", "stripe", "--format", "csv").stdout)))
    assert sorted(ids_of(rows)) == sorted(ids_of(everything))
    begin, end = system.started_at, now() + datetime.timedelta(seconds=1)
    stamps = [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (begin - datetime.timedelta(seconds=1), end)]
    assert len(lines(system.ctl("audit", "replay", "--topic", "stripe", "--from", stamps[0]).stdout)) == len(everything)
    assert lines(system.ctl("audit", "replay", "--to", stamps[0]).stdout) == []
    assert lines(system.ctl("audit", "replay", "--from", stamps[1]).stdout) == []


def ids_of(rows):
    """Of rows of a replay."""
    return [row["id"] for row in rows]
