"""What agents call: POST /v1/events, GET and DELETE /v1/agent, on three nodes with real Kafka and PostgreSQL."""

import concurrent.futures
import contextlib
import hashlib
import json
import pathlib
import re
import statistics
import threading
import time

import confluent_kafka.admin
import msgpack
import pytest
import yaml

from agent_client import NO_LIMITS, AgentClients, ask
from agents_fixture import new_token
from postgres_fixture import wait_until
from system_fixture import PREFIX, System, state_fact

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPIC = PREFIX + "agent"
NODES = 3
PUBLISH_TIMEOUT_MS = 1500
CARD = "4242 4242 4242 4242"
DECISION = "dec_01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture(scope="module", name="system")
def three_nodes():
    settings = {**NO_LIMITS, "publish_timeout_ms": PUBLISH_TIMEOUT_MS}
    with System(ingress=settings) as system:
        for _ in range(NODES - 1):
            system.add_ingress()
        system.wait_ready()
        yield system


@pytest.fixture(name="agents")
def of_this_system(system):
    return AgentClients(system)


def records_of(system, account):
    """The records of an account in the agent topic: (headers, value)."""
    found = [record for record in system.read_topic("agent") if record.key() == account.encode()]
    return [(dict(record.headers()), msgpack.unpackb(record.value())) for record in found]


# --- events


def test_one_event_is_kept(system, agents):
    """Why: API.md and promise 1; a 202 means that Kafka has it, with every field and nothing else. How: one event with
    all members through node 2, read back from Kafka."""
    agent = agents.connect()
    text = "Two notebooks – 12,50 €\n\"thanks\" 😀"
    before = int(time.time() * 1000)
    reply = agent.report({"id": "order-1001", "type": "purchase.completed", "occurred_at": "2026-01-02T03:04:05.678+01:00",
                          "decision_id": DECISION, "amount": 1250, "currency": "usd", "text": text}, node=2)
    assert (reply.status, reply.json()) == (202, {"accepted": 1, "events": [{"id": f"{agent.account}/order-1001"}]})
    [(headers, value)] = records_of(system, agent.account)
    assert before - 1000 <= value.pop("received_at_ms") <= time.time() * 1000 + 1000
    assert value == {"account_id": agent.account, "agent_id": agent.id, "report_id": "order-1001", "kind": "purchase.completed",
                     "occurred_at_ms": 1767319445678, "decision_id": DECISION, "amount": 1250, "currency": "usd", "text": text}
    assert headers["ce_id"].decode() == f"{agent.account}/order-1001"
    assert headers["ce_type"] == b"watchpost.agent.report" and headers["ce_time"] == b"2026-01-02T02:04:05.678Z"
    assert headers["ce_source"] == b"//watchpost.systems/development/ingress" and "ce_sequence" not in headers
    [line] = [line for line in system.ingresses[1].log.read_text().splitlines() if reply.headers["watchpost-request-id"] in line]
    assert f"agent={agent.id}" in line and "events=1" in line and "reason=kept" in line and "notebooks" not in line


def test_a_list_is_kept_in_its_order(system, agents):
    """Why: one answer for up to a hundred, after the delivery reports of all. How: the largest list, some with ids of
    the agent's and some without; ids in the answer and records in Kafka stand in the order of the list."""
    agent = agents.connect()
    events = [{"type": "note", "text": f"number {n}", **({"id": f"n-{n}"} if n % 3 else {})} for n in range(100)]
    reply = agent.report({"events": events})
    assert reply.status == 202 and reply.json()["accepted"] == 100
    ids = [event["id"] for event in reply.json()["events"]]
    assert len(set(ids)) == 100
    for n, given in enumerate(ids):
        assert given == f"{agent.account}/n-{n}" if n % 3 else re.fullmatch(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}", given)
    records = records_of(system, agent.account)
    assert [headers["ce_id"].decode() for headers, _ in records] == ids
    assert [value["text"] for _, value in records] == [event["text"] for event in events]
    assert all(headers["ce_time"] for headers, _ in records)


GOOD = {"type": "note"}
REFUSALS = {
    "not JSON": (b"{", 400, "json_invalid", None),
    "empty": (b"", 400, "json_invalid", None),
    "not an object": ([GOOD], 422, "event_invalid", None),
    "no type": ({"amount": 1}, 422, "event_invalid", "type"),
    "another type": ({"type": "refund"}, 422, "event_invalid", "type"),
    "unknown member": ({**GOOD, "merchant": "x"}, 422, "event_invalid", "merchant"),
    "scope from the body": ({**GOOD, "account_id": "acct_1"}, 422, "event_invalid", "account_id"),
    "member twice": (b'{"type":"note","type":"note"}', 422, "event_invalid", "type"),
    "id": ({**GOOD, "id": "a b"}, 422, "event_invalid", "id"),
    "occurred_at": ({**GOOD, "occurred_at": "yesterday"}, 422, "event_invalid", "occurred_at"),
    "tomorrow's morrow": ({**GOOD, "occurred_at": "2999-01-01T00:00:00Z"}, 422, "event_invalid", "occurred_at"),
    "decision_id": ({**GOOD, "decision_id": "dec_1"}, 422, "event_invalid", "decision_id"),
    "negative": ({**GOOD, "amount": -1}, 422, "event_invalid", "amount"),
    "fraction": ({**GOOD, "amount": 12.5}, 422, "event_invalid", "amount"),
    "too much": ({**GOOD, "amount": 10**12}, 422, "event_invalid", "amount"),
    "currency": ({**GOOD, "currency": "USD"}, 422, "event_invalid", "currency"),
    "long text": ({**GOOD, "text": "x" * 1001}, 422, "event_invalid", "text"),
    "null": ({**GOOD, "text": None}, 422, "event_invalid", "text"),
    "token": ({**GOOD, "text": "it is wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"}, 422, "secret_refused", "text"),
    "token as id": ({**GOOD, "id": "wp_ABCDEFGHJKMNPQRSTVWXYZ234567ABCD"}, 422, "secret_refused", "id"),
    "API key": ({**GOOD, "text": "sk_live_51Habcdefg"}, 422, "secret_refused", "text"),
    "card": ({**GOOD, "text": CARD}, 422, "card_data_refused", "text"),
    "card in full width": ({**GOOD, "text": CARD.translate({d: d + 0xFEE0 for d in range(48, 58)})}, 422, "card_data_refused", "text"),
    "card as id": ({**GOOD, "id": CARD.replace(" ", "-")}, 422, "card_data_refused", "id"),
    "empty list": ({"events": []}, 422, "event_invalid", "events"),
    "long list": ({"events": [GOOD] * 101}, 422, "event_invalid", "events"),
    "no list": ({"events": GOOD}, 422, "event_invalid", "events"),
    "beside a list": ({"events": [GOOD], "type": "note"}, 422, "event_invalid", "events"),
    "in a list": ({"events": [GOOD, GOOD, {**GOOD, "amount": -1}]}, 422, "event_invalid", "events[2].amount"),
    "card in a list": ({"events": [GOOD, {**GOOD, "text": CARD}]}, 422, "card_data_refused", "events[1].text"),
    "no event in a list": ({"events": [GOOD, 7]}, 422, "event_invalid", "events[1]"),
    "too large": (b'{"type":"note","text":"' + b"x" * 524288 + b'"}', 413, "body_too_large", None),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_is_named(system, agents, case):
    """Why: answers table; W5 names the field, and nothing is published when one item is wrong. How: each rule broken by
    a request of its own; the status, the code, the field, and no record of this account."""
    body, status, code, field = REFUSALS[case]
    agent = agents.connect()
    reply = agent.report(body)
    assert (reply.status, reply.code, reply.field) == (status, code, field), reply.body
    assert reply.headers["content-type"] == "application/problem+json" and "retry-after" not in reply.headers
    assert CARD not in str(reply.json()) and "wp_" not in str(reply.json())
    assert records_of(system, agent.account) == []


def test_the_second_of_one_id_is_a_duplicate(system, agents):
    """Why: after a 503 the same is sent again; the ledger tells which is the second (API.md: the event's id is account and
    id). How: one id twice, through two nodes, beside the same id of another account: three rows, the second marked."""
    agent, other = agents.connect(), agents.connect()
    for sender, node in ((agent, 1), (agent, 2), (other, 3)):
        assert sender.report({"id": "order-7", "type": "note"}, node).status == 202

    def rows(account):
        return system.query("select event_id, duplicate, type, actor, summary from report.audit where account_id = %s "
                            "order by record_offset", [account])
    wait_until(lambda: len(rows(agent.account)) == 2 and len(rows(other.account)) == 1, "the ledger's rows")
    assert rows(agent.account) == [(f"{agent.account}/order-7", second, "watchpost.agent.report", agent.id,
                                    f"kind=note agent_id={agent.id}") for second in (False, True)]
    assert not rows(other.account)[0][1]


@contextlib.contextmanager
def small_batches(system, bytes_max):
    """The topic takes no more than so many bytes at once."""
    def change(**settings):
        resource = confluent_kafka.admin.ConfigResource("topic", TOPIC)
        for name, value in {"message.timestamp.type": "LogAppendTime", **settings}.items():
            resource.set_config(name.replace("_", "."), str(value))
        admin = system.kafka.admin()
        for future in admin.alter_configs([resource]).values():
            future.result(20)
    change(max_message_bytes=bytes_max)
    try:
        yield
    finally:
        change()


def test_a_list_that_is_kept_in_part_is_refused(system, agents):
    """Why: 202 only when all is kept; else 503, and sending again with the same ids is safe. How: the topic refuses records
    of 2,000 bytes and more, so that of a list only small ones are kept; sent again when it takes them, all are there and those that
    come twice are marked."""
    agent = agents.connect()
    events = [{"id": f"e{n}", "type": "note", "text": "😀" * (990 if n == 2 else 1)} for n in range(3)]
    with small_batches(system, 2000):
        reply = agent.report({"events": events})
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
        kept = len(records_of(system, agent.account))
        assert kept < 3
    assert agent.report({"events": events}).status == 202
    ids = [f"{agent.account}/e{n}" for n in range(3)]

    def rows():
        return system.query("select event_id, duplicate from report.audit where account_id = %s", [agent.account])
    wait_until(lambda: len(rows()) == 3 + kept, "the ledger's rows")
    assert sorted(name for name, duplicate in rows() if not duplicate) == ids
    assert sum(duplicate for _, duplicate in rows()) == kept


# --- who am I, paused, suspended


def test_who_am_i(system, agents):
    """Why: API.md. How: an agent with a name that JSON must escape, before and after its first use was noted, on every
    node; the answer holds what is known and leaves out what later versions bring."""
    agent = agents.connect(name='Jane\'s "shopping" agent – é')
    for node in range(1, NODES + 1):
        reply = agent.get(node)
        assert reply.status == 200 and reply.headers["cache-control"] == "no-store"
        said = reply.json()
        assert set(said) == {"agent", "account"} and said["account"] == {"id": agent.account, "state": "active"}
        created, used = said["agent"].pop("created_at"), said["agent"].pop("last_used_at")
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created)
        assert used is None or used >= created[:10]
        assert said["agent"] == {"id": agent.id, "name": agent.name, "state": "active", "token_prefix": agent.token[:8]}
    assert agent.ask("HEAD", "/v1/agent").body == b""


def test_paused_and_suspended(system, agents):
    """Why: answers table and D9: events are refused by 403, while the agent may ask who it is and disconnect. How: each
    state set and taken back; codes, and what GET says."""
    paused, suspended = agents.connect(), agents.connect()
    agents.change(paused, "pause")
    agents.change_account(suspended, "suspend")

    def answers(node):
        return [(agent.report(GOOD, node).code, agent.get(node).status) for agent in (paused, suspended)]
    for node in range(1, NODES + 1):
        wait_until(lambda n=node: answers(n) == [("agent_paused", 200), ("account_suspended", 200)], "the states to be known", 3)
    assert paused.report(GOOD).status == suspended.report(GOOD).status == 403
    assert paused.get().json()["agent"]["state"] == "paused" and suspended.get().json()["account"]["state"] == "suspended"
    agents.change(paused, "resume")
    agents.change_account(suspended, "resume")
    wait_until(lambda: paused.report(GOOD).status == suspended.report(GOOD).status == 202, "the states to be known", 3)
    agents.change(paused, "pause")
    wait_until(lambda: paused.report(GOOD).status == 403, "the state to be known", 3)
    assert paused.disconnect().status == 200 and paused.get().status == 401


# --- disconnecting


def test_disconnected_is_dead_on_every_node_at_once(system, agents):
    """Why: promise 2 and R5: when the answer is there, no node accepts the token. How: agents whose tokens every node has
    just accepted disconnect through each node in turn, while threads hammer all nodes with the token: every request that began after
    the answer is 401. The answer says 3 of 3."""
    took = []
    for round_number in range(15):
        agent = agents.connect()
        assert [agent.get(node).status for node in range(1, NODES + 1)] == [200] * NODES
        answered, over, wrong = threading.Event(), threading.Event(), []

        def hammer(node, agent=agent, answered=answered, over=over, wrong=wrong):
            while not over.is_set():
                after = answered.is_set()
                status = agent.get(node).status
                if status not in ((401,) if after else (200, 401)):
                    wrong.append((node, status, after))
        with concurrent.futures.ThreadPoolExecutor(NODES) as pool:
            hammering = [pool.submit(hammer, node) for node in range(1, NODES + 1)]
            started = time.monotonic()
            reply = agent.disconnect(1 + round_number % NODES)
            answered.set()
            took.append((time.monotonic() - started) * 1000)
            statuses = [agent.report(GOOD, node).status for node in range(1, NODES + 1)]
            time.sleep(0.05)
            over.set()
            for one in hammering:
                one.result(20)
        assert reply.status == 200 and statuses == [401] * NODES and wrong == []
        said = reply.json()
        assert said["revoked"] is True and (said["in_force"]["nodes"], said["in_force"]["of"]) == (NODES, NODES)
        assert 0 <= said["in_force"]["after_ms"] <= 1100
    assert system.query("select state from report.agents where agent_id = %s", [agent.id]) == [("revoked",)]
    assert system.query("select payload ->> 'change', payload ->> 'cause', payload ->> 'actor' from wp.outbox where topic = 'access' "
                        "and key = %s order by number desc limit 1", [agent.account]) == [("revoked", "agent", f"agent:{agent.id}")]
    assert agent.disconnect().status == 401
    state_fact(f"DELETE /v1/agent on three nodes, polling alone: median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms")


def test_a_node_that_stands_still_does_not_hold_it_back(system, agents):
    """Why: R5: after ACCESS_WAIT_MS on the waiter's own clock no lease is older than the change. How: node 3 is stopped
    after it accepted the token; the answer comes after a second and says 2 of 3; continued, node 3 refuses at once."""
    agent = agents.connect()
    assert [agent.get(node).status for node in range(1, NODES + 1)] == [200] * NODES
    system.ingresses[2].pause()
    try:
        started = time.monotonic()
        reply = agent.disconnect()
        took = time.monotonic() - started
    finally:
        system.ingresses[2].resume()
    assert [agent.get(node).status for node in (3, 2, 1)] == [401] * NODES
    assert reply.status == 200 and 0.99 <= took <= 1.6
    said = reply.json()["in_force"]
    assert (said["nodes"], said["of"]) == (2, 3) and said["after_ms"] >= 1000


def test_an_unknown_outcome_is_asked_again(system, agents):
    """Why: R5: an unknown commit outcome is retried, never answered. How: the change waits for a lock while the server
    ends the ingress' connections under it; when the lock goes, the answer comes, and it is true."""
    agent = agents.connect()
    assert agent.get().status == 200
    with contextlib.closing(system.postgres.connect()) as holder, concurrent.futures.ThreadPoolExecutor(1) as pool:
        cursor = holder.cursor()
        cursor.execute("begin")
        cursor.execute("select 1 from wp.agents where agent_id = %s for update", [agent.id])
        reply = pool.submit(agent.disconnect)
        waiting = "select pid from pg_stat_activity where usename = 'watchpost_ingress' and wait_event_type = 'Lock'"
        wait_until(lambda: system.query(waiting), "the change to wait")
        system.query(f"select pg_terminate_backend(pid) from ({waiting}) w")
        time.sleep(0.3)
        assert not reply.done()
        cursor.execute("rollback")
        answer = reply.result(20)
    assert answer.status == 200 and answer.json()["in_force"]["nodes"] == NODES
    assert [agent.get(node).status for node in range(1, NODES + 1)] == [401] * NODES


def test_an_outcome_that_stays_unknown_is_not_answered(system, agents):
    """Why: the same, when it does not end well: 503 says that nobody knows, and asking again tells. How: the lock stays
    longer than the ingress tries."""
    agent = agents.connect()
    assert agent.get().status == 200
    with contextlib.closing(system.postgres.connect()) as holder:
        cursor = holder.cursor()
        cursor.execute("begin")
        cursor.execute("select 1 from wp.agents where agent_id = %s for update", [agent.id])
        started = time.monotonic()
        reply = agent.disconnect()
        took = time.monotonic() - started
        cursor.execute("rollback")
    assert (reply.status, reply.code) == (503, "unavailable") and "retry-after" in reply.headers and 4 < took < 9
    again = agent.disconnect()
    assert again.status in (200, 401)
    assert [agent.get(node).status for node in range(1, NODES + 1)] == [401] * NODES


def test_a_client_that_goes_away_has_still_disconnected(system, agents):
    """Why: the waiting ends with its client, the change does not. How: the client closes while a stopped node holds the
    answer back; the ingress goes on, and the token is dead."""
    agent = agents.connect()
    assert [agent.get(node).status for node in (1, 3)] == [200, 200]
    system.ingresses[2].pause()
    try:
        with contextlib.closing(system.connection()) as connection:
            connection.request("DELETE", "/v1/agent", headers={"Authorization": f"Bearer {agent.token}"})
            wait_until(lambda: system.query("select state from report.agents where agent_id = %s", [agent.id]) == [("revoked",)],
                       "the change")
    finally:
        system.ingresses[2].resume()
    wait_until(lambda: [agent.get(node).status for node in (1, 2, 3)] == [401] * 3, "every node to refuse", 3)
    assert all(ingress.process.poll() is None for ingress in system.ingresses)


# --- tenants


def agent_routes():
    """(method, path) of every route that takes a token, from the contract; a test holds the contract and the table together."""
    contract = yaml.safe_load((ROOT / "schemas/openapi.yaml").read_text(encoding="utf-8"))
    return {(method.upper(), path) for path, item in contract["paths"].items() for method, operation in item.items()
            if method != "servers" and {"agentToken": []} in operation.get("security", [])}


def walk_get(agent, of):
    """A's ids in query and headers, where a careless program would look for a scope."""
    reply = agent.ask("GET", f"/v1/agent?agent_id={of.id}&account_id={of.account}&token={hashlib.sha256(of.token.encode()).hexdigest()}",
                      headers={"X-Account-Id": of.account, "X-Agent-Id": of.id})
    assert reply.status == 200 and reply.json()["agent"]["id"] == agent.id
    return reply


def walk_events(agent, of):
    """A's ids wherever an event takes one, and where it takes none."""
    for member in ("account_id", "agent_id", "account", "agent", "key"):
        assert agent.report({"type": "note", member: of.account}).status == 422
    reply = agent.report({"events": [{"type": "note", "id": "order-1"}, {"type": "note", "id": of.account},
                                     {"type": "note", "decision_id": "dec_" + of.id.removeprefix("agent_")}]})
    ids = [event["id"] for event in reply.json()["events"]]
    assert reply.status == 202 and ids[:2] == [f"{agent.account}/order-1", f"{agent.account}/{of.account}"]
    return None


def walk_delete(agent, of):
    reply = agent.ask("DELETE", f"/v1/agent?agent_id={of.id}&account_id={of.account}", headers={"X-Agent-Id": of.id})
    assert reply.status == 200
    return reply


CASES = {("GET", "/v1/agent"): walk_get, ("POST", "/v1/events"): walk_events, ("DELETE", "/v1/agent"): walk_delete}


def test_every_route_as_another_tenant(system, agents):
    """Why: tenants: nothing told, nothing changed. How: B calls every route that takes a token with A's ids in every place
    that holds one; A's rows, records and answers are the same before and after. A new route without a case here fails."""
    assert agent_routes() == set(CASES)
    a = agents.connect(name="Agent of A")
    assert a.report({"type": "note", "id": "order-1"}).status == 202

    def everything():
        rows = system.query("select to_jsonb(g) from wp.agents g where account_id = %s", [a.account])
        rows += system.query("select to_jsonb(c) from wp.accounts c where account_id = %s", [a.account])
        rows += system.query("select to_jsonb(o) from wp.outbox o where key = %s order by outbox_id", [a.account])
        return rows, records_of(system, a.account), a.get().json()["account"]
    before = everything()
    for method, path in sorted(CASES, reverse=True):
        b = agents.connect(name="Agent of B")
        reply = CASES[(method, path)](b, a)
        if reply is not None:
            for secret in (a.id, a.account, a.name, a.token[:8]):
                assert secret not in reply.body.decode() + json.dumps(reply.headers)
    assert everything() == before and a.get().status == 200


def test_nobody_passes_without_a_token(system):
    """Why: W4 before any work. How: every route that takes a token, with none, with one of the right shape, and with a
    body that is not read: 401 and the scheme."""
    for method, path in agent_routes():
        for token in (None, new_token(), "x"):
            reply = ask(system, method, path, b"{" if method == "POST" else None, token)
            assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")


# --- Kafka away; last, since the system is disturbed


def test_kafka_that_hangs_or_is_away(system, agents):
    """Why: promise 1: no 2xx without Kafka; W7's own deadline. How: a broker that stands still (after the deadline), then
    one that is gone (at once, when that is known): 503 and Retry-After, single and list; back again, 202 and everything once more."""
    agent = agents.connect()
    two = {"events": [{"id": "h1", "type": "note"}, {"id": "h2", "type": "note"}]}
    assert agent.report(two).status == 202
    system.kafka.pause()
    try:
        for body in (two, GOOD):
            started = time.monotonic()
            reply = agent.report(body)
            assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "unavailable", "1")
            assert time.monotonic() - started < PUBLISH_TIMEOUT_MS / 1000 + 2
    finally:
        system.kafka.resume()
    wait_until(lambda: agent.report(two).status == 202, "Kafka to be back", 60)
    system.kafka.kill9()
    wait_until(lambda: agent.report(two).status == 503, "Kafka to be missed")
    started = time.monotonic()
    assert agent.report(two).status == 503 and agent.get().status == 200
    assert time.monotonic() - started < PUBLISH_TIMEOUT_MS / 1000 + 2
    assert agent.disconnect().status == 200 and agent.get().status == 401
    system.kafka.start()
    system.wait_ready()
    again = agents.connect(agent.account)
    wait_until(lambda: again.report(two).status == 202, "Kafka to be back", 60)
    assert all(ingress.process.poll() is None for ingress in system.ingresses)
