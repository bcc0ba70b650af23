"""ops/dev/setup.sh: looks before it installs, and says exactly what is missing."""

import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK_S = 3.0  # a busy machine; alone it takes 0.2 s


def run_setup(what, path=None, user=None, **more):
    """Runs setup.sh, with stubs first on the PATH, as root or as an ordinary user."""
    environment = {**os.environ, **more, "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    command = [str(ROOT / "ops/dev/setup.sh"), what]
    if user and os.geteuid() == 0:
        command = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", *command]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def stubs(tmp_path_factory):
    """A folder of programs that stand in for real ones; readable by everybody."""
    folder = pathlib.Path(tmp_path_factory.mktemp("stubs"))
    for parent in (folder, *folder.parents[:2]):
        if str(parent).startswith("/tmp/pytest"):
            parent.chmod(0o711)

    def add(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    folder.chmod(0o755)
    add.folder = folder
    return add


@pytest.mark.parametrize("what", ["run", "test", "bench"])
def test_nothing_to_do_is_quick_and_silent(what):
    """`make run` and `make test` call it each time. How: time the second of two calls."""
    assert run_setup(what).returncode == 0
    started = time.monotonic()
    done = run_setup(what)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < QUICK_S


def test_ordinary_user_is_told_the_command(stubs):
    """Without root it installs nothing and prints the line to paste. How: a dpkg-query that knows no package."""
    stubs("dpkg-query", "exit 0")
    stubs("apt-get", "echo called >&2; exit 1")
    done = run_setup("run", stubs.folder, user="nobody")
    assert done.returncode == 1 and "called" not in done.stderr
    command = done.stderr.strip().splitlines()[-1].strip()
    assert command.startswith("sudo apt-get install --no-install-recommends -y ")
    assert {"gcc", "postgresql-15", "librdkafka-dev"} <= set(command.split())


def test_failed_install_shows_apts_own_words(stubs):
    """How: an apt-get that fails as without a network."""
    stubs("dpkg-query", "exit 0")
    stubs("apt-get", "echo 'E: Unable to fetch'; exit 100")
    done = run_setup("test", stubs.folder)
    assert done.returncode == 1
    assert "Unable to fetch" in done.stderr and "apt-get update failed" in done.stderr or os.geteuid() != 0
    assert not pathlib.Path("/etc/postgresql-common/createcluster.d/watchpost-setup.conf").exists()


def test_too_old_a_tool_is_named(stubs):
    """Debian's Node.js and Go are older than the tests need; a package cannot help. How: an old version on the PATH and
    a dpkg-query that has every package."""
    stubs("dpkg-query", "/usr/bin/dpkg-query \"$@\"; printf 'ii nodejs\\nii npm\\nii golang-go\\n'")
    stubs("node", "echo v18.20.4")
    done = run_setup("test", stubs.folder)
    assert done.returncode == 1 and "Node.js 20" in done.stderr and "18.20.4" in done.stderr


def test_embedded_broker_needs_no_java(stubs):
    """BROKER=embedded is for machines without Java. How: no usable java and no mvn; with Kafka it is asked for."""
    stubs("java", "exit 127")
    stubs("mvn", "exit 127")
    assert run_setup("run", stubs.folder, BROKER="embedded").returncode == 0
    stubs("dpkg-query", "/usr/bin/dpkg-query \"$@\" | grep -v openjdk")
    done = run_setup("run", stubs.folder, user="nobody")
    assert done.returncode == 1 and "openjdk-17-jre-headless" in done.stderr


def test_wrong_word_is_a_usage_error():
    """How: one word that is neither run nor test."""
    assert run_setup("all").returncode == 2
