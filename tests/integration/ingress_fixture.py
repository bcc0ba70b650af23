"""A private watchpost-ingress for tests.

    from ingress_fixture import Ingress, event, sign

    with Ingress(kafka.settings(), secrets=["whsec_one"]) as ingress:    # plain HTTP on a free loopback port, ready
        answer = ingress.post(body, sign(body, "whsec_one"))             # answer.status, .headers, .body, .seconds
        ingress.request_lines(id=answer.json()["request_id"])            # parsed key=value lines, waited for
        ingress.metric('watchpost_http_requests_total{route="stripe_webhook",code="200"}')
        ingress.signal(signal.SIGHUP); ingress.terminate()

Secrets lie in files of its temporary folder, which goes away at the end.
"""

import dataclasses
import hashlib
import hmac
import http.client
import json
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from fixture import Fixture
from postgres_fixture import BUILD, free_port, wait_until

PROGRAM = BUILD / "bin/watchpost-ingress"
ROUTE = "/webhooks/stripe"
SECRET = "whsec_integration_secret"
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes
    seconds: float

    def json(self):
        return json.loads(self.body)


def sign(body, secret=SECRET, t=None):
    """The value of Stripe-Signature for these bytes, as Stripe's documentation says."""
    t = int(time.time()) if t is None else t
    mac = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={t},v1={mac}"


def event(suffix, kind="customer.subscription.updated", livemode=False, **fields):
    """The bytes of a small event; fields replace or add to those of the top level."""
    return json.dumps({
        "id": f"evt_{suffix}", "object": "event", "api_version": "2025-03-31.basil", "created": 1769000000,
        "livemode": livemode, "type": kind,
        "data": {"object": {"id": f"sub_{suffix}", "object": "subscription", "customer": f"cus_{suffix}",
                            "status": "active", "cancel_at_period_end": False,
                            "items": {"data": [{"current_period_end": 1771592000}]}}},
        **fields}).encode()


class Ingress(Fixture):
    """One process. settings: more flags, as {"publish_timeout_ms": 500}; values are made text."""

    def __init__(self, kafka_settings, secrets=(SECRET,), **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="watchpost-ingress-"))
        self.log = self.folder / "log"
        self.admin_port = free_port()
        self.process = None
        paths = [self.write_secret(n, secret) for n, secret in enumerate(secrets)]
        settings = {"environment": "development", "listen_port": 0, "admin_port": self.admin_port, "tls": "false", "agents": "off",
                    "loops": 2, "log_file": self.log, "stripe_secret_files": ",".join(map(str, paths)), **settings}
        self.command = [str(PROGRAM), *kafka_settings]
        for name, value in settings.items():
            self.command += [f"--{name.replace('_', '-')}", str(value)]
        with self.beginning():
            self.start()

    def write_secret(self, n, secret):
        path = self.folder / f"secret{n}"
        path.write_text(secret + "\n", encoding="ascii")
        path.chmod(0o600)
        return path

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        wait_until(self.started, "the ingress to start")
        self.port = int(self.log_lines("started")[-1]["port"])

    def started(self):
        assert self.process.poll() is None, self.process.stdout.read().decode() + self.log_text()
        return bool(self.log_lines("started"))

    def close(self):
        """Ends it without ceremony; legal twice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def signal(self, number):
        self.process.send_signal(number)

    def terminate(self, timeout=20):
        """SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def output(self):
        """What the ended process wrote besides its log: nothing, or a sanitizer's report."""
        return self.process.stdout.read().decode()

    # --- talking to it

    def post(self, body, signature=None, path=ROUTE, headers=None, timeout=15):
        """A request on a connection of its own. signature None: no such header."""
        send = {"Content-Type": "application/json", **(headers or {})}
        if signature is not None:
            send["Stripe-Signature"] = signature
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            started = time.monotonic()
            connection.request("POST", path, body, send)
            response = connection.getresponse()
            content = response.read()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, content,
                          time.monotonic() - started)
        finally:
            connection.close()

    def post_signed(self, body, **more):
        return self.post(body, sign(body), **more)

    def wait_ready(self):
        """Ready means that a broker is connected."""
        wait_until(lambda: self.admin("/readyz")[0] == 200, "the ingress to be ready")

    def admin(self, path):
        """Status and text of the admin listener."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, series):
        """The value of a series, 0 when it is not shown."""
        for line in self.admin("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.split(" ")[-1])
        return 0.0

    # --- its log

    def log_text(self):
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def request_lines(self, count=1, **wanted):
        """The lines of ended requests with these fields, once there are so many; a line may follow its answer."""
        def matching():
            return [line for line in self.log_lines("request") if wanted.items() <= line.items()]
        wait_until(lambda: len(matching()) >= count, f"{count} log lines with {wanted}")
        return matching()

    def log_lines(self, name=None):
        lines = [{key: value.strip('"') for key, value in FIELD.findall(line)} for line in self.log_text().splitlines()]
        return [line for line in lines if name is None or line.get("event") == name]
