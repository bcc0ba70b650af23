"""Promise 2, revoked means refused (R1 to R7), on three nodes with everything failing: no stale accept.

The oracle is one clock: a request whose last byte was sent after its token's revoke returned must not be accepted, whatever
became of nodes, networks and servers meanwhile. The model of the same protocol is docs/models/lease.pml.

Seen failing: with a lease of 5 s test_no_stale_accept found 214, 294 and 630 stale accepts of 400 revokes, and with a PostgreSQL
whose commits are not durable (synchronous_commit off) 34, of a revoke that a crash undid; with entries deleted instead of
overwritten by their number test_a_look_up_that_a_revoke_overtakes is given 202 by a revoked token.
"""

import collections
import concurrent.futures
import math
import random
import socket
import statistics
import threading
import time

import pytest

from agents_fixture import new_token
from revoke_fixture import ACCEPTS_NOT, LEASE_S, NODES, WAIT_S, Faults, Nodes, Revoker, now_ns, percentile
from system_fixture import FULL, state_fact, wait_until

SEED = 20261127
REVOKES = 10000 if FULL else 400
REVOKERS = 6            # at a time
BEHIND, AHEAD = 100, 100  # the window of agents that knock: those revoked last, those whose turn comes
HEALTHY_REVOKES = 2000 if FULL else 200
PAUSED_REVOKES = 200 if FULL else 24
CROWD_MANY, CROWD_ONE_ACCOUNT = 100000, 1000
TIMING_SAMPLES = 5000 if FULL else 800  # of each kind
BUSY_MS = 200           # what a machine that others use too may add; the aims are stated beside what was measured
FLOOD_ADDRESSES, FLOOD_LIMIT, FLOOD_SECONDS = 16, 20, 8 if FULL else 4
FLOOD_ROUNDS = 3        # until one is not disturbed by others
SLACK_S = 0.1           # between a lease's end and what a busy machine notices of it
NS = 10**9


@pytest.fixture(scope="module")
def nodes():
    with Nodes() as nodes:
        yield nodes


@pytest.fixture
def healthy(nodes):
    nodes.heal()
    nodes.fanned_out()
    return nodes


@pytest.fixture
def revoker(healthy):
    revoker = Revoker(healthy)
    yield revoker
    revoker.close()


def accepted(record):
    return record.status not in ACCEPTS_NOT


def stale_accepts(records, revoked):
    """revoked: place in the crowd -> Revoked."""
    return [record for record in records
            if accepted(record) and record.token in revoked and record.sent_ns > revoked[record.token].returned_ns]


def check(records, revoked):
    """No stale accept, and a test that could have seen one: tokens were accepted before their revoke, and tried after it."""
    stale = stale_accepts(records, revoked)
    lines = [f"{record} after {(record.sent_ns - revoked[record.token].returned_ns) / 1e6:.1f} ms, {revoked[record.token]}"
             for record in stale[:20]]
    assert not stale, f"{len(stale)} stale accepts of {len(revoked)} revokes:\n" + "\n".join(lines)
    before = {record.token for record in records if accepted(record)}
    after = collections.Counter(record.token for record in records
                                if record.token in revoked and record.sent_ns > revoked[record.token].returned_ns)
    assert len(before & set(revoked)) > len(revoked) * 0.8, "most tokens are used before they are revoked"
    assert len(after) > len(revoked) * 0.8, "most tokens are tried after they are revoked"
    return sum(after.values())


def latencies(revoked):
    took = [one.took_ms for one in revoked.values()]
    return f"p50 {percentile(took, 0.5):.0f} ms, p99 {percentile(took, 0.99):.0f} ms"


WAYS_OF = {"agent": lambda revoker, agent, port: revoker.disconnect(agent, port),
           "operator": lambda revoker, agent, port: revoker.operator(agent),
           "watchpostctl": lambda revoker, agent, port: revoker.watchpostctl(agent)}
WAYS = ["agent"] * 4 + ["operator"] * 3 + ["watchpostctl"]


class Revoking:
    """Revokes a crowd in its order, several at a time, in every way, and keeps the knocker's window at its heels."""

    def __init__(self, nodes, crowd, knocker, seed):
        self.nodes, self.crowd, self.knocker = nodes, crowd, knocker
        self.dice = random.Random(seed)
        self.next = AHEAD
        self.revoked = {}
        self.failures = []
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            if self.next == len(self.crowd) or self.failures:
                return None
            place, self.next = self.next, self.next + 1
            self.knocker.move(place - BEHIND, BEHIND + AHEAD)
            return self.crowd[place], place, self.dice.choice(WAYS), self.dice.choice(self.nodes.ports)

    def work(self):
        revoker = Revoker(self.nodes)
        try:
            while (turn := self.take()) is not None:
                agent, place, way, port = turn
                self.revoked[place] = WAYS_OF[way](revoker, agent, port)
                time.sleep(0.02 if FULL else 0.15)
        except Exception as error:  # pylint: disable=broad-except  # told to the test's own thread
            self.failures.append(repr(error))
        finally:
            revoker.close()

    def run(self):
        threads = [threading.Thread(target=self.work) for _ in range(REVOKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not self.failures, self.failures
        return self.revoked


def test_revokes_are_quick_when_all_is_well(healthy, revoker):
    """How: agents knock at three nodes while half of them disconnect themselves and operators revoke the others, one by one."""
    crowd = healthy.crowd(HEALTHY_REVOKES + AHEAD)
    healthy.fanned_out()
    revoked = {}
    with healthy.knocker(crowd, rate=500) as knocker:
        knocker.move(0, BEHIND + AHEAD)
        time.sleep(5)  # the nodes get to know those that knock, and Kafka compiles itself
        for place in range(HEALTHY_REVOKES):
            knocker.move(place - BEHIND, BEHIND + AHEAD)
            revoked[place] = revoker.disconnect(crowd[place], healthy.ports[place % NODES]) if place % 2 else \
                revoker.operator(crowd[place])
            time.sleep(0.02)
        time.sleep(0.3)
    tries = check(knocker.records, revoked)
    took = [one.took_ms for one in revoked.values()]
    state_fact(f"revoke: all healthy, {len(revoked)} revokes one by one under 500 requests/s: in force everywhere after "
               f"{latencies(revoked)} (aim: p99 50 ms); {tries} requests after them, 0 accepted")
    assert percentile(took, 0.5) <= BUSY_MS and percentile(took, 0.99) <= WAIT_S * 1000


def test_a_paused_node_holds_up_no_revoke(healthy, revoker):
    """R5: a node that stands still is waited for until its lease is over, no longer. It continues, and accepts nobody. How: SIGSTOP
    of one node, revokes that wait, SIGCONT while its connections are full of requests."""
    crowd = healthy.crowd(PAUSED_REVOKES + AHEAD)
    revoked = {}
    with healthy.knocker(crowd, rate=600) as knocker:
        knocker.move(0, len(crowd))
        time.sleep(1.5)
        for place in range(PAUSED_REVOKES):
            node = healthy.ingresses[place % NODES]
            if place % 4 == 0:
                node.pause()
            revoked[place] = revoker.operator(crowd[place])
            if place % 4 == 3:
                healthy.ingresses[(place - 3) % NODES].resume()
                time.sleep(0.3)
    tries = check(knocker.records, revoked)
    took = [one.took_ms for one in revoked.values()]
    state_fact(f"revoke: a node paused longer than its lease, {len(revoked)} revokes: {latencies(revoked)}, most {max(took):.0f} ms "
               f"(bound: {WAIT_S * 1000 + 100:.0f} ms); {tries} requests after them, 0 accepted")
    assert percentile(took, 0.5) <= WAIT_S * 1000 + 100 and max(took) <= WAIT_S * 1000 + 5 * BUSY_MS


def test_no_stale_accept(healthy):
    """The whole of it: revokes under load while nodes are paused, killed and restarted, PostgreSQL and Kafka restarted and killed,
    connections delayed, stalled and cut. Every eighth event keeps its last byte back for 100 ms (R3 at W7)."""
    crowd = healthy.crowd(REVOKES + AHEAD)
    with healthy.knocker(crowd) as knocker:
        knocker.move(0, BEHIND + AHEAD)
        time.sleep(1)
        with Faults(healthy, SEED) as faults:
            revoked = Revoking(healthy, crowd, knocker, SEED).run()
        time.sleep(2)
    tries = check(knocker.records, revoked)
    statuses = collections.Counter(record.status for record in knocker.records)
    state_fact(f"revoke: {len(revoked)} revokes under {sum(faults.counts.values())} faults (seed {SEED}: "
               f"{', '.join(f'{kind} {count}' for kind, count in sorted(faults.counts.items()))}): 0 stale accepts in {tries} requests "
               f"after them; {len(knocker.records)} requests in all, {sum(map(accepted, knocker.records))} accepted, "
               f"{statuses[401]} times 401, {statuses[503]} times 503, {statuses[0]} without an answer; {latencies(revoked)}")


def test_a_look_up_that_a_revoke_overtakes(healthy, revoker):
    """R6: what a look-up read before the revoke is not brought back by filling it in after. How: a node whose look-ups are answered
    300 ms late while its polls are quick; a request with a token that is not cached there, its revoke meanwhile, and another request
    when the first look-up has come back."""
    crowd = healthy.crowd(20)
    port = healthy.ports[0]
    healthy.slow_lookups(1, 300)
    took = []
    try:
        for agent in crowd:
            first = threading.Thread(target=revoker.report, args=(agent, port))
            first.start()
            time.sleep(0.05)
            took.append(revoker.operator(agent).took_ms)
            first.join()
            assert revoker.report(agent, port) == 401
    finally:
        healthy.proxy.heal("postgres-1")
    assert sum(ms < 200 for ms in took) > 10, "most revokes were in force before their look-up came back"


def test_without_a_lease_every_request_reads_the_primary(healthy, revoker):
    """R3: a node whose polls do not come back, while PostgreSQL answers its look-ups, goes on serving, also many requests of one token
    at once, and refuses the token when its revoke returned. How: only the poller's connection is stalled."""
    agent = healthy.crowd(1)[0]
    port = healthy.ports[0]
    healthy.proxy.shape("postgres-1", up_ms=None, down_ms=None, spare="watchpost-ingress\0")
    try:
        wait_until(lambda: healthy.ingresses[0].metric("watchpost_access_lease_left_milliseconds") == 0, "the lease to run out")
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            before = list(pool.map(lambda _: revoker.report(agent, port), range(200)))
            took_ms = revoker.operator(agent).took_ms
            after = list(pool.map(lambda _: revoker.report(agent, port), range(40)))
    finally:
        healthy.proxy.heal("postgres-1")
    assert collections.Counter(before) == {202: 200}
    assert collections.Counter(after) == {401: 40}
    assert took_ms >= WAIT_S * 1000


def test_kafka_away(healthy, revoker):
    """R7: wake-ups make it fast, the lease makes it true: without Kafka a revoke is in force within the lease, and most are sooner
    than polls alone (every 100 ms, by three nodes) would have it, for the database notifies the nodes. Seen failing: without LISTEN
    the median was 102 ms."""
    crowd = healthy.crowd(40)
    healthy.fanned_out()
    revoked = {}
    with healthy.knocker(crowd, rate=300, get_only=True) as knocker:
        time.sleep(1)
        healthy.kafka.kill9()
        time.sleep(0.5)
        for place in range(20):
            revoked[place] = revoker.operator(crowd[place])
        time.sleep(0.5)
    tries = check(knocker.records, revoked)
    took = [one.took_ms for one in revoked.values()]
    healthy.heal()
    state_fact(f"revoke: Kafka away, {len(revoked)} revokes: {latencies(revoked)} (bound: the lease, {LEASE_S * 1000:.0f} ms); "
               f"{tries} requests after them, 0 accepted")
    assert max(took) <= LEASE_S * 1000
    assert percentile(took, 0.5) < 60


def test_postgres_away(healthy):
    """R7: with PostgreSQL away nothing is accepted once the leases have run out; every answer is 503, and a second after its return
    tokens are accepted again. (GET /v1/agent reads PostgreSQL anyway, so events are what a lease alone lets through.)"""
    crowd = healthy.crowd(40)
    with healthy.knocker(crowd, rate=600) as knocker:
        time.sleep(1.5)
        healthy.postgres.kill()
        gone_ns = now_ns()
        time.sleep(3)
        starting_ns = now_ns()
        healthy.postgres.start()
        back_ns = now_ns()
        time.sleep(2.5)
    over_ns = gone_ns + int(LEASE_S * NS)
    away = [record for record in knocker.records if gone_ns < record.sent_ns < starting_ns]
    late = [record for record in away if accepted(record) and record.sent_ns > over_ns and record.done_ns < starting_ns]
    assert not late, f"{len(late)} accepted without PostgreSQL: {late[:5]}"
    under_lease = sum(map(accepted, away))
    refused = collections.Counter(record.status for record in away
                                  if record.sent_ns > over_ns + SLACK_S * NS and record.done_ns < starting_ns)
    assert set(refused) == {503}, refused
    first = [min(record.done_ns for record in knocker.records
                 if record.port == port and record.sent_ns > starting_ns and accepted(record)) - back_ns for port in range(NODES)]
    state_fact(f"revoke: PostgreSQL killed for 3 s: {under_lease} events accepted under the leases that were left, none after them "
               f"({refused[503]} times 503); accepted again after {', '.join(f'{max(0, ns) / 1e6:.0f}' for ns in first)} ms by node")
    assert under_lease > 0 and max(first) <= NS


def test_a_thousand_of_a_hundred_thousand(healthy, revoker):
    """"Everything of this account": 1,000 of 100,000 agents at once. How: 99,000 by plain SQL (what is connected is not the point),
    all of the account's known to every node's cache, one change, requests of all of them before and after."""
    healthy.query("""
        with made as (select 'acct_' || lpad(upper(to_hex(n)), 26, '0') as account_id, n from generate_series(1, 990) n),
        accounts as (insert into wp.accounts (account_id, name) select account_id, 'Many' from made returning account_id)
        insert into wp.agents (agent_id, account_id, name, token_hash, token_prefix)
        select 'agent_' || lpad(upper(to_hex(m.n * 1000 + g)), 26, '0'), m.account_id, 'Many',
            sha256(('wp_many' || (m.n * 1000 + g))::bytea), 'wp_AAAAA'
        from made m, generate_series(1, 100) g""")
    account = healthy.agents.account()
    crowd = healthy.agents.connect_many(account, CROWD_ONE_ACCOUNT)
    others = healthy.crowd(20)
    assert healthy.query("select count(*) >= %s from wp.agents", [CROWD_MANY]) == [(True,)]
    healthy.fanned_out(120)
    with healthy.knocker(crowd + others, rate=1500, hold_every=0) as knocker:
        time.sleep(4)
        revoked = revoker.everything(account)
        time.sleep(2)
    tries = check(knocker.records, dict.fromkeys(range(CROWD_ONE_ACCOUNT), revoked))
    assert any(accepted(record) and record.token >= CROWD_ONE_ACCOUNT and record.sent_ns > revoked.returned_ns
               for record in knocker.records), "other accounts' agents go on"
    state_fact(f"revoke: everything of an account, {CROWD_ONE_ACCOUNT} of {CROWD_MANY} agents at once: in force on {NODES} nodes after "
               f"{revoked.took_ms:.0f} ms; {tries} requests after it, 0 accepted")
    assert revoked.took_ms <= WAIT_S * 1000 + 20 * BUSY_MS, revoker.errors


# --- what an outsider can learn from time ---------------------------------------------------------------------------------------


class Stopwatch:
    """One connection to a node, and how long each answer takes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, authorization):
        """(status, microseconds)"""
        request = f"GET /v1/agent HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\n\r\n".encode()
        began = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4096)
        took = (time.perf_counter_ns() - began) / 1000
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self.socket.recv(4096)
        assert b"connection: close" not in head.lower()
        return int(head.split()[1]), took


def ks_p_value(one, other):
    """Two-sample Kolmogorov-Smirnov: the chance of a distance as large between samples of one distribution (asymptotic)."""
    merged = sorted([(value, 1 / len(one)) for value in one] + [(value, -1 / len(other)) for value in other])
    distance = at = 0.0
    for place, (value, step) in enumerate(merged):
        at += step
        if place + 1 == len(merged) or merged[place + 1][0] > value:
            distance = max(distance, abs(at))
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    lambda_ = (root + 0.12 + 0.11 / root) * distance
    return min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * lambda_ * lambda_) for k in range(1, 101)))


def test_refusals_take_one_time(healthy, revoker):
    """Unknown, malformed and revoked tokens cannot be told apart by time: all leave on the 20 ms grid. How: the three kinds in random
    order on four connections, so that whatever the machine does meets all alike; two-sample Kolmogorov-Smirnov for each pair, at
    p = 0.001 with all pairs counted (Bonferroni). The test can see: the same samples with 0.2 ms added to one are told apart."""
    gone = healthy.crowd(20)
    for agent in gone:
        revoker.operator(agent)
    kinds = {"unknown": lambda dice: f"Bearer {new_token()}",
             "malformed": lambda dice: f"Bearer {new_token()[:-1]}!",
             "revoked": lambda dice: f"Bearer {dice.choice(gone)[1]}"}
    samples = {kind: [] for kind in kinds}

    def work(number):
        dice = random.Random(SEED + number)
        watch = Stopwatch(healthy.ports[0])
        turns = [kind for kind in kinds for _ in range(TIMING_SAMPLES // 4)]
        dice.shuffle(turns)
        for kind in turns:
            time.sleep(dice.uniform(0, 0.004))
            status, took_us = watch.ask(kinds[kind](dice))
            assert status == 401
            samples[kind].append(took_us)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pairs = [("unknown", "malformed"), ("unknown", "revoked"), ("malformed", "revoked")]
    assert all(len(values) == TIMING_SAMPLES // 4 * 4 for values in samples.values())
    p_values = {pair: ks_p_value(samples[pair[0]], samples[pair[1]]) for pair in pairs}
    medians = {kind: statistics.median(values) / 1000 for kind, values in samples.items()}
    shifted = max(ks_p_value(samples[one], [value + 200 for value in samples[other]]) for one, other in pairs)
    state_fact(f"401s: {len(samples['unknown'])} each of unknown, malformed and revoked tokens, medians "
               f"{', '.join(f'{medians[kind]:.2f}' for kind in kinds)} ms; Kolmogorov-Smirnov p "
               f"{', '.join(f'{one}/{other} {p_values[one, other]:.2f}' for one, other in pairs)} (told apart below 0.0003; "
               f"with 0.2 ms added to one: {shifted:.1g})")
    assert min(p_values.values()) >= 0.001 / len(pairs), (p_values, medians)
    assert shifted < 0.001 / len(pairs), "a difference of a fifth of a millisecond would be seen"


def good_p99_ms(healthy, crowd, seconds):
    with healthy.knocker(crowd, ports=healthy.ports[:1], connections=8, rate=400, hold_every=0) as knocker:
        time.sleep(seconds)
    answered = [record for record in knocker.records if record.status in (200, 202)]
    assert len(answered) > 0.8 * len(knocker.records)
    return percentile([(record.done_ns - record.sent_ns) / 1e6 for record in answered], 0.99), len(answered)


def one_flood(healthy, crowd):
    """Good tokens' p99 before and under it."""
    node = healthy.ingresses[0]
    calm_ms, _ = good_p99_ms(healthy, crowd, FLOOD_SECONDS)
    looked_up = node.metric("watchpost_token_lookups_total")
    began = time.monotonic()
    with healthy.knocker([], ports=healthy.ports[:1], connections=64, sources=FLOOD_ADDRESSES, get_only=True, rate=4000) as flood:
        flooded_ms, answers = good_p99_ms(healthy, crowd, FLOOD_SECONDS)
    took_s = time.monotonic() - began
    looked_up = node.metric("watchpost_token_lookups_total") - looked_up
    statuses = collections.Counter(record.status for record in flood.records)
    bound = FLOOD_ADDRESSES * FLOOD_LIMIT * (took_s + 1) + len(crowd)
    state_fact(f"flood: {len(flood.records)} random tokens from {FLOOD_ADDRESSES} addresses in {took_s:.1f} s: {looked_up:.0f} look-ups "
               f"at the primary (bound: {bound:.0f}), {statuses[401]} times 401, {statuses[429]} times 429, {statuses[503]} times 503; "
               f"good tokens' p99 {calm_ms:.1f} ms before, {flooded_ms:.1f} ms under it ({answers} answers)")
    assert looked_up <= bound
    assert set(statuses) <= {401, 429, 503, 0}
    return calm_ms, flooded_ms


def test_a_flood_of_random_tokens(healthy):
    """What strangers can cost: each address is refused 20 times a second, then 429 without a look-up; so a flood from 16 addresses
    costs the primary at most 16 x 20 look-ups a second and a second's stock, however much it sends, and good tokens' p99 stays
    within twice what it was. How: the node with the default limit, before and under the flood."""
    node = healthy.ingresses[0]
    crowd = healthy.crowd(20)
    node.settings["unauthorized_rate_per_s"] = FLOOD_LIMIT
    node.restart()
    node.wait_ready()
    try:
        good_p99_ms(healthy, crowd, 1)
        for _ in range(FLOOD_ROUNDS):
            calm_ms, flooded_ms = one_flood(healthy, crowd)
            if flooded_ms <= max(2 * calm_ms, calm_ms + 5):
                return
    finally:
        node.settings["unauthorized_rate_per_s"] = 0
        node.restart()
    pytest.fail(f"good tokens' p99 is {flooded_ms:.1f} ms under a flood, {calm_ms:.1f} ms before")


def test_everything_is_recorded_in_the_end(healthy):
    """R7: whatever happened above, revocation-fanout knows when each change was in force."""
    healthy.fanned_out()
    wait_until(lambda: healthy.query("select count(*) from report.revocations where in_force_at is null") == [(0,)],
               "every change to be recorded as in force", 60)
    missing = healthy.query("select count(*) from wp.agents a where a.state = 'revoked' and not exists (select from "
                            "report.revocations r where r.number = a.access_number)")
    assert missing == [(0,)]
