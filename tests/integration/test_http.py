"""The HTTP engine over real sockets: W1 to W3, W5, W8, W9. Kafka is away, so webhooks are answered 503 at once."""

import contextlib
import json
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from http_client import GET, NO_KAFKA, TEXT, Client, ask, count_lines, fill, head_of, lines_since
from ingress_fixture import Ingress, event, sign
from postgres_fixture import wait_until

TIMEOUTS_MS = {"head_timeout_ms": 600, "body_timeout_ms": 600, "idle_timeout_ms": 600, "write_timeout_ms": 600}


@pytest.fixture(scope="module", name="plain")
def plain_ingress():
    with Ingress(NO_KAFKA) as ingress:
        yield ingress


@pytest.fixture(scope="module", name="quick")
def impatient_ingress():
    with Ingress(NO_KAFKA, **TIMEOUTS_MS) as ingress:
        yield ingress


# --- answers


def test_every_answer_carries_the_same_headers(plain):
    """Caches, sniffing browsers and support all depend on them. How: an answer of each kind, its headers, and what must
    not be there; the request's id is the one in the log."""
    for data in (GET, head_of("GET", "/nowhere"), head_of("PUT", TEXT), b"bad\r\n\r\n", head_of(Content_Length=0)):
        status, headers, body = ask(plain, data)
        assert {"date", "content-length", "cache-control", "x-content-type-options"} <= headers.keys()
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers and "strict-transport-security" not in headers
        [line] = plain.request_lines(id=headers["watchpost-request-id"])
        assert int(line["status"]) == status
        if status >= 400:
            assert headers["content-type"] == "application/problem+json"
            assert headers["watchpost-request-id"].encode() in body


def test_methods_and_paths(plain):
    """W3. How: a path that is not there, a wrong method with Allow, HEAD with the length of GET and no body."""
    assert ask(plain, head_of("GET", "/nowhere"))[0] == 404
    status, headers, _ = ask(plain, head_of("GET"))
    assert (status, headers["allow"]) == (405, "POST")
    status, headers, _ = ask(plain, head_of("POST", TEXT))
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert ask(plain, head_of("BREW", TEXT))[0] == 501
    length = len(ask(plain, GET)[2])
    with Client(plain) as client:
        status, headers, body = client.send(head_of("HEAD", TEXT)).answer(head_only=True)
        assert (status, int(headers["content-length"]), body) == (200, length, b"")
        assert client.send(GET).answer()[0] == 200, "a body behind HEAD would have been read as an answer"


def test_security_txt_and_page(plain):
    """RFC 9116 and the public page. How: the fields; the page holds every sentence of docs/security-page.txt, and its
    policy allows its own style sheet and nothing else."""
    status, headers, body = ask(plain, GET)
    fields = dict(line.split(": ", 1) for line in body.decode().splitlines())
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert fields["Contact"] == "mailto:security@watchpost.systems"
    assert fields["Canonical"] == "https://watchpost.systems/.well-known/security.txt"
    assert fields["Policy"] == "https://watchpost.systems/security"
    ahead_days = (time.mktime(time.strptime(fields["Expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()) / 86400
    assert 300 < ahead_days < 366

    status, headers, body = ask(plain, head_of("GET", "/security"))
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    html = body.decode()
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)
    flat = " ".join(text.split())
    root = pathlib.Path(__file__).resolve().parents[2]
    for line in (root / "docs/security-page.txt").read_text(encoding="utf-8").splitlines():
        words = " ".join(line.split())
        if words and not re.fullmatch(r"\d\.( \d\d)?", words):
            assert words.replace(" .", ".") in re.sub(r" ([.,])", r"\1", flat), words
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "<script" not in html and "http" not in html.replace("https://watchpost.systems", "")


def test_the_contract_is_served(plain):
    """Tools read the contract where it is kept. How: it is JSON, and it names the route that it came by."""
    status, headers, body = ask(plain, head_of("GET", "/v1/openapi.json"))
    assert status == 200 and headers["content-type"] == "application/json"
    document = json.loads(body)
    assert document["openapi"] == "3.1.0" and "get" in document["paths"]["/v1/openapi.json"]


def test_the_page_is_what_the_text_makes(tmp_path):
    """The header is made from the text. How: made again, it is the same."""
    root = pathlib.Path(__file__).resolve().parents[2]
    made = subprocess.run(["/usr/bin/python3", "-c", "import sys; sys.path.insert(0, 'ingress/routes'); "
                           "import security_page as p; print(p.header(p.SOURCE.read_text(encoding='utf-8')), end='')"],
                          cwd=root, check=True, capture_output=True, env={"PYTHONDONTWRITEBYTECODE": "1"}).stdout
    assert made == (root / "ingress/routes/security_page.h").read_bytes()


# --- connections


def test_keep_alive_and_pipelining(plain):
    """Answers stand in the order of the requests. How: many requests in one write, of two kinds, cut anywhere."""
    webhook = head_of(Content_Length=2) + b"{}"
    wanted = [200, 400] * 40
    data = (GET + webhook) * 40
    for cut in (len(data), 1000, 7):
        with Client(plain) as client:
            before = count_lines(plain)
            for at in range(0, len(data), cut):
                client.send(data[at:at + cut])
            assert [client.answer()[0] for _ in wanted] == wanted
            wait_until(lambda: len(lines_since(plain, before)) >= len(wanted), "the lines")
            assert len(lines_since(plain, before)) == len(wanted)


def test_a_long_pipeline_is_answered_while_it_is_sent():
    """What is answered but not yet taken is bounded, so a long pipeline pauses and goes on. How: 20,000 requests from one
    thread while another reads."""
    count = 20000
    with Ingress(NO_KAFKA) as ingress, Client(ingress) as client:
        sender = threading.Thread(target=client.send, args=(GET * count,))
        sender.start()
        assert all(client.answer()[0] == 200 for _ in range(count))
        sender.join()
        wait_until(lambda: count_lines(ingress) >= count, "the lines")
        assert count_lines(ingress) == count


def test_versions_and_connection_options(plain):
    """Who stays connected. How: HTTP/1.1 with and without close, HTTP/1.0 with and without keep-alive."""
    with Client(plain) as client:
        assert "connection" not in client.send(GET).answer()[1]
        headers = client.send(head_of("GET", TEXT, Connection="close")).answer()[1]
        assert headers["connection"] == "close" and client.closed()
    with Client(plain) as client:
        assert client.send(b"GET / HTTP/1.0\r\n\r\n").answer()[1]["connection"] == "close" and client.closed()
    with Client(plain) as client:
        old = f"GET {TEXT} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
        for _ in range(2):
            assert client.send(old).answer()[1]["connection"] == "keep-alive"


def test_half_closed_clients_are_answered(plain):
    """A client may end its side and wait. How: requests, then half-close, then all answers and the end."""
    with Client(plain) as client:
        client.send(GET * 3).socket.shutdown(socket.SHUT_WR)
        assert [client.answer()[0] for _ in range(3)] == [200] * 3 and client.closed()


def test_clients_that_go_away(plain):
    """W9: also a request that nobody waits for any more has its line, and only one. How: a half head and a half body,
    then the end or a reset; a silent connection has none."""
    for data, abruptly in ((GET[:20], False), (GET[:20], True), (head_of(Content_Length=9) + b"x", False),
                           (head_of(Content_Length=9) + b"x", True)):
        before = count_lines(plain)
        with Client(plain) as client:
            client.send(data)
            time.sleep(0.05)
            if abruptly:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: len(lines_since(plain, before)) == 1, "its line")
        assert (lines_since(plain, before)[0]["status"], lines_since(plain, before)[0]["reason"]) == ("499", "client_gone")
    before = count_lines(plain)
    with Client(plain):
        pass
    time.sleep(0.2)
    assert lines_since(plain, before) == []


# --- bodies


def test_chunked_bodies(plain):
    """A body is the same however it is framed. How: one signed event plain, in chunks of every small size, and with
    extensions and trailers; all pass the signature, so Kafka is what is missing."""
    body = event("chunked")
    extra = {"Stripe-Signature": sign(body)}
    assert ask(plain, head_of(Content_Length=len(body), **extra) + body)[0] == 503
    for size in (1, 2, 7, 64, len(body)):
        chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size])
                          for i in range(0, len(body), size)) + b"0\r\nX-Trailer: y\r\n\r\n"
        with Client(plain) as client:
            client.send(head_of(Transfer_Encoding="chunked", **extra) + chunks + GET)
            status, headers, _ = client.answer()
            assert (status, headers["retry-after"]) == (503, "1")
            assert client.answer()[0] == 200, "what follows the body is the next request"
    with Client(plain) as client:
        client.send(head_of(Transfer_Encoding="chunked", **extra))
        for byte in chunks:
            client.send(bytes([byte]))
        assert client.answer()[0] == 503


def test_bodies_over_the_limit(plain):
    """413 both when declared and when counted, and it arrives though the client goes on sending. How: a declared length
    over the limit, chunks that pass it, a body where none is wanted; one of exactly the limit is read."""
    limit = 524288
    with Client(plain) as client:
        client.send(head_of(Content_Length=limit) + b"x" * limit)
        assert client.answer()[0] == 400, "the signature is missing"
    for data in (head_of(Content_Length=limit + 1) + b"x" * (limit + 1),
                 head_of(Transfer_Encoding="chunked") + b"80001\r\n" + b"x" * 0x80001,
                 head_of(Transfer_Encoding="chunked") + b"40000\r\n" + b"x" * 0x40000 + b"\r\n40001\r\n" + b"x" * 0x40001,
                 head_of("GET", TEXT, Content_Length=1) + b"x"):
        with Client(plain) as client:
            client.send(data)
            status, headers, _ = client.answer()
            assert (status, headers["connection"]) == (413, "close") and client.closed()


def test_a_refusal_arrives_though_the_client_goes_on(plain):
    """A connection that closes under a sender is reset, and the reset takes the answer along. How: a refused body that
    goes on for a while behind the refusal; no send fails, and then the answer is there. Endless ones are cut."""
    with Client(plain) as client:
        client.send(head_of(Content_Length=10_000_000))
        for _ in range(10):
            client.send(b"x" * 1000)
            time.sleep(0.01)
        status, headers, _ = client.answer()
        assert (status, headers["connection"]) == (413, "close") and client.closed()
    with Client(plain) as client:
        client.send(head_of(Content_Length=10_000_000))
        with pytest.raises(OSError):
            for _ in range(1000):
                client.send(b"x" * 10_000)
                time.sleep(0.001)


def test_expect_100_continue(plain):
    """The interim answer says that the body is wanted, so it comes only after route and limits agreed. How: an accepted,
    a refused, an unknown expectation, and a body that came along."""
    expect = {"Expect": "100-continue"}
    with Client(plain) as client:
        client.send(head_of(Content_Length=2, **expect))
        assert client.answer()[0] == 100
        assert client.send(b"{}").answer()[0] == 400
        assert client.send(head_of(Content_Length=2, **expect) + b"{}").answer()[0] == 400
    for data, status in ((head_of(path="/nowhere", Content_Length=2, **expect), 404),
                         (head_of(Content_Length=999999, **expect), 413), (head_of(Expect="magic"), 417)):
        with Client(plain) as client:
            assert client.send(data).answer()[0] == status and client.closed()


# --- bad input

SMUGGLED = [
    head_of(Content_Length=5, Transfer_Encoding="chunked") + b"0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="chunked", Content_Length=5) + b"0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="xchunked") + b"0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="gzip, chunked") + b"0\r\n\r\n" + GET,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + GET,
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + GET,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345" + GET,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n12345" + GET,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n12345" + GET,
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
    b"GET / HTTP/1.1\nHost: a\n\n" + GET,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n" + GET,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" + GET,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + GET,
    b"GET / HTTP/1.1\r\n\r\n" + GET,
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" + GET,
    b"GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n" + GET,
    b"GET /a/../security HTTP/1.1\r\nHost: a\r\n\r\n" + GET,
    b"\r\n" + GET,
    b"\x16\x03\x01\x00\xa5\x01",
    head_of(Transfer_Encoding="chunked") + b"5 \r\nhello\r\n0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="chunked") + b"5;a\nhello\r\n0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="chunked") + b"5\nhello\r\n0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="chunked") + b"4\r\nhello\r\n0\r\n\r\n" + GET,
    head_of(Transfer_Encoding="chunked") + b"0\r\nX : y\r\n\r\n" + GET,
]


@pytest.mark.parametrize("data", SMUGGLED, ids=range(len(SMUGGLED)))
def test_ambiguous_requests_end_the_connection(plain, data):
    """A request hidden behind an ambiguous one must not be answered. How: each class with a good request behind it: one
    400, closed, one line; in one write and in two."""
    for cut in (len(data), len(data) // 2):
        before = count_lines(plain)
        with Client(plain) as client:
            client.send(data[:cut])
            time.sleep(0.01)
            try:
                client.send(data[cut:])
            except OSError:
                pass  # already refused
            status, headers, _ = client.answer()
            assert (status, headers["connection"]) == (400, "close") and client.closed()
        wait_until(lambda: lines_since(plain, before), "its line")
        time.sleep(0.02)
        assert [line["status"] for line in lines_since(plain, before)] == ["400"]


def test_oversized_heads(plain):
    """431, 414 and 505 by their bounds. How: a long head, many headers, a long target, other versions."""
    for data, status in ((b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20000, 431),
                         (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
                         (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
                         (b"GET / HTTP/2.0\r\n\r\n", 505)):
        with Client(plain) as client:
            assert client.send(data).answer()[0] == status and client.closed()


# --- deadlines


def test_slow_heads(quick):
    """Slow clients cannot hold a slot. How: a byte every 50 ms does not move the head's deadline: 408 and a line; a
    silent connection is closed without one."""
    started = time.monotonic()
    with Client(quick) as client:
        for byte in GET:
            try:
                client.send(bytes([byte]))
            except OSError:
                break
            if time.monotonic() - started > 1:
                break
            time.sleep(0.05)
        status, headers, _ = client.answer()
        assert status == 408 and client.closed()
    [line] = quick.request_lines(id=headers["watchpost-request-id"])
    assert line["reason"] == "head_timeout" and 500_000 < int(line["age_us"]) < 1_500_000
    before = count_lines(quick)
    started = time.monotonic()
    with Client(quick) as client:
        assert client.closed() and 0.5 < time.monotonic() - started < 2
    assert lines_since(quick, before) == []


def test_slow_bodies(quick):
    """The same for a body. How: a byte every 50 ms."""
    with Client(quick) as client:
        client.send(head_of(Content_Length=1000))
        for _ in range(20):
            try:
                client.send(b"x")
            except OSError:
                break
            time.sleep(0.05)
        status, headers, _ = client.answer()
        assert status == 408 and client.closed()
    assert quick.request_lines(id=headers["watchpost-request-id"])[0]["reason"] == "body_timeout"


def test_idle_connections(quick):
    """A connection between requests is kept for a while, then closed. How: two requests with a pause, then none."""
    with Client(quick) as client:
        assert client.send(GET).answer()[0] == 200
        time.sleep(0.3)
        assert client.send(GET).answer()[0] == 200
        started = time.monotonic()
        assert client.closed() and 0.4 < time.monotonic() - started < 2


def test_clients_that_do_not_read(quick):
    """Answers that nobody takes must not stay. How: a pipeline of pages into a tiny receive buffer; after the write
    deadline the connection is gone and counted."""
    series = 'watchpost_http_connection_timeouts_total{deadline="write"}'
    before = quick.metric(series)
    with Client(quick, receive_buffer=4096) as client:
        client.socket.setblocking(False)
        data = head_of("GET", "/security") * 2000
        deadline = time.monotonic() + 10
        while quick.metric(series) == before:
            assert time.monotonic() < deadline, "the connection stays"
            try:
                data = data[client.socket.send(data):] or data
            except BlockingIOError:
                time.sleep(0.05)
            except ConnectionError:
                break
        wait_until(lambda: quick.metric(series) == before + 1, "the time-out to be counted")


def test_further_answers_do_not_move_the_write_deadline(quick):
    """It counts from the first byte that the socket did not take until all are gone. How: a client that reads nothing asks for a
    little more again and again, so that there is always a younger answer. Seen failing: each began the time anew."""
    series = 'watchpost_http_connection_timeouts_total{deadline="write"}'
    before = quick.metric(series)
    with Client(quick, receive_buffer=4096) as client:
        fill(client.socket, quick.port, head_of("GET", "/v1/openapi.json"))
        deadline = time.monotonic() + 2
        while quick.metric(series) == before:
            assert time.monotonic() < deadline, "the connection stays"
            client.send(head_of("GET", "/nowhere"))
            time.sleep(0.2)


def test_bodies_that_arrive_at_once_are_bounded():
    """Memory must not grow with the number of clients that hold a body back. How: a dozen bodies of 16 MiB less their last byte, on one
    loop: some are refused with 503, a small request is served meanwhile, and those that were taken are answered; then there is
    room again."""
    length = 16777216
    with Ingress(NO_KAFKA, loops=1, webhook_body_bytes_max=length) as ingress:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(ingress)) for _ in range(12)]
            kept = []
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.send(head_of(Content_Length=length) + b"x" * (length - 1))
                    kept.append(client)
            assert ask(ingress, head_of(Content_Length=2) + b"{}")[0] == 400, "the signature is missing"
            refused = [line for line in ingress.log_lines("request") if line["reason"] == "memory"]
            assert 4 <= len(refused) <= 8 and {line["status"] for line in refused} == {"503"}
            statuses = []
            for client in kept:
                with contextlib.suppress(ConnectionError, AssertionError):
                    statuses.append(client.send(b"x").answer()[0])
            assert statuses.count(400) == 12 - len(refused), statuses
        assert ask(ingress, head_of(Content_Length=length) + b"x" * length)[0] == 400


# --- limits


def test_connection_limits():
    """Memory is bounded by connections in all and of one address. How: up to each limit; one more is closed, and when
    one goes the next is served."""
    for limits in ({"connections_max": 3}, {"connections_per_address_max": 3}):
        with Ingress(NO_KAFKA, **limits) as ingress:
            clients = [Client(ingress) for _ in range(3)]
            assert all(client.send(GET).answer()[0] == 200 for client in clients)
            with Client(ingress) as over:
                assert over.closed()
            clients.pop().socket.close()
            wait_until(lambda: ingress.metric("watchpost_http_connections") == 2, "the connection to go")
            with Client(ingress) as client:
                assert client.send(GET).answer()[0] == 200
            for client in clients:
                client.socket.close()


def test_running_out_of_descriptors():
    """Without descriptors the listener stays readable, and a loop that tries again and again starves everybody. How: a
    limit far below what is open, so that nothing that closes meanwhile makes room; who is in is served, the next one
    waits; few log lines; then the limit is raised."""
    with Ingress(NO_KAFKA, loops=1) as ingress:
        pid = ingress.process.pid
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        with Client(ingress) as first:
            assert first.send(GET).answer()[0] == 200
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, hard))
            with Client(ingress) as second:
                second.send(GET)
                wait_until(lambda: ingress.log_lines("accept_failed"), "the warning")
                time.sleep(1)
                assert 5 <= len(ingress.log_lines("accept_failed")) <= 15
                assert first.send(GET).answer()[0] == 200
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
                assert second.answer()[0] == 200


def test_webhook_rate():
    """One address cannot take all. How: a burst over the rate: 429 with Retry-After before the body is read; other routes
    are not touched; a second later it is served again."""
    with Ingress(NO_KAFKA, webhook_rate_per_s=5) as ingress:
        webhook = head_of(Content_Length=2) + b"{}"
        answers = [ask(ingress, webhook) for _ in range(8)]
        assert [status for status, _, _ in answers].count(429) >= 2 and answers[0][0] == 400
        limited = next(answer for answer in answers if answer[0] == 429)
        assert int(limited[1]["retry-after"]) >= 1 and b'"rate_limited"' in limited[2]
        assert ask(ingress, GET)[0] == 200
        time.sleep(1.1)
        assert ask(ingress, webhook)[0] == 400


# --- the process


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        return False
    except ConnectionError:
        return True


def test_sigterm_drains():
    """A restart must not cut who is being served. How: an idle connection is closed at once; a half request is finished
    and answered with close, as is the first request of who had just connected; who connected and says nothing is closed after a
    second; nobody new gets in; exit status 0."""
    with Ingress(NO_KAFKA, drain_timeout_ms=5000) as ingress:
        with Client(ingress) as idle, Client(ingress) as busy, Client(ingress) as fresh, Client(ingress) as silent:
            assert idle.send(GET).answer()[0] == 200
            busy.send(head_of(Content_Length=2) + b"{")
            time.sleep(0.1)
            ingress.signal(signal.SIGTERM)
            began = time.monotonic()
            assert idle.closed()
            wait_until(lambda: refuses(ingress.port), "both loops to stop listening")
            status, headers, _ = fresh.send(GET).answer()
            assert (status, headers["connection"]) == (200, "close") and fresh.closed()
            assert silent.closed() and 0.7 < time.monotonic() - began < 3
            assert ingress.process.poll() is None
            status, headers, _ = busy.send(b"}").answer()
            assert (status, headers["connection"]) == (400, "close") and busy.closed()
        assert ingress.process.wait(10) == 0


def test_sigterm_does_not_wait_for_ever():
    """A client that sends no more must not keep the process. How: a half request and a short drain."""
    with Ingress(NO_KAFKA, drain_timeout_ms=300) as ingress:
        with Client(ingress) as busy:
            busy.send(head_of(Content_Length=2) + b"{")
            time.sleep(0.1)
            started = time.monotonic()
            assert ingress.terminate(10) == 0
            assert 0.2 < time.monotonic() - started < 2
            assert busy.closed()
        assert [line["reason"] for line in ingress.log_lines("request")] == ["client_gone"]


def test_health_and_metrics():
    """Orchestrators ask these. How: alive; not ready without a broker, with the reason; metrics that count."""
    with Ingress(NO_KAFKA) as ingress:
        assert ingress.admin("/healthz") == (200, "alive\n")
        assert ingress.admin("/readyz") == (503, "kafka_down\n")
        assert ask(ingress, GET)[0] == 200
        series = 'watchpost_http_requests_total{route="security_txt",code="200"}'
        wait_until(lambda: ingress.metric(series) == 1, "the count")
        text = ingress.admin("/metrics")[1]
        names = set(re.findall(r"^# TYPE (\S+)", text, re.M))
        assert {"watchpost_build_info", "watchpost_produce_inflight", "watchpost_ingest_ack_seconds",
                "watchpost_signature_failures_total"} <= names
        assert all(line.startswith("#") or re.fullmatch(r'[a-z_]+(\{[^{}]*\})? -?[0-9.]+', line)
                   for line in text.splitlines())


def test_log_level_changes_at_run_time():
    """An operator looks closer without a restart. How: SIGUSR1 brings one level more, SIGUSR2 one less; at debug with the
    http topic on, states are traced."""
    with Ingress(NO_KAFKA, log_trace="http") as ingress:
        ingress.signal(signal.SIGUSR1)
        wait_until(lambda: ingress.log_lines("log_level_changed"), "the change")
        assert ask(ingress, GET)[0] == 200
        wait_until(lambda: ingress.log_lines("request_state"), "a trace line")
        ingress.signal(signal.SIGUSR2)
        wait_until(lambda: len(ingress.log_lines("log_level_changed")) == 2, "the change back")


def test_faults_of_configuration_are_told(plain):
    """Whoever starts it wrong must read why. How: TLS without a certificate, a bad balancer list, a bad address, and a
    port that another process has: SO_REUSEPORT would let both listen, and each would get a part of the connections."""
    for settings, word in (({"tls": "true"}, "tls_certificate_file"),
                           ({"proxy_protocol_from": "10.0.0.0/33"}, "proxy_protocol_from"),
                           ({"listen_address": "nowhere"}, "listen_address"),
                           ({"listen_port": plain.port}, "Address already in use")):
        with pytest.raises(AssertionError, match=word):
            Ingress(NO_KAFKA, **settings)
