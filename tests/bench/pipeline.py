"""A real Kafka with a backlog, a real PostgreSQL, and the workers that stand between them, on chosen cores."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import confluent_kafka

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from fixture import Fixture  # noqa: E402
from kafka_fixture import KafkaCluster  # noqa: E402
from postgres_fixture import BUILD, PostgresCluster, wait_until  # noqa: E402

BACKLOG = BUILD / "bench/backlog"
TOPIC = "watchpost.development.stripe"
POLL_S = 0.05
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Enough that no checkpoint falls into a run; everything else is the server's default, fsync on.
POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def stat(process):
    """Fields of /proc/PID/stat behind the name; None when the process is gone."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(process, with_children=False):
    """User and system time so far, with that of children that ended."""
    fields = stat(process)
    if fields is None:
        return 0
    return sum(int(n) for n in fields[11:15 if with_children else 13]) / TICKS_PER_S


def resident_bytes(process):
    return int(pathlib.Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pin(processes, cpus):
    """Moves all threads of the processes to these cores; their children will inherit it."""
    for process in processes:
        subprocess.run(["taskset", "-a", "-p", "-c", cpus, str(process)], check=False, capture_output=True)


class Pipeline(Fixture):
    """`place` decides which cores the servers run on; `run` times workers from their start to lag 0."""

    def __init__(self):
        self.kafka = self.postgres = self.connection = None
        with self.beginning():
            self.postgres = PostgresCluster(**POSTGRES)
            self.postgres.migrate()
            self.connection = self.postgres.connect()
            self.kafka = KafkaCluster(profile="bench")
            self.kafka.make_topics()

    def close(self):
        if self.connection is not None:
            self.connection.close()
        for part in (self.kafka, self.postgres):
            if part is not None:
                part.close()

    def sql(self, text, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    # --- the backlog

    def make_backlog(self, events, subscriptions, partitions=4):
        """The topic is made anew, with this many partitions, and filled."""
        admin = self.kafka.admin()
        for future in admin.delete_topics([TOPIC]).values():
            future.result(30)
        wait_until(lambda: TOPIC not in admin.list_topics(timeout=30).topics, "the topic to be gone", 30)
        wait_until(lambda: self.topic_made(partitions), "the topic to be made again", 30)
        wait_until(lambda: list(self.kafka.high_watermarks(TOPIC).values()) == [0] * partitions, "its partitions' leaders", 30)
        subprocess.run([BACKLOG, self.kafka.bootstrap, TOPIC, str(events), str(subscriptions)], check=True)
        self.events = sum(self.kafka.high_watermarks(TOPIC).values())
        assert self.events == events

    def topic_made(self, partitions):
        """False while Kafka still deletes the old one."""
        with contextlib.suppress(confluent_kafka.KafkaException):
            self.kafka.make_topic(TOPIC, partitions, message_timestamp_type="LogAppendTime")
            return True
        return False

    def forget(self):
        """As if no worker had ever run. Guards that refuse this to programs do not bind a superuser's replica session."""
        self.sql("set session_replication_role = replica")
        self.sql("truncate wp.stripe_events, wp.subscriptions, wp.ledger, wp.seals, wp.chains, wp.worker_offsets, "
                 "wp.dead_letters, wp.offset_resets")
        self.sql("set session_replication_role = origin")
        self.sql("checkpoint")

    # --- where things run

    def place(self, cpus):
        """Kafka's and PostgreSQL's processes, those to come included."""
        pin([self.kafka.process(1)] + self.postgres.processes(), cpus)

    def postgres_seconds(self):
        first = self.postgres.postmaster()
        return cpu_seconds(first, True) + sum(cpu_seconds(p) for p in self.postgres.processes()[1:])

    # --- workers

    def start(self, kind, cpus, **settings):
        role = "watchpost_" + kind.replace("-", "_")
        given = {"kafka-brokers": self.kafka.bootstrap, "log-file": self.kafka.folder / "worker.log", **settings}
        flags = [text for name, value in given.items() for text in ("--" + name.replace("_", "-"), str(value))]
        return subprocess.Popen(["taskset", "-c", cpus, BUILD / f"bin/watchpost-{kind}", *self.postgres.settings(role), *flags])

    def run(self, kind, cpus, count=1, **settings):
        """`count` workers from start to lag 0; returns records a second, CPU µs a record, and resident bytes by progress."""
        self.forget()
        postgres_before, began = self.postgres_seconds(), time.monotonic()
        workers = [self.start(kind, cpus, **settings) for _ in range(count)]
        try:
            resident = self.watch(kind, workers)
            seconds = time.monotonic() - began
            worker_seconds = sum(cpu_seconds(worker.pid) for worker in workers)
            postgres_seconds = self.postgres_seconds() - postgres_before
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.wait(30)
        assert self.sql("select count(*) from wp.dead_letters") == [(0,)]
        return {"per_second": self.events / seconds, "worker_us": 1e6 * worker_seconds / self.events,
                "postgres_us": 1e6 * postgres_seconds / self.events, "resident": resident}

    def watch(self, kind, workers):
        """Until the offset rows stand at the end; (share done, resident bytes of the first worker) on the way."""
        resident, done = [], 0
        while done < self.events:
            time.sleep(POLL_S)
            done = int(self.sql("select coalesce(sum(next_offset), 0) from wp.worker_offsets where worker = %s and topic = %s",
                                (kind, TOPIC))[0][0])
            for worker in workers:
                if worker.poll() is not None:
                    raise RuntimeError(f"{kind} ended; see its log:\n" + (self.kafka.folder / "worker.log").read_text()[-2000:])
            resident.append((done / self.events, resident_bytes(workers[0].pid)))
        return resident

    # --- what PostgreSQL itself needs for the same rows

    def copy_seconds(self, tables):
        """Time and server CPU of COPY of these tables' rows into empty ones of the same shape, indexes and checks included."""
        seconds = cpu = 0
        file = self.postgres.home() / "copy.rows"
        for table in tables:
            self.sql(f"drop table if exists public.copied; create table public.copied (like {table} including all)")
            self.sql(f"copy {table} to '{file}'")
            self.sql("checkpoint")
            before, began = self.postgres_seconds(), time.monotonic()
            self.sql(f"copy public.copied from '{file}'")
            seconds += time.monotonic() - began
            cpu += self.postgres_seconds() - before
            file.unlink()
        self.sql("drop table public.copied")
        return seconds, cpu
