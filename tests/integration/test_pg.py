"""common/pg.h and common/pg_pipe.h against a real server, and the check that a server is a primary.

The tests themselves are C programs (tests/integration/c), built here by make; each of their cases counts as one.
"""

import os
import re
import subprocess

import pytest

from postgres_fixture import BUILD, ROOT, PostgresCluster

UNAVAILABLE = 7  # exit status, docs/exit-codes.md
PROGRAMS = ("pg_check", "pg_pipe_check")


def cases(program):
    """Names of the cases in a C program."""
    source = (ROOT / f"tests/integration/c/{program}.c").read_text(encoding="utf-8")
    return re.findall(r"cmocka_unit_test_setup_teardown\((\w+),", source)


@pytest.fixture(scope="module")
def cluster():
    with PostgresCluster(fsync=False) as c:
        c.migrate()
        yield c


@pytest.fixture(scope="module")
def outcomes(cluster):
    """What each case of each program came to: {(program, case): "OK"}; built and run once."""
    found = {}
    for program in PROGRAMS:
        target = BUILD / "integration" / program
        subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={BUILD}", str(target)], cwd=ROOT, check=True,
                       timeout=600)
        done = subprocess.run([target], capture_output=True, text=True, timeout=180, check=False, env={
            **os.environ, "WATCHPOST_TEST_DSN": cluster.dsn("postgres"),
            "WATCHPOST_TEST_PASSWORD_FILE": cluster.password_file("postgres")})
        print(done.stdout[-8000:], done.stderr[-8000:])
        for state, case in re.findall(r"^\[ +(OK|FAILED) +\] (test_\w+)$", done.stdout + done.stderr, re.M):
            found[program, case] = state if found.get((program, case), "OK") == "OK" else "FAILED"
        found[program, "exit"] = done.returncode
    return found


@pytest.mark.parametrize("program,case", [(program, case) for program in PROGRAMS for case in cases(program)])
def test_case(outcomes, program, case):
    # One line in the report for each case, so that a case that did not run is a failure and not a gap.
    assert outcomes.get((program, case)) == "OK"


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_ended_well(outcomes, program):
    # Covers what a case cannot: a crash between cases, a leak found at exit.
    assert cases(program) and outcomes[program, "exit"] == 0


def test_standby_is_refused():
    # Writes would fail one by one on a standby, and reads be late: a program must not settle there. The cluster is
    # stopped and started as a standby of nobody, which answers reads.
    with PostgresCluster(fsync=False) as c:
        c.migrate()
        c.stop()
        (c.home() / "data/standby.signal").touch()
        c.start()
        assert c.query("select pg_is_in_recovery()") == [(True,)]
        refused = c.ctl("account", "list", check=False)
        assert refused.returncode == UNAVAILABLE and "standby" in refused.stderr
