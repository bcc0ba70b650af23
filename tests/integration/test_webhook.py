"""POST /webhooks/stripe from the first byte to the record in Kafka: W4 to W9, on a real broker."""

import concurrent.futures
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

import confluent_kafka.admin
import msgpack
import pytest

from ingress_fixture import SECRET, Ingress, event, sign
from kafka_fixture import KafkaCluster
from postgres_fixture import BUILD, wait_until

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = sorted((HERE.parent / "fixtures/stripe").glob("*.json"))
TOPIC = "watchpost.development.stripe"
DEADLINE_MS = 800
AT_ONCE_S = 0.25  # a busy machine; alone it takes a millisecond


@pytest.fixture(scope="module", name="kafka")
def kafka_cluster():
    with KafkaCluster() as kafka:
        kafka.make_topics()
        yield kafka


@pytest.fixture(name="ingress")
def ingress_process(kafka):
    with Ingress(kafka.settings(), publish_timeout_ms=DEADLINE_MS) as ingress:
        ingress.wait_ready()
        yield ingress
        # Also shows leaks, where the program was built with their checker.
        assert ingress.process.poll() == 0 or ingress.terminate() == 0, ingress.output()


def headers_of(record):
    return {name: value.decode() for name, value in record.headers()}


def found(kafka, event_id):
    """Every record of that event: (key, headers, fields)."""
    return [(r.key().decode(), headers_of(r), msgpack.unpackb(r.value())) for r in kafka.records(TOPIC)
            if headers_of(r)["ce_id"] == event_id]


def total(kafka):
    return sum(kafka.high_watermarks(TOPIC).values())


def request_line(ingress, **wanted):
    """The one line of that request (W9)."""
    [line] = ingress.request_lines(**wanted)
    return line


# --- what is kept

def test_a_signed_event_is_in_kafka_before_the_answer(kafka, ingress):
    # Promise 1. The record is looked for after the answer came, once, without waiting.
    answer = ingress.post_signed(event("kept", data={
        "object": {"id": "sub_kept", "object": "subscription", "customer": {"id": "cus_kept", "name": "N N"},
                   "status": "past_due", "cancel_at_period_end": True, "current_period_end": 1771592000},
        "previous_attributes": {"status": "active"}}))
    assert (answer.status, answer.json()) == (200, {"received": True})
    assert answer.headers["content-type"] == "application/json"
    [(key, headers, fields)] = found(kafka, "evt_kept")
    assert key == "cus_kept"
    assert headers == {
        "ce_specversion": "1.0", "ce_id": "evt_kept", "ce_type": "watchpost.stripe.subscription",
        "ce_source": "//watchpost.systems/development/ingress", "ce_time": "2026-01-21T12:53:20.000Z",
        "ce_dataschema": "urn:watchpost:schema:watchpost.stripe.subscription:1", "content-type": "application/msgpack"}
    assert fields == {
        "event_id": "evt_kept", "stripe_type": "customer.subscription.updated", "created_s": 1769000000, "livemode": False,
        "api_version": "2025-03-31.basil", "customer": "cus_kept", "object_id": "sub_kept", "subscription": "sub_kept",
        "status": "past_due", "previous_status": "active", "current_period_end_s": 1771592000, "cancel_at_period_end": True}
    line = request_line(ingress, stripe_event="evt_kept")
    assert (line["status"], line["reason"]) == ("200", "kept")


@pytest.mark.parametrize("name, body, kind, key", [
    ("unknown type", event("odd", "radar.new_thing", data={"object": {"id": "x_1", "object": "thing"}}),
     "watchpost.stripe.other", "evt_odd"),
    ("live event", event("live", livemode=True), "watchpost.stripe.quarantined", "cus_live"),
    ("connected account", event("connect", account="acct_1Connected"), "watchpost.stripe.subscription", "cus_connect"),
    ("customer", event("gone", "customer.deleted", data={"object": {"id": "cus_gone", "object": "customer"}}),
     "watchpost.stripe.customer", "cus_gone"),
    ("thin event", json.dumps({"id": "evt_thin", "object": "v2.core.event", "type": "v2.core.account[requirements].updated",
                               "created": "2026-01-21T12:53:20.246Z", "livemode": False, "context": None,
                               "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/x"}}).encode(),
     "watchpost.stripe.other", "evt_thin"),
])
def test_every_kind_is_answered_200_and_kept(kafka, ingress, name, body, kind, key):
    # The answers table: types that change nothing, the other mode and thin events are kept for the audit.
    assert ingress.post_signed(body).status == 200, name
    [(found_key, headers, fields)] = found(kafka, json.loads(body)["id"])
    assert (found_key, headers["ce_type"]) == (key, kind)
    assert fields.get("account") == json.loads(body).get("account")


def test_a_duplicate_is_answered_200_again(kafka, ingress):
    # Stripe delivers at least once; readers dedupe on ce_id.
    body = event("twice")
    assert [ingress.post_signed(body).status for _ in range(2)] == [200, 200]
    assert len(found(kafka, "evt_twice")) == 2


def test_chunked_bodies_are_verified_too(kafka, ingress):
    # The signature is over the body, not over its framing.
    body = event("chunked")
    assert ingress.post(iter([body[:7], body[7:]]), sign(body)).status == 200
    assert len(found(kafka, "evt_chunked")) == 1


# --- canaries

ALLOWED = {"id", "object", "type", "created", "livemode", "api_version", "account", "context", "related_object.id",
           "data.previous_attributes.status", "data.object.items.data.current_period_end",
           *(f"data.object.{name}" for name in (
               "id", "object", "customer", "customer.id", "subscription", "subscription.id", "status", "client_reference_id",
               "mode", "current_period_end", "cancel_at_period_end"))}


def plant(node, path=""):
    """The same tree with a canary in every scalar that is not on the allow list, and one more in each object."""
    if isinstance(node, dict):
        planted = {key: plant(value, f"{path}.{key}" if path else key) for key, value in node.items()}
        return {**planted, "canary_key": "canary_value"}
    if isinstance(node, list):
        return [plant(value, path) for value in node]
    if path in ALLOWED or isinstance(node, bool):
        return node
    return 4242424242424242 if isinstance(node, (int, float)) else "canary_4242424242424242"


CANARIES = (b"canary", b"42424242", (4242424242424242).to_bytes(8, "big"))


def assert_no_canary_passes(kafka, ingress, bodies):
    """Each body is answered 200 and kept; no record and no log line holds a canary."""
    before = total(kafka)
    for body in bodies:
        assert ingress.post_signed(body).status == 200, body[:200]
    assert total(kafka) - before == len(bodies)
    for record in kafka.records(TOPIC):
        everything = record.key() + record.value() + repr(record.headers()).encode()
        assert not [canary for canary in CANARIES if canary in everything], everything
    ingress.request_lines(len(bodies))
    assert "canary" not in ingress.log_text() and "42424242" not in ingress.log_text()


def test_canaries_in_every_field_of_whole_events(kafka, ingress):
    # Promise 4. Every fixture, with canaries planted wherever the list does not allow, ends in Kafka without any.
    assert len(FIXTURES) >= 25
    assert_no_canary_passes(kafka, ingress, [json.dumps(plant(json.loads(p.read_text()))).encode() for p in FIXTURES])


def test_canaries_in_every_field_of_every_resource(kafka, ingress):
    # The same with Stripe's own example of each of its resources as data.object: what no fixture of ours thought of.
    done = subprocess.run(["go", "mod", "download", "-json", "github.com/stripe/stripe-mock"], cwd=HERE / "stripe_mock",
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    fixtures = pathlib.Path(json.loads(done.stdout)["Dir"]) / "embedded/openapi/fixtures3.json"
    resources = json.loads(fixtures.read_text(encoding="utf-8"))["resources"]
    assert len(resources) > 100
    bodies = []
    for n, (name, resource) in enumerate(sorted(resources.items())):
        kind = "customer.subscription.updated" if name == "subscription" else f"{name}.updated"
        whole = json.loads(event(f"resource{n}", kind, data={"object": resource}))
        bodies.append(json.dumps(plant(whole)).encode())
    assert_no_canary_passes(kafka, ingress, bodies)


# --- what is refused

BODY = event("refused")


def refused():
    """Reason -> signatures that are refused for it, made now: they are too old or too new by the clock of the test that sends them."""
    now = int(time.time())
    return {
        "signature_missing": [None, ""],
        "signature_malformed": ["I'm not even a real signature header", sign(BODY) + ","],
        "signature_time_missing": ["v1=" + sign(BODY).split("v1=")[1]],
        "signature_time_bad": [sign(BODY) + ",t=1", "t=-1,v1=00", "t=99999999999999999999,v1=00"],
        "signature_no_scheme": [sign(BODY).replace("v1=", "v0=")],
        "signature_too_many": [sign(BODY).replace(",v1=", ",v1=x" * 16 + ",v1=")],
        "signature_too_long": ["t=1," + "x" * 4096],
        "signature_too_old": [sign(BODY, t=now - 10000)],
        "signature_too_new": [sign(BODY, t=now + 10000)],
        "signature_wrong": [sign(BODY, "whsec_other"), sign(BODY + b" "), sign(BODY).upper().replace("T=", "t=").replace("V1", "v1"),
                            sign(BODY)[:-1]],
    }


def test_every_bad_signature_gets_the_same_answer(kafka, ingress):
    # One body for all faults, the true reason in the log and the metric, nothing in Kafka.
    before = total(kafka)
    bodies = set()
    for reason, signatures in refused().items():
        series = f'watchpost_signature_failures_total{{reason="{reason}"}}'
        for n, signature in enumerate(signatures):
            answer = ingress.post(BODY, signature)
            assert answer.status == 400, (reason, signature)
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json()
            assert request_line(ingress, id=problem.pop("request_id"))["reason"] == reason
            bodies.add(json.dumps(problem))
            assert ingress.metric(series) == n + 1
    assert len(bodies) == 1 and "signature_invalid" in bodies.pop()
    assert total(kafka) == before


def test_a_doubled_signature_header_is_refused(kafka, ingress):
    # Two headers could be read in two ways. Sent by hand: http.client sends a header once.
    before = total(kafka)
    head = (f"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n"
            f"Stripe-Signature: {sign(BODY)}\r\nStripe-Signature: {sign(BODY)}\r\n\r\n")
    with socket.create_connection(("127.0.0.1", ingress.port), timeout=5) as connection:
        connection.sendall(head.encode() + BODY)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
    request_line(ingress, reason="signature_repeated", status="400")
    assert total(kafka) == before


@pytest.mark.parametrize("body, code, field", [
    (b"", "json_invalid", None),
    (b"not json", "json_invalid", None),
    (BODY[:-1], "json_invalid", None),
    (BODY + b"{}", "json_invalid", None),
    (b"[" * 100000, "json_invalid", None),
    (BODY + b"\0", "json_invalid", None),
    (b"{}", "event_invalid", "id"),
    (event("x", livemode="yes"), "event_invalid", "livemode"),
    (event("x", created="soon"), "event_invalid", "created"),
    (event("x", "a type with spaces"), "event_invalid", "type"),
    (event("x", data={"object": {"object": "invoice"}}), "event_invalid", "data.object.object"),
    (BODY[:-1] + b', "livemode": true}', "event_invalid", "livemode"),
])
def test_a_good_signature_over_a_bad_body_is_400(kafka, ingress, body, code, field):
    # W5, W6: the signature does not make a body right; the answer names the field.
    before = total(kafka)
    answer = ingress.post_signed(body)
    assert (answer.status, answer.json()["code"], answer.json().get("field")) == (400, code, field)
    assert total(kafka) == before


def test_a_body_over_the_limit_is_413(kafka, ingress):
    # Before the signature is looked at, and with either framing.
    body = b" " * (524288 + 1)
    before = total(kafka)
    assert ingress.post_signed(body).status == 413
    chunks = iter([body[:300000], body[300000:]])
    try:
        assert ingress.post(chunks, sign(body)).status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # it closed while we were still sending
    ingress.request_lines(2, status="413")
    assert total(kafka) == before


# --- secrets

def test_secrets_roll_without_a_restart(kafka):
    # Two secrets are good while rolling; after SIGHUP only those that the files then hold.
    with Ingress(kafka.settings(), secrets=["whsec_old", "whsec_new"]) as ingress:
        ingress.wait_ready()
        body = event("roll")
        assert [ingress.post(body, sign(body, s)).status for s in ("whsec_old", "whsec_new")] == [200, 200]
        ingress.write_secret(0, "whsec_next")
        ingress.signal(signal.SIGHUP)
        wait_until(lambda: ingress.post(body, sign(body, "whsec_next")).status == 200, "the new secret")
        assert ingress.post(body, sign(body, "whsec_old")).status == 400
        assert ingress.post(body, sign(body, "whsec_new")).status == 200
        ingress.write_secret(0, "sk_test_not_a_signing_secret")
        ingress.signal(signal.SIGHUP)
        wait_until(lambda: ingress.log_lines("reload_failed"), "the refusal of a wrong file")
        assert "sk_test" not in ingress.log_text()
        assert ingress.post(body, sign(body, "whsec_next")).status == 200


def test_without_a_secret_the_answer_is_503(kafka):
    # Our fault, not Stripe's: it must come again.
    with Ingress(kafka.settings(), secrets=[]) as ingress:
        ingress.wait_ready()
        answer = ingress.post_signed(BODY)
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
        assert request_line(ingress, id=answer.json()["request_id"])["reason"] == "stripe_secret_missing"


# --- Kafka away

def test_a_dead_broker_is_said_at_once_and_forgotten_at_once(kafka, ingress):
    # W7. While the broker is known to be away: 503 and Retry-After at once. When it answers again: 200 within 0.5 s.
    kafka.kill9()
    wait_until(lambda: ingress.post_signed(event("down")).seconds < AT_ONCE_S, "the loss to be known")
    for n in range(20):
        answer = ingress.post_signed(event(f"down{n}"))
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
        assert answer.json()["code"] == "unavailable"
        assert answer.seconds < AT_ONCE_S
    assert request_line(ingress, id=answer.json()["request_id"])["reason"] == "kafka_down"

    first = {}
    over = threading.Event()

    def keep_posting():
        while not over.is_set() and "at" not in first:
            if ingress.post_signed(event("back")).status == 200:
                first["at"] = time.monotonic()
            time.sleep(0.01)

    thread = threading.Thread(target=keep_posting)
    thread.start()
    kafka.start()
    answering_at = time.monotonic()
    thread.join(0.5)
    over.set()
    thread.join()
    assert "at" in first, ingress.log_text()[-2000:]
    assert first["at"] - answering_at <= 0.5
    assert len(found(kafka, "evt_back")) >= 1


def test_the_deadline_is_ours(kafka, ingress):
    # W7. A broker that hangs (connected, silent) costs a request no more than publish_timeout_ms; the late report
    # finds the request answered, and nothing is hurt.
    assert ingress.post_signed(event("before")).status == 200
    kafka.pause()
    try:
        answer = ingress.post_signed(event("late"))
    finally:
        kafka.resume()
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert DEADLINE_MS / 1000 <= answer.seconds < DEADLINE_MS / 1000 + AT_ONCE_S
    assert request_line(ingress, stripe_event="evt_late")["reason"] == "deadline_passed"
    wait_until(lambda: ingress.post_signed(event("after")).status == 200, "the broker to answer again")
    wait_until(lambda: ingress.metric("watchpost_produce_inflight") == 0, "every ticket to come back")


def test_a_record_that_the_broker_refuses_is_no_200(kafka):
    # Promise 1: an answer from Kafka is not enough, it must be a yes. The topic takes no record over 64 bytes.
    admin = kafka.admin()

    def limit(size):
        resource = confluent_kafka.admin.ConfigResource("topic", TOPIC, set_config={
            "message.timestamp.type": "LogAppendTime", "max.message.bytes": str(size)})
        admin.alter_configs([resource])[resource].result(20)

    answers = {}

    def refused(ingress):
        """One more event; the broker learns of the limit a moment after the controller did."""
        name = f"limit{len(answers)}"
        answers[f"evt_{name}"] = ingress.post_signed(event(name))
        return answers[f"evt_{name}"].status != 200

    with Ingress(kafka.settings()) as ingress:
        ingress.wait_ready()
        limit(64)
        try:
            wait_until(lambda: refused(ingress), "the broker to refuse a record")
        finally:
            limit(1048588)
        last = list(answers)[-1]
        assert answers[last].status == 503 and int(answers[last].headers["retry-after"]) > 0
        assert request_line(ingress, stripe_event=last)["reason"] == "kafka_failed"
        assert [len(found(kafka, name)) for name in answers] == [1] * (len(answers) - 1) + [0]
        wait_until(lambda: not refused(ingress), "the broker to take records again")


def test_a_full_queue_is_said_at_once(kafka):
    # How many may wait is bounded: the others hear 503 at once while those wait.
    with Ingress(kafka.settings(), publish_timeout_ms=DEADLINE_MS, publish_waiting_max=3) as ingress:
        ingress.wait_ready()
        kafka.pause()
        try:
            with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
                answers = list(pool.map(lambda n: ingress.post_signed(event(f"full{n}")), range(8)))
        finally:
            kafka.resume()
        assert {a.status for a in answers} == {503}
        waited = [a.seconds for a in answers if a.seconds >= DEADLINE_MS / 1000]
        assert len(waited) == 3
        assert all(a.seconds < AT_ONCE_S for a in answers if a.seconds not in waited)
        reasons = [line["reason"] for line in ingress.request_lines(8)]
        assert (reasons.count("queue_full"), reasons.count("deadline_passed")) == (5, 3)


def test_a_client_that_goes_away_is_survived(kafka, ingress):
    # The request lives until its ticket is back, though nobody waits for the answer.
    kafka.pause()
    try:
        for n in range(20):
            body = event(f"gone{n}")
            with socket.create_connection(("127.0.0.1", ingress.port), timeout=5) as connection:
                connection.sendall(f"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                                   f"Stripe-Signature: {sign(body)}\r\n\r\n".encode() + body)
                time.sleep(0.01)
    finally:
        kafka.resume()
    wait_until(lambda: ingress.metric("watchpost_produce_inflight") == 0, "every ticket to come back")
    assert ingress.post_signed(event("still_there")).status == 200
    assert len([line for line in ingress.request_lines(21) if line["stripe_event"].startswith("evt_gone")]) == 20


def test_shutting_down_answers_what_waits(kafka, ingress):
    # SIGTERM while a request waits for Kafka: it is answered, honestly, and the exit status is 0.
    kafka.pause()
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
            waiting = pool.submit(ingress.post_signed, event("last"))
            wait_until(lambda: ingress.metric("watchpost_produce_inflight") == 1, "the request to wait")
            assert ingress.terminate() == 0
            assert waiting.result().status == 503
    finally:
        kafka.resume()


# --- other people's clients

def test_stripes_own_library_signs_what_we_accept(kafka, ingress):
    # The official SDK as the sender, with every fixture; it also checks its own signature.
    done = subprocess.run(
        ["node", HERE / "stripe_sdk/send.mjs"], capture_output=True, text=True, timeout=120, check=False,
        input=json.dumps({"url": f"http://127.0.0.1:{ingress.port}/webhooks/stripe", "secret": SECRET,
                          "files": [str(path) for path in FIXTURES]}))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert [(r["status"], r["body"].strip()) for r in results] == [(200, '{"received":true}')] * len(FIXTURES)
    sent = {json.loads(path.read_text())["id"] for path in FIXTURES}
    assert sent <= {headers_of(r)["ce_id"] for r in kafka.records(TOPIC)}


def make_certificates(folder):
    """A CA and a certificate for 127.0.0.1: (CA file, certificate, key)."""
    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
    ca, ca_key, key, request, certificate = (folder / n for n in ("ca.pem", "ca.key", "key.pem", "req.pem", "cert.pem"))
    extensions = folder / "ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\n", encoding="ascii")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", ca_key, "-out", ca,
            "-subj", "/CN=test CA", "-days", "2")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
            "-subj", "/CN=test")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", certificate, "-days", "2",
            "-extfile", extensions)
    return ca, certificate, key


def stripe_send(ingress, *flags, scheme="https", stdin=None):
    return subprocess.run(
        [BUILD / "bin/watchpostctl", "--environment", "development", "stripe", "send", "--json",
         "--url", f"{scheme}://127.0.0.1:{ingress.port}", "--secret-file", ingress.folder / "secret0", *flags],
        input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_watchpostctl_stripe_send(kafka, tmp_path):
    # The operators' own sender, over verified TLS: samples, a file, standard input, refusals.
    ca, certificate, key = make_certificates(tmp_path)
    with Ingress(kafka.settings(), tls="true", tls_certificate_file=certificate, tls_key_file=key) as ingress:
        ingress.wait_ready()
        done = stripe_send(ingress, "--ca", ca, "--customer", "cus_ctl", "--subscription", "sub_ctl", "--status", "unpaid",
                           "--type", "customer.subscription.updated", "--created", "1769000001", "--count", "3")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert [row["status"] for row in rows] == [200] * 3 and len({row["event_id"] for row in rows}) == 3
        [(record_key, _, fields)] = found(kafka, rows[0]["event_id"])
        assert (record_key, fields["subscription"], fields["status"], fields["created_s"]) == (
            "cus_ctl", "sub_ctl", "unpaid", 1769000001)
        for flags, stdin in ((("--file", FIXTURES[0]), None), (("--file", "-"), FIXTURES[0].read_text())):
            done = stripe_send(ingress, "--ca", ca, *flags, stdin=stdin)
            row = json.loads(done.stdout)
            assert (done.returncode, row["status"], row["event_id"]) == (0, 200, json.loads(FIXTURES[0].read_text())["id"])

        done = stripe_send(ingress, "--ca", ca, "--file", "-", stdin="no event")
        assert done.returncode == 2 and json.loads(done.stdout)["status"] == 400
        before = total(kafka)
        (tmp_path / "other").write_text("whsec_other\n", encoding="ascii")
        done = stripe_send(ingress, "--ca", ca, "--secret-file", tmp_path / "other")
        assert done.returncode != 0
        done = stripe_send(ingress)  # a certificate of nobody's we know
        assert done.returncode != 0 and "no answer" in done.stderr
        assert total(kafka) == before
