"""schemas/: which changes of an event description are refused, and what is generated."""

import contextlib
import copy
import io
import json
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "schemas"))

import generate  # noqa: E402

FIELDS = [
    {"name": "event_id", "type": "string", "presence": "required", "bytes_max": 255, "since": 1, "doc": "Id."},
    {"name": "amount", "type": "i64", "presence": "required", "since": 1, "doc": "Amount."},
    {"name": "note", "type": "string", "presence": "optional", "bytes_max": 40, "since": 1, "doc": "Note."},
]
FIRST = {
    "name": "watchpost.test.thing", "version": 1, "topic": "stripe", "key": ["note", "event_id"], "doc": "A thing.",
    "fields": FIELDS,
}
NEW_OPTIONAL = {"name": "extra", "type": "bool", "presence": "optional", "since": 2, "doc": "Extra."}
NEW_REQUIRED = {"name": "extra", "type": "bool", "presence": "required", "since": 2, "doc": "Extra."}


def run_generator(*arguments: str) -> tuple[int, str]:
    """Exit status and complaints of the generator."""
    problems = io.StringIO()
    with contextlib.redirect_stderr(problems):
        status = generate.main([str(argument) for argument in arguments])
    return status, problems.getvalue()


class Schemas:
    """A folder of descriptions of its own, and the generator's verbs on it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.doc = folder / "events.md"
        (folder / "events").mkdir()
        (folder / "history").mkdir()

    def write(self, description: dict) -> None:
        name = description["name"].removeprefix("watchpost.")
        (self.folder / "events" / f"{name}.json").write_text(json.dumps(description))

    def run(self, *verb: str) -> tuple[int, str]:
        return run_generator("--schemas", self.folder, "--doc", self.doc, *verb)

    def check(self) -> str:
        """What the check complains about; docs are made current first."""
        status, problems = self.run("markdown")
        assert status == 0, problems
        status, problems = self.run("check")
        assert (status == 0) == (problems == "")
        return problems


@pytest.fixture
def schemas(tmp_path: Path) -> Schemas:
    made = Schemas(tmp_path)
    made.write(FIRST)
    assert made.run("freeze") == (0, "")
    assert made.check() == ""
    return made


def changed(**changes) -> dict:
    return copy.deepcopy(FIRST) | copy.deepcopy(changes)


def with_field(index: int, version: int = 2, **changes) -> dict:
    """FIRST with one field changed; a change to None takes the key away."""
    fields = copy.deepcopy(FIELDS)
    fields[index] = {key: value for key, value in (fields[index] | changes).items() if value is not None}
    return changed(version=version, fields=fields)


BREAKING = {
    "field removed": (changed(version=2, fields=FIELDS[:2], key=["event_id"]), "field note: removed"),
    "field renamed": (with_field(1, name="total", since=2), "field amount: removed"),
    "type changed": (with_field(1, type="string", bytes_max=20), "type changed from i64 to string"),
    "required made optional": (with_field(1, presence="optional"), "was required and is optional"),
    "optional made required": (with_field(2, presence="required"), "was optional and is required"),
    "bound lowered": (with_field(2, bytes_max=39), "bytes_max changed from 40 to 39"),
    "bound raised": (with_field(2, bytes_max=41), "bytes_max changed from 40 to 41"),
    "name used again": (with_field(2, since=2), "its name was used before"),
    "topic changed": (changed(version=2, topic="agent"), "topic changed"),
    "key changed": (changed(version=2, key=["event_id"]), "key changed"),
    "required field without a new version":
        (changed(fields=[*FIELDS, NEW_REQUIRED | {"since": 1}]), "the version is still 1"),
    "optional field without a new version":
        (changed(fields=[*FIELDS, NEW_OPTIONAL | {"since": 1}]), "the version is still 1"),
    "new field that claims to be old":
        (changed(version=2, fields=[*FIELDS, NEW_REQUIRED | {"since": 1}]), "did not have it"),
    "type changed within a version": (with_field(1, version=1, type="bool"), "type changed"),
}


@pytest.mark.parametrize("case", BREAKING)
def test_breaking_change_is_refused(schemas, case):
    """Why: messages are kept 400 days and programs are updated one by one; a reader must never meet what it refuses.
    How: each change alone against a frozen first version; check names the fault and freeze records nothing."""
    description, complaint = BREAKING[case]
    schemas.write(description)
    assert complaint in schemas.check()
    if description["version"] == 2:
        status, problems = schemas.run("freeze")
        assert status == 1 and complaint in problems
        assert not (schemas.folder / "history" / "test.thing.2.json").exists()


ALLOWED = {
    "other words": with_field(1, version=1, doc="The amount in minor units."),
    "new optional field": changed(version=2, fields=[*FIELDS, NEW_OPTIONAL]),
    "new required field": changed(version=2, fields=[*FIELDS, NEW_REQUIRED]),
    "new field in front": changed(version=2, fields=[NEW_OPTIONAL, *FIELDS]),
    "new version without a change": changed(version=2),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed_change_is_accepted(schemas, case):
    """Why: a check that refuses everything would be turned off. How: each allowed change; once a new version is frozen,
    nothing is complained about."""
    schemas.write(ALLOWED[case])
    if ALLOWED[case]["version"] == 2:
        assert "history lacks version 2" in schemas.check()
    assert schemas.run("freeze") == (0, "")
    assert schemas.check() == ""


def test_frozen_versions_are_all_compared(schemas):
    """Why: a step at a time can still lead away from the first version. How: a field added in version 2 is dropped in
    3, and history loses a version or runs ahead of the description."""
    schemas.write(changed(version=2, fields=[*FIELDS, NEW_OPTIONAL]))
    assert schemas.run("freeze") == (0, "")
    schemas.write(changed(version=3))
    assert "field extra: removed" in schemas.check()
    schemas.write(FIRST)
    assert "history has version 2" in schemas.check()
    schemas.write(changed(version=2, fields=[*FIELDS, NEW_OPTIONAL]))
    (schemas.folder / "history" / "test.thing.1.json").unlink()
    assert "history lacks version 1" in schemas.check()


def test_removed_type_is_refused(schemas):
    """Why: its messages are still in the topic. How: a second type is frozen, then its description taken away."""
    schemas.write(changed(name="watchpost.test.other"))
    assert schemas.run("freeze") == (0, "")
    (schemas.folder / "events" / "test.other.json").unlink()
    assert "watchpost.test.other: removed" in schemas.check()


WRONG = {
    "unknown key": (changed(colour="red"), "unknown key colour"),
    "type's name": (changed(name="thing.test"), "is not watchpost.<family>.<type>"),
    "version": (changed(version=0), "version is not a number from 1"),
    "topic": (changed(topic="news"), "topic is none of"),
    "no fields": (changed(fields=[]), "not 1 to 64 fields"),
    "too many fields": (changed(fields=[FIELDS[0] | {"name": f"f{i}"} for i in range(65)]), "not 1 to 64 fields"),
    "field's name": (with_field(1, name="Amount"), "is not snake_case"),
    "a word of C": (with_field(1, name="int"), "cannot be used in C"),
    "a flag's name": (with_field(1, name="has_note"), "cannot be used in C"),
    "field's type": (with_field(1, type="float"), "type is none of"),
    "presence": (with_field(1, presence="maybe"), "presence is none of"),
    "no bound": (with_field(2, bytes_max=None), "bytes_max is not 1 to 4096"),
    "bound too large": (with_field(2, bytes_max=4097), "bytes_max is not 1 to 4096"),
    "bound of a number": (with_field(1, bytes_max=8), "bytes_max is for strings"),
    "no doc": (with_field(1, doc=" "), "doc is empty"),
    "since a later version": (with_field(1, since=3), "since is not a version up to 2"),
    "field twice": (changed(fields=[*FIELDS, FIELDS[0]]), "event_id stands there twice"),
    "key of nothing": (changed(key=["customer"]), "key is not a list of its fields"),
    "key that may be absent": (changed(key=["note"]), "note is not always there"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_description_is_refused(schemas, case):
    """Why: C code is made from descriptions; a slip there is a slip in every program. How: each rule broken alone; the
    complaint names the file, and no C is written."""
    description, complaint = WRONG[case]
    (schemas.folder / "events" / "test.thing.json").write_text(json.dumps(description))
    status, problems = schemas.run("c", str(schemas.folder / "gen"))
    assert status == 1
    assert "test.thing.json" in problems and complaint in problems
    assert not (schemas.folder / "gen").exists()


def test_file_rules(schemas):
    """Why: a file that is not what its name says would be compared with another's history. How: a wrong file name,
    broken JSON, and a key that stands there twice."""
    path = schemas.folder / "events" / "test.thing.json"
    good = path.read_text()
    for text, complaint in ((good[:-1], "test.thing.json"), ('{"name": 1, "name": 2}', "a key stands there twice"),
                            (good.replace("test.thing", "test.thong"), "so it is called test.thong.json")):
        path.write_text(text)
        status, problems = schemas.run("check")
        assert status == 1 and complaint in problems


def test_stale_document_is_found(schemas):
    """Why: docs/events.md is what analysts work from. How: a changed word in the file, and a changed description."""
    schemas.doc.write_text(schemas.doc.read_text() + "more\n")
    assert "not current" in schemas.run("check")[1]
    assert schemas.run("markdown")[0] == 0
    schemas.write(with_field(1, version=1, doc="Other words."))
    assert "not current" in schemas.run("check")[1]


def test_chain_vectors_are_kept(schemas):
    """Why: they are filled in by hand and verified elsewhere. How: text between the markers survives a new document."""
    text = schemas.doc.read_text()
    vectors = "\n\n| link | aa |\n\n"
    begin, end = text.index("<!-- chain vectors -->") + len("<!-- chain vectors -->"), text.index("<!-- end -->")
    schemas.doc.write_text(text[:begin] + vectors + text[end:])
    schemas.write(with_field(1, version=1, doc="Other words."))
    assert schemas.check() == ""
    assert vectors in schemas.doc.read_text() and "Other words." in schemas.doc.read_text()


def test_example_bytes_are_msgpack():
    """Why: the page's example must be true. How: its hex is decoded by the msgpack library to the JSON above it."""
    block = (ROOT / "docs" / "events.md").read_text().partition("its value in hex:\n\n```\n")[2].partition("\n```")[0]
    shown, _, digits = block.partition("\n")
    assert msgpack.unpackb(bytes.fromhex(digits.replace("\n", ""))) == json.loads(shown)


def test_the_project_passes():
    """Why: the descriptions that are committed must be compatible with their committed history, docs current."""
    assert run_generator("check") == (0, "")


def test_history_has_every_committed_version():
    """Why: a check against a history that was edited with the schema checks nothing. How: each file of history is what
    it was when it was first committed, by git's own account."""
    log = subprocess.run(["git", "log", "--format=", "--name-only", "--diff-filter=MD", "--", "schemas/history"],
                         cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert log.returncode == 0 and log.stdout.split() == []
