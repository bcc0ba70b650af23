"""The checks of `make tidy`. Each takes a Tree and returns findings `path:line: wrong: instead`."""

import os
import re
import subprocess

import readme_map
from ctext import code_only

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
LINE_COLUMNS_MAX = 120

BANNED = {
    "strcpy": "buf_append_text or snprintf", "strcat": "buf_append_text", "sprintf": "snprintf or buf_printf",
    "vsprintf": "vsnprintf", "strncpy": "memcpy with a checked length", "strncat": "buf_append",
    "strtok": "strspn and strcspn, or strtok_r", "gets": "fgets", "atoi": "strtoll with its checks", "atol": "strtoll",
    "atof": "strtod", "sscanf": "a small parser", "alloca": "a bounded array or malloc", "rand": "id_random",
    "srand": "id_random", "random": "id_random", "system": "posix_spawn", "popen": "posix_spawn", "tmpnam": "mkstemp",
    "mktemp": "mkstemp", "localtime": "gmtime_r", "gmtime": "gmtime_r", "ctime": "clock_format_ms",
    "asctime": "clock_format_ms", "usleep": "nanosleep or a timer", "signal": "sigaction",
    "time": "clock_wall_ms", "gettimeofday": "clock_wall_ms", "setjmp": "return values", "longjmp": "return values",
}

# Who may include what (docs/design.md, Layout): (files, forbidden include, why).
WALLS = (
    (r"^common/", r'"(ingress|workers|ops|cli)/', "dependencies point from programs to common"),
    (r"^workers/", r'"(ingress|ops|cli)/', "no worker includes another program's code"),
    (r"^ingress/", r'"(workers|ops|cli)/', "the ingress includes common only"),
    (r"^workers/subscription_sync/", r'"workers/(?!runtime|subscription_sync)', "no worker includes another's code"),
    (r"^workers/audit_log/", r'"workers/(?!runtime|audit_log)', "no worker includes another's code"),
    (r"^workers/outbox_relay/", r'"workers/(?!runtime|outbox_relay)', "no worker includes another's code"),
    (r"^workers/revocation_fanout/", r'"workers/(?!runtime|revocation_fanout)', "no worker includes another's code"),
    (r"^workers/runtime/", r'"workers/(?!runtime)', "the runtime knows no worker"),
    (r"^ingress/routes/", r"<(sys/socket|netinet|event2|openssl/ssl)", "routes never touch sockets"),
    (r"^(?!common/kafka_|ops/dev/broker/|tests/)", r"<librdkafka/", "only common/kafka_*.c know librdkafka"),
    (r"^(?!common/pg|tests/)", r"<(postgresql/)?libpq-fe", "only common/pg*.c know libpq"),
)

PROMISES = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def formatting(tree):
    """clang-format would change nothing."""
    if not tree.c_files:
        return []
    out = subprocess.run(["clang-format", "--dry-run", *tree.c_files], cwd=tree.root, capture_output=True, text=True)
    if out.returncode != 0:
        return [f"clang-format: {out.stderr.strip()[:300]}"]
    hits = re.findall(r"^([^\s:]+):(\d+):\d+: (?:warning|error): code should be clang-formatted", out.stderr, re.M)
    worst = {}
    for path, line in hits:
        worst.setdefault(path, line)
    return [f"{path}:{line}: not in the project's format: run `make format`" for path, line in sorted(worst.items())]


def functions(tree):
    """No function is longer than FUNCTION_LINES_MAX lines."""
    return [f"{path}:{first}: {name} has {last - first + 1} lines, {FUNCTION_LINES_MAX} allowed: split it by its steps"
            for path, name, first, last in tree.functions if last - first + 1 > FUNCTION_LINES_MAX]


def files(tree):
    """No source is longer than FILE_LINES_MAX lines."""
    out = []
    for name in tree.having(".c", ".h", ".py", ".sh"):
        count = tree.text(name).count("\n")
        if count > FILE_LINES_MAX:
            out.append(f"{name}:{FILE_LINES_MAX}: {count} lines, {FILE_LINES_MAX} allowed: probably two rooms, split it")
    return out


def banned(tree):
    """Calls with a better replacement do not occur."""
    call = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    out = []
    for name in tree.c_files:
        if name.startswith("tests/bench/peers/"):  # peers are written as anybody would
            continue
        for number, line in enumerate(code_only(tree.text(name)).split("\n"), 1):
            for hit in call.finditer(line):
                out.append(f"{name}:{number}: {hit.group(1)}() is banned: use {BANNED[hit.group(1)]}")
    return out


def walls(tree):
    """Includes point the way that docs/design.md says."""
    out = []
    for name in tree.c_files:
        for number, line in enumerate(tree.lines(name), 1):
            if not line.startswith("#include"):
                continue
            for where, what, why in WALLS:
                if re.search(where, name) and re.search(what, line):
                    out.append(f"{name}:{number}: {line.strip()}: {why}")
    return out


def guards(tree):
    """Each header's guard is its path."""
    out = []
    for name in tree.having(".h"):
        guard = "WATCHPOST_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        if f"#ifndef {guard}\n#define {guard}\n" not in tree.text(name):
            out.append(f"{name}:1: no include guard {guard}: add it")
    return out


def alone(tree):
    """Every header compiles by itself."""
    generated = tree.root / os.environ.get("BUILD", "build") / "gen"
    if (tree.root / "schemas/generate.py").is_file():
        subprocess.run(["/usr/bin/python3", "schemas/generate.py", "c", str(generated)], cwd=tree.root, check=True)
    packages = subprocess.run(["pkg-config", "--cflags", "libpq"], capture_output=True, text=True).stdout.split()
    out = []
    for name in tree.having(".h"):
        flags = ["-std=gnu11", "-Wall", "-Wextra", "-fsyntax-only", "-I.", f"-I{generated}", "-D_GNU_SOURCE", *packages,
                 "-x", "c"]
        run = subprocess.run(["cc", *flags, name], cwd=tree.root, capture_output=True, text=True)
        if run.returncode != 0:
            first = run.stderr.strip().split("\n")[0][:200]
            out.append(f"{name}:1: does not compile alone: include what it uses ({first})")
    return out


def promises(tree):
    """No unfinished work is promised in a source."""
    out = []
    for name in tree.files:
        if name.startswith("tests/tidy/") or not name.endswith((".c", ".h", ".py", ".sh", ".sql", ".js", ".mjs", ".def")):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            if PROMISES.search(line):
                out.append(f"{name}:{number}: a promise in the code: do it, or open an issue")
    return out


def whitespace(tree):
    """Lines end clean, files end with one newline, and fit LINE_COLUMNS_MAX columns in C."""
    out = []
    for name in tree.having(".c", ".h", ".def", ".py", ".sh", ".sql", ".md", ".yaml", ".yml", "Makefile"):
        text = tree.text(name)
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            out.append(f"{name}:{text.count(chr(10))}: does not end in exactly one newline")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                out.append(f"{name}:{number}: white space at the end of the line: remove it")
            if name.endswith((".c", ".h")) and len(line.expandtabs(8)) > LINE_COLUMNS_MAX:
                out.append(f"{name}:{number}: over {LINE_COLUMNS_MAX} columns: break it")
    return out


def the_map(tree):
    """README's map names every file, in the files' own words."""
    return readme_map.findings(tree)


def walks(tree):
    """Functions named in docs/one-request.md as `file:function` exist there."""
    name = "docs/one-request.md"
    if name not in tree.files:
        return [f"{name}:1: missing: walk one request through the files"]
    known = {(path, function) for path, function, _, _ in tree.functions}
    out = []
    for number, line in enumerate(tree.lines(name), 1):
        for path, function in re.findall(r"`([\w/.-]+\.[ch]):(\w+)`", line):
            if (path, function) not in known:
                out.append(f"{name}:{number}: {path} has no function {function}: mend the walk")
    return out


def migrations(tree):
    """Migrations are numbered 0001, 0002 … without a gap."""
    names = [n for n in tree.files if n.startswith("migrations/") and n.endswith(".sql")]
    out = []
    for expected, name in enumerate(names, 1):
        if not re.fullmatch(rf"migrations/{expected:04d}_[a-z0-9_]+\.sql", name):
            out.append(f"{name}:1: expected migrations/{expected:04d}_<name>.sql: number them without a gap")
    return out


def generated(tree):
    """Documents made from the schemas are what the schemas make."""
    if "schemas/generate.py" not in tree.files:
        return []
    run = subprocess.run(["/usr/bin/python3", "schemas/generate.py", "check"], cwd=tree.root, capture_output=True, text=True)
    text = (run.stdout + run.stderr).strip()
    return [f"schemas: {line}" for line in text.split("\n") if line] if run.returncode != 0 else []


def places(tree):
    """Nothing names a place of one machine."""
    path = re.compile(r"(^|[^A-Za-z0-9_./-])/(work|root|home/[a-z]+)/")
    out = []
    for name in tree.files:
        if name.startswith("tests/tidy/") or name.endswith((".svg", ".png")) or "/corpus/" in name:
            continue
        try:
            lines = tree.lines(name)
        except UnicodeDecodeError:
            continue
        out += [f"{name}:{n}: an absolute path of one machine: make it relative"
                for n, line in enumerate(lines, 1) if path.search(line)]
    return out


def sizes(tree):
    """No file is over 1 MB."""
    return [f"{name}:1: over 1 MB: generate it, or keep a smaller one"
            for name in tree.files if (tree.root / name).stat().st_size > 1_000_000]


ALL = {
    "formatting": formatting, "functions": functions, "files": files, "banned": banned, "walls": walls, "guards": guards,
    "alone": alone, "promises": promises, "whitespace": whitespace, "map": the_map, "walks": walks,
    "migrations": migrations, "generated": generated, "places": places, "sizes": sizes,
}
