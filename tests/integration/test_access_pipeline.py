"""The outbox, the fan-out and the nodes together (R1, R5, R7), on real PostgreSQL, Kafka and programs.

What was decided in Postgres becomes records in order per key, nodes are woken by them and show the change, and the completion
is recorded. Faults: the relay killed, the broker away, rows that cannot be sent, nodes that are gone.
"""

import json
import random
import statistics
import threading
import time

import msgpack
import pytest

from agents_fixture import Agents
from system_fixture import FULL, System, state_fact, wait_until


@pytest.fixture(scope="module")
def system():
    with System(access=True) as system:
        yield system


@pytest.fixture
def agents(system):
    return Agents(system.postgres)


def records_of(system, key):
    """(number, event id, type, payload) of a key's records in topic access, in the order of the log."""
    found = []
    for record in system.read_topic("access"):
        if record.key() == key.encode():
            headers = {name: value.decode() for name, value in record.headers()}
            found.append((int(headers["ce_sequence"]), headers["ce_id"], headers["ce_type"], msgpack.unpackb(record.value())))
    return found


def drained(system):
    wait_until(lambda: system.query("select count(*) from wp.outbox") == [(0,)], "the outbox to be empty", 30)


def test_an_act_becomes_a_record_that_analysts_can_read(system, agents):
    # Why: CloudEvents and msgpack, readable without our code; secret-free. How: connect and revoke; read with msgpack alone.
    of = agents.account()
    agent_id, token = agents.connect(of, "Buyer")
    number = agents.change(agent_id, "revoke")
    drained(system)
    rows = records_of(system, of)
    assert [(row[0], row[2], row[3]["change"]) for row in rows] == [
        (1, "watchpost.access.agent", "connected"), (2, "watchpost.access.agent", "revoked")]
    assert rows[1][3] == {"account_id": of, "agent_id": agent_id, "agent_name": "Buyer", "token_prefix": token[:8],
                          "change": "revoked", "cause": "operator", "actor": "operator:watchpost_ctl", "access_number": number}
    assert token[8:] not in json.dumps(rows)
    wait_until(lambda: len(system.query("select 1 from report.audit where account_id = %s", [of])) == 2, "the ledger", 30)


def test_a_revoke_is_in_force_and_its_completion_recorded(system, agents):
    # Why: R5 and R7, and how long they take. How: revokes one after the other with every node healthy; each must be shown by the
    # node before the wait is over, and recorded with nobody behind.
    of = agents.account()
    times, numbers = [], []
    for agent_id, _ in agents.connect_many(of, 300 if FULL else 60):
        numbers.append(agents.change(agent_id, "revoke"))
        nodes, shown, waited = agents.wait_in_force(numbers[-1])
        assert (nodes, shown) == (1, 1)
        times.append(waited)
    times.sort()
    state_fact(f"access: {len(times)} revokes with one healthy node in force after {statistics.median(times):.0f} ms (median), "
               f"{times[len(times) * 99 // 100]:.0f} ms (99 of 100)")
    for number in numbers:
        assert agents.wait_completed(number) == (1, 0)


def test_without_the_fanout_a_poll_brings_it(system, agents):
    # Why: R7: Kafka makes it fast, the lease makes it true. How: both programs are stopped; a revoke is in force within the lease
    # by polls alone; afterwards the records come all the same.
    of = agents.account()
    agent_id, _ = agents.connect(of)
    helpers = [system.workers("outbox-relay")[0], system.workers("revocation-fanout")[0]]
    for program in helpers:
        assert program.stop() == 0, program.tail()
    number = agents.change(agent_id, "revoke")
    nodes, shown, waited = agents.wait_in_force(number)
    assert (nodes, shown) == (1, 1) and waited < 400
    for program in helpers:
        program.start()
        program.wait_ready()
    drained(system)
    assert [row[0] for row in records_of(system, of)] == [1, 2]
    assert agents.wait_completed(number)[1] == 0


def test_order_and_numbers_survive_kill_9_of_relays(system, agents):
    # Why: at least once, in order per key, stable ids, no gap, with several relays. How: three relays; accounts are changed without
    # pause while relays are killed at random and started again; then each key's records, duplicates dropped by the readers' rule
    # (what is not the next number), are 1, 2, 3 …, and a number always has the same id.
    accounts = [agents.account() for _ in range(12)]
    ids = {of: agents.connect(of)[0] for of in accounts}
    for _ in range(2):
        system.add_worker("outbox-relay").wait_ready()
    relays = system.workers("outbox-relay")
    over, changes = threading.Event(), [0]

    def change_all():
        while not over.is_set():
            for of in accounts:
                agents.change(ids[of], "pause" if changes[0] % 2 == 0 else "resume")
            changes[0] += 1

    writer = threading.Thread(target=change_all)
    writer.start()
    rng = random.Random(20261127)
    for _ in range(20 if FULL else 6):
        relay = rng.choice(relays)
        time.sleep(rng.uniform(0.1, 0.5))
        relay.kill9()
        time.sleep(rng.uniform(0.0, 0.3))
        relay.start()
    over.set()
    writer.join()
    for relay in relays:
        relay.wait_ready()
    drained(system)
    repeated = 0
    for of in accounts:
        rows = records_of(system, of)
        taken, seen = 0, {}
        for number, event_id, _, _ in rows:
            assert seen.setdefault(number, event_id) == event_id
            taken += number == taken + 1
        assert taken == 1 + changes[0] == max(seen)
        repeated += len(rows) - taken
    state_fact(f"outbox: {len(accounts) * (changes[0] + 1)} events of {len(accounts)} keys by three relays that were killed again "
               f"and again: every key's numbers are gapless and in order; {repeated} records came twice, each with its own id")
    for relay in relays[1:]:
        assert relay.stop() == 0
        system.programs.remove(relay)
    wait_until(lambda: shards_of(relays[0]) == 16, "the first relay to take all shards", 15)


def shards_of(relay):
    text = relay.get("/metrics")[1]
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("watchpost_outbox_shards "))


def test_kafka_away_and_back(system, agents):
    # Why: nothing decided is lost, and a revoke is true without Kafka. How: the broker is killed; a revoke is in force by polls, the
    # relay says kafka_down; the broker comes back and the record with it.
    of = agents.account()
    agent_id, _ = agents.connect(of)
    drained(system)
    relay = system.workers("outbox-relay")[0]
    system.kafka.kill9(1)
    try:
        number = agents.change(agent_id, "revoke")
        nodes, shown, waited = agents.wait_in_force(number)
        assert (nodes, shown) == (1, 1) and waited < 400
        wait_until(lambda: "kafka_down" in relay.get("/readyz")[1], "the relay to say that Kafka is away", 30)
    finally:
        system.kafka.start(1)
    drained(system)
    assert [row[0] for row in records_of(system, of)] == [1, 2]
    assert agents.wait_completed(number, 60)[1] == 0
    system.wait_ready()


def test_a_row_that_cannot_be_sent_stops_its_key_alone(system, agents):
    # Why: a fault of ours must show and must not hold up others. How: a row of an unknown type, written as the owner; its account
    # stands still, others go on; the relay is not ready and names the row, never its payload.
    of, other = agents.account(), agents.account()
    system.query("insert into wp.outbox (topic, key, number, event_id, type, schema_version, time_ms, payload) values "
                 "('access', %s, 1, 'evt_x', 'watchpost.access.unheard', 1, 0, '{\"canary\": \"CANARY\"}')", [of])
    relay = system.workers("outbox-relay")[0]
    wait_until(lambda: "outbox_row_broken" in relay.get("/readyz")[1], "the relay to name the row", 15)
    agents.connect(other)
    wait_until(lambda: len(records_of(system, other)) == 1, "another key to go on", 15)
    assert system.query("select count(*) from wp.outbox") == [(1,)] and "CANARY" not in relay.log.read_text(encoding="utf-8")
    system.query("delete from wp.outbox")
    relay.wait_ready(15)


def test_nodes_that_are_gone_are_forgotten(system, agents):
    # Why: R1: a node that was killed delays revokes until its row goes, ten waits later. How: a second node is killed with -9: a
    # revoke waits its second and says one of two; then the row goes. A node that ends in order takes its row away at once.
    second = system.add_ingress()
    second.wait_ready()
    wait_until(lambda: len(system.query("select 1 from wp.nodes")) == 2, "two nodes")
    second.kill9()
    of = agents.account()
    made = agents.connect_many(of, 2)
    nodes, shown, waited = agents.wait_in_force(agents.change(made[0][0], "revoke"))
    assert (nodes, shown) == (2, 1) and 1000 <= waited < 1200
    wait_until(lambda: len(system.query("select 1 from wp.nodes")) == 1, "the dead node's row to go", 20)
    second.start()
    second.wait_ready()
    wait_until(lambda: len(system.query("select 1 from wp.nodes")) == 2, "the new node")
    assert second.stop() == 0
    system.programs.remove(second)
    assert len(system.query("select 1 from wp.nodes")) == 1
    assert agents.wait_in_force(agents.change(made[1][0], "revoke"))[:2] == (1, 1)


def test_drain_ends_a_node(system):
    # Why: operators drain a node from anywhere. How: as watchpostctl node drain does; the program ends with 0 and its row is gone.
    second = system.add_ingress()
    second.wait_ready()
    wait_until(lambda: len(system.query("select 1 from wp.nodes")) == 2, "two nodes")
    newest = system.query("select node_id from wp.nodes order by started_at desc limit 1")[0][0]
    system.postgres.query("select api.node_drain(%s)", [newest], role="watchpost_ctl")
    assert second.process.wait(timeout=20) == 0
    system.programs.remove(second)
    assert len(system.query("select 1 from wp.nodes")) == 1
