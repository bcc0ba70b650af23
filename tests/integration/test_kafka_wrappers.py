"""common/kafka_*.h against a real Apache Kafka: what the mock cluster of the unit tests cannot show.

tests/integration/c/kafka_wrappers.c drives the wrappers; its head says what each verb prints.
"""

import os
import subprocess
import threading
import time

import confluent_kafka.admin
import pytest

from kafka_fixture import TOPICS, KafkaCluster
from postgres_fixture import BUILD, ROOT, wait_until

PROGRAM = BUILD / "integration/kafka_wrappers"
BROKER_PROGRAM = BUILD / "bin/watchpost-dev-broker"
FULL = os.environ.get("WATCHPOST_COUNTS") == "full"
READ_PER_SECOND_MIN = 100_000
NOT_FOUND = 3  # docs/exit-codes.md


@pytest.fixture(scope="module", autouse=True)
def programs():
    """Builds what is driven here."""
    subprocess.run(["make", "-s", f"BUILD={BUILD}", PROGRAM, BROKER_PROGRAM], cwd=ROOT, check=True, timeout=300)


def run(cluster, verb, *words, check=True):
    """What the program printed, split into words; with check=False its exit status and error."""
    done = subprocess.run([PROGRAM, verb, cluster.bootstrap, *map(str, words)], capture_output=True, text=True,
                          timeout=180, check=False)
    if not check:
        return done.returncode, done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class Member:
    """One consumer of a group in a process of its own, and what it said so far."""

    def __init__(self, cluster, group, topic, start):
        self.process = subprocess.Popen([PROGRAM, "member", cluster.bootstrap, group, topic, str(start)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def order(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def quit(self):
        self.order("quit")
        assert self.process.wait(30) == 0
        self.reader.join()

    def said(self, what):
        return [line for line in list(self.lines) if line[0] == what]

    def held(self):
        """Partitions assigned and not revoked since."""
        held = set()
        for line in list(self.lines):
            if line[0] == "assign":
                assert line[1] not in held, "a partition was assigned twice"
                held.add(line[1])
            elif line[0] == "revoke":
                held.remove(line[1])
        return held

    def offsets(self):
        """Every (partition, offset) that was given out, in order."""
        return [(int(p), offset) for _, p, first, last in self.said("records")
                for offset in range(int(first), int(last) + 1)]


@pytest.fixture(scope="module")
def kafka():
    with KafkaCluster() as cluster:
        yield cluster


def test_topics_are_made_with_their_retention(kafka):
    """Why: an audit topic that forgets after Kafka's default of 7 days is no audit topic. How: created by the table,
    then every setting is read back; a second run changes nothing."""
    assert run(kafka, "admin", "topics", "staging", 6, 1) == ["6"]
    assert run(kafka, "admin", "topics", "staging", 6, 1) == ["0"]
    assert run(kafka, "admin", "partitions", "watchpost.staging.stripe") == ["6"]
    resources = [confluent_kafka.admin.ConfigResource("topic", f"watchpost.staging.{name}") for name in TOPICS]
    admin = kafka.admin()
    settings = {r.name: future.result(30) for r, future in admin.describe_configs(resources).items()}
    day_ms = 24 * 3600 * 1000
    for name, values in settings.items():
        expected = 3600 * 1000 if name.endswith("access-changes") else 400 * day_ms
        assert values["retention.ms"].value == str(expected), name
        assert values["message.timestamp.type"].value == "LogAppendTime", name
        assert values["cleanup.policy"].value == "delete", name


def test_an_unknown_topic_is_not_made_by_asking(kafka):
    """Why: a topic made by accident has the wrong retention. How: asked for twice, and not there."""
    for _ in range(2):
        status, error = run(kafka, "admin", "partitions", "watchpost.staging.typo", check=False)
        assert (status, "Unknown topic" in error) == (NOT_FOUND, True)
    assert "watchpost.staging.typo" not in kafka.admin().list_topics(timeout=30).topics


def test_cluster_id(kafka):
    """Why: C8, offset rows and hash chains carry it. How: compared with another client's."""
    assert run(kafka, "admin", "cluster-id") == [kafka.cluster_id()]


def test_every_record_is_read_once_and_fast(kafka):
    """Why: workers and replay must not leave out or double a record, whatever librdkafka prefetches. How: the program
    checks the offsets; the rate is a floor far below what one core does (0.5 M/s)."""
    count = 1_000_000 if FULL else 200_000
    kafka.make_topic("many", 4)
    assert run(kafka, "produce", "many", count)[:4] == ["delivered", str(count), "failed", "0"]
    said = run(kafka, "read", "many", 4, count)
    assert said[:2] == ["records", str(count)]
    assert int(said[3]) >= READ_PER_SECOND_MIN


def test_first_message_needs_no_second_try(kafka):
    """Why: 2.0.2 holds the first message to a topic for up to a second unless its partitions are known. How: time from
    the start of a producer to the first delivery."""
    kafka.make_topic("first", 4)
    said = run(kafka, "produce", "first", 1000)
    assert int(said[said.index("ms-until-first") + 1]) < 500


def test_offsets_by_time(kafka):
    """Why: replay finds its start by the log's time. How: three batches with pauses; each pause leads to the next
    batch's first offset; before all is the start, after all is the high watermark."""
    kafka.make_topic("times", 1, message_timestamp_type="LogAppendTime")
    pauses = [int(time.time() * 1000) - 60_000]
    for _ in range(3):
        run(kafka, "produce", "times", 50)
        time.sleep(0.05)
        pauses.append(int(time.time() * 1000))
        time.sleep(0.05)
    found = [run(kafka, "admin", "time", "times", 0, at) for at in pauses]
    assert found == [["0"], ["50"], ["100"], ["150"]]
    assert run(kafka, "admin", "watermarks", "times", 0) == ["0", "150"]


def test_members_of_a_group_share(kafka):
    """Why: scaling a worker is starting and ending processes. How: 1, 2, 1 members, then one is killed; after each
    step every partition is held exactly once, and reading begins where the owner says (here always at 10)."""
    kafka.make_topic("shared", 4)
    run(kafka, "produce", "shared", 2000)
    with Member(kafka, "g1", "shared", 10) as first:
        wait_until(lambda: len(first.held()) == 4, "the first member to hold all")
        with Member(kafka, "g1", "shared", 10) as second:
            wait_until(lambda: len(first.held()) == 2 and len(second.held()) == 2, "both members to share")
            assert not first.held() & second.held()
            second.quit()
            assert second.held() == set()
        wait_until(lambda: len(first.held()) == 4, "the first member to have all again")
        with Member(kafka, "g1", "shared", 10) as third:
            wait_until(lambda: len(third.held()) == 2, "the third member to share")
            third.process.kill()
            wait_until(lambda: len(first.held()) == 4, "the killed member's session to end", seconds=40)
        starts = {p: min(o for q, o in first.offsets() if q == p) for p, _ in first.offsets()}
        assert set(starts.values()) == {10}


def test_group_offsets_are_committed(kafka):
    """Why: C5, lag exporters read the group's offsets. How: none before, the committed one after."""
    kafka.make_topic("committed", 2)
    run(kafka, "produce", "committed", 100)
    assert run(kafka, "admin", "group", "g2", "committed", 1) == ["-1"]
    with Member(kafka, "g2", "committed", 0) as member:
        wait_until(lambda: len(member.held()) == 2, "the member to join")
        member.order("commit", 1, 17)
        wait_until(lambda: run(kafka, "admin", "group", "g2", "committed", 1) == ["17"], "the commit to be seen")


def test_retention_that_overtakes_is_reported(kafka):
    """Why: C8, what retention took may not be skipped silently. How: the log begins at 40 when a member wants 10: it is
    told so with the watermarks, reads nothing of that partition and all of the other; after a seek it goes on."""
    kafka.make_topic("overtaken", 2)
    run(kafka, "produce", "overtaken", 400)
    ends = kafka.high_watermarks("overtaken")
    kafka.delete_before("overtaken", 0, 40)
    with Member(kafka, "g3", "overtaken", 10) as member:
        wait_until(lambda: member.said("out-of-range"), "the report")
        assert member.said("out-of-range")[0] == ["out-of-range", "0", "10", "40", str(ends[0])]
        wait_until(lambda: (1, ends[1] - 1) in member.offsets(), "the other partition's last record")
        assert [p for p, _ in member.offsets() if p == 0] == []
        member.order("seek", 0, 40)
        wait_until(lambda: (0, ends[0] - 1) in member.offsets(), "the partition's last record")
        assert [o for p, o in member.offsets() if p == 0] == list(range(40, ends[0]))
        assert [o for p, o in member.offsets() if p == 1] == list(range(10, ends[1]))


@pytest.mark.parametrize("fault", ["killed", "stopped", "hanging"])
def test_outage_and_return(fault):
    """Why: W7, while the broker is away a send is refused at once, and after its return the first delivery comes within
    0.5 s; what was delivered is kept. How: one broker goes for 6 s while a message is sent every 5 ms, and returns;
    the moment of its return is when it answers (kafka.sh waits for that). In the end the log has at least what was
    delivered and at most what was sent."""
    with KafkaCluster() as kafka:
        kafka.make_topic("trickle", 4)
        with subprocess.Popen([PROGRAM, "trickle", kafka.bootstrap, "trickle", "120"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as sending:
            assert sending.stdout.readline().startswith("up ")
            time.sleep(1)
            gone = time.time()
            {"killed": kafka.kill9, "stopped": kafka.stop, "hanging": kafka.pause}[fault]()
            what, at = sending.stdout.readline().split()
            assert what == "down"
            assert int(at) / 1000 - gone < (3.0 if fault == "hanging" else 1.5)
            time.sleep(max(0, gone + 6 - time.time()))
            kafka.resume() if fault == "hanging" else kafka.start()
            back = time.time()
            what, at = sending.stdout.readline().split()
            assert what == "up"
            assert int(at) / 1000 - back < 0.5
            sending.stdin.close()
            words = sending.stdout.read().split()
        delivered, failed = int(words[words.index("delivered") + 1]), int(words[words.index("failed") + 1])
        kept = sum(kafka.high_watermarks("trickle").values())
        assert delivered > 100
        assert delivered <= kept <= delivered + failed


def test_one_broker_of_three_killed():
    """Why: acks=all with min.insync.replicas 2 must ride over the loss of one broker without losing what it
    acknowledged. How: one is killed while messages flow; all are delivered in the end, none failed, and the log holds
    each once; then it comes back and takes part."""
    count = 400_000 if FULL else 100_000
    with KafkaCluster(brokers=3) as kafka:
        kafka.make_topic("kept", 4)
        producing = subprocess.Popen([PROGRAM, "produce", kafka.bootstrap, "kept", str(count)], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
        wait_until(lambda: min(kafka.high_watermarks("kept").values()) > 0, "messages in every partition")
        kafka.kill9(2)
        for partition in range(4):  # the library goes on asking a leader that is gone; we do not
            assert int(run(kafka, "admin", "watermarks", "kept", partition)[1]) > 0
        out, error = producing.communicate(timeout=120)
        assert out.split()[:4] == ["delivered", str(count), "failed", "0"], error
        assert sum(kafka.high_watermarks("kept").values()) == count
        assert run(kafka, "read", "kept", 4, count)[1] == str(count)
        kafka.start(2)
        assert run(kafka, "produce", "kept", 1000)[1] == "1000"


def test_embedded_broker(tmp_path):
    """Why: `make run BROKER=embedded` must work where there is no Java, on the port that is in the settings. How: it is
    started on a port, says that it keeps nothing, has our topics, takes and gives records, ends on SIGTERM, and starts
    again on the same port, empty."""
    class Embedded:
        bootstrap = ""
    ready = tmp_path / "bootstrap"
    port = "0"
    for _ in range(2):
        flags = ["--port", port] if port != "0" else []
        broker = subprocess.Popen([BROKER_PROGRAM, "--bootstrap-file", ready, *flags], stdout=subprocess.PIPE, text=True)
        try:
            wait_until(ready.exists, "the broker's address")
            Embedded.bootstrap = ready.read_text(encoding="ascii").strip()
            assert port in ("0", Embedded.bootstrap.split(":")[1])
            port = Embedded.bootstrap.split(":")[1]
            topic = "watchpost.development.stripe"
            assert run(Embedded, "admin", "topics", "development", 4, 1) == ["0"]
            assert run(Embedded, "admin", "watermarks", topic, 0) == ["0", "0"]
            assert run(Embedded, "produce", topic, 1000)[1] == "1000"
            assert run(Embedded, "read", topic, 4, 1000)[1] == "1000"
        finally:
            broker.terminate()
            out, _ = broker.communicate(timeout=20)
        assert broker.returncode == 0
        assert "It keeps nothing" in out
        ready.unlink()


def test_kafka_script_starts_and_stops(tmp_path):
    """Why: everything else leans on the script. How: fetch is idle when the jars are there; starting twice is one
    broker; data survives a restart; a wrong verb is status 2."""
    script = ROOT / "ops/dev/kafka/kafka.sh"
    assert subprocess.run([script, "fetch"], check=True, capture_output=True, timeout=120).stderr == b""
    assert subprocess.run([script, "bogus"], check=False, capture_output=True, timeout=20).returncode == 2
    with KafkaCluster() as kafka:
        process = kafka.process(1)
        kafka.start_all()
        assert kafka.process(1) == process
        identity = kafka.cluster_id()
        kafka.make_topic("kept", 1)
        run(kafka, "produce", "kept", 100)
        kafka.restart()
        assert kafka.cluster_id() == identity
        assert kafka.high_watermarks("kept") == {0: 100}
        kafka.become_new_cluster()
        assert kafka.cluster_id() != identity
        kafka.pause()
        kafka.resume()
    assert not kafka.folder.exists()
