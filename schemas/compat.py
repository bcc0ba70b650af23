"""Is every change of an event description one that old readers and new readers both survive?

Messages stay in the topics for 400 days, and programs are updated one after the other. So both ways must
work: yesterday's reader on tomorrow's message, and tomorrow's reader on yesterday's message. The committed
history schemas/history/<type>.<version>.json holds every version that was ever written.

Allowed: other words in a doc; with a new version, new fields (`since` that version) in any place. A new
required field is required of writers only: readers do without it, as older messages lack it.
"""

import re
from pathlib import Path

from model import EventType, Field, SchemaError, read_file

HISTORY_NAME = re.compile(r"(?P<type>[a-z0-9_.]+)\.(?P<version>[1-9][0-9]*)\.json")


def history_path(folder: Path, event_type: EventType) -> Path:
    return folder / f"{event_type.name.removeprefix('watchpost.')}.{event_type.version}.json"


def load_history(folder: Path) -> dict[str, dict[int, EventType]]:
    """Every version of every type, by name and number."""
    versions: dict[str, dict[int, EventType]] = {}
    for path in sorted(folder.glob("*.json")):
        match = HISTORY_NAME.fullmatch(path.name)
        if match is None:
            raise SchemaError(f"history: {path.name} is not <type>.<version>.json")
        event_type = read_file(path)
        if history_path(folder, event_type).name != path.name:
            raise SchemaError(f"history: {path.name} describes {event_type.name} version {event_type.version}")
        versions.setdefault(event_type.name, {})[event_type.version] = event_type
    return versions


def _compare_field(old: Field, new: Field) -> list[str]:
    problems = []
    if old.type != new.type:
        problems.append(f"type changed from {old.type} to {new.type}")
    if old.required and not new.required:
        problems.append("was required and is optional: old readers refuse messages without it")
    if not old.required and new.required:
        problems.append("was optional and is required: old messages lack it")
    if old.bytes_max != new.bytes_max:
        problems.append(f"bytes_max changed from {old.bytes_max} to {new.bytes_max}: one side refuses the other's text")
    if old.since != new.since:
        problems.append(f"since changed from {old.since} to {new.since}: its name was used before")
    return [f"field {new.name}: {problem}" for problem in problems]


def compare(old: EventType, new: EventType) -> list[str]:
    """What in `new` readers or messages of `old` would not survive. The same version must be the same."""
    problems = []
    if old.topic != new.topic:
        problems.append(f"topic changed from {old.topic} to {new.topic}: readers look in the old one")
    if old.key != new.key:
        problems.append("key changed: the order of what shares a key would be lost")
    old_fields = {field.name: field for field in old.fields}
    new_fields = {field.name: field for field in new.fields}
    problems += [f"field {name}: removed" for name in old_fields if name not in new_fields]
    for name, field in new_fields.items():
        if name in old_fields:
            problems += _compare_field(old_fields[name], field)
        elif old.version == new.version:
            problems.append(f"field {name}: new, but the version is still {new.version}")
        elif field.since <= old.version:
            problems.append(f"field {name}: since {field.since}, but version {old.version} did not have it")
    return [f"{new.name} version {new.version} against {old.version}: {problem}" for problem in problems]


def _check_type(versions: dict[int, EventType], current: EventType) -> list[str]:
    """A type against every version of its own."""
    problems = []
    expected = list(range(1, current.version + 1))
    for version in expected:
        if version not in versions:
            problems.append(f"{current.name}: history lacks version {version}; run schemas/generate.py freeze")
    for version in sorted(set(versions) - set(expected)):
        problems.append(f"{current.name}: history has version {version}, the description is still {current.version}")
    for old in versions.values():
        problems += compare(old, current)
    return problems


def check(types: list[EventType], folder: Path) -> list[str]:
    """Every problem found, one line each."""
    history = load_history(folder)
    current = {event_type.name: event_type for event_type in types}
    problems = [f"{name}: removed, but its messages are still kept" for name in history if name not in current]
    for name, event_type in current.items():
        problems += _check_type(history.get(name, {}), event_type)
    return problems


def freeze(types: list[EventType], events: Path, folder: Path) -> list[str]:
    """Records the versions that history does not have yet; never touches one that it has. Nothing is written
    while a change is not compatible."""
    history = load_history(folder)
    problems = []
    new = []
    for event_type in types:
        versions = history.get(event_type.name, {})
        for old in versions.values():
            problems += compare(old, event_type)
        if event_type.version not in versions:
            new.append(event_type)
    if not problems:
        folder.mkdir(exist_ok=True)
        for event_type in new:
            text = (events / f"{event_type.name.removeprefix('watchpost.')}.json").read_text(encoding="utf-8")
            history_path(folder, event_type).write_text(text, encoding="utf-8")
    return problems
