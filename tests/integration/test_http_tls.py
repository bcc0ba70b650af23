"""What stands before HTTP: TLS, the plain port that redirects to it, and the PROXY protocol (W1)."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

from http_client import GET, NO_KAFKA, Client, ask, head_of, make_certificate
from ingress_fixture import Ingress
from postgres_fixture import free_port, wait_until


@pytest.fixture(name="tls")
def tls_ingress(tmp_path):
    with Ingress(NO_KAFKA, **make_certificate(tmp_path, "first.example")) as ingress:
        ingress.certificates = tmp_path
        yield ingress


def context_of(lowest=None, highest=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = lowest or ssl.TLSVersion.TLSv1_2
    if highest is not None:
        context.maximum_version = highest
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context


def name_of(client):
    der = client.socket.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, check=True,
                          capture_output=True).stdout.decode()
    return re.search(r"CN ?= ?(\S+)", text).group(1)


def test_tls_versions(tls):
    """TLS 1.2 or higher (the security page). How: each version alone; a plain request on the TLS port; HSTS is sent."""
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with Client(tls, context=context_of(version, version)) as client:
            status, headers, _ = client.send(GET).answer()
            assert status == 200 and client.socket.version() == name
            assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
    with pytest.warns(DeprecationWarning):
        old = context_of(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    with pytest.raises(ssl.SSLError):
        Client(tls, context=old)
    with Client(tls) as client:
        client.send(GET)
        while client.more():
            pass
        assert b"HTTP/" not in client.pending
    assert tls.metric('watchpost_http_connections_refused_total{reason="tls"}') == 2


def test_tls_alpn(tls):
    """A client that wants another protocol must learn it in the handshake. How: http/1.1 among others, none, only h2."""
    with Client(tls, context=context_of(alpn=["h2", "http/1.1"])) as client:
        assert client.socket.selected_alpn_protocol() == "http/1.1"
    with Client(tls, context=context_of()) as client:
        assert client.socket.selected_alpn_protocol() is None and client.send(GET).answer()[0] == 200
    with pytest.raises(ssl.SSLError):
        Client(tls, context=context_of(alpn=["h2"]))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_tls_resumption(tls, version):
    """A handshake costs more than a hundred requests. How: the session of one connection opens the next, also after a
    reload of the certificate."""
    context = context_of(version, version)
    with Client(tls, context=context) as client:
        assert client.send(GET).answer()[0] == 200
        session = client.socket.session
    assert session.ticket_lifetime_hint == 86400, "two lives of a key"
    with Client(tls, context=context, session=session) as client:
        assert client.send(GET).answer()[0] == 200 and client.socket.session_reused
    tls.signal(signal.SIGHUP)
    wait_until(lambda: tls.log_lines("reloaded"), "the reload")
    with Client(tls, context=context, session=session) as client:
        assert client.send(GET).answer()[0] == 200 and client.socket.session_reused


def test_tls_large_and_small_pieces(tls):
    """Records and requests do not line up. How: a large body in one write, a request in records of one byte, many in
    one record."""
    with Client(tls, context=context_of()) as client:
        body = b"x" * 400000
        assert client.send(head_of(Content_Length=len(body)) + body).answer()[0] == 400
        for byte in GET:
            client.send(bytes([byte]))
        assert client.answer()[0] == 200
        client.send(GET * 100)
        assert [client.answer()[0] for _ in range(100)] == [200] * 100
        pages = [client.answer() for _ in range(50) if client.send(head_of("GET", "/security"))]
        assert {status for status, _, _ in pages} == {200}


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_the_end_behind_a_request(tmp_path, secured):
    """One wake-up may bring a request and the end of the input; the end must not be forgotten. How: the process stands
    still while both are sent (without TLS's own good-bye); then the answer, and the end without waiting for a deadline."""
    settings = make_certificate(tmp_path, "a.example") if secured else {}
    with Ingress(NO_KAFKA, idle_timeout_ms=60000, **settings) as ingress:
        with Client(ingress, context=context_of() if secured else None) as client:
            assert client.send(GET).answer()[0] == 200
            ingress.signal(signal.SIGSTOP)
            time.sleep(0.1)
            client.send(GET)
            raw = socket.socket(fileno=os.dup(client.socket.fileno()))
            raw.shutdown(socket.SHUT_WR)
            raw.close()
            time.sleep(0.1)
            ingress.signal(signal.SIGCONT)
            assert client.answer()[0] == 200
            wait_until(lambda: ingress.metric("watchpost_http_connections") == 0, "the connection to go")


def test_sighup_changes_the_certificate(tls):
    """Certificates change every few weeks and connections live on. How: a connection before, a new certificate, SIGHUP:
    the old connection is still served, a new one sees the new name; a broken file changes nothing and is logged."""
    with Client(tls, context=context_of()) as before:
        assert before.send(GET).answer()[0] == 200 and name_of(before) == "first.example"
        make_certificate(tls.certificates, "second.example")
        tls.signal(signal.SIGHUP)
        wait_until(lambda: tls.log_lines("reloaded"), "the reload")
        with Client(tls, context=context_of()) as after:
            assert after.send(GET).answer()[0] == 200 and name_of(after) == "second.example"
        assert before.send(GET).answer()[0] == 200
        (tls.certificates / "cert.pem").write_text("no certificate")
        tls.signal(signal.SIGHUP)
        wait_until(lambda: tls.log_lines("reload_failed"), "the refusal")
        assert "cert.pem" in tls.log_lines("reload_failed")[0]["error"]
        with Client(tls, context=context_of()) as after:
            assert after.send(GET).answer()[0] == 200 and name_of(after) == "second.example"
        assert before.send(GET).answer()[0] == 200


def test_a_drain_answers_who_had_just_connected(tmp_path):
    """The kernel told them "connected", so they get an answer. How: two connections that have not begun their handshake when SIGTERM
    comes: one does it then and asks; the other never does, and holds nothing up. Seen failing: both were closed at once."""
    with Ingress(NO_KAFKA, **make_certificate(tmp_path, "drain.example")) as ingress:
        with socket.create_connection(("127.0.0.1", ingress.port)) as fresh, socket.create_connection(("127.0.0.1", ingress.port)):
            time.sleep(0.1)
            ingress.signal(signal.SIGTERM)
            time.sleep(0.2)
            with context_of().wrap_socket(fresh, server_hostname="localhost") as client:
                client.sendall(GET)
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert ingress.process.wait(5) == 0


def test_redirects(tmp_path):
    """The plain port speaks to whoever forgot the s, and does nothing else. How: target, query and host are kept, the
    port is ours, methods and unknown paths too; without a usable host 400; no HSTS over plain HTTP."""
    redirect_port = free_port()
    with Ingress(NO_KAFKA, redirect_port=redirect_port, **make_certificate(tmp_path, "a.example")) as ingress:
        for data, where in ((b"GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\n\r\n", "a.example:%d/a?b=c"),
                            (b"POST /webhooks/stripe HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 2\r\n\r\n{}",
                             "[::1]:%d/webhooks/stripe")):
            with Client(ingress, port=redirect_port) as client:
                status, headers, _ = client.send(data).answer()
                assert (status, headers["location"]) == (308, "https://" + where % ingress.port)
                assert headers["connection"] == "close" and "strict-transport-security" not in headers
                assert client.closed()
        assert ask(ingress, b"GET / HTTP/1.0\r\n\r\n", port=redirect_port)[0] == 400


# --- PROXY protocol


def proxy_header(address, command=0x21, family=0x11):
    block = socket.inet_aton(address) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1234, 443)
    return b"\r\n\r\n\x00\r\nQUIT\n" + bytes([command, family]) + struct.pack("!H", len(block)) + block


def test_proxy_protocol(tmp_path):
    """Behind a balancer limits must count the client, not the balancer. How: with TLS behind the header; two clients by
    their own addresses have limits of their own; the balancer's check counts as itself; no header, version 1 and a broken
    one are refused without an answer."""
    settings = make_certificate(tmp_path, "a.example")
    with Ingress(NO_KAFKA, proxy_protocol_from="127.0.0.0/8", connections_per_address_max=2, **settings) as ingress:
        def connect(header, cut=None):
            raw = socket.create_connection(("127.0.0.1", ingress.port), timeout=10)
            raw.sendall(header[:cut])
            if cut is not None:
                time.sleep(0.02)
                raw.sendall(header[cut:])
            return raw

        def served(raw):
            try:
                secured = context_of().wrap_socket(raw)
                secured.sendall(GET)
                return secured.recv(65536).startswith(b"HTTP/1.1 200"), secured
            except (ssl.SSLError, ConnectionError):
                return False, raw

        kept = []
        for address, cut, good in (("203.0.113.1", None, True), ("203.0.113.1", 5, True), ("203.0.113.1", 20, False),
                                   ("203.0.113.2", 17, True), ("203.0.113.2", None, True)):
            result, stream = served(connect(proxy_header(address), cut))
            kept.append(stream)
            assert result == good, address
        result, stream = served(connect(proxy_header("203.0.113.1", command=0x20)))
        assert result, "the balancer's own check"
        kept.append(stream)
        for bad in (b"PROXY TCP4 203.0.113.1 192.0.2.1 1 443\r\n", proxy_header("203.0.113.3", command=0x31),
                    proxy_header("203.0.113.3", family=0x31), b""):
            result, stream = served(connect(bad))
            kept.append(stream)
            assert not result
        assert ingress.metric('watchpost_http_connections_refused_total{reason="proxy_header"}') == 4
        for stream in kept:
            stream.close()


def test_proxy_protocol_is_not_taken_from_strangers():
    """Whoever is not a balancer could name any client. How: the header from an untrusted peer is a bad request."""
    with Ingress(NO_KAFKA) as ingress:
        assert ask(ingress, proxy_header("203.0.113.1") + GET)[0] == 400
