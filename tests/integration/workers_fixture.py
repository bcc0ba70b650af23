"""Workers against a real PostgreSQL and a real Kafka, with events written by an encoder of its own.

    with WorkerSystem() as system:
        system.send(subscription_event("sub_1", "cus_1", "active", created_s=100))
        with system.worker("subscription-sync") as worker:
            system.wait_for_rows("select ... from report.subscriptions ...", [...])

Everything listens on free loopback ports and lies in a temporary folder that goes away at the end.
"""

import contextlib
import datetime
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import confluent_kafka
import msgpack

from fixture import Fixture
from kafka_fixture import KafkaCluster
from postgres_fixture import BUILD, PostgresCluster, free_port, wait_until

PREFIX = "watchpost.development."


class Worker:
    """One worker process; its log lines are dictionaries."""

    def __init__(self, system, kind, **settings):
        self.system = system
        self.kind = kind
        self.admin_port = free_port()
        self.log = system.folder / f"{kind}-{time.monotonic_ns()}.log"
        role = "watchpost_" + kind.replace("-", "_")
        given = {"kafka-brokers": system.broker.bootstrap, "admin-port": self.admin_port, **settings}
        flags = [text for name, value in given.items() for text in ("--" + name.replace("_", "-"), str(value))]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen([BUILD / f"bin/watchpost-{kind}", *system.postgres.settings(role), *flags],
                                            stdout=out, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def lines(self, event=None):
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line))
            if event is None or fields.get("event") == event:
                found.append({k: v.strip('"') for k, v in fields.items()})
        return found

    def wait_for(self, event, count=1, seconds=30):
        wait_until(lambda: len(self.lines(event)) >= count or self.process.poll() is not None, f"{self.kind}: {event}",
                   seconds)
        assert len(self.lines(event)) >= count, self.log.read_text()[-2000:]

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=30):
        """SIGTERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def get(self, path):
        """(status, text) of the admin listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""  # it does not listen (yet, or any more)

    def metric(self, name, **labels):
        """Sum of the samples of `name` that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and all(f'{k}="{v}"' in (match[1] or "") for k, v in labels.items()):
                total += float(match[2])
        return total


class WorkerSystem(Fixture):
    """PostgreSQL with the schema, and one Kafka broker with the topics."""

    def __init__(self, partitions=4, **server_settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-workers-"))
        self.postgres = self.broker = None
        with self.beginning():
            self.postgres = PostgresCluster(fsync=False, **server_settings)
            self.postgres.migrate()
            self.broker = KafkaCluster()
            self.broker.make_topics(partitions=partitions)
        self.sent = 0

    def close(self):
        for part in (self.broker, self.postgres):
            if part is not None:
                part.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def worker(self, kind, **settings):
        return Worker(self, kind, **settings)

    def query(self, sql, parameters=None):
        return self.postgres.query(sql, parameters)

    def wait_for_rows(self, sql, rows, seconds=40):
        found = []

        def same():
            found[:] = self.query(sql)
            return found == rows

        try:
            wait_until(same, "rows", seconds)
        except AssertionError:
            assert found == rows, sql
        return found

    def producer(self):
        return confluent_kafka.Producer({"bootstrap.servers": self.broker.bootstrap, "acks": "all", "linger.ms": 5,
                                         "queue.buffering.max.messages": 1000000, "partitioner": "murmur2_random"})

    def send(self, *events, topic="stripe", partition=None):
        """Writes events (dictionaries of subscription_event & co.) and waits until Kafka has all of them."""
        failed = []
        producer = self.producer()
        for event in events:
            arguments = {"key": event["key"], "value": event["value"], "headers": event["headers"]}
            if partition is not None:
                arguments["partition"] = partition
            producer.produce(PREFIX + topic, on_delivery=lambda error, _: error and failed.append(error), **arguments)
            producer.poll(0)
        assert producer.flush(60) == 0 and not failed, failed
        self.sent += len(events)

    def read_all(self, topic):
        """Every record of a topic."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "reader",
                                             "enable.auto.commit": False, "enable.partition.eof": True})
        records = []
        try:
            for partition in consumer.list_topics(PREFIX + topic, timeout=20).topics[PREFIX + topic].partitions:
                place = confluent_kafka.TopicPartition(PREFIX + topic, partition)
                low, high = consumer.get_watermark_offsets(place, timeout=20)
                place.offset = low
                consumer.assign([place] if low < high else [])
                while low < high:
                    message = consumer.poll(20)
                    assert message is not None, "the end of the partition"
                    if message.error() is not None:
                        assert message.error().code() == confluent_kafka.KafkaError._PARTITION_EOF, message.error()
                        break
                    records.append(message)
                    low = message.offset() + 1
        finally:
            consumer.close()
        return records

    def offsets(self, worker, topic="stripe"):
        """Partition -> next offset, of the cluster that is there."""
        return dict(self.query("select partition, next_offset from wp.worker_offsets where worker = %s and topic = %s and "
                               "cluster_id = %s", (worker, PREFIX + topic, self.broker.cluster_id())))

    def wait_until_read(self, worker, topic="stripe", seconds=60):
        """The worker's offset rows stand at the end of the topic."""
        ends = {p: end for p, end in self.broker.high_watermarks(PREFIX + topic).items() if end > 0}
        wait_until(lambda: {p: o for p, o in self.offsets(worker, topic).items() if p in ends} == ends,
                   f"{worker} to read {ends}, is at {self.offsets(worker, topic)}", seconds)


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


# --- events ---------------------------------------------------------------------------------------------------------

COUNT = iter(range(1, 10**9))


def event(kind, payload, key=None, time_ms=None):
    """A record of the CloudEvents Kafka binding. `payload` is what the value holds, except event_id, which is filled in."""
    event_id = payload.setdefault("event_id", f"evt_test{next(COUNT):08d}")
    when = datetime.datetime.fromtimestamp((time_ms or time.time() * 1000) / 1000, datetime.timezone.utc)
    headers = {"ce_specversion": "1.0", "ce_id": event_id, "ce_type": "watchpost." + kind,
               "ce_source": "//watchpost.systems/development/ingress",
               "ce_time": when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
               "ce_dataschema": f"urn:watchpost:schema:watchpost.{kind}:1", "content-type": "application/msgpack"}
    return {"key": (key or payload.get("customer") or event_id).encode(), "value": msgpack.packb(payload),
            "headers": [(name, value.encode()) for name, value in headers.items()], "event_id": event_id}


def subscription_event(subscription, customer, status, created_s=1700000000, change="updated", **more):
    """watchpost.stripe.subscription; `change` is the last word of Stripe's type."""
    return event("stripe.subscription", {"stripe_type": f"customer.subscription.{change}", "created_s": created_s,
                                         "livemode": False, "customer": customer, "subscription": subscription,
                                         "object_id": subscription, "status": status, "cancel_at_period_end": False, **more})


def checkout_event(customer, reference=None, created_s=1700000000, **more):
    payload = {"stripe_type": "checkout.session.completed", "created_s": created_s, "livemode": False,
               "customer": customer, "mode": "subscription", **more}
    if reference is not None:
        payload["client_reference_id"] = reference
    return event("stripe.checkout", payload)


def other_event(customer, stripe_type="invoice.paid", kind="stripe.other", created_s=1700000000):
    return event(kind, {"stripe_type": stripe_type, "created_s": created_s, "livemode": False, "customer": customer})
