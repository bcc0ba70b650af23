"""A private Apache Kafka for tests, by ops/dev/kafka/kafka.sh: one broker, or three with replication.

    from kafka_fixture import KafkaCluster

    with KafkaCluster() as kafka:                # started; with brokers=3: replication 3, min.insync.replicas 2
        kafka.make_topics("development")         # Watchpost's topics; or kafka.make_topic(name, partitions, **settings)
        kafka.bootstrap                          # host:port, comma-separated
        kafka.settings()                         # arguments for a program: --kafka-brokers …
        kafka.kill9(2); kafka.start(2)           # faults: kill9, stop, start, restart, pause, resume; of one broker or all
        kafka.become_new_cluster()               # empty, on the same ports, with another cluster id
        kafka.delete_before(topic, 0, 100)       # what retention does

Everything listens on free loopback ports and lies in a temporary folder that goes away at the end.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import confluent_kafka
import confluent_kafka.admin

from fixture import Fixture
from postgres_fixture import ROOT, alive, free_port, wait_until

SCRIPT = ROOT / "ops/dev/kafka/kafka.sh"
TOPICS = ("stripe", "agent", "spend", "access", "access-changes", "dead-letter")
ANSWER_S = 30


def free_ports(count):
    """So many loopback ports that nobody listens on now, all different."""
    ports = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)


def run_script(*words, profile="dev"):
    """Runs kafka.sh and returns what it printed."""
    done = subprocess.run([SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=180, check=False,
                          env={**os.environ, "KAFKA_PROFILE": profile})
    if done.returncode != 0:
        raise RuntimeError(f"kafka.sh {words[0]}: {done.stdout} {done.stderr}")
    return done.stdout


class KafkaCluster(Fixture):
    """One broker or three, numbered from 1. profile="bench" for measurements."""

    def __init__(self, brokers=1, profile="dev"):
        assert brokers in (1, 3)
        self.brokers = range(1, brokers + 1)
        self.profile = profile
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-kafka-"))
        ports = free_ports(2 * brokers)
        self.ports, self.controller_ports = ports[:brokers], ports[brokers:]
        with self.beginning():
            self.start_all()

    def close(self):
        """Ends every broker, without ceremony, and removes everything; legal twice."""
        if self.folder.exists():
            self.kill9()
            shutil.rmtree(self.folder, ignore_errors=True)

    def start_all(self):
        verb = "start" if len(self.brokers) == 1 else "start-cluster"
        run_script(verb, self.folder, *self.ports, *self.controller_ports, profile=self.profile)

    # --- life and faults; broker: its number, or None for all

    def numbers(self, broker):
        return self.brokers if broker is None else [broker]

    def process(self, broker):
        """Process id of a broker, None when it does not run."""
        try:
            return int((self.folder / str(broker) / "pid").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def signal(self, broker, number):
        for n in self.numbers(broker):
            if self.process(n) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.process(n), number)

    def kill9(self, broker=None):
        """SIGKILL; returns when it is dead. Data and ports stay for `start`."""
        self.signal(broker, signal.SIGKILL)
        for n in self.numbers(broker):
            if (process := self.process(n)) is not None:
                wait_until(lambda p=process: not alive(p), f"broker {n} to end")
                (self.folder / str(n) / "pid").unlink()

    def stop(self, broker=None):
        """An orderly end."""
        run_script("stop", self.folder, *([] if broker is None else [broker]))

    def start(self, broker=None):
        """Returns when it answers."""
        if broker is None:
            self.start_all()
        else:
            run_script("start-broker", self.folder, broker, profile=self.profile)

    def restart(self, broker=None):
        self.stop(broker)
        self.start(broker)

    def pause(self, broker=None):
        """SIGSTOP: connections stay open and nobody answers."""
        self.signal(broker, signal.SIGSTOP)

    def resume(self, broker=None):
        self.signal(broker, signal.SIGCONT)

    def become_new_cluster(self):
        """Empty, on the same ports, with another id (C8)."""
        self.kill9()
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self.start_all()

    # --- reaching it

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def settings(self):
        """Flags for a program."""
        return ["--kafka-brokers", self.bootstrap]

    def admin(self):
        return confluent_kafka.admin.AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})

    def cluster_id(self):
        return self.admin().list_topics(timeout=ANSWER_S).cluster_id

    def make_topic(self, name, partitions=4, **settings):
        """settings: as Kafka names them, with _ for . (retention_ms="1000")."""
        config = {key.replace("_", "."): str(value) for key, value in settings.items()}
        topic = confluent_kafka.admin.NewTopic(name, partitions, len(self.brokers), config=config)
        admin = self.admin()  # must outlive its request
        admin.create_topics([topic])[name].result(ANSWER_S)

    def make_topics(self, environment="development", partitions=4):
        """Watchpost's topics, as far as tests depend on their settings; `watchpostctl topics create` makes the real ones."""
        for name in TOPICS:
            self.make_topic(f"watchpost.{environment}.{name}", partitions, message_timestamp_type="LogAppendTime")

    def high_watermarks(self, topic):
        """The next offset of each partition, by partition. (Asked by time: get_watermark_offsets hangs when a leader is
        lost.)"""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "fixture", "log_level": 2})
        deadline = time.monotonic() + ANSWER_S
        try:
            while True:
                partitions = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
                ends = [confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_END) for p in partitions]
                try:
                    return {p.partition: p.offset for p in consumer.offsets_for_times(ends, timeout=2)}
                except confluent_kafka.KafkaException:
                    if time.monotonic() > deadline:
                        raise
        finally:
            consumer.close()

    def records(self, topic):
        """Every record of a topic as Kafka has it now (confluent_kafka.Message), by partition and offset."""
        ends = {p: end for p, end in self.high_watermarks(topic).items() if end > 0}
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": "fixture",
                                             "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        found = []
        try:
            consumer.assign([confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in ends])
            while ends:
                message = consumer.poll(ANSWER_S)
                assert message is not None, f"{topic}: partitions {sorted(ends)} do not come to their end"
                if message.error() is None:
                    found.append(message)
                    if message.offset() >= ends.get(message.partition(), 1) - 1:
                        ends.pop(message.partition(), None)
        finally:
            consumer.close()
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def delete_before(self, topic, partition, offset):
        """What retention does: the log begins at `offset` afterwards."""
        plan = self.folder / "delete.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": topic, "partition": partition, "offset": offset}]}), encoding="ascii")
        run_script("tool", "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", self.bootstrap,
                   "--offset-json-file", plan)
