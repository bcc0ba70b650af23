"""docker-compose.yml, the Dockerfile and what the containers run, checked without Docker."""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import jsonschema
import psycopg2
import pytest
import yaml

from postgres_fixture import PostgresCluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINT = ROOT / "tests/lint"
DOCKERFILE = ROOT / "ops/docker/Dockerfile"
BUILD = pathlib.Path(os.environ.get("WATCHPOST_BUILD", ROOT / "build"))
PROGRAMS = ("ingress", "subscription-sync", "audit-log", "outbox-relay", "revocation-fanout")
# The image writes its configuration into its own layer when it starts.
WRITABLE_ROOT = {"kafka"}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def setting_names():
    return set(re.findall(r"^SETTING\((\w+),", (ROOT / "common/settings.def").read_text(), re.M))


def dockerfile_packages(stage):
    """The packages that one stage of the Dockerfile installs."""
    text = DOCKERFILE.read_text().split(f"AS {stage}\n")[1].split("\nFROM ")[0]
    words = text.split("--no-install-recommends")[1].split("&&")[0].replace("\\", " ")
    return set(words.split())


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False, **options)


def test_follows_the_compose_schema(compose):
    """A key that Compose does not know would be refused only where Docker is. How: the Compose Specification's JSON
    schema, which the linter's package carries; a misspelt key must be found, or the schema checks nothing."""
    schema = json.loads((LINT / "node_modules/dclint/schemas/compose.schema.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    assert [error.message for error in validator.iter_errors(compose)] == []
    broken = {**compose, "services": {"x": {**compose["services"]["ingress"], "helthcheck": {}}}}
    assert list(validator.iter_errors(broken))


def test_linters_find_nothing():
    """Mistakes that are valid all the same: unpinned images, ports that YAML reads as numbers, bad instructions."""
    done = run(LINT / "node_modules/.bin/dclint", "-c", LINT / "dclint.json", "--max-warnings", "0", ROOT / "docker-compose.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(LINT / "node_modules/.bin/dockerfilelint", DOCKERFILE)
    assert done.returncode == 0 and "None found" in done.stdout, done.stdout


def test_environment_names_are_settings(compose):
    """The programs refuse an unknown WATCHPOST_SET_ name at start, so a typo here would break every start. How: each
    name against common/settings.def."""
    known = setting_names()
    given = {}
    for name, service in compose["services"].items():
        for variable in service.get("environment", {}):
            if variable.startswith("WATCHPOST_SET_"):
                given.setdefault(variable.removeprefix("WATCHPOST_SET_").lower(), name)
    assert given and set(given) <= known, sorted(set(given) - known)


def test_settings_are_accepted_by_the_programs(compose, tmp_path):
    """The compose file's values must pass the programs' own check. How: --check-config with a service's environment,
    secret files replaced by files of this test."""
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + "a" * 32 + "\n")
    for name in PROGRAMS:
        service = compose["services"][name]
        environment = {k: re.sub(r"/run/secrets/\w+", str(secret), v) for k, v in service["environment"].items()}
        done = run(BUILD / "bin" / service["command"][0], "--check-config", env={"PATH": os.environ["PATH"], **environment})
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def test_no_secret_is_inline(compose):
    """Secrets come from files, never from the environment, where any child and `docker inspect` can read them. How:
    every variable whose name says secret, password or key holds a path below /run/secrets; every secret is a file."""
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|(^|_)KEY", variable):
                assert value.startswith("/run/secrets/"), f"{name}: {variable}"
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"whsec_\w|sk_(live|test)_\w|postgres(ql)?://\w+:\w", text)


def test_services_are_confined(compose):
    """Least privilege for every container. How: the keys that take rights away, on each service, and only the ingress
    has a published port, on loopback."""
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("read_only") is (None if name in WRITABLE_ROOT else True), name
        assert "privileged" not in service and "cap_add" not in service, name
        assert ("ports" in service) == (name == "ingress"), name
    assert compose["services"]["ingress"]["ports"][0].startswith("127.0.0.1:")
    assert compose["networks"]["back"]["internal"] is True
    assert {n for n, s in compose["services"].items() if "front" in s["networks"]} == {"ingress", "subscription-sync"}


def test_start_order_waits_for_health(compose):
    """A program that starts before its tables or topics exist would restart until they do. How: follow depends_on: the
    programs wait for both one-shot jobs, those for healthy servers, and every server says how it is."""
    services = compose["services"]
    for name in PROGRAMS:
        wanted = services[name]["depends_on"]
        assert {k: v["condition"] for k, v in wanted.items()} == {
            "migrate": "service_completed_successfully", "topics": "service_completed_successfully"}
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert services["migrate"]["restart"] == services["topics"]["restart"] == "no"
    assert all("test" in services[name]["healthcheck"] for name in ("kafka", "postgres"))


def test_secrets_used_are_declared_and_made(compose, tmp_path):
    """A secret that nobody makes stops the start with an error about a mount. How: ops/docker/up.sh --prepare in a
    folder of its own, then look for each file, its mode, and that a second call keeps all of them."""
    folder = tmp_path / "compose"
    for _ in range(2):
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        done = run(ROOT / "ops/docker/up.sh", "--prepare", env={**os.environ, "COMPOSE_VAR": str(folder)})
        assert done.returncode == 0, done.stderr
        assert all(p.read_bytes() == content for p, content in before.items())
    assert before
    used = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert used <= set(compose["secrets"])
    for name in used:
        path = pathlib.Path(compose["secrets"][name]["file"].replace("${COMPOSE_VAR:-./var/compose}", str(folder)))
        assert path.stat().st_size > 0, path
        assert path.stat().st_mode & 0o777 == (0o644 if path.name == "server.pem" else 0o600), path


def test_database_init_prepares_for_the_migrations(tmp_path):
    """The roles that the container's init script makes must be those that the migrations accept. How: the script
    against a private PostgreSQL without a database, then watchpostctl migrate as the role it made, then a log-in with
    a password from a secret file."""
    with PostgresCluster(fsync=False) as cluster:
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        for role in ("watchpost_migrator", "watchpost_ingress", "watchpost_subscription_sync", "watchpost_audit_log",
                     "watchpost_outbox_relay", "watchpost_revocation_fanout", "watchpost_ctl"):
            (secrets / f"postgres_{role}").write_text(f"pw{role.replace('_', '')}\n")
        owner = {"host": "127.0.0.1", "port": str(cluster.port)}
        password = cluster.script("password-file", "postgres")
        environment = {**os.environ, "PGHOST": owner["host"], "PGPORT": owner["port"], "POSTGRES_USER": "postgres",
                       "PGPASSWORD": pathlib.Path(password).read_text().strip(), "SECRETS_DIR": str(secrets)}
        for sql in ("drop database watchpost", "drop role watchpost_migrator"):
            done = run("psql", "-X", "-q", "-U", "postgres", "-d", "postgres", "-c", sql, env=environment)
            assert done.returncode == 0, done.stderr
        done = run(ROOT / "ops/docker/postgres-init.sh", env=environment)
        assert done.returncode == 0, done.stderr
        done = run(BUILD / "bin/watchpostctl", "--environment", "development", "--postgres-dsn",
                   f"host=127.0.0.1 port={cluster.port} dbname=watchpost user=watchpost_migrator",
                   "--postgres-password-file", secrets / "postgres_watchpost_migrator", "migrate",
                   "--dir", ROOT / "migrations")
        assert done.returncode == 0, done.stderr
        with psycopg2.connect(**owner, dbname="watchpost", user="watchpost_ingress", password="pwwatchpostingress") as ingress:
            with ingress.cursor() as cursor:
                cursor.execute("select api.environment()")
                assert cursor.fetchone() == ("development",)
        ingress.close()


def test_image_builds_from_what_is_copied(tmp_path):
    """A source folder that the Dockerfile does not copy, or .dockerignore hides, breaks only the image's build. How:
    copy what COPY names and nothing else, and let make list what it would compile: the same as in the whole tree."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    hidden = tuple(line for line in lines if re.match(r"[a-z]", line))
    build_stage = DOCKERFILE.read_text().split(" AS runtime")[0]
    sources = [words for line in re.findall(r"^COPY (.+)$", build_stage, re.M) for words in line.split()[:-1]]
    for source in sources:
        assert source.split("/")[0] in allowed and not source.startswith(hidden), f"{source} is hidden by .dockerignore"
        target = tmp_path / source
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, target)

    targets = re.findall(r"build/bin/[a-z-]+", build_stage)

    def compiled(folder):
        done = run("make", "-n", "-B", "-C", folder, "VERSION=test", *targets)
        assert done.returncode == 0, done.stderr
        return sorted(re.findall(r"-o (\S+)", done.stdout))

    assert {target.split("/")[-1] for target in targets} == {f"watchpost-{name}" for name in PROGRAMS} | {"watchpostctl"}
    assert len(compiled(ROOT)) > 10
    assert compiled(tmp_path) == compiled(ROOT)


def test_runtime_image_has_every_library():
    """The runtime stage holds shared libraries only; a forgotten one fails when a program starts. How: the packages of
    the libraries that the built programs name, against the Dockerfile's list."""
    named = set()
    for program in (*(f"watchpost-{name}" for name in PROGRAMS), "watchpostctl"):
        done = run("readelf", "-d", BUILD / "bin" / program)
        assert done.returncode == 0, done.stderr
        named |= set(re.findall(r"Shared library: \[([^]]+)\]", done.stdout))
    assert named
    found = dict(re.findall(r"^\s*(\S+) \(.*=> (\S+)$", run("/sbin/ldconfig", "-p").stdout, re.M))
    packages = set()
    for library in named - {"ld-linux-x86-64.so.2"}:
        path = os.path.realpath(found[library])
        done = run("dpkg", "-S", "*/" + os.path.basename(path))
        packages.add(done.stdout.split(":")[0])
    assert packages - {"libc6"} <= dockerfile_packages("runtime")


@pytest.mark.parametrize("status, healthy", [(200, True), (503, False)])
def test_healthcheck_follows_readyz(status, healthy):
    """The container's health is /readyz. How: a listener that answers a given status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = run(ROOT / "ops/docker/healthcheck.sh", server.server_port)
        server.shutdown()
    assert (done.returncode == 0) is healthy
    assert run(ROOT / "ops/docker/healthcheck.sh", server.server_port).returncode != 0, "nobody listens: unhealthy"
