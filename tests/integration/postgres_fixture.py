"""A private PostgreSQL cluster for tests, by ops/dev/postgres.sh.

    from postgres_fixture import PostgresCluster

    with PostgresCluster() as cluster:       # started; `cluster.migrate()` brings the schema and the roles' passwords
        cluster.migrate()
        with cluster.connect("watchpost_ctl") as connection: ...
        cluster.settings("watchpost_ctl")    # arguments for a program: --postgres-dsn … --postgres-password-file …
        cluster.kill(); cluster.start()      # faults: kill (SIGKILL of every process), stop, restart, pause, resume

Roles: postgres (superuser), watchpost_migrator, operator, and the login roles of migrations/0001_foundation.sql.
Data, log, password files and socket lie in a temporary folder that goes away at the end.
"""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg2

from fixture import Fixture

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "ops/dev/postgres.sh"
BUILD = pathlib.Path(os.environ.get("WATCHPOST_BUILD", ROOT / "build"))
CTL = BUILD / "bin/watchpostctl"
LOGIN_ROLES = ("watchpost_ingress", "watchpost_subscription_sync", "watchpost_audit_log", "watchpost_revocation_fanout",
               "watchpost_outbox_relay", "watchpost_ctl")


def free_port():
    """A loopback port that nobody listens on now; below those that the system gives to clients. From among those a client that
    tries again and again while a server is down would sooner or later be given the server's own, and connect to itself."""
    first_of_clients = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", random.randrange(10000, first_of_clients)))
            return s.getsockname()[1]


class PostgresCluster(Fixture):
    """One cluster with its database `watchpost`. `fsync=False` for tests that crash nothing."""

    def __init__(self, fsync=True, environment="development", **server_settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-pg-"))
        self.port = free_port()
        self.environment = environment
        self.start_arguments = ([] if fsync else ["--no-fsync"]) + [f"{k}={v}" for k, v in server_settings.items()]
        self.paused = []
        with self.beginning():
            self.start()

    def close(self):
        """Stops the server and removes everything; legal twice."""
        if self.folder.exists():
            self.resume()
            home = self.home()
            self.stop("immediate")
            shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    def script(self, *arguments):
        """Runs ops/dev/postgres.sh and returns what it printed."""
        done = subprocess.run([SCRIPT, arguments[0], self.folder, *map(str, arguments[1:])], capture_output=True,
                              text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"postgres.sh {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()

    # --- life and faults

    def start(self):
        self.script("start", self.port, *self.start_arguments)

    def stop(self, mode="fast"):
        self.script("stop", mode)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def home(self):
        """The folder with data/, postgres.log and the socket."""
        return pathlib.Path(self.script("home"))

    def postmaster(self):
        """Process id of the server's first process."""
        return int((self.home() / "data/postmaster.pid").read_text(encoding="ascii").split()[0])

    def processes(self):
        """The first process and its children."""
        first = self.postmaster()
        children = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii").split()
        return [first] + [int(child) for child in children]

    def kill(self):
        """SIGKILL to every process at once, as a machine that loses power; `start` recovers."""
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in processes:
            wait_until(lambda p=process: not alive(p), f"process {process} to end")

    def pause(self):
        """SIGSTOP: connections stay open and nobody answers."""
        self.paused = self.processes()
        for process in self.paused:
            os.kill(process, signal.SIGSTOP)

    def resume(self):
        for process in self.paused:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
        self.paused = []

    # --- reaching it

    def dsn(self, role):
        """A libpq connection string without password."""
        return self.script("dsn", role)

    def password_file(self, role):
        return self.script("password-file", role)

    def password(self, role):
        return pathlib.Path(self.password_file(role)).read_text(encoding="ascii").strip()

    def connect(self, role="postgres"):
        """A psycopg2 connection in autocommit mode; the caller closes it (`with contextlib.closing(…)`)."""
        connection = psycopg2.connect(self.dsn(role), password=self.password(role))
        connection.autocommit = True
        return connection

    def query(self, sql, parameters=None, role="postgres"):
        """Rows of one statement; [] for those without rows."""
        with contextlib.closing(self.connect(role)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def settings(self, role):
        """Flags for a program that works as `role`."""
        return ["--environment", self.environment, "--postgres-dsn", self.dsn(role),
                "--postgres-password-file", self.password_file(role)]

    def ctl(self, *words, role="watchpost_ctl", check=True):
        """Runs watchpostctl as `role`; a CompletedProcess with text output."""
        done = subprocess.run([CTL, *self.settings(role), *map(str, words)], cwd=ROOT, capture_output=True, text=True,
                              timeout=120, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"watchpostctl {words}: status {done.returncode}: {done.stderr.strip()}")
        return done

    def migrate(self, *words, check=True):
        """Applies the migrations and gives every login role its password."""
        done = self.ctl("migrate", *words, role="watchpost_migrator", check=check)
        self.script("roles")
        return done


def alive(process):
    """False for processes that are gone or dead and only wait to be collected."""
    try:
        stat = pathlib.Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition, what, seconds=20):
    """Polls until `condition` is true; fails the test at the deadline, naming `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
