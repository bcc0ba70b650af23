"""Old readers and new messages, new readers and old messages: the compiled decoders themselves, not only the rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CODEC = ["event_codec", "event_pull", "utf8", "buf", "err"]
ADDED = [
    {"name": "added_optional", "type": "string", "presence": "optional", "bytes_max": 9, "doc": "Added."},
    {"name": "added_required", "type": "i64", "presence": "required", "doc": "Added."},
]
FIRST = json.loads((ROOT / "schemas" / "history" / "stripe.other.1.json").read_text())


def build(folder: Path, description: dict, *flags: str) -> Path:
    """Generates C from the description and builds both_ways.c with it."""
    (folder / "events").mkdir(parents=True)
    (folder / "events" / "stripe.other.json").write_text(json.dumps(description))
    subprocess.run([sys.executable, ROOT / "schemas" / "generate.py", "--schemas", folder, "c", folder / "gen"],
                   check=True, timeout=60)
    program = folder / "both_ways"
    sources = [ROOT / "tests/unit/schemas/both_ways.c", folder / "gen" / "events.c"]
    sources += [ROOT / "common" / f"{name}.c" for name in CODEC]
    subprocess.run(["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", *flags, f"-I{ROOT}",
                    f"-I{folder / 'gen'}", "-o", program, *sources, "-lmsgpackc"], check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> tuple[Path, Path]:
    """(old, new): built from the first version in history, and from the same with fields in front and behind."""
    new = FIRST | {"version": 2, "fields": [ADDED[0] | {"since": 2}, *FIRST["fields"], ADDED[1] | {"since": 2}]}
    return (build(tmp_path_factory.mktemp("old"), FIRST),
            build(tmp_path_factory.mktemp("new"), new, "-DWITH_ADDED"))


def through(writer: Path, reader: Path) -> str:
    """What the reader prints of the writer's message."""
    value = subprocess.run([writer, "write"], capture_output=True, check=True, timeout=60).stdout
    return subprocess.run([reader, "read"], input=value, capture_output=True, timeout=60).stdout.decode().strip()


def test_old_reader_takes_new_message(programs):
    """Why: the ingress is updated before the workers, or after. How: a reader generated from history gets a message of
    a writer with two added fields, and reads all that it knows."""
    old, new = programs
    assert through(new, old) == "evt_1 charge.succeeded 1686089714 cus_1"


def test_new_reader_takes_old_message(programs):
    """Why: messages stay 400 days. How: the new reader gets an old message; what is required of writers since version 2
    is simply absent. (That the new writer may not leave it out is checked by the writer itself: exit status 3.)"""
    old, new = programs
    assert through(old, new) == "evt_1 charge.succeeded 1686089714 cus_1 0 0"
    assert through(new, new) == "evt_1 charge.succeeded 1686089714 cus_1 1 1"
