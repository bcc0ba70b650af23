"""The servers that the benchmarks compare: ours, nginx answering a bare 202, and three peers that do the same job."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from postgres_fixture import free_port  # noqa: E402,F401

PEERS = ROOT / "tests/bench/peers"
BUILD = ROOT / "build/bench"
PROGRAMS = pathlib.Path(os.environ.get("WATCHPOST_BUILD", ROOT / "build")) / "bin"
START_SECONDS_MAX = 15


class Server:
    """One server process (and its children) on a loopback port; `cpus` is a taskset list or None."""

    name = ""
    tls = False

    def __init__(self, setting, loops=2):
        self.setting, self.loops = setting, loops
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self, cpus=None):
        pin = ["taskset", "-c", cpus] if cpus else []
        log = open(self.setting.folder / f"{self.name}.log", "ab")
        self.process = subprocess.Popen(pin + self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        env={**os.environ, **self.environment()}, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at once; see {log.name}")
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen after {START_SECONDS_MAX} s")

    def stop(self):
        if self.process is None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def pids(self):
        children = subprocess.run(["pgrep", "-g", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        return [int(pid) for pid in children]

    def cpu_seconds(self):
        """User and system time of all its processes since they started."""
        ticks = 0
        for pid in self.pids():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        pages = 0
        for pid in self.pids():
            pages += int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class Watchpost(Server):
    name = "watchpost"

    def command(self):
        return [str(PROGRAMS / "watchpost-ingress")]

    def environment(self):
        settings = {
            "environment": "development", "kafka_brokers": self.setting.brokers, "listen_port": self.port,
            "tls": "on" if self.tls else "off", "tls_certificate_file": self.setting.folder / "cert.pem",
            "tls_key_file": self.setting.folder / "key.pem", "loops": self.loops,
            "stripe_secret_files": self.setting.secret_file, "connections_max": 50000, "connections_per_address_max": 0,
            "log_file": self.setting.folder / f"{self.name}.requests.log", **self.agent_settings(),
        }
        return {f"WATCHPOST_SET_{name.upper()}": str(value) for name, value in settings.items()}

    def agent_settings(self):
        """Webhooks alone: no database."""
        return {"agents": "off"}


class WatchpostAgents(Watchpost):
    def agent_settings(self):
        _, dsn, password_file = self.setting.postgres.settings("watchpost_ingress")[1::2]
        return {"agents": "on", "postgres_dsn": dsn, "postgres_password_file": password_file, "agent_rate_per_s": 0,
                "agent_address_rate_per_s": 0, "unauthorized_rate_per_s": 0}


class WatchpostTls(Watchpost):
    name = "watchpost-tls"
    tls = True


class Nginx(Server):
    name = "nginx"

    def __init__(self, setting, loops=2):
        super().__init__(setting, loops)
        self.other_port = free_port()

    def command(self):
        text = (PEERS / "nginx.conf").read_text()
        plain, secure = (self.other_port, self.port) if self.tls else (self.port, self.other_port)
        for word, value in (("TLS_PORT", secure), ("PORT", plain), ("DIR", self.setting.folder), ("WORKERS", self.loops)):
            text = text.replace(word, str(value))
        path = self.setting.folder / f"{self.name}.conf"
        path.write_text(text)
        return ["/usr/sbin/nginx", "-c", str(path), "-e", str(self.setting.folder / "nginx.error.log")]


class NginxTls(Nginx):
    name = "nginx-tls"
    tls = True


class Go(Server):
    name = "go-franz"

    def command(self):
        return [str(BUILD / "peer-go"), "-listen", f"127.0.0.1:{self.port}", "-brokers", self.setting.brokers,
                "-topic", self.setting.topic, "-secret-file", str(self.setting.secret_file)]

    def environment(self):
        return {"GOMAXPROCS": str(self.loops)}


class Node(Server):
    name = "node-fastify"

    def command(self):
        return ["node", str(PEERS / "node/server.mjs"), "--port", str(self.port), "--brokers", self.setting.brokers,
                "--topic", self.setting.topic, "--secret-file", str(self.setting.secret_file)]


class Evhttp(Server):
    name = "evhttp"

    def command(self):
        return [str(BUILD / "peer-evhttp"), str(self.port), self.setting.brokers, self.setting.topic,
                str(self.setting.secret_file)]


class GoAgents(Go):
    def command(self):
        return super().command() + ["-tokens-file", str(self.setting.tokens_file)]


class NodeAgents(Node):
    def command(self):
        return super().command() + ["--tokens-file", str(self.setting.tokens_file)]


class EvhttpAgents(Evhttp):
    def command(self):
        return super().command() + [str(self.setting.tokens_file)]
