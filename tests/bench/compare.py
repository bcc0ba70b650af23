"""Servers that do the same job, side by side: CPU per request, requests a second and latency, and what we hold ourselves to.

Servers take turns in every round, so that a machine whose speed drifts does it to all of them; the figures are medians over
the rounds. CPU is user and system time of the server's processes alone, by the kernel's own account, divided by the answers.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import servers  # noqa: E402
from report import markdown  # noqa: E402

LOAD = servers.PROGRAMS / "watchpost-load"
KAFKA_ALONE = servers.PROGRAMS.parent / "bench/kafka_alone"
KAFKA = "kafka alone"
KAFKA_WARM_UP_S = 10
PEERS = ("go-franz", "node-fastify", "evhttp")
PER_SECOND_MIN, P99_MAX = 1.4, 1.0  # of the best peer's


def load(server, setting, connections, seconds, cpus=None):
    """One run of the load generator; returns its report with the server's CPU microseconds per answer."""
    pin = ["taskset", "-c", cpus] if cpus else []
    command = pin + [str(LOAD), "--port", str(server.port), "--connections", str(connections), "--seconds", str(seconds),
                     *setting.load_arguments()]
    before = server.cpu_seconds()
    out = subprocess.run(command + (["--tls"] if server.tls else []), capture_output=True, text=True, check=True).stdout
    report = json.loads(out)
    report["cpu_us"] = 1e6 * (server.cpu_seconds() - before) / max(report["answered"], 1)
    good = sum(n for status, n in report["status"].items() if status in ("200", "202"))
    report["bad"] = report["answered"] - good + report["errors"] + report["timeouts"]
    return report


def kafka_alone(setting, seconds, cpus=None):
    """Kafka's own answer, one message at a time, seen from where the server runs; as load() reports."""
    pin = ["taskset", "-c", cpus] if cpus else []
    out = subprocess.run([*pin, str(KAFKA_ALONE), setting.brokers, setting.topic, str(seconds)], capture_output=True,
                         text=True, check=True).stdout
    return {**json.loads(out), "bad": 0}


def measure(kinds, setting, options):
    """{(server, connections): [report …]}; every server is started afresh in each round and warmed up first. Each round
    begins with another server, and Kafka is warm before the first: its compiler takes a while."""
    results = {}
    server_cpus, load_cpus = ("0", "1") if options.split else (None, None)
    kafka_alone(setting, KAFKA_WARM_UP_S)
    for round_number in range(options.rounds):
        turn = round_number % len(kinds)
        for kind in kinds[turn:] + kinds[:turn]:
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
        if 1 in options.connections:
            results.setdefault((KAFKA, 1), []).append(kafka_alone(setting, options.seconds, server_cpus))
    return results


def table(results, kinds, connections_list):
    """Markdown: medians, with our ratio to each."""
    lines = ["| connections | server | CPU µs/request | requests/s | p50 µs | p99 µs | bad | our CPU ÷ theirs | our req/s ÷ theirs |",
             "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for connections in connections_list:
        ours = medians(results[(kinds[0].name, connections)])
        names = [kind.name for kind in kinds] + [KAFKA] * ((KAFKA, connections) in results)
        for name in names:
            row = medians(results[(name, connections)])
            lines.append(f"| {connections} | {name} | {row['cpu_us']:.1f} | {row['per_second']:.0f} | {row['p50_us']:.0f} "
                         f"| {row['p99_us']:.0f} | {row['bad']:.0f} | {ours['cpu_us'] / row['cpu_us']:.2f} "
                         f"| {ours['per_second'] / row['per_second']:.2f} |")
    return "\n".join(lines)


def judged(value, bound, met):
    return f"{value:.3g} ({bound})" if met else f"**{value:.3g}, missed** ({bound})"


def verdict(results, connections_list, cpu_max):
    """Markdown: each target with what was measured, by connections. cpu_max: our CPU per request as a share of theirs."""
    rows = []
    for name, bound in cpu_max.items():
        cells = []
        for connections in connections_list:
            limit = bound.get(connections) if isinstance(bound, dict) else bound
            share = medians(results[("watchpost", connections)])["cpu_us"] / medians(results[(name, connections)])["cpu_us"]
            cells.append(f"{share:.3g}" if limit is None else judged(share, f"≤ {limit}", share <= limit))
        rows.append([f"CPU per request ÷ {name}", *cells])
    per_second, p99 = [], []
    for connections in connections_list:
        ours = medians(results[("watchpost", connections)])
        theirs = [medians(results[(name, connections)]) for name in PEERS]
        gain = ours["per_second"] / max(peer["per_second"] for peer in theirs)
        per_second.append(judged(gain, f"≥ {PER_SECOND_MIN}", gain >= PER_SECOND_MIN))
        share = ours["p99_us"] / min(peer["p99_us"] for peer in theirs)
        p99.append(judged(share, f"≤ {P99_MAX}", share <= P99_MAX))
    rows += [["requests/s ÷ the best peer's", *per_second], ["p99 ÷ the best peer's", *p99],
             ["requests/s ÷ what HTTP and Kafka alone allow", *(reach(results, n) for n in connections_list)]]
    return markdown(["target", *(f"{n} connections" for n in connections_list)], rows)


def reach(results, connections):
    """A client with one connection waits for HTTP, then for Kafka: nobody who answers after Kafka has gets far beyond 1."""
    if (KAFKA, connections) not in results:
        return ""
    ours, nginx, kafka = (medians(results[(name, connections)])["per_second"] for name in ("watchpost", "nginx", KAFKA))
    return f"{ours * (1 / nginx + 1 / kafka):.3g}"


def medians(reports):
    return {key: statistics.median(r[key] for r in reports) for key in ("cpu_us", "per_second", "p50_us", "p99_us", "bad")}


def flags(description):
    """The flags that every comparison has."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", default="1,64,256", type=lambda t: [int(n) for n in t.split(",")])
    parser.add_argument("--split", action="store_true", help="the server on one core, Kafka and load on the other")
    parser.add_argument("--servers", default="", help="only these, comma-separated; the first is 'ours'")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    return parser


def chosen(names, kinds):
    """The kinds of servers that --servers names, in its order; all when it names none."""
    return [k for name in names.split(",") for k in kinds if k.name == name] if names else list(kinds)
