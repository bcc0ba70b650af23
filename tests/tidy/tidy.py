"""Style and structure as a test (docs/style.md). `make tidy` runs it over the tree; a finding is one line
`path:line: what is wrong: what to do instead`, and any finding fails the run.

Usage: tidy.py [--root DIR] [--only CHECK[,CHECK]] [--write-map] [--list]
"""

import argparse
import concurrent.futures
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checks  # noqa: E402
import readme_map  # noqa: E402
from tree import Tree  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tidy.py", description=__doc__.split("\n")[0])
    parser.add_argument("--root", default=str(pathlib.Path(__file__).resolve().parents[2]), help="the tree to look at")
    parser.add_argument("--only", default="", help="run these checks only, comma-separated")
    parser.add_argument("--list", action="store_true", help="name the checks and stop")
    parser.add_argument("--write-map", action="store_true", help="write the map of files into README.md and stop")
    return parser.parse_args()


def run_checks(tree, names):
    """Runs the named checks side by side; returns [(name, findings, seconds)]."""

    def one(name):
        started = time.monotonic()
        return name, checks.ALL[name](tree), time.monotonic() - started

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(one, names))


def main():
    options = parse_arguments()
    if options.list:
        for name, check in checks.ALL.items():
            print(f"{name:14} {check.__doc__.strip().splitlines()[0]}")
        return 0
    tree = Tree(pathlib.Path(options.root))
    if options.write_map:
        readme_map.write(tree)
        return 0
    names = options.only.split(",") if options.only else list(checks.ALL)
    unknown = [name for name in names if name not in checks.ALL]
    if unknown:
        print(f"tidy: no check is called {unknown[0]}; --list names them", file=sys.stderr)
        return 2
    failed = 0
    for name, findings, _seconds in run_checks(tree, names):
        for finding in findings:
            print(f"{finding} [{name}]")
        failed += bool(findings)
    print(f"tidy: {len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
