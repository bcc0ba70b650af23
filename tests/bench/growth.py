"""Growth: more loops, more partitions and workers, and thousands of idle TLS connections.

Usage: growth.py [--parts loops,workers,idle] [--seconds S] [--rounds N] [--events N] [--idle N] [--write]
"""

import argparse
import contextlib
import pathlib
import resource
import socket
import ssl
import statistics
import sys
import tempfile
import time

import compare
from pipeline import Pipeline
from report import Report, markdown, progress
from servers import Watchpost, WatchpostTls
from setting import Setting
from workers import LAST_CORE, TABLES

LOOPS = (1, 2)
WORKERS = (1, 2, 4)
LOOP_CONNECTIONS = 64
DESCRIPTORS_SPARE = 1000
IDLE_REQUEST = b"GET /.well-known/security.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
SETTLE_S = 2


@contextlib.contextmanager
def bench_setting():
    with tempfile.TemporaryDirectory(prefix="watchpost-bench-") as folder, Setting(pathlib.Path(folder)) as setting:
        yield setting


@contextlib.contextmanager
def running(server):
    server.start()
    try:
        yield server
    finally:
        server.stop()


# --- loops

def loops(options):
    results = {}
    with bench_setting() as setting:
        for round_number in range(options.rounds):
            for count in LOOPS:
                with running(Watchpost(setting, loops=count)) as server:
                    compare.load(server, setting, LOOP_CONNECTIONS, 2)
                    run = compare.load(server, setting, LOOP_CONNECTIONS, options.seconds)
                results.setdefault(count, []).append(run)
                progress(f"round {round_number + 1} {count} loops: {run['per_second']:.0f}/s, {run['cpu_us']:.1f} µs")
    rows = []
    for count, runs in results.items():
        m = compare.medians(runs)
        rows.append([str(count), f"{m['per_second']:,.0f}", f"{m['cpu_us']:.1f}", f"{m['p50_us']:,.0f}", f"{m['p99_us']:,.0f}",
                     f"{m['bad']:.0f}"])
    return (f"Webhooks over {LOOP_CONNECTIONS} connections, Kafka and load generator on the same {LAST_CORE + 1} cores:\n\n"
            + markdown(["loops", "requests/s", "CPU µs/request", "p50 µs", "p99 µs", "bad"], rows))


# --- partitions and workers

def workers(options):
    results = {}
    cpus = f"0-{LAST_CORE}"
    with Pipeline() as pipeline:
        pipeline.place(cpus)
        for count in WORKERS:
            progress(f"making a backlog of {options.events} events in {count} partitions")
            pipeline.make_backlog(options.events, 1000, count)
            for round_number in range(options.rounds):
                for kind in TABLES:
                    run = pipeline.run(kind, cpus, count)
                    results.setdefault((kind, count), []).append(run)
                    progress(f"round {round_number + 1} {count} × {kind}: {run['per_second']:.0f}/s, "
                             f"{run['worker_us']:.1f} + {run['postgres_us']:.1f} µs")
    rows = []
    for (kind, count), runs in sorted(results.items()):
        m = {key: statistics.median(run[key] for run in runs) for key in ("per_second", "worker_us", "postgres_us")}
        rows.append([kind, str(count), f"{m['per_second']:,.0f}", f"{m['worker_us']:.1f}", f"{m['postgres_us']:.1f}"])
    return (f"{options.events:,} events of 1,000 subscriptions, everything on the same {LAST_CORE + 1} cores:\n\n"
            + markdown(["worker", "partitions and workers", "records/s", "CPU µs/record, workers", "PostgreSQL"], rows))


# --- idle connections

class Patient(WatchpostTls):
    """Keeps idle connections for as long as the test takes."""

    def environment(self):
        return {**super().environment(), "WATCHPOST_SET_IDLE_TIMEOUT_MS": "600000"}


def raise_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def open_idle(port, count):
    """So many TLS connections, each of which had one request answered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connections = []
    for number in range(count):
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30))
        assert connection.version() == "TLSv1.3"
        connection.sendall(IDLE_REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connections.append(connection)
        if number % 1000 == 999:
            progress(f"{number + 1} idle connections")
    return connections


def still_open(connections):
    """How many the server has not closed."""
    count = 0
    for connection in connections:
        connection.settimeout(0)
        try:
            count += connection.recv(1) != b""
        except ssl.SSLWantReadError:
            count += 1
        except OSError:
            pass
    return count


def idle(options):
    raise_descriptors(options.idle + DESCRIPTORS_SPARE)
    with bench_setting() as setting, running(Patient(setting)) as server:
        compare.load(server, setting, 1, 2)
        rows = []

        def measure(label):
            resident = server.resident_bytes()
            run = compare.load(server, setting, 1, options.seconds)
            rows.append([label, f"{resident / 2**20:.1f}", f"{run['p50_us']:,.0f}", f"{run['p99_us']:,.0f}",
                         f"{run['per_second']:,.0f}", f"{run['cpu_us']:.1f}", str(run["bad"])])
            return resident

        before = measure("0")
        connections = open_idle(server.port, options.idle)
        time.sleep(SETTLE_S)
        after = measure(f"{options.idle:,}")
        left = still_open(connections)
        for connection in connections:
            connection.close()
    each = (after - before) / options.idle
    return (f"{options.idle:,} idle TLS 1.3 connections, each after one request: {each / 1024:.1f} KiB of the ingress' memory "
            f"each; {left:,} were still open at the end. One webhook after the other over TLS meanwhile:\n\n"
            + markdown(["idle connections", "MiB resident", "webhook p50 µs", "p99 µs", "requests/s", "CPU µs/request", "bad"], rows))


PARTS = {"loops": loops, "workers": workers, "idle": idle}


def main():
    parser = argparse.ArgumentParser(prog="growth.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--parts", default=list(PARTS), type=lambda t: t.split(","))
    parser.add_argument("--seconds", type=int, default=5, help="of each run of the load generator")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=200000)
    parser.add_argument("--idle", type=int, default=10000, help="idle connections")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    report = Report()
    report.finish("growth", "\n\n".join(PARTS[part](options) for part in options.parts), options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
