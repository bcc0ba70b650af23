"""Tests of the tidy checks: each check is shown a small tree that breaks its rule, and one that does not.

Why: a style check that never fails is decoration. How: a throw-away git tree with a planted fault; the check
must name the file and the line, and must be silent once the fault is mended.
"""

import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import checks  # noqa: E402
import readme_map  # noqa: E402
from ctext import code_only, first_sentence  # noqa: E402
from tree import Tree  # noqa: E402

BIG = "x" * 1_000_001
LONG = "int f(void)\n{\n" + "\tg();\n" * 90 + "}\n"
HEADER = "#ifndef WATCHPOST_COMMON_A_H\n#define WATCHPOST_COMMON_A_H\nint a(void);\n#endif\n"

# check, path, text that breaks the rule, text that keeps it, part of the finding
CASES = [
    ("functions", "common/a.c", LONG, "int f(void)\n{\n\treturn 0;\n}\n", "f has 93 lines"),
    ("files", "common/a.c", "int a;\n" * 700, "int a;\n", "700 lines"),
    ("banned", "common/a.c", "void f(char *a)\n{\n\tstrcpy(a, \"b\");\n}\n", "/* strcpy(a, b) */\n", "a.c:3: strcpy() is banned"),
    ("banned", "ingress/a.c", "int x = atoi(\"1\");\n", "const char *s = \"atoi(\";\n", "strtoll"),
    ("walls", "common/a.c", '#include "ingress/loop.h"\n', '#include "common/err.h"\n', "dependencies point"),
    ("walls", "workers/audit_log/a.c", '#include "workers/subscription_sync/merge.h"\n',
     '#include "workers/runtime/runtime.h"\n', "another's code"),
    ("walls", "ingress/routes/a.c", "#include <sys/socket.h>\n", "#include <string.h>\n", "never touch sockets"),
    ("walls", "ingress/a.c", "#include <librdkafka/rdkafka.h>\n", '#include "common/kafka.h"\n', "librdkafka"),
    ("walls", "ops/ctl/a.c", "#include <libpq-fe.h>\n", '#include "common/pg.h"\n', "libpq"),
    ("guards", "common/a.h", "int a(void);\n", HEADER, "WATCHPOST_COMMON_A_H"),
    ("alone", "common/a.h", HEADER.replace("int a(void)", "size_t a(void)"), HEADER, "does not compile alone"),
    ("promises", "common/a.c", "/* TO" "DO: later */\n", "/* done */\n", "a promise"),
    ("whitespace", "common/a.c", "int a; \n", "int a;\n", "end of the line"),
    ("whitespace", "common/a.c", "int a;", "int a;\n", "newline"),
    ("whitespace", "common/a.c", "int a; /* " + "x" * 120 + " */\n", "int a;\n", "120 columns"),
    ("formatting", "common/a.c", "int  a ;\n", "int a;\n", "make format"),
    ("migrations", "migrations/0002_b.sql", "select 1;\n", None, "0001_"),
    ("places", "ops/a.sh", "cd /wo" "rk/main/x\n", "cd var/x\n", "absolute path"),
    ("sizes", "docs/a.md", BIG, "x\n", "over 1 MB"),
    ("walks", "docs/one-request.md", "`common/a.c:gone`\n", "`common/z.c:here`\n", "no function gone"),
]


@pytest.fixture
def tree_of(tmp_path):
    """Makes a git tree of the given files with the project's format file."""

    def make(contents):
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        style = pathlib.Path(__file__).resolve().parents[2] / ".clang-format"
        (tmp_path / ".clang-format").write_text(style.read_text())
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Tree(tmp_path)

    return make


def name_of(value):
    return value if isinstance(value, str) and len(value) < 30 and "\n" not in value else ""


@pytest.mark.parametrize("check,path,bad,_good,part", CASES, ids=name_of)
def test_a_broken_rule_is_found(tree_of, check, path, bad, _good, part):
    findings = checks.ALL[check](tree_of({path: bad}))
    assert any(part in finding for finding in findings), findings


@pytest.mark.parametrize("check,path,_bad,good,_part", [case for case in CASES if case[3] is not None], ids=name_of)
def test_a_kept_rule_is_silent(tree_of, check, path, _bad, good, _part):
    others = {"common/z.c": "/* Z. */\nint here(void)\n{\n\treturn 0;\n}\n"} if check == "walks" else {}
    assert checks.ALL[check](tree_of({path: good, **others})) == []


def test_the_map_is_made_from_the_files_and_noticed_when_stale(tree_of):
    readme = f"# X\n\n{readme_map.BEGIN}\n{readme_map.END}\n"
    tree = tree_of({"README.md": readme, "common/a.h": "/*\n * Knows a. More.\n */\n" + HEADER})
    assert any("make map" in finding for finding in readme_map.findings(tree))
    readme_map.write(tree)
    fresh = Tree(tree.root)
    assert "| `a.h` | Knows a |" in fresh.text("README.md")
    assert readme_map.findings(fresh) == []


def test_a_file_without_a_sentence_is_found(tree_of):
    tree = tree_of({"README.md": f"{readme_map.BEGIN}\n{readme_map.END}\n", "common/a.h": HEADER})
    assert any("no opening comment" in finding for finding in readme_map.findings(tree))


def test_generated_documents_are_compared(tree_of):
    script = "import sys\nprint('docs/events.md is stale')\nsys.exit(1)\n"
    assert checks.generated(tree_of({"schemas/generate.py": script})) == ["schemas: docs/events.md is stale"]


def test_comments_and_strings_are_not_code():
    assert "strcpy" not in code_only('/* strcpy( */ x("strcpy("); // strcpy(\n')
    assert code_only("a\n/* b\nc */ d").count("\n") == 2


def test_the_first_sentence_ends_at_its_full_stop():
    assert first_sentence("/*\n * W2: the head,\n * parsed. More.\n */") == "W2: the head, parsed"


def test_every_check_has_a_case():
    covered = {case[0] for case in CASES} | {"map", "generated"}
    assert covered == set(checks.ALL)
