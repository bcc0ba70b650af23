"""The map in README.md: each file with the first sentence of its own opening comment, so it cannot go stale."""

import re

from ctext import first_sentence

BEGIN, END = "<!-- map begins: written by `make map` -->", "<!-- map ends -->"
ROOMS = ("common/", "schemas/", "migrations/", "ingress/", "workers/", "ops/", "cli/")
ENDINGS = (".c", ".h", ".def", ".py", ".sh", ".sql")


def _hash_sentence(text):
    """First sentence of a '#' or '--' comment block, or of a Python docstring."""
    docstring = re.match(r'(?:#![^\n]*\n)?\s*"""(.*?)"""', text, re.DOTALL)
    if docstring:
        words = " ".join(docstring.group(1).split("\n\n")[0].split())
    else:
        block = re.match(r"(?:#![^\n]*\n)?(?:#\n)?((?:(?:#|--) ?[^\n]*\n)+)", text)
        if not block:
            return ""
        words = re.sub(r"(?m)^(?:#|--) ?", "", block.group(1)).split("\n\n")[0]
        words = " ".join(words.split())
    end = re.search(r"(?<=[a-z0-9)\]\"'`])\.(?= |$)", words)
    return words[:end.start()] if end else words.rstrip(".:")


def sentence_of(tree, name):
    text = tree.text(name)
    return first_sentence(text) if name.endswith((".c", ".h", ".def")) else _hash_sentence(text)


def mapped_files(tree):
    """Sources in the rooms; a .c file beside its own header is told by the header."""
    names = [n for n in tree.files if n.startswith(ROOMS) and n.endswith(ENDINGS)]
    return [n for n in names if not (n.endswith(".c") and n[:-2] + ".h" in names)]


def render(tree):
    lines, room = [], None
    for name in mapped_files(tree):
        folder, _, base = name.rpartition("/")
        if folder != room:
            lines += ["", f"**{folder}/**", "", "| file | what it is |", "| --- | --- |"]
            room = folder
        sentence = sentence_of(tree, name).replace("|", "\\|")
        lines.append(f"| `{base}` | {sentence} |")
    return "\n".join(lines).strip() + "\n"


def write(tree):
    readme = tree.root / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n\n{render(tree)}\n{END}{after}", encoding="utf-8")


def findings(tree):
    if "README.md" not in tree.files:
        return ["README.md:1: missing: write it"]
    text = tree.text("README.md")
    if BEGIN not in text or END not in text:
        return [f"README.md:1: no map: add the lines {BEGIN} and {END}, then run `make map`"]
    silent = [f"{name}:1: no opening comment: say in one sentence what the file is"
              for name in mapped_files(tree) if not sentence_of(tree, name)]
    shown = text.partition(BEGIN)[2].partition(END)[0].strip()
    if shown != render(tree).strip():
        silent.append("README.md:1: the map is not what the files say: run `make map`")
    return silent
