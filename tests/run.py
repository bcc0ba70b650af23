"""Runs the test suites and adds up what they say; the last line is `N passed, N failed`.

Usage: run.py all | unit | check | models | fuzz [--seconds N] | integration [-k EXPR] | prove

Nothing is skipped: a missing program, a test that skips itself, a suite that ran nothing and a time-out are failures.
`prove` runs the same tests with the counts that docs/proof.md states (WATCHPOST_COUNTS=full) and writes that page.
"""

import argparse
import concurrent.futures
import datetime
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
UNIT_SECONDS_MAX = 180          # one unit test program, sanitizers included
MODELS_SECONDS_MAX = 600        # every model and every mutation of it
INTEGRATION_SECONDS_MAX = 2400  # all integration tests with the everyday counts
PROVE_SECONDS_MAX = 4 * 3600
FUZZ_SECONDS_EVERYDAY = 10
FUZZ_SECONDS_PROVE = 60


class Tally:
    """Counts of passed and failed tests, by suite, with the seconds that each took."""

    def __init__(self):
        self.rows = []

    def add(self, suite, passed, failed, seconds):
        self.rows.append((suite, passed, failed, seconds))
        print(f"== {suite}: {passed} passed, {failed} failed ({seconds:.1f} s)", flush=True)

    def total(self):
        return sum(row[1] for row in self.rows), sum(row[2] for row in self.rows)


def run(command, seconds, env=None):
    """Runs a command in a process group of its own and returns (exit status, output); 124 when time ran out."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   env={**os.environ, **(env or {})}, start_new_session=True)
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = 124
        out.seek(0)
        return status, out.read().decode(errors="replace")


def cmocka_counts(output):
    """(passed, failed) as cmocka's closing lines say; (0, 0) when there are none."""
    passed = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", output, re.M))
    failed = sum(int(n) for n in re.findall(r"^\[  FAILED  \] .*?(\d+) test\(s\), listed", output, re.M))
    return passed, failed


# For programs built with sanitizers; the others ignore it.
SANITIZER_ENVIRONMENT = {"LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"}


def one_unit(program):
    status, output = run([str(program)], UNIT_SECONDS_MAX, SANITIZER_ENVIRONMENT)
    passed, failed = cmocka_counts(output)
    if "SKIPPED" in output or (status != 0 and failed == 0) or passed + failed == 0:
        failed += 1
    return program, passed, failed, output


def unit(tally, build="build", suite="unit"):
    started, passed, failed = time.monotonic(), 0, 0
    sources = sorted((ROOT / "tests/unit").rglob("test_*.c"))
    programs = [ROOT / build / "unit" / s.relative_to(ROOT / "tests/unit").with_suffix("") for s in sources]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for program, p, f, output in pool.map(one_unit, programs):
            passed, failed = passed + p, failed + f
            if f:
                print(f"-- {program.relative_to(ROOT)}\n{output[-6000:]}", flush=True)
    tally.add(suite, passed, failed, time.monotonic() - started)


def pytest(tally, suite, arguments, seconds, env=None):
    """Runs pytest and counts from its JUnit report; skipped and errored tests are failures."""
    started = time.monotonic()
    report = pathlib.Path(tempfile.mkstemp(suffix=".xml")[1])
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=8", "-ra", f"--junitxml={report}"]
    status, output = run(command + arguments, seconds, env)
    passed, failed = 0, 0
    try:
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            bad = any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            passed, failed = passed + (not bad), failed + bad
    except xml.etree.ElementTree.ParseError:
        pass
    report.unlink()
    if passed + failed == 0 or (status != 0 and failed == 0):
        failed += 1
    print(output[-20000:] if failed else output[-1500:], flush=True)
    tally.add(suite, passed, failed, time.monotonic() - started)


def style(tally):
    started = time.monotonic()
    status, output = run([PYTHON, "tests/tidy/tidy.py"], 300)
    counts = re.search(r"tidy: (\d+) passed, (\d+) failed", output)
    if status != 0 or not counts:
        print(output[-6000:], flush=True)
    passed, failed = (int(counts.group(1)), int(counts.group(2))) if counts else (0, 1)
    tally.add("tidy", passed, failed, time.monotonic() - started)


def built(tally, suite, verb):
    """Builds one of the Makefile's sets; a failed build is a failed test."""
    started = time.monotonic()
    status, output = run(["make", "--no-print-directory", "-j2", *verb], 900)
    if status != 0:
        print(output[-6000:], flush=True)
        tally.add(suite, 0, 1, time.monotonic() - started)
    return status == 0


SANITIZED = ["BUILD=build/asan", "OPTIMISE=-O1", "HARDENING=-fPIE",
             "EXTRA=-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"]


def check(tally):
    if built(tally, "sanitizers (build)", [*SANITIZED, "programs", "unit-programs"]):
        unit(tally, "build/asan", "unit under sanitizers")


def one_fuzz(target, seconds):
    name = target.stem
    corpus = ROOT / "tests/fuzz/corpus" / name.removeprefix("fuzz_")
    with tempfile.TemporaryDirectory() as grown:
        command = [str(ROOT / "build/fuzz/bin" / name), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                   "-print_final_stats=1", f"-artifact_prefix={grown}/", grown]
        if corpus.is_dir():
            command.append(str(corpus))
        status, output = run(command, seconds + 120)
        runs = re.search(r"number_of_executed_units: (\d+)", output)
        for artifact in pathlib.Path(grown).glob("crash-*"):
            output += f"\n{artifact.name}: {artifact.read_bytes()[:400]!r}"
    good = status == 0 and runs is not None and int(runs.group(1)) > 0 and corpus.is_dir()
    return name, good, int(runs.group(1)) if runs else 0, output


def fuzz(tally, seconds):
    if not built(tally, "fuzz (build)", ["fuzz-programs"]):
        return
    started, passed, failed = time.monotonic(), 0, 0
    targets = sorted((ROOT / "tests/fuzz").glob("fuzz_*.c"))
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for name, good, runs, output in pool.map(lambda t: one_fuzz(t, seconds), targets):
            print(f"-- {name}: {runs} runs in {seconds} s{'' if good else ': FAILED'}", flush=True)
            if not good:
                print(output[-6000:], flush=True)
            passed, failed = passed + good, failed + (not good)
    if not targets:
        failed = 1
    tally.add("fuzz", passed, failed, time.monotonic() - started)


def models(tally, env=None):
    pytest(tally, "models", ["tests/models"], MODELS_SECONDS_MAX, env)


def integration(tally, extra, seconds=INTEGRATION_SECONDS_MAX, env=None):
    pytest(tally, "integration", ["tests/integration", *extra], seconds, env)


def everything(tally, fuzz_seconds, integration_seconds, env=None):
    style(tally)
    pytest(tally, "python units", ["tests/tidy", "tests/unit"], 300)
    unit(tally)
    check(tally)
    models(tally, env)
    fuzz(tally, fuzz_seconds)
    integration(tally, [], integration_seconds, env)


def write_proof(tally, started, facts):
    """docs/proof.md: what was run, on which commit, and what each test stated about itself."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    dirty = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines = ["# Proof", "", "`make prove` runs every test with its full counts and writes this page.", "",
             f"Commit {commit}{' with local changes' if dirty else ''}, started {started:%Y-%m-%d %H:%M} UTC.", "",
             "| suite | passed | failed | seconds |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {suite} | {passed} | {failed} | {seconds:.0f} |" for suite, passed, failed, seconds in tally.rows]
    lines += ["", "What the tests counted:", ""]
    lines += [f"- {fact}" for fact in facts.read_text().splitlines()] if facts.exists() else ["- nothing was stated"]
    (ROOT / "docs/proof.md").write_text("\n".join(lines) + "\n")


def prove(tally):
    started = datetime.datetime.now(datetime.timezone.utc)
    facts = pathlib.Path(tempfile.mkstemp(suffix=".facts")[1])
    everything(tally, FUZZ_SECONDS_PROVE, PROVE_SECONDS_MAX, {"WATCHPOST_COUNTS": "full", "WATCHPOST_FACTS": str(facts)})
    write_proof(tally, started, facts)
    facts.unlink()


def main():
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.split("\n")[0])
    parser.add_argument("suite", choices=["all", "unit", "check", "models", "fuzz", "integration", "prove"])
    parser.add_argument("--seconds", type=int, default=FUZZ_SECONDS_EVERYDAY, help="seconds for each fuzz target")
    parser.add_argument("-k", default="", help="integration: only tests whose name matches")
    options = parser.parse_args()
    tally = Tally()
    if options.suite == "unit":
        unit(tally)
    elif options.suite == "check":
        unit(tally, "build/asan", "unit under sanitizers")
    elif options.suite == "models":
        models(tally)
    elif options.suite == "fuzz":
        fuzz(tally, options.seconds)
    elif options.suite == "integration":
        integration(tally, ["-k", options.k] if options.k else [])
    elif options.suite == "prove":
        prove(tally)
    else:
        everything(tally, options.seconds, INTEGRATION_SECONDS_MAX)
    passed, failed = tally.total()
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
