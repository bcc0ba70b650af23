"""The whole pipeline for tests: Kafka, PostgreSQL, ingresses, workers and the load generator, on real parts.

    from system_fixture import System

    with System(brokers=3) as system:                      # ready: every program answers /readyz with 200
        with system.load(rate=500) as load:                # a stream of signed events until the block ends
            system.fault("kill_ingress")                   # the names are in FAULTS
        system.wait_until_read()
        load.acked                                         # ids that were answered 2xx, every one of them
        system.ledger(); system.read_topic()               # what Postgres and Kafka have

Programs take their settings from the environment (WATCHPOST_SET_…), write one log file each and keep their ports when they
are started again. Everything listens on free loopback ports, lies in temporary folders and goes away at the end.
"""

import collections
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import time

from fixture import Fixture
from kafka_fixture import KafkaCluster
from postgres_fixture import BUILD, ROOT, PostgresCluster, free_port, wait_until
from workers_fixture import PREFIX, Worker

FULL = os.environ.get("WATCHPOST_COUNTS") == "full"
KINDS = ("subscription-sync", "audit-log")
ACCESS_KINDS = ("outbox-relay", "revocation-fanout")
STRIPE = PREFIX + "stripe"
READY_S = 60
ANSWER_S = 20


def state_fact(text):
    """One line of docs/proof.md, when `make prove` asks for them."""
    if path := os.environ.get("WATCHPOST_FACTS"):
        with open(path, "a", encoding="utf-8") as facts:
            facts.write(text + "\n")
    print("fact:", text)


def event_id_of(record):
    """The id of the event in a record of Kafka."""
    return dict(record.headers())["ce_id"].decode()


class Program(Worker):
    """A server program with settings by environment; beginning and ending it again keeps ports and log file."""

    def __init__(self, system, kind, number=1, **settings):  # pylint: disable=super-init-not-called
        self.system = system
        self.kind = kind
        self.name = kind if number == 1 else f"{kind}-{number}"
        self.role = "watchpost_" + kind.replace("-", "_")
        self.admin_port = free_port()
        self.log = system.folder / f"log/{self.name}.log"
        self.settings = settings
        self.process = None
        self.start()

    def environment(self):
        postgres = self.system.postgres
        given = {"environment": postgres.environment, "kafka_brokers": self.system.kafka.bootstrap,
                 "postgres_dsn": postgres.dsn(self.role), "postgres_password_file": postgres.password_file(self.role),
                 "admin_port": self.admin_port, **self.settings}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHPOST_SET_")}
        return kept | {f"WATCHPOST_SET_{name.upper()}": str(value) for name, value in given.items()}

    def start(self):
        """Cores, if there were any, would be in the test's own folder."""
        assert self.process is None or self.process.poll() is not None
        with self.log.open("ab") as out:
            self.process = subprocess.Popen([BUILD / f"bin/watchpost-{self.kind}"], stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, cwd=self.system.folder, env=self.environment())

    def ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self, seconds=READY_S):
        wait_until(lambda: self.ready() or self.process.poll() is not None, f"{self.name} to be ready", seconds)
        assert self.process.poll() is None, f"{self.name} ended: {self.tail()}"

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def restart(self):
        """An orderly end and a new beginning."""
        assert self.stop() == 0, self.tail()
        self.start()


class Load:
    """A stream of signed events from build/bin/watchpost-load, in rounds, until `finish`. Each event is sent once."""

    def __init__(self, system, rate=500, connections=32, customers=200, round_events=1000, count=0):
        self.system = system
        self.rate = rate
        self.flags = ["--rate", rate, "--connections", connections, "--customers", customers, "--count", round_events,
                      "--seconds", "0", "--secret-file", system.stripe_secret_file, "--timeout-ms", "10000",
                      *(["--tls"] if system.tls else [])]
        self.round_events = round_events
        self.count = count
        self.over = threading.Event()
        self.acked = []
        self.statuses = collections.Counter()
        self.sent = 0
        self.failure = None
        self.thread = threading.Thread(target=self.run, name="load")
        self.name = f"{time.monotonic_ns() % 10**9:x}"
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.finish()
        else:
            self.over.set()
            self.thread.join()

    def round_name(self, number):
        return f"{self.name}r{number:03d}n"

    def run(self):
        try:
            number = 0
            while not self.over.is_set() or self.sent < self.count:
                self.one_round(number)
                number += 1
        except Exception as error:  # pylint: disable=broad-except  # told to the test's own thread by finish()
            self.failure = error

    def one_round(self, number):
        acked = self.system.folder / f"acked-{self.round_name(number)}"
        ports = ",".join(str(ingress.settings["listen_port"]) for ingress in self.system.ingresses)
        command = [BUILD / "bin/watchpost-load", "--port", ports, "--run", self.round_name(number), "--acked", acked, *self.flags]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"watchpost-load: {done.stderr}")
        report = json.loads(done.stdout)
        self.acked += acked.read_text(encoding="ascii").split()
        self.statuses.update({int(status): count for status, count in report["status"].items()})
        self.sent += self.round_events

    def finish(self):
        """Ends after the round under way (and after `count` events)."""
        self.over.set()
        self.thread.join()
        assert self.failure is None, self.failure

    @property
    def ids(self):
        """Every id that was sent."""
        return {f"evt_{self.round_name(r)}{serial:012d}" for r in range(self.sent // self.round_events)
                for serial in range(self.round_events)}


class System(Fixture):
    """Kafka (one broker, or three with replication 3 and min.insync.replicas 2), PostgreSQL and the programs."""

    def __init__(self, brokers=1, partitions=4, fsync=False, tls=False, start=True, ingress=None, workers=None,
                 access=False):
        """access: outbox-relay and revocation-fanout run too."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-system-"))
        self.partitions = partitions
        self.tls = tls
        self.access = access
        self.kafka = self.postgres = None
        self.programs = []
        self.ingress_settings = ingress or {}
        self.worker_settings = workers or {}
        with self.beginning():
            self.prepare(brokers, fsync)
            if start:
                self.start_programs()

    def close(self):
        """Ends everything, whatever state it is in; legal twice."""
        for program in self.programs:
            with contextlib.suppress(ProcessLookupError):
                program.resume()
            program.kill9()
        for part in (self.kafka, self.postgres):
            if part is not None:
                part.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- beginning

    def prepare(self, brokers, fsync):
        (self.folder / "log").mkdir()
        subprocess.run([ROOT / "ops/dev/credentials.sh", self.folder], check=True, capture_output=True, timeout=60)
        self.postgres = PostgresCluster(fsync=fsync)
        self.postgres.migrate()
        self.kafka = KafkaCluster(brokers)
        self.kafka.make_topics("development", self.partitions)

    @property
    def stripe_secret_file(self):
        return self.folder / "secrets/stripe_webhook"

    @property
    def stripe_secret(self):
        return self.stripe_secret_file.read_text(encoding="ascii").strip()

    @property
    def seal_public_key(self):
        return self.folder / "secrets/seal.pub"

    def add_ingress(self, **settings):
        number = len(self.ingresses) + 1
        program = Program(self, "ingress", number, **{
            "listen_port": free_port(), "tls": "on" if self.tls else "off",
            "tls_certificate_file": self.folder / "tls/server.pem", "tls_key_file": self.folder / "tls/server.key",
            "stripe_secret_files": self.stripe_secret_file, **self.ingress_settings, **settings})
        self.programs.append(program)
        return program

    def add_worker(self, kind, **settings):
        """One more of a kind, as docs/runbook.md says: the same program with the same settings."""
        number = 1 + sum(program.kind == kind for program in self.programs)
        own = {"seal_key_file": self.folder / "secrets/seal.key"} if kind == "audit-log" else {}
        program = Program(self, kind, number, **{**own, **self.worker_settings.get(kind, {}), **settings})
        self.programs.append(program)
        return program

    def start_programs(self):
        self.add_ingress()
        for kind in KINDS + (ACCESS_KINDS if self.access else ()):
            self.add_worker(kind)
        self.wait_ready()

    def wait_ready(self, seconds=READY_S):
        for program in self.programs:
            if program.process.poll() is None:
                program.wait_ready(seconds)

    # --- the parts

    @property
    def ingresses(self):
        return [program for program in self.programs if program.kind == "ingress"]

    @property
    def ingress(self):
        return self.ingresses[0]

    def workers(self, kind):
        return [program for program in self.programs if program.kind == kind]

    def ctl(self, *words, check=True):
        """Runs watchpostctl with the operator's settings."""
        return self.postgres.ctl(*self.kafka.settings(), *words, check=check)

    def load(self, **options):
        return Load(self, **options)

    # --- sending one event at a time

    def sign(self, body, at_s=None):
        at_s = int(time.time()) if at_s is None else at_s
        digest = hmac.new(self.stripe_secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={at_s},v1={digest}"

    def connection(self):
        port = self.ingress.settings["listen_port"]
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        return http.client.HTTPSConnection("localhost", port, timeout=ANSWER_S, context=self.tls_context())

    def tls_context(self):
        """Trusts the system's own CA."""
        return ssl.create_default_context(cafile=str(self.folder / "tls/ca.pem"))

    def send(self, *events, connection=None):
        """Signs and posts events (dictionaries, or bodies as bytes), one after the other; their statuses."""
        statuses = []
        with contextlib.closing(connection or self.connection()) as opened:
            for event in events:
                body = event if isinstance(event, bytes) else json.dumps(event).encode()
                opened.request("POST", "/webhooks/stripe", body, {"Stripe-Signature": self.sign(body)})
                answer = opened.getresponse()
                answer.read()
                statuses.append(answer.status)
        return statuses

    # --- what became of it

    def query(self, sql, parameters=None):
        return self.postgres.query(sql, parameters)

    def read_topic(self, topic="stripe"):
        """Every record of a topic (confluent_kafka.Message)."""
        return self.kafka.records(PREFIX + topic)

    def ledger(self):
        """Rows of the audit ledger: (event_id, duplicate, partition, offset)."""
        return self.query("select event_id, duplicate, partition, record_offset from report.audit")

    def offsets(self, kind):
        """Partition -> next offset of a kind of worker in topic stripe of the present cluster."""
        return dict(self.query("select partition, next_offset from wp.worker_offsets where worker = %s and topic = %s "
                               "and cluster_id = %s", (kind, STRIPE, self.kafka.cluster_id())))

    def lag(self, kind):
        """Records of topic stripe that a kind of worker has not applied."""
        done = self.offsets(kind)
        return sum(end - done.get(partition, 0) for partition, end in self.kafka.high_watermarks(STRIPE).items())

    def wait_until_read(self, *kinds, seconds=90):
        """Every kind of worker has applied all that is in topic stripe."""
        for kind in kinds or KINDS:
            wait_until(lambda k=kind: self.lag(k) == 0, f"{kind} to read everything; {self.lag(kind)} are left", seconds)

    def states(self):
        """Subscription -> (status, period end in seconds, cancels, needs_refresh)."""
        return {row[0]: row[1:] for row in self.query(
            "select stripe_subscription_id, status, extract(epoch from current_period_end)::bigint, cancel_at_period_end, "
            "needs_refresh from report.subscriptions")}

    # --- faults: each returns when its damage is repaired as far as its own part goes

    def fault(self, name, **options):
        FAULTS[name](self, **options)

    def broker_kill(self, number=1, seconds=2.0):
        self.kafka.kill9(number)
        time.sleep(seconds)
        self.kafka.start(number)

    def broker_restart(self, number=1):
        self.kafka.restart(number)

    def broker_pause(self, number=1, seconds=4.0):
        self.kafka.pause(number)
        time.sleep(seconds)
        self.kafka.resume(number)

    def postgres_stop(self, seconds=2.0):
        self.postgres.stop()
        time.sleep(seconds)
        self.postgres.start()

    def postgres_kill(self, seconds=1.0):
        """As when the machine loses power."""
        self.postgres.kill()
        time.sleep(seconds)
        self.postgres.start()

    def kill_ingress(self, seconds=0.3):
        self.ingress.kill9()
        time.sleep(seconds)
        self.ingress.start()
        self.ingress.wait_ready()

    def restart_ingress(self):
        self.ingress.restart()
        self.ingress.wait_ready()

    def kill_worker(self, kind="subscription-sync", seconds=0.3):
        worker = self.workers(kind)[0]
        worker.kill9()
        time.sleep(seconds)
        worker.start()
        worker.wait_ready()

    def pause_worker(self, kind="subscription-sync", seconds=4.0):
        worker = self.workers(kind)[0]
        worker.pause()
        time.sleep(seconds)
        worker.resume()


FAULTS = {name: getattr(System, name) for name in (
    "broker_kill", "broker_restart", "broker_pause", "postgres_stop", "postgres_kill", "kill_ingress", "restart_ingress",
    "kill_worker", "pause_worker")}

__all__ = ["ACCESS_KINDS", "FULL", "KINDS", "PREFIX", "STRIPE", "System", "event_id_of", "state_fact", "wait_until"]
