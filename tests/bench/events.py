"""Agents' events in, token checked, in Kafka, answered: ours beside the peers with a bearer check.

Usage: events.py [--seconds S] [--rounds N] [--connections 1,64,256] [--split] [--agents N] [--servers a,b] [--write]

Every server knows the same agents; each request carries the next one's token. Ours checks it under its lease, with a
database behind it; the peers look its SHA-256 up in a table in memory, and so never hear of a revoke.
"""

import pathlib
import sys
import tempfile

import compare
import servers
from report import Report
from setting import AgentSetting

KINDS = (servers.WatchpostAgents, servers.Nginx, servers.GoAgents, servers.NodeAgents, servers.EvhttpAgents)
# What we hold ourselves to: our CPU per request as a share of nginx answering a bare 202.
CPU_MAX = {"nginx": {64: 2.0}, "go-franz": {}, "node-fastify": {}, "evhttp": {}}


def main():
    parser = compare.flags(__doc__)
    parser.add_argument("--agents", type=int, default=1000, help="different tokens")
    options = parser.parse_args()
    report = Report()
    kinds = compare.chosen(options.servers, KINDS)
    with tempfile.TemporaryDirectory(prefix="watchpost-bench-") as folder:
        with AgentSetting(pathlib.Path(folder), options.agents, "1" if options.split else None) as setting:
            results = compare.measure(kinds, setting, options)
    text = compare.table(results, kinds, options.connections)
    if kinds == list(KINDS):
        text += "\n\n" + compare.verdict(results, options.connections, CPU_MAX)
    report.finish("events" + ("-split" if options.split else ""), text, options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
