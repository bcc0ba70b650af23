"""An operator's desk for tests: a running system, and watchpostctl with settings for it, in every form it prints.

    with WorkerSystem() as system:
        desk = Desk(system, folder)          # both workers run from here on; close them: desk.sync, desk.audit
        desk.json("status")                  # parsed; desk.run(…) bytes, desk.on_terminal(…) what a person sees
        desk.refused("log", "level", "x")    # the text of a refusal, after its exit status was checked
"""

import contextlib
import json
import os
import pty
import subprocess

from postgres_fixture import CTL, ROOT, wait_until
from workers_fixture import PREFIX, event, other_event

ACCOUNT = "acct_01H0000000000000000000000A"
STRIPE, AGENT = PREFIX + "stripe", PREFIX + "agent"
OK, INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE = 0, 2, 3, 4, 7  # docs/exit-codes.md
PARTITIONS = 2


class Desk:
    """An operator's desk: a system with both workers running, and watchpostctl with settings for it."""

    def __init__(self, system, folder):
        self.system = system
        self.folder = folder
        self.key, self.public_key = folder / "seal.pem", folder / "seal.pub"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key], check=True, timeout=30)
        subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-out", self.public_key], check=True, timeout=30)
        self.sync = system.worker("subscription-sync")
        self.audit = system.worker("audit-log", seal_key_file=self.key, seal_interval_s=1)
        self.settings = {"kafka-brokers": system.broker.bootstrap, "seal-public-key-file": self.public_key,
                         "admin-urls": f"sync=http://127.0.0.1:{self.sync.admin_port}/, "
                                       f"audit=http://127.0.0.1:{self.audit.admin_port}"}

    def command(self, *words, **settings):
        given = {**self.settings, **{name.replace("_", "-"): value for name, value in settings.items()}}
        flags = [text for name, value in given.items() for text in ("--" + name, str(value))]
        return [str(word) for word in (CTL, *self.system.postgres.settings("watchpost_ctl"), *flags, *words)]

    def run(self, *words, status=OK, **settings):
        """Standard output, as bytes, and standard error of a command that ends with `status`."""
        done = subprocess.run(self.command(*words, **settings), capture_output=True, timeout=60, check=False, cwd=ROOT)
        assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout, done.stderr.decode()

    def json(self, *words, **options):
        return json.loads(self.run(*words, "--json", **options)[0])

    def refused(self, *words, status=INVALID, **settings):
        """The text of a refusal."""
        return self.run(*words, status=status, **settings)[1]

    def on_terminal(self, *words):
        """What a person sees."""
        ours, theirs = pty.openpty()
        with subprocess.Popen(self.command(*words), stdout=theirs, stderr=subprocess.DEVNULL, stdin=theirs, cwd=ROOT) as process:
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # EIO is the end of a terminal
                while chunk := os.read(ours, 65536):
                    shown += chunk
            os.close(ours)
        assert process.returncode == OK, shown
        return shown.decode().replace("\r\n", "\n")

    def verdicts(self, *words, **options):
        """(topic's short name, partition) -> row of audit verify."""
        rows = self.json("audit", "verify", *words, **options)
        return {(row["topic"].removeprefix(PREFIX), row["partition"]): row for row in rows}

    def export(self, name, *words):
        """An export for offline verification; its path."""
        path = self.folder / name
        path.write_bytes(self.run("audit", "replay", "--format", "msgpack", *words)[0])
        return path

    def settle(self):
        """Both workers have read everything, and every record is under a seal."""
        for worker, topic in (("subscription-sync", "stripe"), ("audit-log", "stripe"), ("audit-log", "agent")):
            self.system.wait_until_read(worker, topic)
        wait_until(lambda: self.system.query(
            "select bool_and(sealed_offset = next_offset - 1) from api.audit_head_list(%s)",
            (self.system.broker.cluster_id(),)) == [(True,)], "seals")

    def quiet(self):
        """audit-log has ended, with everything under several seals: nothing changes but by the test."""
        if self.audit.process.poll() is None:
            for n in range(2):
                self.settle()
                self.system.send(*(other_event(f"cus_quiet_{i}") for i in range(2)), partition=1)
                self.system.send(event("agent.note", {"account_id": ACCOUNT, "n": n}, key=ACCOUNT), topic="agent")
            self.settle()
            assert self.audit.stop() == 0

    def tamper(self, sql, *parameters):
        """As somebody who owns the machine: triggers do not fire."""
        with contextlib.closing(self.system.postgres.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("set session_replication_role = replica")
            cursor.execute(sql, parameters)
