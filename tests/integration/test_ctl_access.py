"""watchpostctl's commands about access, on a real PostgreSQL: connecting, listing, pausing, revoking, suspending, nodes (R4, R5).

Nodes are rows that a thread keeps polling as an ingress does (R2), so that a test decides what each of them shows.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import stat
import subprocess
import threading
import time

import pytest

from agents_fixture import Agents, ulid
from postgres_fixture import CTL, ROOT, PostgresCluster, free_port

OK, INVALID, NOT_FOUND, CONFLICT, IO_FAILED, UNAVAILABLE = 0, 2, 3, 4, 1, 7  # docs/exit-codes.md
TOKEN = re.compile(r"wp_[A-Z2-7]{32}")


@pytest.fixture(scope="module")
def cluster():
    with PostgresCluster(fsync=False) as cluster:
        cluster.migrate()
        yield cluster


def ctl(cluster, *words, status=OK, text=None, dsn=None):
    """(standard output, standard error)"""
    settings = cluster.settings("watchpost_ctl") if dsn is None else ["--environment", "development", "--postgres-dsn", dsn]
    done = subprocess.run([str(w) for w in (CTL, *settings, *words)], input=text, capture_output=True, text=True, timeout=60,
                          check=False, cwd=ROOT)
    assert done.returncode == status, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def shown(cluster, *words, **options):
    return json.loads(ctl(cluster, *words, "--json", **options)[0])


def connect(cluster, folder, of, name="Buyer"):
    """(agent id, token)"""
    out = folder / ulid()
    row = shown(cluster, "agent", "connect", "--account", of, "--name", name, "--out", out)
    return row["agent_id"], out.read_text(encoding="ascii").strip()


class Node:
    """A row that polls; `shows` False: it goes on polling from where it stands, so that a revoke waits its time."""

    def __init__(self, cluster):
        self.id, self.shows, self.over = "node_" + ulid(), True, threading.Event()
        self.connection = cluster.connect("watchpost_ingress")
        with self.connection.cursor() as cursor:
            cursor.execute("set jit = off")  # as every session of ours
            cursor.execute("select number, epoch from api.node_register(%s, 'test')", [self.id])
            self.applied, self.epoch = cursor.fetchone()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over.wait(0.01):
            with self.connection.cursor() as cursor:
                cursor.execute("select clock from api.access_poll(%s, %s, %s, 1000)", [self.id, self.applied, self.epoch])
                clock = cursor.fetchone()[0]
            if self.shows:
                self.applied = clock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        with self.connection.cursor() as cursor:
            cursor.execute("select api.node_leave(%s)", [self.id])
        self.connection.close()


@pytest.fixture
def agents(cluster):
    return Agents(cluster)


# --- connect

def test_a_token_is_written_once_and_kept_nowhere(cluster, agents, tmp_path):
    # Why: promise 4 and the security page: hash and prefix, nothing else, shown once. How: --out; the file's mode; the token is in no
    # output, no argument of the server's, no table.
    of = agents.account()
    out = tmp_path / "token"
    said, noted = ctl(cluster, "agent", "connect", "--account", of, "--name", "Buyer", "--machine", "laptop", "--out", out)
    token = out.read_text(encoding="ascii").strip()
    assert TOKEN.fullmatch(token) and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert token not in said + noted and token[8:] not in said + noted
    row = cluster.query("select token_hash, token_prefix, name, machine, state from wp.agents where account_id = %s", [of])[0]
    assert (bytes(row[0]), *row[1:]) == (hashlib.sha256(token.encode()).digest(), token[:8], "Buyer", "laptop", "active")
    for table in ("wp.agents", "wp.outbox", "wp.access_log"):
        assert cluster.query(f"select count(*) from {table} t where t::text like %s", ["%" + token[8:] + "%"]) == [(0,)]


def test_a_token_never_goes_into_a_pipe(cluster, agents, tmp_path):
    # Why: what is piped comes to rest in logs. How: without --out into a pipe, as --json, onto a file that exists, into no folder:
    # refused, and nothing is connected.
    of = agents.account()
    there = tmp_path / "there"
    there.write_text("kept", encoding="ascii")
    base = ("agent", "connect", "--account", of, "--name", "Buyer")
    assert "terminal only" in ctl(cluster, *base, status=INVALID)[1]
    ctl(cluster, *base, "--json", status=INVALID)
    ctl(cluster, *base, "--out", there, status=CONFLICT)
    assert there.read_text(encoding="ascii") == "kept"
    assert "No such file" in ctl(cluster, *base, "--out", tmp_path / "no/file", status=IO_FAILED)[1]
    assert cluster.query("select count(*) from wp.agents where account_id = %s", [of]) == [(0,)]


def test_a_person_sees_the_token_once(cluster, agents):
    # Why: a terminal is where it may be shown. How: a pseudo terminal; exactly one token, which works as one.
    of = agents.account()
    ours, theirs = pty.openpty()
    command = [str(w) for w in (CTL, *cluster.settings("watchpost_ctl"), "agent", "connect", "--account", of, "--name", "Buyer")]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=theirs, cwd=ROOT) as process:
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                text += chunk
        os.close(ours)
    assert process.returncode == OK
    found = TOKEN.findall(text.decode())
    assert len(found) == 1
    digest = hashlib.sha256(found[0].encode()).digest()
    assert cluster.query("select account_id from wp.agents where token_hash = %s", [digest]) == [(of,)]


def test_what_is_no_account_or_name_is_refused(cluster, agents, tmp_path):
    # Why: bad input changes nothing and leaves no file behind. How: each.
    out = tmp_path / "token"
    of = agents.account()
    for words, status in ((("--name", "x"), INVALID), (("--account", of), INVALID), (("--account", "acct_1", "--name", "x"), INVALID),
                          (("--account", "acct_" + "0" * 26, "--name", "x"), NOT_FOUND),
                          (("--account", of, "--name", "x" * 101), INVALID), (("--account", of, "--name", "a\nb"), INVALID)):
        ctl(cluster, "agent", "connect", *words, "--out", out, status=status)
        assert not out.exists()


# --- list and show

def test_agents_are_listed_and_shown(cluster, agents, tmp_path):
    # Why: who is connected. How: two accounts; of one, of all; one by its id; ids that are none.
    of, other = agents.account(), agents.account()
    mine = sorted(connect(cluster, tmp_path, of)[0] for _ in range(3))
    connect(cluster, tmp_path, other)
    assert [row["agent_id"] for row in shown(cluster, "agent", "list", "--account", of)] == mine
    assert set(mine) < {row["agent_id"] for row in shown(cluster, "agent", "list")}
    row = shown(cluster, "agent", "show", mine[0])
    assert set(row) == {"agent_id", "account_id", "name", "machine", "token_prefix", "state", "created_at", "last_used_at",
                        "revoked_at"}
    ctl(cluster, "agent", "show", "agent_1", status=INVALID)
    ctl(cluster, "agent", "show", "agent_" + "0" * 26, status=NOT_FOUND)


# --- changes (R4, R5)

def test_each_change_says_when_it_is_in_force(cluster, agents, tmp_path):
    # Why: R5: what is said has happened on every node. How: two nodes that show; pause, resume, revoke, revoke again, resume.
    of = agents.account()
    agent_id, _ = connect(cluster, tmp_path, of)
    with Node(cluster), Node(cluster):
        for what, state in (("pause", "paused"), ("resume", "active"), ("revoke", "revoked")):
            said, noted = ctl(cluster, "agent", what, agent_id, "--reason", "a test")
            assert re.search(r"in force on 2 of 2 nodes after \d+ ms$", noted.strip()), noted
            assert agent_id in said
            assert shown(cluster, "agent", "show", agent_id)["state"] == state
        again = shown(cluster, "agent", "revoke", agent_id)
        assert (again["changed"], again["nodes"], again["in_force"]) == (0, 2, 2)
        assert "for ever" in ctl(cluster, "agent", "resume", agent_id, status=CONFLICT)[1]


def test_a_node_that_does_not_show_it_costs_one_wait(cluster, agents, tmp_path):
    # Why: R5: the answer is withheld until every node shows it or the wait is over, and says which. How: one node of two stands still.
    agent_id, _ = connect(cluster, tmp_path, agents.account())
    with Node(cluster), Node(cluster) as silent:
        silent.shows = False
        began = time.monotonic()
        row = shown(cluster, "agent", "revoke", agent_id)
        assert time.monotonic() - began >= 1.0 and 1000 <= row["after_ms"] < 1300
        assert (row["in_force"], row["nodes"]) == (1, 2)


def test_everything_of_an_account(cluster, agents, tmp_path):
    # Why: a stolen laptop. How: --account with --all; another account's agent stays; half of the flags is refused.
    of, other = agents.account(), agents.account()
    for _ in range(3):
        connect(cluster, tmp_path, of)
    outsider, _ = connect(cluster, tmp_path, other)
    for words in (("--all",), ("--account", of), ("--account", of, "--all", outsider), ()):
        ctl(cluster, "agent", "revoke", *words, status=INVALID)
    with Node(cluster):
        row = shown(cluster, "agent", "revoke", "--account", of, "--all", "--reason", "stolen laptop")
    assert (row["changed"], row["in_force"]) == (3, 1)
    assert shown(cluster, "agent", "show", outsider)["state"] == "active"


def test_a_leaked_token_is_revoked_from_standard_input(cluster, agents, tmp_path):
    # Why: who finds a token has nothing else, and an argument would leak it again. How: by stdin; nobody's token; no token at all.
    agent_id, token = connect(cluster, tmp_path, agents.account())
    said, noted = ctl(cluster, "agent", "revoke", "--token-stdin", "--reason", "found in a log", text=token + "\n")
    assert token not in said + noted and shown(cluster, "agent", "show", agent_id)["state"] == "revoked"
    assert "wp_" + "A" * 32 not in ctl(cluster, "agent", "revoke", "--token-stdin", text="wp_" + "A" * 32, status=NOT_FOUND)[1]
    for text in ("", "hello\n", token[:-1], token + "A"):
        ctl(cluster, "agent", "revoke", "--token-stdin", text=text, status=INVALID)
    ctl(cluster, "agent", "revoke", agent_id, "--token-stdin", text=token, status=INVALID)


def test_accounts_are_suspended_and_resumed(cluster, agents):
    # Why: the operator's part of the state. How: suspend, again, resume; ids that are none.
    of = agents.account()
    assert shown(cluster, "account", "suspend", of, "--reason", "fraud")["changed"] == 1
    assert shown(cluster, "account", "suspend", of)["changed"] == 0
    assert shown(cluster, "account", "show", of)["state"] == "suspended"
    assert shown(cluster, "account", "resume", of)["changed"] == 1
    assert shown(cluster, "account", "show", of)["state"] == "active"
    ctl(cluster, "account", "suspend", "acct_1", status=INVALID)
    ctl(cluster, "account", "suspend", "acct_" + "0" * 26, status=NOT_FOUND)


def test_reasons_are_free_text_and_checked(cluster, agents, tmp_path):
    # Why: a reason goes to Kafka and stays there. How: a token, a card number, too long: refused before anything changes.
    agent_id, token = connect(cluster, tmp_path, agents.account())
    for reason in (token, "card 4242 4242 4242 4242", "x" * 201, ""):
        said = ctl(cluster, "agent", "revoke", agent_id, "--reason", reason, status=INVALID)[1]
        assert token not in said and "4242" not in said
    assert shown(cluster, "agent", "show", agent_id)["state"] == "active"


def test_an_unknown_outcome_is_repeated(cluster, agents, tmp_path):
    # Why: R5: it is never answered. How: Postgres is stopped for a second in the middle; the revoke comes back with an answer, and the
    # agent is revoked. Where Postgres does not come back, the command ends with an error that says so.
    agent_id, _ = connect(cluster, tmp_path, agents.account())
    cluster.stop("fast")
    starter = threading.Timer(1.0, cluster.start)
    starter.start()
    try:
        assert shown(cluster, "agent", "revoke", agent_id)["changed"] in (0, 1)
    finally:
        starter.join()
    assert shown(cluster, "agent", "show", agent_id)["state"] == "revoked"
    nowhere = f"host=127.0.0.1 port={free_port()} dbname=watchpost user=watchpost_ctl"
    assert "refused" in ctl(cluster, "agent", "revoke", agent_id, dsn=nowhere, status=UNAVAILABLE)[1]


# --- nodes

def test_nodes_are_listed_and_drained(cluster):
    # Why: which processes a revoke waits for. How: a row that polls; drain is told to it by its next poll.
    with Node(cluster) as node:
        rows = {row["node_id"]: row for row in shown(cluster, "node", "list")}
        assert rows[node.id]["behind"] == 0 and rows[node.id]["drain"] is False
        ctl(cluster, "node", "drain", node.id)
        assert {row["node_id"]: row["drain"] for row in shown(cluster, "node", "list")}[node.id] is True
    ctl(cluster, "node", "drain", node.id, status=NOT_FOUND)
    ctl(cluster, "node", "drain", "node_1", status=INVALID)


def test_the_manual_names_every_command():
    # Why: the page is made from the table and must not go stale. How: the committed page is what the program prints.
    printed = subprocess.run([CTL, "help", "--man"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert (pathlib.Path(ROOT) / "docs/man/watchpostctl.1").read_text(encoding="utf-8") == printed
    for words in ("agent connect", "agent revoke", "account suspend", "node drain"):
        assert words in printed
