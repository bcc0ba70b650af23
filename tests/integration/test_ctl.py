"""watchpostctl's operator commands against a real PostgreSQL, a real Kafka and running workers, in every form they print."""

import contextlib
import csv
import datetime
import io
import json
import re
import signal
import subprocess
import time

import confluent_kafka
import msgpack
import pytest

from ctl_fixture import ACCOUNT, AGENT, CONFLICT, INVALID, NOT_FOUND, OK, PARTITIONS, STRIPE, UNAVAILABLE, Desk
from postgres_fixture import CTL, ROOT, free_port, wait_until
from workers_fixture import PREFIX, WorkerSystem, checkout_event, event, other_event, subscription_event


def poison(customer):
    """A record that subscription-sync cannot decode."""
    record = event("stripe.subscription", {}, key=customer)
    record["value"] = b"\xc1 not msgpack"
    return record


@pytest.fixture(scope="module", name="desk")
def one_desk(tmp_path_factory):
    """Three customers' events, one of them an account's; one record that cannot be decoded; some agent records."""
    with WorkerSystem(partitions=PARTITIONS) as system, contextlib.ExitStack() as workers:
        desk = Desk(system, tmp_path_factory.mktemp("ctl"))
        workers.enter_context(desk.sync)
        workers.enter_context(desk.audit)
        system.query("insert into wp.accounts (account_id, name) values (%s, 'Desk')", (ACCOUNT,))
        system.send(checkout_event("cus_desk", ACCOUNT), *(
            subscription_event(f"sub_{n}", f"cus_{'desk' if n == 0 else n}", "active", 1700000000 + n) for n in range(3)))
        system.send(poison("cus_poison"), partition=1)
        system.send(*(event("agent.note", {"account_id": ACCOUNT, "n": n}, key=ACCOUNT) for n in range(3)), topic="agent")
        desk.settle()
        yield desk


# --- every command, every form ---------------------------------------------------------------------------------------

TABLES = [("status",), ("offsets", "show"), ("topics", "create", "--dry-run"), ("log", "level"), ("log", "trace"),
          ("dead-letter", "list"), ("dead-letter", "redrive", "--dry-run"), ("audit", "verify"), ("account", "list"),
          ("offsets", "reset", "--worker", "subscription-sync", "--topic", "stripe", "--partition", "0", "--to", "earliest",
           "--dry-run"), ("account", "show", ACCOUNT), ("version",)]


@pytest.mark.parametrize("words", TABLES, ids=" ".join)
def test_person_pipe_and_script_see_the_same(desk, words):
    """Why: one table serves all three; a form that lacks a column misleads its readers. How: a pipe's tab-separated lines, --json and a
    pseudo-terminal's columns have the same names in the same order, and as many rows."""
    lines = [line.split("\t") for line in desk.run(*words)[0].decode().splitlines()]
    found = desk.json(*words)
    rows = found if isinstance(found, list) else [found]
    assert rows and all(list(row) == lines[0] for row in rows) and len(rows) == len(lines) - 1
    shown = desk.on_terminal(*words).splitlines()
    if isinstance(found, list):
        assert shown[0].split() == lines[0] and len(shown) == len(lines)
    else:
        assert [line.split()[0] for line in shown] == lines[0]


def commands():
    """words -> flags, from the table itself."""
    source = (ROOT / "ops/ctl/commands.c").read_text(encoding="utf-8")
    flags = {name: re.findall(r'{"([a-z-]+)", ', body) for name, body in
             re.findall(r"static const struct command_flag (\w+)\[\] = {(.*?)\n};", source, re.S)}
    return {row[0]: flags.get(row[1], []) for row in
            re.findall(r'{\.words = "([a-z -]+)",(?:(?!\.words).)*?(?:\.flags = (\w+),.*?)?\.run = ', source, re.S)}


def test_every_command_is_documented():
    """Why: what --help and the manual page do not say does not exist. How: every row of the table has --help with all of its flags and its
    place in docs/man/watchpostctl.1, which is what `help --man` prints now."""
    table = commands()
    assert len(table) >= 19 and table["audit verify"] == ["public-key", "topic", "file", "pin"]
    manual = subprocess.run([CTL, "help", "--man"], capture_output=True, text=True, check=True, timeout=20).stdout
    assert manual == (ROOT / "docs/man/watchpostctl.1").read_text(encoding="utf-8")
    plain = manual.replace("\\", "")
    for words, flags in table.items():
        shown = subprocess.run([CTL, *words.split(), "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
        for flag in ["json", *flags]:
            assert f"--{flag}" in shown, (words, flag)
        assert words in plain and all(f"--{flag}" in plain for flag in flags), words


# --- status -----------------------------------------------------------------------------------------------------------


def parts(rows):
    return {(row["part"], row["name"]): row for row in rows}


def test_status_says_what_is_away(desk):
    """Why: it is what an operator looks at first, and when something is broken. How: all well; a program that does not run and one that
    hangs; Kafka away; Postgres away; each is named, the rest is still shown, within seconds, and the exit status is not 0."""
    rows = parts(desk.json("status"))
    assert rows["program", "sync"]["state"] == rows["program", "audit"]["state"] == "ready"
    assert rows["topic", STRIPE]["detail"] == f"{PARTITIONS} partitions, 5 records"
    assert rows["worker", "audit-log"]["state"] == rows["worker", "subscription-sync"]["state"] == "current"
    assert rows["seals", ""]["state"] == "sealed" and rows["dead letters", ""]["detail"].startswith("1 not redriven")

    began = time.monotonic()
    desk.sync.signal(signal.SIGSTOP)
    nobody = f"sync=http://127.0.0.1:{desk.sync.admin_port}, gone=http://127.0.0.1:{free_port()}"
    rows = parts(desk.json("status", status=UNAVAILABLE, admin_urls=nobody))
    desk.sync.signal(signal.SIGCONT)
    assert rows["program", "sync"]["state"] == rows["program", "gone"]["state"] == "away"
    assert rows["kafka", desk.system.broker.cluster_id()]["state"] == "there"

    rows = parts(desk.json("status", status=UNAVAILABLE, kafka_brokers=f"127.0.0.1:{free_port()}"))
    assert rows["kafka", ""]["state"] == "away" and rows["postgres", "development"]["state"] == "there"
    assert rows["dead letters", ""]["detail"].startswith("1 not redriven") and rows["seals", ""]["state"] == "unknown"

    rows = parts(desk.json("status", status=UNAVAILABLE, postgres_dsn=f"host=127.0.0.1 port={free_port()} dbname=watchpost"))
    assert rows["postgres", ""]["state"] == "away" and rows["topic", STRIPE]["state"] == "there"
    assert time.monotonic() - began < 25, "three screens with something away"


# --- topics and offsets ---------------------------------------------------------------------------------------------------


def test_topics_are_made_once(desk):
    """Why: it is run at every installation and again at every upgrade. How: of an environment that has none: a dry run makes none, a run all
    six with the retention asked for, a second run nothing; wrong numbers are refused with the bounds."""
    here = {"environment": "staging"}
    assert {row["state"] for row in desk.json("topics", "create", "--dry-run", **here)} == {"missing"}
    assert {row["state"] for row in desk.json("topics", "create", "--dry-run", **here)} == {"missing"}
    made = desk.json("topics", "create", "--partitions", "3", **here)
    assert len(made) == 6 and {(row["state"], row["partitions"]) for row in made} == {("created", 3)}
    again = desk.json("topics", "create", "--partitions", "5", **here)
    assert {(row["state"], row["partitions"]) for row in again} == {("there", 3)}
    resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ConfigResource.Type.TOPIC, "watchpost.staging.stripe")
    admin = desk.system.broker.admin()
    config = admin.describe_configs([resource])[resource].result(20)
    assert config["retention.ms"].value == str(400 * 24 * 3600 * 1000) and config["message.timestamp.type"].value == "LogAppendTime"
    assert "from 1 to 1024" in desk.refused("topics", "create", "--partitions", "0")


def test_offsets_move_only_as_told(desk):
    """Why: moving an offset passes records over or reads them again; nothing may happen by mistake. How: a dry run changes nothing; audit-log
    goes back neither in a run nor in a dry run; wrong words are refused with what is right; a reset is read again by the running worker."""
    rows = {(row["worker"], row["topic"], row["partition"]): row for row in desk.json("offsets", "show")}
    row = rows["subscription-sync", STRIPE, 1]
    assert row["state"] == "current" and row["lag"] == 0 and row["next_offset"] == row["log_end"] > 0
    assert {r["worker"] for r in desk.json("offsets", "show", "--worker", "audit-log")} == {"audit-log"}

    reset = ("offsets", "reset", "--partition", "1", "--topic", "stripe", "--worker")
    before = desk.system.offsets("subscription-sync"), desk.system.offsets("audit-log")
    dry = desk.json(*reset, "subscription-sync", "--to", "earliest", "--dry-run")
    assert dry == {"worker": "subscription-sync", "topic": STRIPE, "partition": 1, "from": row["next_offset"], "to": 0,
                   "applied": False}
    for more in ([], ["--dry-run"]):
        assert "only moves forward" in desk.refused(*reset, "audit-log", "--to", "earliest", *more, status=CONFLICT)
    assert (desk.system.offsets("subscription-sync"), desk.system.offsets("audit-log")) == before
    assert desk.system.query("select * from wp.offset_resets") == []

    assert "earliest, latest or an offset" in desk.refused(*reset, "subscription-sync", "--to", "soon")
    assert f"the log has offsets from 0 to {row['log_end']}" in desk.refused(*reset, "subscription-sync", "--to", "999999")
    assert "no such offset row" in desk.refused(*reset, "nobody", "--to", "latest", status=NOT_FOUND)
    assert "--to is missing" in desk.refused(*reset, "subscription-sync")

    applied = desk.sync.metric("watchpost_events_total", outcome="duplicate")
    assert desk.json(*reset, "subscription-sync", "--to", "earliest")["applied"] is True
    desk.system.send(other_event("cus_next"), partition=1)  # a worker notices at its next batch
    desk.system.wait_until_read("subscription-sync")
    wait_until(lambda: desk.sync.metric("watchpost_events_total", outcome="duplicate") > applied, "records read again")
    assert desk.system.query("select worker, from_offset, to_offset from wp.offset_resets") == [
        ("subscription-sync", row["next_offset"], 0)]


def test_offsets_of_a_topic_that_is_gone(desk):
    """Why: a topic that was deleted must not hide where everything else stands. How: a row of a topic that Kafka does not have."""
    place = ("audit-log", desk.system.broker.cluster_id(), PREFIX + "gone", 0)
    desk.tamper("insert into wp.worker_offsets (worker, cluster_id, topic, partition, next_offset) values (%s, %s, %s, %s, 7)", *place)
    try:
        rows = {row["topic"]: row for row in desk.json("offsets", "show", "--worker", "audit-log")}
        assert rows[PREFIX + "gone"]["state"] == "no topic" and rows[PREFIX + "gone"]["log_end"] is None
        assert rows[STRIPE]["state"] == "current"
        assert parts(desk.json("status", status=UNAVAILABLE))["worker", "audit-log"]["state"] == "out of range"
    finally:
        desk.tamper("delete from wp.worker_offsets where topic = %s", PREFIX + "gone")


# --- logs of running programs ------------------------------------------------------------------------------------------------


def test_logs_are_turned_up_and_back(desk):
    """Why: a fault is looked into without a restart. How: level and trace topics of one program and of all, read back from the programs
    themselves; words that are none are refused before anything is asked; a program that is away is named."""
    assert {row["program"]: row["value"] for row in desk.json("log", "level")} == {"sync": "info", "audit": "info"}
    desk.run("log", "level", "debug", "--program", "sync")
    assert {row["program"]: row["value"] for row in desk.json("log", "level")} == {"sync": "debug", "audit": "info"}
    desk.run("log", "trace", "kafka,worker")
    assert desk.sync.get("/log/trace")[1].strip() == desk.audit.get("/log/trace")[1].strip() != "none"
    desk.run("log", "trace", "none")
    desk.run("log", "level", "info")
    assert desk.sync.get("/log/level") == (200, "info\n") and desk.audit.get("/log/trace") == (200, "none\n")
    assert "error, warn, info or debug" in desk.refused("log", "level", "loud")
    assert "comma-separated" in desk.refused("log", "trace", "everything")
    assert "no program of that name" in desk.refused("log", "level", "--program", "nobody", status=NOT_FOUND)
    assert "admin_urls" in desk.refused("log", "level", status=NOT_FOUND, admin_urls="")
    assert "NAME=http://HOST:PORT" in desk.refused("log", "level", admin_urls="127.0.0.1:1")
    rows = desk.json("log", "level", status=UNAVAILABLE, admin_urls=f"gone=http://127.0.0.1:{free_port()}")
    assert rows[0]["value"] is None and "gone" in rows[0]["problem"]


# --- dead letters ----------------------------------------------------------------------------------------------------------------


def letters(desk):
    return desk.json("dead-letter", "list", "--worker", "subscription-sync")


def test_dead_letters_are_redriven_but_not_for_ever(desk):
    """Why: C6; a redrive must not make a record that always fails go round for ever, also when it is set aside anew each time, under a new
    offset. How: list, show, a dry run that sends nothing, redrives up to the bound, and then none; what was redriven is passed over."""
    letter, = letters(desk)
    assert (letter["topic"], letter["error_class"], letter["redrives"]) == (STRIPE, "decode", 0) and letter["reason"]
    place = (letter["topic"], str(letter["partition"]), str(letter["record_offset"]))
    shown = json.loads(desk.run("dead-letter", "show", *place)[0])
    assert shown["undecodable"] is True and shown["id"].startswith("evt_") and shown["key"] == "cus_poison"
    assert json.loads(desk.run("dead-letter", "show", "stripe", *place[1:])[0]) == shown
    assert "not in the log" in desk.refused("dead-letter", "show", *place[:2], "999999", status=NOT_FOUND)
    assert "one of ours" in desk.refused("dead-letter", "show", "nothing", "0", "0")
    assert "are numbers" in desk.refused("dead-letter", "show", place[0], "x", "0")
    assert "--since" in desk.refused("dead-letter", "list", "--since", "yesterday")
    assert desk.json("dead-letter", "list", "--since", "2999-01-01") == []

    redrive = ("dead-letter", "redrive", "--worker", "subscription-sync")
    ends = desk.system.broker.high_watermarks(STRIPE)
    assert [row["outcome"] for row in desk.json(*redrive, "--dry-run")] == ["would be sent"]
    assert desk.json(*redrive, "--type", "watchpost.other") == []
    assert desk.system.broker.high_watermarks(STRIPE) == ends and letters(desk)[0]["redrives"] == 0

    for count in (1, 2, 3):
        sent = desk.json(*redrive)
        assert [row["outcome"] for row in sent] == ["sent"], count
        wait_until(lambda c=count: len(letters(desk)) == c + 1, "the record to fail again")
    last = desk.json(*redrive, status=CONFLICT)
    assert len(last) == 1 and "redriven 3 times already" in last[0]["outcome"]
    assert "redriven 3 times" in desk.json(*redrive, "--dry-run", status=CONFLICT)[0]["outcome"]
    assert [row["redrives"] for row in letters(desk)] == [1, 1, 1, 0]
    more = desk.json(*redrive, "--redrives-max", "4", "--limit", "1")
    assert [row["outcome"] for row in more] == ["sent"]
    headers = [dict(m.headers()) for m in desk.system.read_all("stripe") if m.key() == b"cus_poison"]
    assert sorted(h.get("dl_redrives", b"") for h in headers) == [b"", b"1", b"2", b"3", b"4"]
    assert {h["ce_id"].decode() for h in headers} == {shown["id"]}
    wait_until(lambda: len(letters(desk)) == 5, "the last one")


def test_redrives_of_several_topics_and_of_what_is_gone(desk):
    """Why: one redrive covers all that failed, whatever its topic; one record that the log has lost stops no other and is not counted.
    How: rows by hand for records of two topics, and for an offset behind the log's end."""
    ends = {topic: desk.system.broker.high_watermarks(topic) for topic in (STRIPE, AGENT)}
    agent = next(p for p, end in ends[AGENT].items() if end > 0)
    rows = [(STRIPE, 0, 0), (AGENT, agent, 0), (AGENT, agent, 1), (AGENT, agent, 999999)]
    cluster = desk.system.broker.cluster_id()
    for topic, partition, offset in rows:
        desk.tamper("insert into wp.dead_letters (worker, cluster_id, topic, partition, record_offset, reason, error_class, attempts) "
                    "values ('revocation-fanout', %s, %s, %s, %s, 'by hand', 'decode', 1)", cluster, topic, partition, offset)
    desk.tamper("insert into wp.dead_letters (worker, cluster_id, topic, partition, record_offset, reason, error_class, attempts) "
                "values ('revocation-fanout', 'old-cluster', %s, 0, 0, 'by hand', 'decode', 1)", STRIPE)
    redrive = ("dead-letter", "redrive", "--worker", "revocation-fanout")
    for more, good in ((["--dry-run"], "would be sent"), ([], "sent")):
        outcomes = {(row["topic"], row["record_offset"]): row["outcome"]
                    for row in desk.json(*redrive, *more, status=CONFLICT)}
        assert len(outcomes) == 4 and "not in the log" in outcomes.pop((AGENT, 999999))
        assert set(outcomes.values()) == {good}
    assert {row["record_offset"]: row["redrives"] for row in desk.json("dead-letter", "list", "--worker", "revocation-fanout")
            if row["topic"] == AGENT} == {0: 1, 1: 1, 999999: 0}
    assert sum(desk.system.broker.high_watermarks(AGENT).values()) == sum(ends[AGENT].values()) + 2
    text = desk.run(*redrive, status=CONFLICT)[1]
    assert "3 were redriven before" in text and "1 are of another Kafka cluster" in text
    desk.tamper("delete from wp.dead_letters where worker = 'revocation-fanout'")


# --- replay --------------------------------------------------------------------------------------------------------------------------


def replay(desk, *words):
    """Rows of audit replay as JSON lines."""
    return [json.loads(line) for line in desk.run("audit", "replay", *words)[0].splitlines()]


def rfc3339(ms):
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def test_replay_finds_what_is_asked_for(desk):
    """Why: analysts ask by time, account and type. How: each filter against what Kafka itself has; the three formats against each other by
    Python's own readers; wrong and impossible wishes are refused before anything is read."""
    everything = replay(desk)
    kafka = {(m.topic(), m.partition(), m.offset()): m for topic in ("stripe", "agent") for m in desk.system.read_all(topic)}
    assert {(r["topic"], r["partition"], r["offset"]) for r in everything} == set(kafka)
    desk.system.send(other_event("cus_late"))
    late, = [r for r in replay(desk, "--topic", "stripe") if r["key"] == "cus_late"]
    times = sorted({m.timestamp()[1] for m in desk.system.read_all("stripe")})
    assert late["recorded_at"] == rfc3339(times[-1]) and late["type"] == "watchpost.stripe.other"
    assert replay(desk, "--topic", "stripe", "--from", rfc3339(times[-1])) == [late]
    assert replay(desk, "--topic", "stripe", "--to", rfc3339(times[0])) == []
    assert late not in replay(desk, "--to", rfc3339(times[-1])) and len(replay(desk, "--to", "2999-01-01")) == len(everything) + 1
    assert replay(desk, "--from", "2999-01-01") == [] and replay(desk, "--to", "1960-01-01") == []
    assert {r["key"] for r in replay(desk, "--account", ACCOUNT)} == {"cus_desk", ACCOUNT}
    assert {r["data"]["stripe_type"] for r in replay(desk, "--type", "checkout.session.completed")} == {"checkout.session.completed"}
    assert {r["data"]["customer"] for r in replay(desk, "--type", "watchpost.stripe.checkout")} == {"cus_desk"}

    rows = list(csv.DictReader(io.StringIO(desk.run("audit", "replay", "--format", "csv")[0].decode(), newline="")))
    lines = {(r["topic"], r["partition"], r["offset"]): r for r in replay(desk)}
    assert len(rows) == len(lines)
    for row in rows:
        line = lines[row["topic"], int(row["partition"]), int(row["offset"])]
        assert row["id"] == line["id"] and row["recorded_at"] == line["recorded_at"] and row["key"] == line["key"]
        assert (json.loads(row["data"]) if row["data"] else None) == line["data"]

    assert "--from is not before --to" in desk.refused("audit", "replay", "--from", "2026-01-02", "--to", "2026-01-01")
    assert "--format: jsonl" in desk.refused("audit", "replay", "--format", "xml")
    assert "--from: a time" in desk.refused("audit", "replay", "--from", "noon")
    assert "--topic: stripe" in desk.refused("audit", "replay", "--topic", "mail")
    assert "goes with no --account" in desk.refused("audit", "replay", "--format", "msgpack", "--account", ACCOUNT)
    assert "no such account" in desk.refused("audit", "replay", "--account", "acct_01H0000000000000000000000Z", status=NOT_FOUND)
    assert "public-key" in desk.refused("audit", "replay", "--verify", seal_public_key_file="")


def test_replay_ends_where_the_log_ends(desk):
    """Why: a log's last offsets may hold no record (control records of transactions); waiting for one would never end. How: a transaction's
    record, whose marker is the last offset of its partition."""
    producer = confluent_kafka.Producer({"bootstrap.servers": desk.system.broker.bootstrap, "transactional.id": "tail"})
    producer.init_transactions(30)
    sent = other_event("cus_tail")
    producer.begin_transaction()
    producer.produce(STRIPE, key=sent["key"], value=sent["value"], headers=sent["headers"], partition=0)
    producer.commit_transaction(30)
    began = time.monotonic()
    assert "cus_tail" in {row["key"] for row in replay(desk, "--topic", "stripe")}
    assert time.monotonic() - began < 10
    sent = other_event("cus_behind_tail")
    desk.system.send(sent, partition=0)  # so that audit-log's row can stand at the log's end again


# --- verify ----------------------------------------------------------------------------------------------------------------------------


def test_verify_of_an_untouched_system(desk):
    """Why: a check that cries wolf is switched off. How: everything good, live, also while records and seals are being made; offline from an
    export of everything, of one topic and of a part; records pinned by a seal that was kept."""
    desk.settle()
    rows = desk.verdicts()
    assert {row["verdict"] for row in rows.values()} == {"good", "empty"} and len(rows) == 4 * PARTITIONS
    stripe = rows["stripe", 1]
    assert stripe["records"] == stripe["last_offset"] + 1 and stripe["first_offset"] == 0 and stripe["seals"] > 0
    assert stripe["sealed_to"] == stripe["last_offset"] and stripe["unchecked"] == 0
    assert rows["access", 0]["verdict"] == "empty" and rows["access", 0]["last_offset"] is None
    for _ in range(3):
        desk.system.send(*(other_event(f"cus_live_{n}") for n in range(40)))
        assert {row["verdict"] for row in desk.verdicts("--topic", "stripe").values()} == {"good"}
    desk.settle()

    kept = desk.system.query("select hash from report.seals where topic = %s order by seal_number limit 1", (STRIPE,))[0][0]
    desk.run("audit", "verify", "--pin", kept)
    assert "not among" in desk.refused("audit", "verify", "--pin", "0" * 64, status=CONFLICT)
    assert "64 lower-case hex" in desk.refused("audit", "verify", "--pin", kept[:-1])

    whole = desk.export("whole.msgpack")
    objects = list(msgpack.Unpacker(whole.open("rb"), raw=False))
    assert objects[0]["kind"] == "export" and objects[-1] == {"kind": "end", "records": sum(o["kind"] == "record" for o in objects)}
    assert sum(o["kind"] == "range" for o in objects) == 4 * PARTITIONS
    away = {"kafka_brokers": "127.0.0.1:1", "postgres_dsn": "host=127.0.0.1 port=1"}
    assert desk.verdicts("--file", whole, **away).items() >= {("access", 0): rows["access", 0]}.items()
    desk.run("audit", "verify", "--file", whole, "--pin", kept, **away)
    assert "not among" in desk.refused("audit", "verify", "--file", whole, "--pin", "0" * 64, status=CONFLICT)
    assert "goes with no --topic" in desk.refused("audit", "verify", "--file", whole, "--topic", "stripe")
    assert "cannot read" in desk.refused("audit", "verify", "--file", desk.folder / "none", status=NOT_FOUND)
    assert {place[0] for place in desk.verdicts("--file", desk.export("agent.msgpack", "--topic", "agent"))} == {"agent"}

    times = sorted(m.timestamp()[1] for m in desk.system.read_all("stripe"))
    part = ("--topic", "stripe", "--from", rfc3339(times[len(times) // 2]), "--to", rfc3339(times[-1]))
    rows = desk.verdicts("--file", desk.export("part.msgpack", *part))
    assert {row["verdict"] for row in rows.values()} <= {"good", "empty", "unchecked"}
    assert any(row["records"] + row["unchecked"] for row in rows.values())
    out, text = desk.run("audit", "replay", "--verify", *part)
    assert out and "verdict" in text and "good" in text


def rewrite(path, change):
    """A copy of an export whose objects went through `change`, with the right count at its end."""
    objects = change([o for o in msgpack.Unpacker(path.open("rb"), raw=False) if o["kind"] != "end"])
    objects.append({"kind": "end", "records": sum(o["kind"] == "record" for o in objects)})
    copy = path.with_suffix(".changed")
    copy.write_bytes(b"".join(msgpack.packb(o) for o in objects))
    return copy


def without(objects, place):
    return objects[:place] + objects[place + 1:]


def test_a_changed_export_is_refused(desk):
    """Why: an export is proof only if no change to its records or seals goes unseen. How: bytes all over the file, then whole objects: records
    and seals taken out, moved, doubled, with the counts put right; each time it is refused. (Only what it says of partitions without
    records can be changed: there is nothing to prove.) A record put behind the last seal is not called checked."""
    desk.settle()
    whole = desk.export("proof.msgpack", "--topic", "agent")
    good = {place: row for place, row in desk.verdicts("--file", whole).items() if row["verdict"] != "empty"}
    content = whole.read_bytes()
    assert len(content) > 1000
    cut = desk.folder / "cut"
    for at in range(3, len(content), max(8, len(content) // 60)):
        cut.write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1:])
        done = subprocess.run(desk.command("audit", "verify", "--file", cut, "--json"), capture_output=True, timeout=20, check=False)
        if done.returncode == OK:
            rows = [row for row in json.loads(done.stdout) if row["verdict"] != "empty"]
            assert rows == list(good.values()), at
        else:
            assert done.returncode in (INVALID, CONFLICT), (at, done)
    cut.write_bytes(content[:-20])
    assert "cut off" in desk.refused("audit", "verify", "--file", cut)

    def kinds(objects, kind):
        return [i for i, o in enumerate(objects) if o["kind"] == kind]

    objects = list(msgpack.Unpacker(whole.open("rb"), raw=False))
    records, seals, ranges = (kinds(objects, kind) for kind in ("record", "seal", "range"))
    changes = {
        "first record": lambda o: without(o, records[0]), "last record": lambda o: without(o, records[-1]),
        "record twice": lambda o: o[:records[0]] + [o[records[0]]] + o[records[0]:],
        "records swapped": lambda o: o[:records[0]] + [o[records[1]], o[records[0]]] + o[records[1] + 1:],
        "first seal": lambda o: without(o, seals[0]),
        "range": lambda o: [x for x in o if x["kind"] != "range"],
        "range twice": lambda o: o + [o[ranges[0]]],
        "all records": lambda o: [x for x in o if x["kind"] != "record"],
    }
    for name, change in changes.items():
        found = desk.json("audit", "verify", "--file", rewrite(whole, change), status=CONFLICT)
        assert any(row["verdict"] not in ("good", "empty") for row in found), name

    def add_record(o):
        last = {**o[records[-1]], "offset": o[records[-1]]["offset"] + 1}
        span = [{**x, "to": x["to"] + 1} if x["kind"] == "range" and x["partition"] == last["partition"] else x for x in o]
        return span + [last]

    place = ("agent", objects[records[-1]]["partition"])
    row = desk.verdicts("--file", rewrite(whole, add_record))[place]
    assert (row["records"], row["last_offset"], row["unchecked"]) == (good[place]["records"], good[place]["last_offset"], 1)


def test_tampering_with_the_database_is_found(desk):
    """Why: a record that nobody can quietly change, not even who owns the database. How: with audit-log stopped, each change by itself, and
    undone: a seal deleted from the middle, the newest with its head, a seal changed, a head rewritten, moved back, removed, a gap put in.
    The finding is in its partition's row and the others stay good."""
    desk.quiet()
    before = {place: row["verdict"] for place, row in desk.verdicts().items()}
    agent = next(p for (topic, p), verdict in before.items() if topic == "agent" and verdict == "good")
    head = f"from wp.worker_offsets where worker = 'audit-log' and topic = '{AGENT}' and partition = {agent}"
    chain = f"chain_id = (select chain_id from wp.chains where topic = '{AGENT}' and partition = {agent})"
    seals = f"select min(seal_number), max(seal_number) from wp.seals where {chain}"
    first, last = desk.system.query(seals)[0]
    assert last >= first + 1
    where = head.removeprefix("from wp.worker_offsets ")
    changes = {
        f"delete from wp.seals where {chain} and seal_number = {first}": "a seal is missing",
        f"update wp.seals set sealed_at_ms = sealed_at_ms + 1 where {chain} and seal_number = {last}": "not signed by this key",
        f"update wp.worker_offsets set chain_head = sha256(chain_head) {where}": "not what the database chained",
        f"update wp.worker_offsets set next_offset = 1 {where}": "before its last seal",
        f"delete {head}": "no head",
        "insert into wp.offset_resets (worker, cluster_id, topic, partition, from_offset, to_offset) values "
        f"('audit-log', '{desk.system.broker.cluster_id()}', '{AGENT}', {agent}, 1, 2)": "not what was sealed",
    }
    tables = ("seals", "worker_offsets", "offset_resets")
    for table in tables:
        desk.tamper(f"create table wp.kept_{table} as table wp.{table}")
    for sql, finding in changes.items():
        desk.tamper(sql)
        rows = desk.verdicts(status=CONFLICT)
        assert finding in rows["agent", agent]["verdict"], (sql, rows["agent", agent])
        assert {place: row["verdict"] for place, row in rows.items() if place != ("agent", agent)} == {
            place: verdict for place, verdict in before.items() if place != ("agent", agent)}
        for table in tables:
            overriding = "overriding system value" if table == "offset_resets" else ""
            desk.tamper(f"delete from wp.{table}")
            desk.tamper(f"insert into wp.{table} {overriding} table wp.kept_{table}")
    assert {place: row["verdict"] for place, row in desk.verdicts().items()} == before
    other = desk.folder / "other.pub"
    subprocess.run(f"openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out {other}", shell=True, check=True, timeout=30)
    assert "not signed by this key" in desk.refused("audit", "verify", "--public-key", other, status=CONFLICT)


def test_tampering_with_the_log_is_found(desk):
    """Why: Kafka's operators can delete. How: what retention takes from the front is no finding, and is not called checked; a topic that was
    made anew and holds fewer records than were sealed, or fewer partitions, is one."""
    desk.quiet()
    partition, seals = desk.system.query("select partition, array_agg(distinct last_offset order by last_offset) from report.seals "
                                         "where topic = %s group by partition order by 2 desc", (STRIPE,))[0]
    before = desk.verdicts()["stripe", partition]
    assert len(seals) >= 2 and seals[-1] == before["last_offset"]
    start = seals[-2]  # this record is left of those under its seal: nothing to check it by
    desk.system.broker.delete_before(STRIPE, partition, start)
    after = desk.verdicts()["stripe", partition]
    assert (after["verdict"], after["unchecked"]) == ("good", 1) and after["sealed_to"] == before["sealed_to"]
    assert after["first_offset"] == start + 1 and after["last_offset"] == before["last_offset"]
    desk.system.broker.delete_before(STRIPE, partition, seals[-1])
    last = desk.verdicts()["stripe", partition]
    assert (last["verdict"], last["unchecked"], last["records"], last["first_offset"]) == ("unchecked", 1, 0, None)
    desk.tamper("delete from wp.seals where chain_id = (select chain_id from wp.chains where topic = %s and partition = %s)", STRIPE, partition)
    assert "no seal to start from" in desk.verdicts(status=CONFLICT)["stripe", partition]["verdict"]

    admin = desk.system.broker.admin()
    admin.delete_topics([AGENT])[AGENT].result(30)
    wait_until(lambda: AGENT not in admin.list_topics(timeout=20).topics, "the topic to go", 30)
    assert AGENT in desk.refused("audit", "verify", "--topic", "agent", status=NOT_FOUND)
    desk.system.broker.make_topic(AGENT, 1, message_timestamp_type="LogAppendTime")
    wait_until(lambda: b"removed" in subprocess.run(desk.command("audit", "verify", "--topic", "agent"), capture_output=True, timeout=60,
                                                    check=False).stdout, "the new topic to be known everywhere")
    rows = desk.verdicts("--topic", "agent", status=CONFLICT)
    chained = {p for p, in desk.system.query("select partition from wp.chains where topic = %s", (AGENT,))}
    assert chained and all("removed" in rows["agent", p]["verdict"] or "no such partition" in rows["agent", p]["verdict"]
                           for p in chained)
    assert "no such partition" in rows["agent", 1]["verdict"]
