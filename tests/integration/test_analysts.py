"""Every example of docs/analysts.md, taken from the page and run as a reader would, against a running system.

The page's folder is played by a temporary one with build/ and var/watchpost.conf; the variables are those of var/dev.env. What the
examples read is made here: an account whose agents report, are paused and revoked, which is suspended and resumed, a report that
comes twice, and a numbered record that comes twice.
"""

import csv
import io
import json
import os
import re
import subprocess
import sys

import confluent_kafka
import pytest

from agent_client import NO_LIMITS, AgentClients
from postgres_fixture import BUILD, ROOT
from system_fixture import PREFIX, System, wait_until

PAGE = (ROOT / "docs/analysts.md").read_text(encoding="utf-8")
SHOWN_ONLY = {"json"}
BUYER, GONE = "Buyer of paper", "Gone"


def examples():
    """heading -> [(language, text)], in the order of the page."""
    found, heading = {}, None
    for match in re.finditer(r"^### ([^\n]+)$|^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S):
        if match[1]:
            heading = match[1]
        elif match[2] not in SHOWN_ONLY:
            found.setdefault(heading, []).append((match[2], match[3]))
    return found


EXAMPLES = examples()


class Story:
    """What happened before the analyst asks."""

    def __init__(self, system):
        self.system = system
        clients = AgentClients(system)
        self.buyer = clients.connect(name=BUYER)
        self.gone = clients.connect(self.buyer.account, GONE)
        self.account = self.buyer.account
        twice = {"id": "r-1", "type": "purchase.completed", "amount": 1250, "currency": "usd"}
        for body in (twice, twice, {"id": "r-2", "type": "purchase.completed", "amount": 250, "currency": "usd"},
                     {"type": "note", "text": "out of paper"}):
            assert self.buyer.report(body).status == 202
        for agent, change in ((self.buyer, "pause"), (self.buyer, "resume"), (self.gone, "revoke")):
            clients.change(agent, change)
        clients.change_account(self.buyer, "suspend")
        self.last = clients.agents.change_account(self.account, "resume")
        wait_until(lambda: system.query("select count(*) from wp.outbox") == [(0,)], "the outbox to be empty", 30)
        clients.agents.wait_completed(self.last)
        self.send_again()
        wait_until(lambda: system.query("select count(*) from report.audit") == [(7 + 2 + 4,)], "the ledger", 30)
        wait_until(lambda: system.query("select count(*) from report.seals where topic like '%%.access'")[0][0] > 0, "a seal", 30)

    def send_again(self):
        """The first two records of the account, as a relay that died before it deleted them."""
        again = [record for record in self.system.read_topic("access") if record.key() == self.account.encode()][:2]
        producer = confluent_kafka.Producer({"bootstrap.servers": self.system.kafka.bootstrap})
        for record in again:
            producer.produce(record.topic(), record.value(), record.key(), record.partition(), headers=record.headers())
        assert len(again) == 2 and producer.flush(20) == 0


@pytest.fixture(scope="module")
def story():
    with System(access=True, ingress=NO_LIMITS, workers={"audit-log": {"seal_interval_s": 1}}) as system:
        yield Story(system)


@pytest.fixture(scope="module")
def folder(story, tmp_path_factory):
    """Like a clone's: build/bin and var/watchpost.conf."""
    made = tmp_path_factory.mktemp("clone")
    postgres = story.system.postgres
    (made / "build").symlink_to(BUILD)
    (made / "var").mkdir()
    (made / "var/watchpost.conf").write_text(
        f"environment = {postgres.environment}\nkafka_brokers = {story.system.kafka.bootstrap}\n"
        f"postgres_dsn = {postgres.dsn('watchpost_ctl')}\npostgres_password_file = {postgres.password_file('watchpost_ctl')}\n"
        f"seal_public_key_file = {story.system.seal_public_key}\n", encoding="utf-8")
    return made


def environment(story):
    """What var/dev.env gives; a person's role that reads schema report."""
    postgres = story.system.postgres
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHPOST_")}
    dsn = f"postgresql://operator:{postgres.password('operator')}@127.0.0.1:{postgres.port}/watchpost"
    return kept | {"WATCHPOST_KAFKA": story.system.kafka.bootstrap, "WATCHPOST_DSN": dsn}


def run(story, folder, language, text):
    """What the example prints; it must end with 0 and, but for shell, complain of nothing."""
    given = environment(story)
    command = {"sh": ["bash", "-eu", "-o", "pipefail"], "python": [sys.executable, "-"],
               "sql": ["psql", "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", given["WATCHPOST_DSN"]]}[language]
    done = subprocess.run(command, input=text, cwd=folder, env=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert language == "sh" or done.stderr == ""
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def verdicts(text):
    """Of `audit verify`: topic/partition -> verdict."""
    rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
    return {(row[0], row[1]): row[-1] for row in rows if row[0].startswith(PREFIX)}


def check_account(story, outputs):
    rows = json_lines(outputs[0])
    assert {row["topic"] for row in rows} == {PREFIX + "access", PREFIX + "agent"}
    assert len(rows) == 7 + 2 + 4 and {row["data"]["account_id"] for row in rows} == {story.account}


def check_reports_csv(story, outputs):
    rows = table(outputs[0])
    assert [row["key"] for row in rows] == [story.account] * 4
    assert sorted(json.loads(row["data"])["kind"] for row in rows) == ["note"] + ["purchase.completed"] * 3


def check_verify(_story, outputs):
    access, agent = verdicts(outputs[0]), verdicts(outputs[1]) if len(outputs) > 1 else {}
    assert set((access | agent).values()) <= {"good", "empty"} and "good" in access.values()
    replayed = json_lines(outputs[-1])
    assert [row["data"]["change"] for row in replayed] == ["suspended", "resumed"]


def check_export(_story, outputs):
    assert set(verdicts(outputs[0]).values()) == {"good", "empty"}


def check_heads(story, outputs):
    lines = [line for line in outputs[0].splitlines() if story.account in line]
    numbers = [int(re.search(r"ce_sequence=(\d+)", line)[1]) for line in lines]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 1, 2]


def check_values(story, outputs):
    rows = json_lines(outputs[0])
    assert sorted(row.get("report_id", "") for row in rows) == ["", "r-1", "r-1", "r-2"]
    assert {row["agent_id"] for row in rows} == {story.buyer.id}


def check_states(story, outputs):
    # The two records that came again say "connected": who takes them has a revoked agent active.
    assert json.loads(outputs[0]) == {story.buyer.id: "active", story.gone.id: "revoked"}


def check_sums(story, outputs):
    assert json.loads(outputs[0]) == {f"{story.buyer.id} usd": 1500}


def check_agents(_story, outputs):
    assert [(row["name"], row["state"], row["agents"]) for row in table(outputs[0])] == [("Test", "active", "1"), ("Test", "revoked", "1")]


def check_how_long(_story, outputs):
    rows = table(outputs[0])
    assert {row["change"] for row in rows} == {"paused", "resumed", "revoked", "suspended"}
    assert sum(int(row["changes"]) for row in rows) == 5 and {row["with_a_node_behind"] for row in rows} == {"0"}


def check_who(_story, outputs):
    rows = table(outputs[0])
    assert [row["change"] for row in rows] == ["resumed", "suspended", "revoked", "resumed", "paused"]
    assert rows[2]["agent"] == GONE and rows[0]["agent"] == "" and rows[2]["actor"] == "operator:watchpost_ctl"


def check_last_day(_story, outputs):
    rows = table(outputs[0])
    assert len(rows) == 7 + 3  # the report and the records that came twice are there once
    assert {row["type"] for row in rows} == {"watchpost.access.agent", "watchpost.access.account", "watchpost.agent.report"}


def check_each_day(story, outputs):
    assert [(row["name"], row["agent_id"], row["reports"]) for row in table(outputs[0])] == [(BUYER, story.buyer.id, "3")]


def check_nodes(story, outputs):
    rows = table(outputs[0])
    assert [(row["applied_seq"], row["drain"]) for row in rows] == [(str(story.last), "f")]


CHECKS = {
    "Everything about one account": check_account,
    "Agents' reports, for a spreadsheet": check_reports_csv,
    "Was anything changed?": check_verify,
    "An export to keep": check_export,
    "Who did what, without our programs": check_heads,
    "The values as JSON": check_values,
    "The state of every agent, from the record alone": check_states,
    "What agents say they spent": check_sums,
    "Agents by account and state": check_agents,
    "How long revokes took": check_how_long,
    "Who took access away, and when": check_who,
    "The last day of one account, every event once": check_last_day,
    "Reports for each agent and day": check_each_day,
    "What keeps a revoke waiting": check_nodes,
}


def test_no_example_is_left_out():
    """Why: an example that nobody runs goes wrong unseen. How: the headings with examples are those with a check."""
    assert set(EXAMPLES) == set(CHECKS)


@pytest.mark.parametrize("heading", CHECKS)
def test_an_example_does_what_the_page_says(story, folder, heading):
    """Why: analysts paste these. How: run as it stands; the answer is what the story has."""
    CHECKS[heading](story, [run(story, folder, language, text) for language, text in EXAMPLES[heading]])
