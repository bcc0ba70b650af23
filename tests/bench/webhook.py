"""Webhooks in, verified, in Kafka, answered: CPU per request, requests a second and latency, ours beside the peers.

Usage: webhook.py [--seconds S] [--rounds N] [--connections 1,64,256] [--split] [--tls] [--servers a,b] [--write]
"""

import pathlib
import sys
import tempfile

import compare
import servers
from report import Report
from setting import Setting

PLAIN = (servers.Watchpost, servers.Nginx, servers.Go, servers.Node, servers.Evhttp)
SECURE = (servers.WatchpostTls, servers.NginxTls)
# What we hold ourselves to: our CPU per request as a share of theirs, by connections; and with the server on one core.
CPU_MAX = {"nginx": {1: 3.8, 64: 2.4, 256: 1.8}, "go-franz": 0.45, "node-fastify": 0.2, "evhttp": 0.45}
CPU_MAX_SPLIT = {**CPU_MAX, "go-franz": 0.67}


def main():
    parser = compare.flags(__doc__)
    parser.add_argument("--tls", action="store_true", help="ours with TLS beside nginx with TLS")
    options = parser.parse_args()
    report = Report()
    kinds = compare.chosen(options.servers, PLAIN + SECURE) if options.servers else list(SECURE if options.tls else PLAIN)
    with tempfile.TemporaryDirectory(prefix="watchpost-bench-") as folder:
        with Setting(pathlib.Path(folder), "1" if options.split else None) as setting:
            results = compare.measure(kinds, setting, options)
    section = "webhook" + ("-tls" if options.tls else "") + ("-split" if options.split else "")
    text = compare.table(results, kinds, options.connections)
    if kinds == list(PLAIN):
        text += "\n\n" + compare.verdict(results, options.connections, CPU_MAX_SPLIT if options.split else CPU_MAX)
    report.finish(section, text, options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
