"""The files of a tree as the checks see them: what git tracks or would track, read once."""

import functools
import json
import pathlib
import subprocess


class Tree:
    def __init__(self, root: pathlib.Path):
        self.root = root

    @functools.cached_property
    def files(self):
        """Paths relative to the root, sorted, without what git ignores."""
        listed = subprocess.run(
            ["git", "-C", str(self.root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout.decode()
        return sorted(name for name in set(listed.split("\0")) if name and (self.root / name).is_file())

    def having(self, *endings):
        return [name for name in self.files if name.endswith(endings)]

    @functools.cached_property
    def c_files(self):
        return self.having(".c", ".h")

    @functools.lru_cache(maxsize=None)
    def text(self, name):
        return (self.root / name).read_text(encoding="utf-8")

    def lines(self, name):
        return self.text(name).split("\n")

    @functools.cached_property
    def functions(self):
        """[(path, name, first line, last line)] of every C function, by Universal Ctags."""
        if not self.c_files:
            return []
        out = subprocess.run(
            ["ctags", "--output-format=json", "--languages=C", "--map-C=+.h", "--kinds-C=f", "--fields=+ne", "-f", "-", "-L", "-"],
            input="\n".join(self.c_files), cwd=self.root, check=True, capture_output=True, text=True).stdout
        tags = [json.loads(line) for line in out.splitlines()]
        return [(t["path"], t["name"], t["line"], t["end"]) for t in tags if t.get("kind") == "function" and "end" in t]
