"""R1 to R6: spin searches every state of docs/models/lease.pml, and finds an accept wherever one of their rules is taken away."""

import concurrent.futures
import os
import pathlib
import re
import subprocess

import pytest

MODEL = pathlib.Path(__file__).resolve().parents[2] / "docs/models/lease.pml"
SECONDS_MAX = 200       # one search; the longest takes half a minute
MEMORY_MAX_MB = 3000
TWO_NODES = ("NODES=2", "CALM")

HOLDS = {"plain": (), "longer lease": ("LEASE=4",), "two nodes": TWO_NODES}
MUTATIONS = {name: (name,) for name in (
    "ENTRY_DELETED", "T0_AFTER_ANSWER", "NUMBER_OUTSIDE_LOCK", "ROW_WITH_FIRST_POLL", "LIMITED_RENEWS", "ENTRY_BEFORE_LEASE",
    "CACHED_CLOCK", "NO_EPOCH_CHECK", "REPORTED_TIME", "LEASE_BEFORE_ENTRIES", "FILL_BEFORE_POLL", "FLOOR_NOT_SET",
    "FILL_WITHOUT_EPOCH", "TOMBSTONE_FORGOTTEN", "LOOKUP_SHARED", "WAIT_FROM_BEFORE_COMMIT", "WAIT_EQUALS_LEASE",
    "ROW_FORGOTTEN_EARLY")} | {"ID_REUSED": (*TWO_NODES, "ID_REUSED")}


def state_fact(text):
    """One line of docs/proof.md, when `make prove` asks for them."""
    if path := os.environ.get("WATCHPOST_FACTS"):
        with open(path, "a", encoding="utf-8") as facts:
            facts.write(text + "\n")
    print("fact:", text)


def search(folder, defines, breadth_first):
    """Returns what pan says; a search that was cut short (by depth, memory or time) is a failed one."""
    folder.mkdir()
    macros = [f"-D{define}" for define in defines]
    compiled = ["cc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MAX_MB}", *(["-DBFS"] if breadth_first else []),
                "-o", "pan", "pan.c"]
    for command in (["spin", *macros, "-a", str(MODEL)], compiled):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["./pan", "-m1000000"], cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    """Every search once, two at a time; what holds is searched depth first (less memory), errors by the shortest way."""
    folder = tmp_path_factory.mktemp("lease")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        started = {name: pool.submit(search, folder / name.replace(" ", "_"), defines, name in MUTATIONS)
                   for name, defines in [*HOLDS.items(), *MUTATIONS.items()]}
        return started


@pytest.mark.parametrize("name", HOLDS)
def test_no_stale_accept(searches, name):
    """R1 to R6 suffice: the search is complete and finds nothing. That every statement of the model was reached, save the ends of
    loops (and in the calm run what only unrest brings), tells that it is not for want of something happening."""
    told = searches[name].result()
    assert re.search(r"errors: 0$", told, re.M) and "Search not completed" not in told and "max search depth" not in told, told
    states = int(re.search(r"^ *(\d+) states, stored$", told, re.M)[1])
    state_fact(f"model of the lease, {name}: {states} states, no stale accept")
    assert states > 100000
    if name != "two nodes":
        unreached = [line for line in re.findall(r"^\t.*, state \d+, .*$", told, re.M) if '"-end-"' not in line]
        assert not unreached, "\n".join(unreached)


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_rule_is_needed(searches, name):
    """Each rule of R1 to R6, taken away alone, lets a node accept a token after its revoke returned: the model would notice."""
    told = searches[name].result()
    assert "assertion violated" in told and re.search(r"errors: 1$", told, re.M), told
