"""The benchmarks work: with few events, so that `make bench` does not fail on the day when it is needed."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests/bench"
BUILD = pathlib.Path(os.environ.get("WATCHPOST_BUILD", ROOT / "build"))

sys.path.insert(0, str(BENCH))

from report import replace_section  # noqa: E402


def test_workers_are_measured_beside_copy():
    """Both workers read a small backlog to its end and COPY takes what they wrote. How: the real script, 2,000 events."""
    subprocess.run(["make", "-s", f"BUILD={BUILD}", f"{BUILD}/bench/backlog"], cwd=ROOT, check=True, timeout=300)
    done = subprocess.run([sys.executable, BENCH / "workers.py", "--events", "2000", "--subscriptions", "10", "--rounds", "1",
                           "--places", "shared"], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| subscription-sync", "| audit-log"))]
    assert [row[0] for row in rows] == ["| subscription-sync", "| audit-log"]
    assert all(float(row[2].replace(",", "")) > 100 for row in rows)


def test_tables_replace_their_own_section(tmp_path):
    """--write must not touch what people wrote around the markers. How: two sections, one is replaced, an unknown one refused."""
    page = tmp_path / "page.md"
    page.write_text("one\n<!-- bench:a -->\nold\n<!-- end:a -->\ntwo\n<!-- bench:b -->\nkept\n<!-- end:b -->\n", encoding="utf-8")
    replace_section(page, "a", "new\n")
    expected = "one\n<!-- bench:a -->\nnew\n<!-- end:a -->\ntwo\n<!-- bench:b -->\nkept\n<!-- end:b -->\n"
    assert page.read_text(encoding="utf-8") == expected
    with pytest.raises(SystemExit, match="no section c"):
        replace_section(page, "c", "new\n")
    assert page.read_text(encoding="utf-8") == expected
