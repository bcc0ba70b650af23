#!/usr/bin/python3
"""Makes what follows from schemas/: C code, docs/events.md, and the compatibility check.

    generate.py c OUTDIR     write events.h and events.c
    generate.py markdown     write docs/events.md (what another tool put between markers is kept)
    generate.py freeze       record each new version in schemas/history/
    generate.py check        the docs are current and every change can be read by old readers

Exit status: 0 done, 1 a check failed or a description is wrong, 2 usage.
"""

import argparse
import sys
from pathlib import Path

import c_code
import compat
import markdown
import model

ROOT = Path(__file__).resolve().parent.parent


def write_if_changed(path: Path, text: str) -> None:
    """Writes the file, leaving one that is already so untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def make_c(types: list[model.EventType], folder: Path) -> None:
    write_if_changed(folder / "events.h", c_code.header(types))
    # make compares times: the source is written always, so that it is newer than the descriptions.
    (folder / "events.c").write_text(c_code.source(types), encoding="utf-8")


def make_markdown(types: list[model.EventType], path: Path) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_if_changed(path, markdown.document(types, before))


def check(types: list[model.EventType], history: Path, doc: Path) -> list[str]:
    """Every problem found, one line each."""
    problems = compat.check(types, history)
    before = doc.read_text(encoding="utf-8") if doc.exists() else ""
    if before != markdown.document(types, before):
        problems.append(f"{doc.name}: not current; run schemas/generate.py markdown")
    return problems


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Makes what follows from the event descriptions.")
    parser.add_argument("--schemas", type=Path, default=ROOT / "schemas", help="folder with events/ and history/")
    parser.add_argument("--doc", type=Path, default=ROOT / "docs" / "events.md", help="the Markdown file")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("c", help="write events.h and events.c").add_argument("outdir", type=Path)
    verbs.add_parser("markdown", help="write docs/events.md")
    verbs.add_parser("freeze", help="record each new version in history/")
    verbs.add_parser("check", help="docs are current, changes are compatible")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> list[str]:
    """Does what the verb says; returns the problems found."""
    types = model.load(options.schemas / "events")
    history = options.schemas / "history"
    if options.verb == "c":
        make_c(types, options.outdir)
    elif options.verb == "markdown":
        make_markdown(types, options.doc)
    elif options.verb == "freeze":
        return compat.freeze(types, options.schemas / "events", history)
    elif options.verb == "check":
        return check(types, history, options.doc)
    return []


def main(arguments: list[str]) -> int:
    try:
        problems = run(parse_arguments(arguments))
    except (model.SchemaError, OSError) as error:
        problems = [str(error)]
    for problem in problems:
        print(f"schemas: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
