"""Where a benchmark's tables go: standard output, and with --write the marked section of docs/performance.md as well.

As a program, for benchmarks that are no Python: `PROGRAM | report.py SECTION COMMAND [--write]`.
"""

import os
import pathlib
import re
import shlex
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/performance.md"


def machine():
    """One line: cores, processor, kernel, and how busy the machine is with other work."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    load = pathlib.Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    release = os.uname()
    return (f"{os.cpu_count()} × {cpu.group(1).strip() if cpu else release.machine}, {release.sysname} {release.release}; "
            f"load average {load}")


class Report:
    """Made before the measuring starts, so that the load average it tells is other work's."""

    def __init__(self):
        self.began = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        self.machine = machine()

    def finish(self, section, tables, write, command=None):
        """Prints the tables under what made them; `write` replaces the section in docs/performance.md."""
        command = command or shlex.join(["tests/bench/" + pathlib.Path(sys.argv[0]).name,
                                         *(a for a in sys.argv[1:] if a != "--write")])
        text = f"`{command}`, {self.began} UTC, {self.machine} before the run.\n\n{tables.strip()}\n"
        print(text, flush=True)
        if write:
            replace_section(PAGE, section, text)


def replace_section(page, section, text):
    """Puts `text` between the section's two markers."""
    begin, end = f"<!-- bench:{section} -->\n", f"<!-- end:{section} -->\n"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page.name} has no section {section}: it needs the lines {begin.strip()} and {end.strip()}")
    page.write_text(before + begin + text + end + after, encoding="utf-8")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def markdown(head, rows):
    """A table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main():
    section, command, *flags = sys.argv[1:]
    report = Report()
    report.finish(section, "```\n" + sys.stdin.read().strip() + "\n```", "--write" in flags, command)


if __name__ == "__main__":
    main()
