"""A raw HTTP client for tests: requests are written byte by byte, because what matters is what no library sends.

    with Client(ingress) as client:
        status, headers, body = client.send(GET).answer()
"""

import pathlib
import socket
import subprocess
import time

NO_KAFKA = ["--kafka-brokers", "127.0.0.1:1"]
TEXT = "/.well-known/security.txt"
GET = f"GET {TEXT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def make_certificate(folder, name):
    """A self-signed pair in cert.pem and key.pem of the folder."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", f"/CN={name}"],
                   check=True, capture_output=True)
    return {"tls": "true", "tls_certificate_file": folder / "cert.pem", "tls_key_file": folder / "key.pem"}


def unread(port, client_port):
    """Bytes that the kernel holds for a client that does not read (proc(5), /proc/net/tcp)."""
    held = 0
    for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        ports = [int(address.split(":")[1], 16) for address in fields[1:3]]
        sending, receiving = (int(number, 16) for number in fields[4].split(":"))
        held += sending if ports == [port, client_port] else receiving if ports == [client_port, port] else 0
    return held


def fill(client, port, request):
    """Sends requests on a connection of socket.socket `client` that reads nothing, until the kernel does not take the whole of
    their answer any more: the server now holds a little, and has time left for further requests."""
    held, step, grown = 0, None, None
    while step is None or grown == step:
        client.sendall(request)
        for _ in range(10):
            time.sleep(0.005)
            if step is not None and unread(port, client.getsockname()[1]) - held == step:
                break
        grown = unread(port, client.getsockname()[1]) - held
        step, held = step or grown, held + grown


class Client:
    """A raw connection that reads answers one by one."""

    def __init__(self, ingress, port=None, context=None, session=None, receive_buffer=None):
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port or ingress.port))
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost", session=session)
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.pending += data
        return data

    def answer(self, head_only=False):
        """(status, headers, body) of the next answer; headers in lower case."""
        while b"\r\n\r\n" not in self.pending:
            assert self.more(), f"closed after {self.pending!r}"
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        length = 0 if head_only or status == 100 else int(headers["content-length"])
        while len(self.pending) < length:
            assert self.more(), "closed within a body"
        body, self.pending = self.pending[:length], self.pending[length:]
        return status, headers, body

    def closed(self):
        """The server ends the connection, with nothing more in it."""
        return self.pending == b"" and self.more() == b""


def ask(ingress, data, **options):
    with Client(ingress, **options) as client:
        return client.send(data).answer()


def lines_since(ingress, before):
    return ingress.log_lines("request")[before:]


def count_lines(ingress):
    return len(ingress.log_lines("request"))


def head_of(method="POST", path="/webhooks/stripe", **headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
