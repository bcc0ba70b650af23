"""`make run`, `make stop` and `make try`: the scripts of ops/dev/, with ports and folders of the test's own."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

import psycopg2
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("WATCHPOST_BUILD", str(ROOT / "build"))
NAMES = {"WATCHPOST_URL", "WATCHPOST_URLS", "WATCHPOST_ADMIN_URL", "WATCHPOST_CA", "WATCHPOST_STRIPE_SECRET", "WATCHPOST_DSN",
         "WATCHPOST_KAFKA", "WATCHPOST_LOG_DIR", "WATCHPOST_PIDS", "WATCHPOST_TOKEN"}
START_S_MAX = 60  # a busy machine; the aims are 15 s for a first start and 8 s for a second


def free_ports(count):
    """The first of `count` loopback ports in a row that nobody listens on, below the range of outgoing connections."""
    for first in range(21000 + os.getpid() % 500 * 20, 32000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                return first
            except OSError:
                continue
    raise RuntimeError("no free ports")


class System:
    """One development system in a folder of its own. Any user may pass through the folder, so that PostgreSQL's can."""

    def __init__(self):
        self.var = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-dev-"))
        os.chmod(self.var, 0o711)
        self.port = free_ports(8)
        self.foreground = None

    def environment(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHPOST_", "MAKE", "MFLAGS"))}
        return {**kept, "VAR": str(self.var), "BUILD": BUILD, "PORT": str(self.port), "ADMIN_PORT": str(self.port + 3),
                "HTTP_PORT": str(self.port + 6), **{k: str(v) for k, v in more.items()}}

    def script(self, name, **more):
        return subprocess.run([ROOT / f"ops/dev/{name}.sh"], env=self.environment(**more), cwd=ROOT, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150,
                              check=False)

    def start(self, **more):
        done = self.script("run", DETACH=1, **more)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start_in_foreground(self):
        """run.sh in a process group of its own, as a terminal would, which SIGINT reaches even where the tests themselves were
        started in the background; returns when var/dev.env is there."""
        self.foreground = subprocess.Popen(["env", "--default-signal=INT", ROOT / "ops/dev/run.sh"], env=self.environment(),
                                           cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                           stderr=subprocess.STDOUT, start_new_session=True)
        end = time.monotonic() + START_S_MAX
        while not (self.var / "dev.env").exists():
            assert self.foreground.poll() is None, self.foreground.communicate()[0]
            assert time.monotonic() < end, "not ready in time"
            time.sleep(0.05)
        return self.foreground

    def dev_env(self):
        lines = (self.var / "dev.env").read_text().splitlines()
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)

    def pids(self):
        """[(program, pid)] of the running parts."""
        return [(name, int(pid)) for name, pid in map(str.split, (self.var / "pids").read_text().splitlines())]

    def leftovers(self):
        """Processes that name this system's folder in their command line."""
        found = []
        for cmdline in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                text = cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.var) in text:
                    found.append(text)
        return found

    def close(self):
        self.script("stop")
        if self.foreground and self.foreground.poll() is None:
            self.foreground.kill()
        shutil.rmtree(self.var, ignore_errors=True)


@pytest.fixture
def system():
    made = System()
    yield made
    made.close()


def get(url, ca=None):
    context = ssl.create_default_context(cafile=ca) if ca else None
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        return answer.status, answer.read()


def seconds_until_ready(output):
    return float(re.search(r"Ready after ([0-9.]+) s", output).group(1))


def test_start_use_stop_and_start_again(system):
    """What a newcomer does, and what every other test and script builds on. How: a first start with two ingress
    processes; var/dev.env is complete, private and true; a second start beside it is refused; make try passes; stop
    leaves no process; another start finds the same certificates, secrets and data."""
    first = system.start(NODES=2)
    values = system.dev_env()
    assert set(values) == NAMES
    assert (system.var / "dev.env").stat().st_mode & 0o777 == 0o600
    assert values["WATCHPOST_URLS"] == f"https://localhost:{system.port},https://localhost:{system.port + 1}"
    for url in values["WATCHPOST_URLS"].split(","):
        assert get(f"{url}/.well-known/security.txt", values["WATCHPOST_CA"])[0] == 200
    assert get(values["WATCHPOST_ADMIN_URL"] + "/readyz")[0] == 200
    names = [name for name, _ in system.pids()]
    assert sorted(names) == ["kafka", "postgres", "watchpost-audit-log", "watchpost-ingress", "watchpost-ingress",
                             "watchpost-outbox-relay", "watchpost-revocation-fanout", "watchpost-subscription-sync"]
    check_operator_reads_only(values["WATCHPOST_DSN"])
    check_private_files(system.var)

    again = system.script("run", DETACH=1)
    assert again.returncode == 1 and "already running" in again.stdout and "make stop" in again.stdout, again.stdout
    tried = system.script("try")
    assert tried.returncode == 0 and "All of it arrived" in tried.stdout, tried.stdout

    pids = system.pids()
    kept = {p: (system.var / p).read_bytes() for p in ("tls/ca.pem", "tls/server.pem", "secrets/stripe_webhook", "secrets/seal.key")}
    stopped = system.script("stop")
    assert stopped.returncode == 0 and stopped.stdout.count("stopped") == len(pids), stopped.stdout
    assert system.leftovers() == []
    assert not (system.var / "dev.env").exists()
    assert "Nothing runs" in system.script("stop").stdout

    second = system.start()
    assert {p: (system.var / p).read_bytes() for p in kept} == kept
    with psycopg2.connect(system.dev_env()["WATCHPOST_DSN"]) as operator, operator.cursor() as cursor:
        cursor.execute("select count(*) from report.subscriptions")
        assert cursor.fetchone() == (1,), "what make try sent is still there"
    operator.close()
    print(f"first start {seconds_until_ready(first)} s, second {seconds_until_ready(second)} s")
    assert seconds_until_ready(first) < START_S_MAX and seconds_until_ready(second) < START_S_MAX


def check_operator_reads_only(dsn):
    with psycopg2.connect(dsn) as operator, operator.cursor() as cursor:
        cursor.execute("select count(*) from report.audit")
        with pytest.raises(psycopg2.Error):
            cursor.execute("select * from wp.subscriptions")
    operator.close()


def check_private_files(var):
    """Nothing that holds a secret can be read by another user."""
    for folder in ("secrets", "tls", "log"):
        for path in (var / folder).iterdir():
            public = path.name in ("seal.pub", "ca.pem", "server.pem")
            assert path.stat().st_mode & 0o077 == (0o044 if public else 0), path


def test_embedded_broker_needs_no_java_and_says_what_it_is(system):
    """BROKER=embedded is for trying out where there is no Java; nobody may take it for a broker that keeps something.
    How: start with a `java` that fails; the output says that nothing is kept; an event goes all the way."""
    stubs = system.var / "stubs"
    stubs.mkdir()
    (stubs / "java").write_text("#!/bin/sh\necho java was called >&2\nexit 1\n")
    (stubs / "java").chmod(0o755)
    output = system.start(BROKER="embedded", PATH=f"{stubs}:{os.environ['PATH']}")
    assert "keeps nothing" in output, output
    assert "watchpost-dev-broker" in [name for name, _ in system.pids()]
    tried = system.script("try")
    assert tried.returncode == 0, tried.stdout
    assert system.script("stop").returncode == 0
    assert system.leftovers() == []


def test_ctrl_c_stops_everything_in_order(system):
    """Ctrl-C in the foreground must leave nothing behind. How: SIGINT to the whole group, as a terminal sends it; the
    programs stop before the broker, the broker before the database."""
    process = system.start_in_foreground()
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    order = [output.index(f"{name} ") for name in ("Stopping.\n  watchpost-ingress",)] + [
        output.rindex(f"\n  {name} ") for name in ("watchpost-audit-log", "kafka", "postgres")]
    assert order == sorted(order), output
    assert "was killed" not in output
    assert system.leftovers() == []


def test_end_of_a_part_is_told_and_ends_the_rest(system):
    """Half a system that looks alive wastes an afternoon. How: kill -9 one worker under a foreground run."""
    process = system.start_in_foreground()
    os.kill(dict(system.pids())["watchpost-audit-log"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "watchpost-audit-log ended by itself" in output, output
    assert system.leftovers() == []


def test_stop_ends_a_foreground_run(system):
    """`make stop` from another terminal must not race with the run.sh that watches. How: it asks run.sh to stop."""
    process = system.start_in_foreground()
    assert system.script("stop").returncode == 0
    assert process.wait(timeout=10) == 0
    assert system.leftovers() == []


def test_killed_run_is_cleaned_up_by_stop(system):
    """run.sh itself may be killed; what it started must still be found. How: kill -9 it, a new start is refused, stop
    finds every part."""
    process = system.start_in_foreground()
    process.kill()
    process.wait()
    assert "already running" in system.script("run", DETACH=1).stdout
    assert system.script("stop").returncode == 0
    time.sleep(1)  # the tail of the killed run.sh notices within a second
    assert system.leftovers() == []


def test_port_in_use_names_port_and_variable(system):
    """The most common way for a start to fail. How: listen on one port of each kind; the message names the port and the
    variable, and nothing was started."""
    for variable, port in (("PORT", system.port), ("ADMIN_PORT", system.port + 3), ("HTTP_PORT", system.port + 6)):
        with socket.create_server(("127.0.0.1", port)):
            done = system.script("run", DETACH=1)
        assert done.returncode == 1
        assert f"port {port} is in use" in done.stdout and f" {variable}=" in done.stdout, done.stdout
    assert not (system.var / "run").exists() and system.leftovers() == []


@pytest.mark.parametrize("given, named", [
    ({"PORT": "http"}, "PORT=http"),
    ({"NODES": "0"}, "NODES=0"),
    ({"BROKER": "rabbit"}, "BROKER=rabbit"),
    ({"ADMIN_PORT": "24000", "PORT": "24000"}, "port 24000 is given twice"),
])
def test_wrong_option_is_a_usage_error(system, given, named):
    """A typo is told at once, with status 2 and the variable's name. How: one wrong value each."""
    done = system.script("run", DETACH=1, **given)
    assert done.returncode == 2 and named in done.stdout, done.stdout
    assert system.leftovers() == []


def test_unknown_setting_is_refused_before_anything_starts(system):
    """A misspelt WATCHPOST_SET_ variable would otherwise shape nothing, silently. How: one that is no setting."""
    done = system.script("run", DETACH=1, WATCHPOST_SET_NO_SUCH_SETTING="1")
    assert done.returncode == 1 and "no_such_setting" in done.stdout.lower(), done.stdout
    assert "postgres" not in done.stdout and system.leftovers() == []


def test_pid_of_somebody_else_is_not_ours(system):
    """A pid file survives a crash of the machine, and the number may belong to another process by then. How: files that
    name a bystander's pid with another start time: no run is refused for them, and stop kills nobody."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (system.var / "run").mkdir()
        for name in ("kafka", "watchpost-ingress"):
            (system.var / "run" / name).write_text(f"{bystander.pid} 1\n")
        assert "Nothing runs" in system.script("stop").stdout
        with socket.create_server(("127.0.0.1", system.port)):
            assert "is in use" in system.script("run", DETACH=1).stdout, "past the check for a second run"
        assert bystander.poll() is None
        bystander.kill()


def test_try_without_a_system_says_how_to_start_one(system):
    """How: make try in an empty folder."""
    done = system.script("try")
    assert done.returncode == 1 and "make run" in done.stdout
