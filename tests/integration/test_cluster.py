"""C8 over the whole pipeline: Kafka that is new, or emptied, behind an old database, and retention that overtakes a worker."""

import json

import pytest

from system_fixture import KINDS, STRIPE, System, state_fact, wait_until

PARTITION = 2


@pytest.fixture(name="system")
def own_system():
    """One of its own for each test: they break it."""
    with System() as system:
        yield system


def subscription(number, status, created_s=1769000000):
    """A test event of Stripe's shape; the number says customer, subscription and event."""
    return {"id": f"evt_cluster{number}", "object": "event", "api_version": "2025-03-31.basil", "created": created_s,
            "livemode": False, "type": "customer.subscription.updated",
            "data": {"object": {"id": f"sub_cluster{number}", "object": "subscription", "customer": f"cus_cluster{number}",
                                "status": status, "cancel_at_period_end": False,
                                "items": {"data": [{"current_period_end": 1771592000}]}}}}


def send(system, numbers, status="active"):
    assert set(system.send(*(subscription(number, status) for number in numbers))) == {200}


def offset_rows(system):
    """`watchpostctl offsets show --json`, of topic stripe: (worker, partition) -> row, of the present cluster."""
    rows = json.loads(system.ctl("offsets", "show", "--json").stdout)
    return {(row["worker"], row["partition"]): row for row in rows
            if row["topic"] == STRIPE and row["cluster_id"] == system.kafka.cluster_id()}


def verify(system):
    return system.ctl("audit", "verify", "--public-key", system.seal_public_key)


def test_a_new_cluster_behind_an_old_database(system):
    """Why: offsets of one cluster mean nothing in another; skipping what a new one holds would break promise 1, and an old row past
    its end would stop everything. How: the broker comes back as another cluster, empty, while everything runs; what is sent then is
    read from the log's start, rows and chains of the old cluster stay, what was known stays known, and the chains verify."""
    send(system, range(40))
    system.wait_until_read()
    old = system.kafka.cluster_id()
    system.kafka.become_new_cluster()
    system.kafka.make_topics("development", system.partitions)
    assert system.kafka.cluster_id() != old
    system.wait_ready()
    send(system, range(30, 60))  # ten of them a second time: both clusters have them
    system.wait_until_read()
    assert len(system.states()) == 60
    assert system.query("select count(*), count(distinct event_id) from report.audit") == [(70, 60)]
    assert system.query("select count(*) from wp.stripe_events") == [(60,)]
    assert system.query("select count(distinct cluster_id) from wp.worker_offsets") == [(2,)]
    assert system.query("select count(distinct cluster_id) from report.audit where not duplicate") == [(2,)]
    verify(system)
    state_fact("cluster: a new Kafka cluster behind an old database is read from its start; what was applied before is known again")


def test_an_emptied_cluster(system):
    """Why: a log that lost its records (topics deleted and made again) has the cluster's old id, so its rows point behind the end.
    How: the topic is deleted and made again; partitions whose rows are out of range stop, /readyz says why, nothing is skipped silently,
    `offsets reset` moves each on, and what was sent meanwhile is read."""
    send(system, range(40))
    system.wait_until_read()
    for worker in (system.workers(kind)[0] for kind in KINDS):
        assert worker.stop() == 0
    ends = system.kafka.high_watermarks(STRIPE)
    admin = system.kafka.admin()
    admin.delete_topics([STRIPE])[STRIPE].result(30)
    wait_until(lambda: STRIPE not in admin.list_topics(timeout=20).topics, "the topic to go", 30)
    system.kafka.make_topic(STRIPE, system.partitions, message_timestamp_type="LogAppendTime")
    wait_until(system.ingress.ready, "the ingress to find the topic again", 60)
    for worker in (system.workers(kind)[0] for kind in KINDS):
        worker.start()
    out = {partition for partition, end in ends.items() if end > 0}
    for kind in KINDS:
        worker = system.workers(kind)[0]
        wait_until(lambda w=worker: w.get("/readyz")[1].count("is not in the log") == len(out), f"{kind} to say why", 40)
        assert worker.get("/readyz")[0] == 503
    assert {place[1] for place, row in offset_rows(system).items() if row["state"] == "out of range"} == out
    for kind in KINDS:
        for partition in sorted(out):
            # audit-log's row may only move forward: its chain goes on behind a gap, once the log is longer than it was.
            reset = system.ctl("offsets", "reset", "--worker", kind, "--topic", "stripe", "--partition", partition,
                               "--to", "earliest", check=False)
            assert (reset.returncode == 0) == (kind == "subscription-sync"), reset.stderr
    system.workers("subscription-sync")[0].wait_ready()
    send(system, range(40, 80))
    system.wait_until_read("subscription-sync")
    assert len(system.states()) == 80
    assert not system.workers("audit-log")[0].ready()


def test_retention_that_overtakes_a_worker(system):
    """Why: records that nobody read must not be passed over in silence. How: audit-log stands still while more records come and the log
    of one partition begins behind its row (DeleteRecords, as retention does). That partition stops, /readyz and `offsets show` say why,
    the others go on; --dry-run changes nothing, the reset moves on in the running process, the gap is on record, the chains verify."""
    audit = system.workers("audit-log")[0]
    send(system, range(60))
    system.wait_until_read()
    assert audit.stop() == 0
    send(system, range(60, 160))
    place, end = ("audit-log", PARTITION), system.kafka.high_watermarks(STRIPE)[PARTITION]
    start = offset_rows(system)[place]["next_offset"]
    assert start < end - 2, "this partition got something"
    system.kafka.delete_before(STRIPE, PARTITION, end - 2)
    audit.start()
    reason = f"{STRIPE}/{PARTITION}: offset {start} is not in the log"
    wait_until(lambda: reason in answer_of(audit), "the reason", 40)
    ends = system.kafka.high_watermarks(STRIPE)
    others = {partition: offset for partition, offset in ends.items() if partition != PARTITION}
    wait_until(lambda: others.items() <= system.offsets("audit-log").items(), "the others to go on", 40)
    assert audit.get("/readyz")[0] == 503 and offset_rows(system)[place]["state"] == "out of range"
    assert system.ctl("status", check=False).returncode != 0
    reset = ("offsets", "reset", "--worker", "audit-log", "--topic", "stripe", "--partition", PARTITION, "--to", "earliest")
    system.ctl(*reset, "--dry-run")
    assert system.offsets("audit-log")[PARTITION] == start and audit.get("/readyz")[0] == 503
    system.ctl(*reset)
    system.wait_until_read()
    audit.wait_ready()
    assert system.query("select partition, from_offset, to_offset, reset_by from wp.offset_resets") == [
        (PARTITION, start, end - 2, "watchpost_ctl")]
    assert system.query("select count(*) from report.audit") == [(160 - (end - 2 - start),)]
    verify(system)
    state_fact(f"cluster: retention overtook audit-log by {end - 2 - start} records; one partition stopped and said so until it was reset")


def answer_of(worker):
    """What /readyz says; nothing while it starts."""
    try:
        return worker.get("/readyz")[1]
    except OSError:
        return ""


def test_a_topic_that_comes_later():
    """Why: at a first start, or behind a new cluster, workers may be there before their topics; the library would look again after five
    minutes. How: the workers start without topic stripe, which is made afterwards; the one that has no other topic is not ready before,
    and what is sent then is applied within seconds."""
    with System(start=False) as system:
        admin = system.kafka.admin()
        admin.delete_topics([STRIPE])[STRIPE].result(30)
        wait_until(lambda: STRIPE not in admin.list_topics(timeout=20).topics, "the topic to go", 30)
        workers = {kind: system.add_worker(kind) for kind in KINDS}
        workers["audit-log"].wait_ready()
        wait_until(lambda: "no partitions assigned yet" in answer_of(workers["subscription-sync"]), "the reason")
        system.kafka.make_topic(STRIPE, system.partitions, message_timestamp_type="LogAppendTime")
        system.add_ingress()
        system.wait_ready()
        send(system, range(10))
        system.wait_until_read(seconds=30)
        assert len(system.states()) == 10
