"""Shell scripts, systemd units and log rotation, checked by the tools that know them."""

import os
import pathlib
import re
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "ops/systemd").glob("*.service"))
EXPOSURE_MAX = 2.0  # systemd's own scale, 0 (nothing exposed) to 10


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False, **options)


def shell_scripts():
    """Every file that git knows and that is a shell script by its name or first line."""
    names = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.split("\0")
    for name in filter(None, names):
        path = ROOT / name
        if not path.is_file():
            continue
        with open(path, "rb") as file:
            first = file.readline(100)
        if name.endswith(".sh") or re.match(rb"#!.*\b(ba)?sh\b", first):
            yield name


def test_shellcheck_finds_nothing():
    """Quoting and error handling of shell are easy to get wrong. How: shellcheck over every script, and one wrong line
    to see that it looks."""
    scripts = list(shell_scripts())
    assert "ops/dev/run.sh" in scripts
    done = run("shellcheck", "-x", *scripts, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert run("shellcheck", "-", input="#!/bin/sh\nrm $1\n").returncode == 1


def test_scripts_never_trace():
    """`set -x` would print passwords into a log. How: search every script for it."""
    for name in shell_scripts():
        assert not re.search(r"^\s*set -\w*x|bash -\w*x", (ROOT / name).read_text(), re.M), name


def exposure(path):
    done = run("systemd-analyze", "security", "--offline=yes", path)
    return float(re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout).group(1))


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_unit_is_hardened(path, tmp_path):
    """A program that is broken into should find nothing around it. How: systemd's own rating, and that it rises when
    the hardening goes, so that the rating is of this file."""
    assert exposure(path) <= EXPOSURE_MAX
    soft = tmp_path / path.name
    soft.write_text(re.sub(r"^(Protect|Private|Restrict|SystemCall|Dynamic|NoNew|Capability).*\n", "", path.read_text(), flags=re.M))
    assert exposure(soft) > 5


@pytest.mark.parametrize("path", UNITS, ids=lambda p: p.name)
def test_unit_is_understood(path, tmp_path):
    """systemd ignores a key that it does not know, with a line in the journal. How: systemd-analyze verify on a copy
    whose program is one that exists; every flag of the command line must be a setting."""
    text = path.read_text()
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"/usr/bin/watchpost-[a-z-]+", "/bin/true", text))
    done = run("systemd-analyze", "verify", copy)
    assert done.returncode == 0 and not done.stderr.strip(), done.stderr
    known = set(re.findall(r"^SETTING\((\w+),", (ROOT / "common/settings.def").read_text(), re.M)) | {"config"}
    flags = {flag.replace("-", "_") for flag in re.findall(r"--([a-z-]+) ", text.split("ExecStart=")[1].split("ExecReload")[0])}
    assert flags and flags <= known, flags - known


def test_units_keep_secrets_out_of_command_line_and_core():
    """Secrets reach a program as files only, and no core file holds them. How: each path of a secret is a credential
    that the same unit loads."""
    for path in UNITS:
        text = path.read_text()
        loaded = set(re.findall(r"^LoadCredential=(\w+):/etc/watchpost/secrets/\w+$", text, re.M))
        assert set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\w+)", text)) == loaded != set(), path.name
        assert "\nLimitCORE=0\n" in text, path.name


def test_logs_are_kept_for_thirty_days(tmp_path):
    """Server logs are kept for 30 days, not longer. How: logrotate itself with this file, its paths moved to a folder of
    the test, over 40 days of a clock that the state file pretends; the old files must be gone, the newest there."""
    logs = tmp_path / "watchpost-ingress"
    logs.mkdir()
    os.chmod(tmp_path, 0o755)
    text = (ROOT / "ops/logrotate/watchpost").read_text()
    assert "daily" in text and "rotate 30" in text and "maxage 30" in text
    conf, state = tmp_path / "conf", tmp_path / "state"
    signalled = tmp_path / "signalled"
    conf.write_text(text.replace("/var/log/", f"{tmp_path}/").replace("systemctl kill --signal=HUP 'watchpost-*.service'",
                                                                      f"echo HUP >>{signalled}"))
    os.chmod(conf, 0o644)
    log = logs / "ingress.log"
    for day in range(33):
        log.write_text(f"day {day}\n")
        done = run("logrotate", "--state", state, "--force", conf)
        assert done.returncode == 0, done.stderr
        assert not log.exists(), "the program makes the new file"
    kept = list(logs.iterdir())
    assert len(kept) == 30
    assert signalled.read_text().count("HUP") == 33
    old = time.time() - 31 * 86400
    for path in kept:
        os.utime(path, (old, old))
    log.write_text("today\n")
    assert run("logrotate", "--state", state, "--force", conf).returncode == 0
    left = [path for path in logs.iterdir() if path.stat().st_mtime == old]
    assert left == []
