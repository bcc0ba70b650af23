"""Webhooks in, verified, in Kafka, answered: CPU per request, requests a second and latency, ours beside the peers.

Usage: webhook.py [--seconds S] [--rounds N] [--connections 1,64,256] [--split] [--tls] [--servers a,b]

Servers take turns in every round, so that a machine whose speed drifts does it to all of them; the figures are medians over
the rounds. CPU is user and system time of the server's processes alone, by the kernel's own account, divided by the answers.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import servers  # noqa: E402
from setting import Setting  # noqa: E402

LOAD = servers.ROOT / "build/bin/watchpost-load"
PLAIN = (servers.Watchpost, servers.Nginx, servers.Go, servers.Node, servers.Evhttp)
SECURE = (servers.WatchpostTls, servers.NginxTls)


def load(server, setting, connections, seconds, cpus=None):
    """One run of the load generator; returns its report with the server's CPU microseconds per answer."""
    pin = ["taskset", "-c", cpus] if cpus else []
    command = pin + [str(LOAD), "--port", str(server.port), "--connections", str(connections), "--seconds", str(seconds),
                     "--secret-file", str(setting.secret_file), "--pool", "8192", "--customers", "1000"]
    before = server.cpu_seconds()
    out = subprocess.run(command + (["--tls"] if server.tls else []), capture_output=True, text=True, check=True).stdout
    report = json.loads(out)
    report["cpu_us"] = 1e6 * (server.cpu_seconds() - before) / max(report["answered"], 1)
    good = sum(n for status, n in report["status"].items() if status in ("200", "202"))
    report["bad"] = report["answered"] - good + report["errors"] + report["timeouts"]
    return report


def measure(kinds, setting, options):
    """{(server, connections): [report …]}; every server is started afresh in each round and warmed up first."""
    results = {}
    server_cpus, load_cpus = ("0", "1") if options.split else (None, None)
    for round_number in range(options.rounds):
        for kind in kinds:
            server = kind(setting, loops=1 if options.split else 2)
            server.start(server_cpus)
            try:
                load(server, setting, 64, 2, load_cpus)
                for connections in options.connections:
                    report = load(server, setting, connections, options.seconds, load_cpus)
                    results.setdefault((kind.name, connections), []).append(report)
                    print(f"  round {round_number + 1} {kind.name:13} {connections:4} connections: "
                          f"{report['per_second']:8.0f}/s {report['cpu_us']:6.1f} µs CPU, p99 {report['p99_us']:7.0f} µs, "
                          f"{report['bad']} bad", file=sys.stderr, flush=True)
            finally:
                server.stop()
    return results


def table(results, kinds, connections_list):
    """Markdown: medians, with our ratio to each."""
    lines = ["| connections | server | CPU µs/request | requests/s | p50 µs | p99 µs | bad | our CPU ÷ theirs | our req/s ÷ theirs |",
             "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for connections in connections_list:
        ours = medians(results[(kinds[0].name, connections)])
        for kind in kinds:
            row = medians(results[(kind.name, connections)])
            lines.append(f"| {connections} | {kind.name} | {row['cpu_us']:.1f} | {row['per_second']:.0f} | {row['p50_us']:.0f} "
                         f"| {row['p99_us']:.0f} | {row['bad']:.0f} | {ours['cpu_us'] / row['cpu_us']:.2f} "
                         f"| {ours['per_second'] / row['per_second']:.2f} |")
    return "\n".join(lines)


def medians(reports):
    return {key: statistics.median(r[key] for r in reports) for key in ("cpu_us", "per_second", "p50_us", "p99_us", "bad")}


def main():
    parser = argparse.ArgumentParser(prog="webhook.py", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,64,256", type=lambda t: [int(n) for n in t.split(",")])
    parser.add_argument("--split", action="store_true", help="the server on one core, Kafka and load on the other")
    parser.add_argument("--tls", action="store_true", help="ours with TLS beside nginx with TLS")
    parser.add_argument("--servers", default="", help="only these, comma-separated; the first is 'ours'")
    options = parser.parse_args()
    kinds = SECURE if options.tls else PLAIN
    if options.servers:
        kinds = [k for name in options.servers.split(",") for k in PLAIN + SECURE if k.name == name]
    with tempfile.TemporaryDirectory(prefix="watchpost-bench-") as folder:
        with Setting(pathlib.Path(folder), "1" if options.split else None) as setting:
            results = measure(kinds, setting, options)
    print(table(results, kinds, options.connections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
