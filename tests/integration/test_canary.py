"""Promise 4 over the whole pipeline: secrets and card data stop at the door. Planted values are looked for everywhere."""

import collections
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import string
import subprocess

import confluent_kafka
import pytest

from agent_client import NO_LIMITS, AgentClients
from postgres_fixture import wait_until
from system_fixture import FULL, KINDS, System, state_fact

FIXTURES = sorted((pathlib.Path(__file__).resolve().parents[1] / "fixtures/stripe").glob("*.json"))
DICE = random.Random(20261123)
ROUTE = "/webhooks/stripe"

# The allow list (docs/design.md, W6): what may stand in an event.
ALLOWED = {"id", "object", "type", "created", "livemode", "api_version", "account", "context", "related_object.id",
           "data.previous_attributes.status", "data.object.items.data.current_period_end",
           *(f"data.object.{name}" for name in (
               "id", "object", "customer", "customer.id", "subscription", "subscription.id", "status", "client_reference_id",
               "mode", "current_period_end", "cancel_at_period_end"))}


def luhn_card():
    digits = [4, 9] + [DICE.randrange(10) for _ in range(13)]
    total = sum(sum(divmod(2 * d, 10)) if i % 2 == 0 else d for i, d in enumerate(digits))
    return "".join(map(str, digits)) + str(-total % 10)


def letters(alphabet, count):
    return "".join(DICE.choice(alphabet) for _ in range(count))


CARD, NUMBER = luhn_card(), int(luhn_card())
SPACED = re.sub("(....)(?=.)", r"\1 ", luhn_card())
CANARIES = {
    "card": CARD, "spaced card": SPACED, "name": f"Erika {letters(string.ascii_lowercase, 12).title()} Mustermann",
    "email": f"{letters(string.ascii_lowercase, 14)}@example.org", "token": "wp_" + letters("abcdefghijklmnopqrstuvwxyz234567", 32),
    "signing secret": "whsec_" + letters(string.ascii_letters, 32), "api key": "sk_live_" + letters(string.ascii_letters, 24),
    "as an id": "cus_" + luhn_card(), "token as an id": "evt_wp_" + letters("abcdefghijklmnopqrstuvwxyz234567", 32)}
TEXTS = list(CANARIES.values())
# What is looked for: no prefix that an event may have, and the number also as msgpack and JSON write it.
NEEDLES = {what: text.removeprefix("evt_").removeprefix("cus_").encode() for what, text in CANARIES.items()} | {
    "number": str(NUMBER).encode(), "packed number": NUMBER.to_bytes(8, "big")}
assert len(set(NEEDLES.values())) == len(NEEDLES)


def plant_all(node, path=""):
    """The same tree with a canary in every string and number that is not on the allow list, and a canary as key and value in
    each object besides."""
    if isinstance(node, dict):
        return {**{key: plant_all(value, f"{path}.{key}" if path else key) for key, value in node.items()},
                DICE.choice(TEXTS): DICE.choice(TEXTS)}
    if isinstance(node, list):
        return [plant_all(value, path) for value in node]
    if path in ALLOWED or isinstance(node, bool):
        return node
    return NUMBER if isinstance(node, (int, float)) else DICE.choice(TEXTS)


def allowed_leaves(node, path="", steps=()):
    """The steps to every string and number that the allow list lets through."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from allowed_leaves(value, f"{path}.{key}" if path else key, (*steps, key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from allowed_leaves(value, path, (*steps, at))
    elif path in ALLOWED and not isinstance(node, bool) and node is not None:
        yield steps


def replaced(tree, steps, value):
    """A copy of the tree with another value at one place."""
    copy = json.loads(json.dumps(tree))
    at = copy
    for step in steps[:-1]:
        at = at[step]
    at[steps[-1]] = value
    return copy


def found_in(data):
    """Which canaries these bytes hold."""
    return {what for what, needle in NEEDLES.items() if needle in data}


def found_below(folder):
    """Path -> canaries, of every file in a folder."""
    found = {}
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file() and (what := found_in(path.read_bytes())):
            found[str(path)] = what
    return found


class Sender:
    """Posts on a connection of its own, which comes again when the server closed it."""

    def __init__(self, system):
        self.system = system
        self.statuses = collections.Counter()
        self.connection = system.connection()

    def post(self, body, signature=None, target=ROUTE, method="POST", **headers):
        if signature is not None:
            headers["Stripe-Signature"] = signature
        self.connection.request(method, target, body, headers)
        answer = self.connection.getresponse()
        assert not found_in(answer.read() + repr(answer.getheaders()).encode()), "the answer repeats a canary"
        self.statuses[answer.status] += 1
        if answer.will_close:
            self.connection.close()
        return answer.status

    def signed(self, event):
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.post(body, self.system.sign(body))

    def raw(self, data):
        """Bytes as they are; whatever is answered."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.system.ingress.settings["listen_port"]), timeout=20) as bare:
            with self.system.tls_context().wrap_socket(bare, server_hostname="localhost") as opened:
                opened.sendall(data)
                while more := opened.recv(65536):
                    answer += more
        assert not found_in(answer), "the answer repeats a canary"
        assert not answer or answer.startswith(b"HTTP/1.1 4") or answer.startswith(b"HTTP/1.1 5"), answer
        self.statuses["raw"] += 1


def send_fields(sender):
    """Every fixture with everything planted that is not allowed: kept. Each allowed field with a canary alone: kept without it, or
    refused."""
    for path in FIXTURES:
        event = json.loads(path.read_text(encoding="utf-8"))
        assert sender.signed(plant_all(event)) == 200, path.name
        for steps in allowed_leaves(event):
            for canary in [*TEXTS, NUMBER] if FULL else [*DICE.sample(TEXTS, 3), NUMBER]:
                assert sender.signed(replaced(event, steps, canary)) in (200, 400), (path.name, steps)


def send_unsigned(sender):
    """Without a good signature: nothing of it may be kept at all."""
    for path in FIXTURES:
        body = json.dumps(plant_all(json.loads(path.read_text(encoding="utf-8")))).encode()
        canary = DICE.choice(TEXTS)
        for signature in (None, f"t=1,v1={canary}", canary, sender.system.sign(body + b" "), f"t={canary},v1=00"):
            assert sender.post(body, signature) == 400


def send_malformed(sender):
    """Bodies that are signed and no events."""
    event = json.dumps(plant_all(json.loads(FIXTURES[0].read_text(encoding="utf-8")))).encode()
    for canary in TEXTS:
        text = canary.encode()
        for body in (text, b'{"id": "' + text, b'["' + text + b'"]', b'{"id": "evt_1", "id": "' + text + b'"}',
                     event[:len(event) // 2], event + text, event.replace(b"{", b"{" + text, 1), b"\0" + text, b'"' + text + b'\xff"'):
            assert sender.signed(body) == 400
        assert sender.signed(b'{"id": "' + text * (600000 // len(text)) + b'"}') == 413


def send_heads(sender):
    """In the query, the path, the headers, the method, chunk lines, trailers, and heads that are none."""
    body = FIXTURES[0].read_bytes()
    for canary in TEXTS:
        plain, text = canary.replace(" ", "%20"), canary.encode()
        assert sender.post(body, sender.system.sign(body), f"{ROUTE}?card={plain}&token={plain}") in (200, 404)
        assert sender.post(b"", target=f"/{plain}") == 404
        assert sender.post(b"", target=f"/security?{plain}", method="DELETE") == 405
        assert sender.post(body, sender.system.sign(body), **{
            "Authorization": f"Bearer {canary}", "Cookie": f"session={canary}", "User-Agent": canary, "Referer": f"https://x/{plain}",
            "X-Forwarded-For": canary, "Content-Type": canary, "traceparent": canary, "Idempotency-Key": canary}) == 200
        for head in (b"POST /%s HTTP/1.1\r\n\r\n", b"%s / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/%s\r\n\r\n", b"%s\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: %s %s\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n",
                     b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n",
                     b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n",
                     b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
                     b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"0\r\nX: %s\r\n\r\n"):
            sender.raw(head.replace(b"%s", text))


# What may not stand in a text either. A name or an address of mail may: an agent's words are its own.
SECRETS = [text for what, text in CANARIES.items() if what not in ("name", "email")]
EVENT = {"id": "order-1", "type": "note", "occurred_at": "2026-01-02T03:04:05Z", "decision_id": "dec_01ARZ3NDEKTSV4RRFFQ69G5FAV",
         "amount": 1, "currency": "usd", "text": "plain"}


def send_events(sender, token):
    """POST /v1/events with a good token: each secret as the value of every member, as a member, in a list, in what is no JSON, and in
    a body that is too large: refused, and nothing of it kept. Beside them events that are kept."""
    def post(body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return sender.post(body, target="/v1/events", Authorization=f"Bearer {token}")
    for canary in SECRETS:
        text = canary.encode()
        for member in EVENT:
            assert post({**EVENT, member: canary}) == post({"events": [EVENT, EVENT, {**EVENT, member: canary}]}) == 422, (member, canary)
        for body in ({**EVENT, canary: 1}, {canary: canary}, {**EVENT, "amount": NUMBER}, {"events": canary}, {"events": [canary]},
                     {**EVENT, "text": "\u200b".join(canary)}, {**EVENT, "text": f"so {canary}, and\n"}, [canary], canary):
            assert post(body) == 422, body
        for body in (b"x" + text, b'{"type":"note","text":"' + text, b'{"' + text + b'":', b'{"text":"' + text + b'\xff"}',
                     json.dumps(EVENT).encode() + text):
            assert post(body) == 400
        assert post(b'{"type":"note","text":"' + text * (600000 // len(text)) + b'"}') == 413
        assert post(EVENT) == 202


def send_agent_heads(sender, token):
    """Canaries as tokens, in the query, the path and other headers of every route, and heads that are none."""
    for canary in TEXTS:
        plain, text = canary.replace(" ", "%20"), canary.encode()
        for method, target in (("GET", "/v1/agent"), ("POST", "/v1/events"), ("DELETE", "/v1/agent")):
            for value in (f"Bearer {canary}", canary, f"Basic {canary}", f"bearer  {canary}"):
                assert sender.post(b"", target=target, method=method, Authorization=value) == 401
            assert sender.post(b"", target=f"{target}/{plain}", method=method, Authorization=f"Bearer {token}") == 404
        good = {"Authorization": f"Bearer {token}", "Cookie": f"session={canary}", "User-Agent": canary, "Idempotency-Key": canary,
                "X-Agent-Id": canary, "Content-Type": canary, "traceparent": canary}
        assert sender.post(b"", target=f"/v1/agent?token={plain}", method="GET", **good) == 200
        assert sender.post(json.dumps(EVENT).encode(), target=f"/v1/events?{plain}", **good) == 202
        assert sender.post(b"", target=f"/v1/agent?{plain}", method="PATCH", **good) == 405
        for head in (b"GET /v1/agent HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer %s\r\n\r\n",
                     b"GET /v1/agent HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
                     b"Authorization: Bearer %s\r\n\r\n",
                     b"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x01%s\r\nContent-Length: 0\r\n\r\n",
                     b"GET /v1/agent HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n"):
            sender.raw(head.replace(b"%s", text))


@pytest.fixture(scope="module", name="system")
def one_system():
    """Everything that can be logged is logged, and whoever may write cores does."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    settings = {"log_level": "debug", "log_trace": "all"}
    with System(tls=True, ingress={**settings, **NO_LIMITS}, workers={kind: settings for kind in KINDS}) as system:
        yield system


def dump(system):
    """pg_dump of the whole database."""
    password = pathlib.Path(system.postgres.password_file("postgres")).read_text(encoding="ascii").strip()
    done = subprocess.run(["pg_dump", "-h", "127.0.0.1", "-p", str(system.postgres.port), "-U", "postgres", "watchpost"],
                          capture_output=True, timeout=60, check=True, env={**os.environ, "PGPASSWORD": password})
    return done.stdout


def send_as_agent(system):
    """Everything of agents, with a token that is itself looked for from here on; disconnected at the end, and used once more.
    How many requests it were, by status."""
    sender, agent = Sender(system), AgentClients(system).connect()
    NEEDLES["an agent's token"] = agent.token.encode()
    send_events(sender, agent.token)
    send_agent_heads(sender, agent.token)
    for status in (200, 401):
        assert sender.post(b"", target="/v1/agent?x", method="DELETE", Authorization=f"Bearer {agent.token}") == status
    kept = system.read_topic("agent")
    assert len(kept) == sender.statuses[202] and not any(found_in(record.value() + record.key()) for record in kept)
    wait_until(lambda: system.query("select count(*) from report.audit where account_id = %s", [agent.account])[0][0] >= len(kept),
               "the ledger")
    return sender.statuses


def test_nothing_planted_is_found_anywhere(system):
    """Why: promise 4. How: canaries (cards, names, addresses, tokens, secrets) are planted by a walker in every string and number of every
    fixture, in the allowed fields one by one, in headers, query, path, bad bodies and bad heads, signed and unsigned, and in all that an agent
    sends, whose own good token is looked for too; then all of Kafka's files, Postgres' files after a checkpoint and its dump, every log at its most talkative, and the metrics are searched."""
    asked = send_as_agent(system)
    assert set(asked) <= {200, 202, 400, 401, 404, 405, 413, 422, "raw"} and asked[422] > 100, asked
    sender = Sender(system)
    for send in (send_fields, send_unsigned, send_malformed, send_heads):
        send(sender)
    assert len(FIXTURES) >= 25 and set(sender.statuses) <= {200, 400, 404, 405, 413, "raw"}, sender.statuses
    system.wait_until_read()
    records = system.read_topic()
    assert len(records) == sender.statuses[200] > len(FIXTURES)
    for record in records:
        assert not found_in((record.key() or b"") + record.value() + repr(record.headers()).encode())
    for program in system.programs:
        assert not found_in(program.get("/metrics")[1].encode() + program.get("/readyz")[1].encode())
    system.query("checkpoint")
    assert b"watchpost.stripe.other" in (dumped := dump(system)) and not found_in(dumped)
    assert found_below(system.postgres.home()) == {}
    assert found_below(system.kafka.folder) == {}
    assert found_below(system.folder) == {}
    sent = sum(sender.statuses.values()) + sum(asked.values())
    state_fact(f"secrets: {len(CANARIES) + 1} canaries in every field of {len(FIXTURES)} fixtures and in heads, bad bodies and refused "
               f"requests ({sent} requests, {sender.statuses[200]} kept): none in Kafka, Postgres, logs, metrics or answers")


def memory(process):
    """Everything that a core file would hold: all that the process can write to."""
    with open(f"/proc/{process}/maps", encoding="utf-8") as maps, open(f"/proc/{process}/mem", "rb", buffering=0) as mem:
        for line in maps:
            place, rights = line.split()[:2]
            if rights.startswith("rw"):
                first, end = (int(address, 16) for address in place.split("-"))
                mem.seek(first)
                yield mem.read(end - first)


def test_memory_forgets_what_requests_said(system):
    """Why: cores are off (below), but root can take one with a debugger. How: after the requests above have ended, the ingress' whole
    writable memory is searched, which only root may read: buffers are wiped before they are used again."""
    process = system.ingress.process.pid
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            next(memory(process))
        return
    secret, found, looked_at = system.stripe_secret.encode(), set(), 0
    for part in memory(process):
        found |= found_in(part) | ({"the configured secret"} if secret in part else set())
        looked_at += len(part)
    assert found == {"the configured secret"}, "it is there to be found, since it is needed; nothing of a request is"
    state_fact(f"secrets: no canary in the {looked_at >> 20} MiB of the ingress' memory after the requests ended")


def test_the_search_would_find_something(system, tmp_path):
    """Why: a search that finds nothing proves nothing unless it can find. How: one canary of each kind goes into Kafka, into Postgres and
    into a file, past the programs; each is found. Last, since it spoils the system for the test above."""
    assert found_in(json.dumps([NUMBER]).encode()) == {"number"}
    for what, text in CANARIES.items():
        (tmp_path / "file").write_text(f"x{text}y", encoding="ascii")
        assert what in found_below(tmp_path)[str(tmp_path / "file")]
    producer = confluent_kafka.Producer({"bootstrap.servers": system.kafka.bootstrap})
    producer.produce("watchpost.development.agent", json.dumps(TEXTS).encode())
    assert producer.flush(20) == 0
    system.query("create table wp.spoilt as select %s as text", (json.dumps(TEXTS),))
    system.query("checkpoint")
    assert set.union(*found_below(system.kafka.folder).values()) >= set(CANARIES)
    assert set.union(*found_below(system.postgres.home()).values()) >= set(CANARIES)
    assert found_in(dump(system)) >= set(CANARIES)


def core_limit(process):
    """(soft, hard) of the kernel's word on core files of a process."""
    limits = pathlib.Path(f"/proc/{process}/limits").read_text(encoding="ascii")
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    return tuple(line.split()[4:6])


def test_no_program_dumps_core(system):
    """Why: a core file would hold bodies and secrets whatever Kafka and logs hold. How: the machine allows cores; the kernel says that
    no program may write one, and a program that is aborted in the middle of its work leaves none."""
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] != 0, "cores are allowed here, or this test shows nothing"
    for program in system.programs:
        assert core_limit(program.process.pid) == ("0", "0"), program.name
        # What is not dumpable belongs to root in /proc.
        assert os.stat(f"/proc/{program.process.pid}/environ").st_uid == 0
        program.signal(signal.SIGABRT)
        wait_until(lambda p=program: p.process.poll() is not None, f"{program.name} to abort")
        assert program.process.returncode == -signal.SIGABRT
    assert not [path for path in system.folder.rglob("*core*") if path.is_file()]
    state_fact("secrets: no program can write a core file, even where the machine allows it")
