"""Workers scale by starting more of them (docs/runbook.md, "Scaling"): 1 -> 4 -> 1 under load, nothing lost, nothing doubled."""

import re
import threading
import time

import confluent_kafka
import pytest

from system_fixture import FULL, KINDS, STRIPE, System, state_fact, wait_until
from test_kept import check_exactly_once

PARTITIONS = 4
RATE = 1500 if FULL else 700
BACKLOG = 10000 if FULL else 2000
SHARE_S = 30  # docs/runbook.md, "Scaling"
BATCH = 25  # so that one worker has something to do


@pytest.fixture(scope="module", name="system")
def one_system():
    """No worker yet."""
    with System(partitions=PARTITIONS, start=False, workers={kind: {"batch_items_max": BATCH} for kind in KINDS}) as system:
        system.add_ingress()
        system.wait_ready()
        yield system


class LagWatch:
    """The lag of one kind of worker, looked at several times a second."""

    def __init__(self, system, kind):
        self.samples = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(system, kind))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def run(self, system, kind):
        while not self.over.wait(0.2):
            self.samples.append(system.lag(kind))


def partitions_of(worker):
    """How many partitions of topic stripe it holds, as its metrics say."""
    return len(re.findall(rf'^watchpost_consumer_lag{{.*topic="{STRIPE}"', worker.get("/metrics")[1], re.M))


def committed(system, kind):
    """What the consumer group committed to Kafka (C5): what exporters and autoscalers see."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": system.kafka.bootstrap,
                                         "group.id": f"watchpost.development.{kind}"})
    try:
        places = [confluent_kafka.TopicPartition(STRIPE, partition) for partition in range(PARTITIONS)]
        return {place.partition: place.offset for place in consumer.committed(places, timeout=20)}
    finally:
        consumer.close()


def records_done(worker):
    return worker.metric("watchpost_worker_records_total")


@pytest.mark.parametrize("kind", KINDS)
def test_one_to_four_to_one_under_load(system, kind):
    """Why: DESIGN "Workers": scaling one kind is starting more of it. How: a backlog gathers while events stream in; one worker starts,
    then three more, which share the partitions; the lag falls to nothing while the stream goes on; three end by SIGTERM and the one
    that is left goes on. Then every event is counted in Kafka, in the ledger and among the applied ones."""
    loads = []
    with system.load(rate=RATE) as load, LagWatch(system, kind) as watch:
        loads.append(load)
        wait_until(lambda: system.lag(kind) >= BACKLOG, "a backlog", 60)
        first = system.add_worker(kind)
        first.wait_ready()
        wait_until(lambda: partitions_of(first) == PARTITIONS, "one worker to hold everything", 30)
        more = [system.add_worker(kind) for _ in range(3)]
        wait_until(lambda: [partitions_of(worker) for worker in (first, *more)] == [1] * 4, "four workers to share", SHARE_S)
        before = [records_done(worker) for worker in (first, *more)]
        wait_until(lambda: system.lag(kind) < RATE, "the lag to fall", 60)
        wait_until(lambda: all(records_done(worker) > done for worker, done in zip((first, *more), before)), "four to work", 20)
        assert [worker.stop() for worker in more] == [0, 0, 0]
        wait_until(lambda: partitions_of(first) == PARTITIONS, "one worker to take everything back", SHARE_S)
        after, deadline = records_done(first), time.monotonic() + 20
        while records_done(first) < after + RATE and time.monotonic() < deadline:
            time.sleep(0.05)
        assert records_done(first) >= after + RATE, "one worker goes on under load"
    system.wait_until_read(kind)
    wait_until(lambda: committed(system, kind) == system.kafka.high_watermarks(STRIPE), "the group's offsets in Kafka", 20)
    highest = max(watch.samples)
    state_fact(f"scaling: {kind} went 1 -> 4 -> 1 under {load.statuses[200]} events; its lag rose to {highest} records and "
               f"fell to {min(watch.samples[watch.samples.index(highest):])} while they streamed in")
    system.scaled = getattr(system, "scaled", []) + [load]


def test_nothing_was_lost_or_doubled(system):
    """Why: scaling must not touch promise 1. How: what both kinds made of both streams above, counted as in test_kept.py."""
    assert len(system.scaled) == len(KINDS), "the tests above ran"
    system.wait_until_read()
    check_exactly_once(system, *system.scaled)
