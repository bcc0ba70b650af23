"""Three nodes behind a network that fails, agents that knock at them, and revokes: the parts of test_revoke.py.

    with Nodes() as nodes:
        crowd = nodes.crowd(400)                     # [(agent id, token)], connected
        with nodes.knocker(crowd) as knocker:        # requests of all of them, at all nodes, written down
            knocker.move(100, 60)                    # from here on of crowd[100:160]
            revoke = Revoker(nodes).operator(crowd[0])
        knocker.records                              # Record(sent_ns, done_ns, token, status, kind, port)

Times are CLOCK_BOOTTIME in nanoseconds, of this machine for all.
"""

import collections
import contextlib
import http.client
import itertools
import math
import mmap
import random
import struct
import subprocess
import threading
import time

import psycopg2

from agents_fixture import Agents
from fault_proxy import FaultProxy
from postgres_fixture import BUILD, ROOT, wait_until
from system_fixture import ACCESS_KINDS, System

NODES = 3
LEASE_S = 0.9   # ACCESS_LEASE_MS
WAIT_S = 1.0    # ACCESS_WAIT_MS
ANSWER_S = 5
TRIES_S = 60    # a revoke that meets faults is tried again for so long
ACCOUNT_AGENTS = 100
LIMITLESS = {"agent_rate_per_s": 0, "agent_address_rate_per_s": 0, "unauthorized_rate_per_s": 0}
ACCEPTS_NOT = {0, 401, 429, 503}  # an answer with any other status was given to an accepted caller (docs/answers.md)
CTL_UNKNOWN = {1, 6, 7}  # docs/exit-codes.md: run it again
FRAME = struct.Struct("<qqIHBB")

Record = collections.namedtuple("Record", "sent_ns done_ns token status kind port")


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def percentile(values, share):
    """The smallest value that so many of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def program(name):
    """A C program of tests/integration/c, built."""
    made = subprocess.run(["make", "--no-print-directory", f"{BUILD.relative_to(ROOT)}/integration/{name}"], cwd=ROOT,
                          capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return BUILD / "integration" / name


class Nodes(System):
    """A System of three ingresses, each with links of its own to PostgreSQL and Kafka, the relay and the fan-out."""

    def __init__(self, **settings):
        self.proxy = FaultProxy()
        super().__init__(fsync=True, start=False, ingress={**LIMITLESS, **settings})
        try:
            for number in range(1, NODES + 1):
                self.add_node(number)
            for kind in ACCESS_KINDS:
                self.add_worker(kind)
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        self.agents = Agents(self.postgres)

    def close(self):
        super().close()
        self.proxy.close()

    def add_node(self, number):
        words = dict(word.split("=", 1) for word in self.postgres.dsn("watchpost_ingress").split())
        there = f"{words['host']}/.s.PGSQL.{words['port']}"
        postgres = self.proxy.open(f"postgres-{number}", there)
        kafka = self.proxy.open(f"kafka-{number}", self.kafka.ports[0], kafka=True)
        self.add_ingress(postgres_dsn=f"host=127.0.0.1 port={postgres} dbname={words['dbname']} user={words['user']} "
                                      "sslmode=disable", kafka_brokers=f"127.0.0.1:{kafka}")

    def slow_lookups(self, number, down_ms):
        """What this node's loops ask PostgreSQL is answered late; its poller is served as ever."""
        self.proxy.shape(f"postgres-{number}", down_ms=down_ms, spare="watchpost-ingress-poll")

    @property
    def ports(self):
        return [node.settings["listen_port"] for node in self.ingresses]

    def crowd(self, count):
        made = []
        while len(made) < count:
            made += self.agents.connect_many(self.agents.account(), min(ACCOUNT_AGENTS, count - len(made)))
        return made

    def knocker(self, crowd, **flags):
        return Knocker(self, crowd, **flags)

    def heal(self, seconds=60):
        """Whatever was done to it: everything runs, is reached, and is trusted."""
        for node in self.ingresses:
            if node.process.poll() is not None:
                node.start()
            node.resume()
        for kind, number in itertools.product(("postgres", "kafka"), range(1, NODES + 1)):
            self.proxy.heal(f"{kind}-{number}")
        with contextlib.suppress(RuntimeError):
            self.postgres.start()
        if self.kafka.process(1) is None:
            self.kafka.start(1)
        self.kafka.resume()
        self.wait_ready(seconds)

    def fanned_out(self, seconds=60):
        """The relay and the fan-out have no work left, as when nobody hurries."""
        wait_until(lambda: self.query("select count(*) from wp.outbox") == [(0,)], "the outbox to be empty", seconds)


class Knocker:
    """build/integration/knock at all nodes, from its making until the block ends."""

    def __init__(self, nodes, crowd, ports=None, **flags):
        name = f"{time.monotonic_ns():x}"
        self.path = nodes.folder / f"knock-{name}.records"
        tokens, window = nodes.folder / f"knock-{name}.tokens", nodes.folder / f"knock-{name}.window"
        tokens.write_text("".join(token + "\n" for _, token in crowd), encoding="ascii")
        window.write_bytes(bytes(16))
        with window.open("r+b") as file:
            self.window = mmap.mmap(file.fileno(), 16)
        self.move(0, max(1, len(crowd)))
        words = ["--port", ",".join(map(str, ports or nodes.ports)), "--records", self.path, "--window", window,
                 *(["--tokens", tokens] if crowd else ["--random"])]
        for flag, value in flags.items():
            words += ["--" + flag.replace("_", "-")] + ([] if value is True else [str(value)])
        self.process = subprocess.Popen([program("knock"), *words], stdin=subprocess.PIPE)
        self.records = []

    def move(self, first, count):
        """Requests come from these on."""
        struct.pack_into("<QQ", self.window, 0, max(first, 0), count)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.records = [Record(*fields) for fields in FRAME.iter_unpack(self.path.read_bytes())]


Revoked = collections.namedtuple("Revoked", "returned_ns took_ms how")


class Revoker:
    """Revokes in the ways that there are; each returns only when the revoke did. One thread's own."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.connection = None
        self.errors = []  # of tries, for who looks for the cause of a slow one

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def call(self, sql, *parameters):
        if self.connection is None:
            self.connection = self.nodes.postgres.connect("watchpost_ctl")
            with self.connection.cursor() as cursor:
                cursor.execute("set jit = off")  # as every program of ours (common/pg_session.c)
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def insist(self, what):
        """An unknown outcome is repeated, never answered (R5)."""
        deadline = time.monotonic() + TRIES_S
        while True:
            try:
                return what()
            except (psycopg2.Error, OSError, RuntimeError) as error:
                self.close()
                self.errors.append(repr(error))
                assert time.monotonic() < deadline, f"a revoke did not return: {error!r}"
                time.sleep(0.05)

    def commit_and_wait(self, sql, *parameters):
        """As every program that revokes: the change, and then R5 on a clock of its own."""
        number = self.call(sql, *parameters)[0][0]
        committed = time.monotonic()
        while time.monotonic() < committed + WAIT_S:
            nodes, in_force = self.call("select * from api.access_in_force(%s)", number)[0]
            if nodes == in_force:
                return
            time.sleep(0.002)

    def timed(self, how, what):
        began = now_ns()
        what()
        returned = now_ns()
        return Revoked(returned, (returned - began) / 1e6, how)

    def operator(self, agent):
        """By agent id."""
        return self.timed("operator", lambda: self.insist(lambda: self.commit_and_wait(
            "select number from api.agent_change(%s, 'revoke', null)", agent[0])))

    def watchpostctl(self, agent):
        """By agent id, with the operators' program."""
        def run():
            done = self.nodes.postgres.ctl("agent", "revoke", agent[0], check=False)
            if done.returncode in CTL_UNKNOWN:
                raise RuntimeError(done.stderr)
            assert done.returncode == 0, done.stderr
        return self.timed("watchpostctl", lambda: self.insist(run))

    def everything(self, account):
        """All agents of an account."""
        return self.timed("account", lambda: self.insist(lambda: self.commit_and_wait(
            "select number from api.account_agents_change(%s, 'revoke', null)", account)))

    def report(self, agent, port):
        """POST /v1/events as this agent: the status."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)) as connection:
            connection.request("POST", "/v1/events", b'{"type":"note"}', {"Authorization": f"Bearer {agent[1]}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def ask_to_leave(self, agent, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            connection.request("DELETE", "/v1/agent", headers={"Authorization": f"Bearer {agent[1]}"})
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def disconnect(self, agent, port):
        """The agent itself, at one of the nodes; where that fails, an operator must see to it."""
        began = now_ns()
        with contextlib.suppress(OSError, http.client.HTTPException):
            if self.ask_to_leave(agent, port) == 200:
                returned = now_ns()
                return Revoked(returned, (returned - began) / 1e6, "agent")
        return self.operator(agent)


class Faults:
    """What goes wrong, one or two things at a time, by seeded dice, in a thread of its own until the block ends."""

    def __init__(self, nodes, seed):
        self.nodes = nodes
        self.dice = random.Random(seed)
        self.counts = collections.Counter()
        self.begun = []  # (when, what), for who looks for the cause of a failure
        self.over = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.run, name="faults")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        print("faults:", *self.begun)
        assert self.failure is None, self.failure

    def run(self):
        kinds = [self.cold_node, self.pause_node, self.kill_node, self.pause_node, self.leave_node, self.slow_link, self.slow_link,
                 self.stall_link, self.stall_link, self.cut_link, self.refuse_link, self.postgres_restart, self.postgres_kill,
                 self.broker_kill, self.broker_pause]
        try:
            while not self.over.is_set():
                self.dice.shuffle(kinds)
                for fault in kinds:
                    if self.over.is_set():
                        break
                    self.counts[fault.__name__] += 1
                    self.begun.append((round(time.monotonic(), 1), fault.__name__))
                    fault()
                    self.sleep(0.1, 0.6)
        except Exception as error:  # pylint: disable=broad-except  # told to the test's own thread
            self.failure = repr(error)

    def sleep(self, at_least_s, at_most_s):
        time.sleep(self.dice.uniform(at_least_s, at_most_s))

    def node(self):
        return self.dice.choice(self.nodes.ingresses)

    def link(self):
        """PostgreSQL's more often: that is where leases come from."""
        return f"{self.dice.choice(['postgres', 'postgres', 'kafka'])}-{self.dice.randint(1, NODES)}"

    def pause_node(self):
        node = self.node()
        node.pause()
        self.sleep(LEASE_S + 0.1, 2.5)
        node.resume()

    def kill_node(self):
        node = self.node()
        node.kill9()
        self.sleep(0, 0.4)
        node.start()

    def cold_node(self):
        """It starts with an empty cache, and its look-ups take long while its polls do not: fills race revokes (R6)."""
        place = self.dice.randint(1, NODES)
        self.nodes.ingresses[place - 1].kill9()
        self.nodes.slow_lookups(place, self.dice.choice([200, 500, 800]))
        self.nodes.ingresses[place - 1].start()
        self.sleep(2, 3)
        self.nodes.proxy.heal(f"postgres-{place}")

    def leave_node(self):
        node = self.node()
        node.stop()
        node.start()

    def slow_link(self):
        link = self.link()
        self.nodes.proxy.shape(link, up_ms=self.dice.choice([0, 40, 200, 500, 1000]),
                               down_ms=self.dice.choice([0, 40, 200, 500, 1000]))
        self.sleep(1, 3)
        self.nodes.proxy.heal(link)

    def stall_link(self):
        link = self.link()
        self.nodes.proxy.shape(link, **{self.dice.choice(["up_ms", "down_ms"]): None})
        self.sleep(0.3, 2)
        self.nodes.proxy.heal(link)

    def cut_link(self):
        link = self.link()
        for _ in range(5):
            self.nodes.proxy.cut(link)
            self.sleep(0.05, 0.3)

    def refuse_link(self):
        link = self.link()
        self.nodes.proxy.refuse(link, True)
        self.sleep(0.5, 2)
        self.nodes.proxy.heal(link)

    def postgres_restart(self):
        self.nodes.postgres.restart()

    def postgres_kill(self):
        self.nodes.postgres.kill()
        self.sleep(0, 1)
        self.nodes.postgres.start()

    def broker_kill(self):
        self.nodes.kafka.kill9()
        self.nodes.kafka.start()

    def broker_pause(self):
        self.nodes.kafka.pause()
        self.sleep(0.5, 2)
        self.nodes.kafka.resume()
