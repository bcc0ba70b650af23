"""Workers catching up with a backlog: records a second from start to lag 0, CPU per record, memory, beside COPY of the same rows.

Usage: workers.py [--events N] [--subscriptions 1000,100000] [--rounds N] [--kinds …] [--places one-core,shared] [--write]

The backlog holds nothing but changes of subscriptions, the dearest event for both workers. Each run begins with empty
tables and a worker that has to join its group first. COPY reads the rows that the worker wrote from a file of the server's
into tables of the same shape, all in one transaction: no client, no duplicates looked for, no state merged.
"""

import argparse
import os
import statistics
import sys

from pipeline import Pipeline
from report import Report, markdown, progress

TABLES = {"subscription-sync": ["wp.stripe_events", "wp.subscriptions"], "audit-log": ["wp.ledger"]}
PER_SECOND_MIN = {"subscription-sync": 20000, "audit-log": 40000}
COPY_SHARE_MIN = 0.5
LAST_CORE = os.cpu_count() - 1
# The worker's cores and those of Kafka and PostgreSQL.
PLACES = {"one-core": ("0", f"1-{LAST_CORE}"), "shared": (f"0-{LAST_CORE}", f"0-{LAST_CORE}")}
PLACE_TEXT = {"one-core": "worker on one core, the rest for Kafka and PostgreSQL", "shared": "all cores shared"}


def resident_at(run, share):
    """Resident MiB when at least this share of the backlog was done."""
    return next(size for done, size in run["resident"] if done >= share) / 2**20


def measure(pipeline, options):
    """{(subscriptions, place, kind): [run …]}; kinds and places take turns in every round."""
    results = {}
    for subscriptions in options.subscriptions:
        progress(f"making a backlog of {options.events} events of {subscriptions} subscriptions")
        pipeline.make_backlog(options.events, subscriptions)
        for round_number in range(options.rounds):
            for place in options.places:
                for kind in options.kinds:
                    worker_cpus, server_cpus = PLACES[place]
                    pipeline.place(server_cpus)
                    run = pipeline.run(kind, worker_cpus)
                    copy_seconds, copy_cpu = pipeline.copy_seconds(TABLES[kind])
                    run["copy_per_second"] = options.events / copy_seconds
                    run["copy_us"] = 1e6 * copy_cpu / options.events
                    run["share"] = run["per_second"] / run["copy_per_second"]
                    for name, share in (("early", 0.1), ("half", 0.5), ("end", 1)):
                        run[name] = resident_at(run, share)
                    results.setdefault((subscriptions, place, kind), []).append(run)
                    progress(f"round {round_number + 1} {subscriptions:6} {place:8} {kind:17} {run['per_second']:7.0f}/s "
                             f"{run['worker_us']:5.1f} + {run['postgres_us']:5.1f} µs, COPY {run['copy_per_second']:7.0f}/s, "
                             f"{run['early']:.0f} → {run['end']:.0f} MiB")
    return results


def tables(results, options):
    out = []
    for place in options.places:
        rows = []
        for (subscriptions, at, kind), runs in results.items():
            if at != place:
                continue
            m = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "resident"}
            met = m["per_second"] >= PER_SECOND_MIN[kind] or m["share"] >= COPY_SHARE_MIN
            target = f"≥ {PER_SECOND_MIN[kind]:,}: {'met' if met else '**missed**'}"
            rows.append([kind, f"{subscriptions:,}", f"{m['per_second']:,.0f}", target, f"{m['worker_us']:.1f}", f"{m['postgres_us']:.1f}",
                         f"{m['copy_per_second']:,.0f}", f"{m['copy_us']:.1f}", f"{100 * m['share']:.0f} %",
                         f"{m['early']:.0f}, {m['half']:.0f}, {m['end']:.0f}"])
        out.append(f"{options.events:,} events, 4 partitions, {PLACE_TEXT[place]}; medians of {options.rounds}:\n\n" + markdown(
            ["worker", "subscriptions", "records/s", "target (or half of COPY)", "CPU µs/record, worker", "PostgreSQL", "COPY rows/s", "COPY CPU µs/row",
             "of COPY", "MiB resident at 10, 50, 100 %"], rows))
    return "\n\n".join(out)


def main():
    parser = argparse.ArgumentParser(prog="workers.py", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=200000)
    parser.add_argument("--subscriptions", default="1000,100000", type=lambda t: [int(n) for n in t.split(",")])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", default=list(TABLES), type=lambda t: t.split(","))
    parser.add_argument("--places", default=list(PLACES), type=lambda t: t.split(","))
    parser.add_argument("--section", default="workers", help="of docs/performance.md, with --write")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    if LAST_CORE < 1:
        parser.error("a machine with one core cannot show a worker on a core of its own")
    report = Report()
    with Pipeline() as pipeline:
        results = measure(pipeline, options)
    report.finish(options.section, tables(results, options), options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
