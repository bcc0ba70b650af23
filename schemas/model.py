"""The event descriptions in schemas/events/: read, checked, and offered as objects.

A description that breaks a rule is a SchemaError naming its file; nothing is half read.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

TOPICS = ("stripe", "agent", "spend", "access", "access-changes", "dead-letter")
FIELD_TYPES = ("string", "i64", "bool")
PRESENCES = ("required", "optional")

# The same bounds as common/limits.h; the generated C asserts that they are.
STRING_BYTES_MAX = 4096
FIELDS_MAX = 64
VALUE_BYTES_MAX = 65536
TYPE_BYTES_MAX = 64

# Words that a field or a type cannot be called in C.
C_WORDS = frozenset(
    "auto bool break case char const continue default do double else enum extern false float for goto if inline int "
    "long register restrict return short signed sizeof static struct switch true typedef union unsigned void volatile "
    "while".split()
)

TYPE_NAME = re.compile(r"watchpost(\.[a-z][a-z0-9_]*){2,}")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")

# What msgpack puts before a map, before a string, and the longest number.
MAP_HEAD_BYTES, STRING_HEAD_BYTES, SCALAR_BYTES = 5, 5, 9


class SchemaError(Exception):
    """A description breaks a rule; the text says which and where."""


@dataclass(frozen=True)
class Field:
    """One field of a payload. `bytes_max` is None unless the type is string."""

    name: str
    type: str
    presence: str
    bytes_max: int | None
    since: int
    doc: str

    @property
    def required(self) -> bool:
        return self.presence == "required"

    @property
    def always_read(self) -> bool:
        """Readers may count on it: it is required and no older version lacks it."""
        return self.required and self.since == 1


@dataclass(frozen=True)
class EventType:
    """One event type: where it goes, how it is keyed, what it holds."""

    name: str
    version: int
    topic: str
    key: tuple[str, ...]
    doc: str
    fields: tuple[Field, ...]

    @property
    def c_name(self) -> str:
        """"watchpost.stripe.customer" is stripe_customer in C."""
        return self.name.removeprefix("watchpost.").replace(".", "_")

    @property
    def dataschema(self) -> str:
        return f"urn:watchpost:schema:{self.name}:{self.version}"

    @property
    def value_bytes_max(self) -> int:
        """The longest msgpack map that this type can become, with room to spare."""
        total = MAP_HEAD_BYTES
        for field in self.fields:
            total += STRING_HEAD_BYTES + len(field.name) + SCALAR_BYTES + (field.bytes_max or 0)
        return total


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise SchemaError(problem)


def _check_keys(data: object, allowed: set[str], optional: set[str], where: str) -> None:
    _require(isinstance(data, dict), f"{where}: not an object")
    unknown = sorted(set(data) - allowed - optional)
    missing = sorted(allowed - set(data))
    _require(not unknown, f"{where}: unknown key {', '.join(unknown)}")
    _require(not missing, f"{where}: {', '.join(missing)} is missing")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _read_field(data: object, version: int, where: str) -> Field:
    _check_keys(data, {"name", "type", "presence", "since", "doc"}, {"bytes_max"}, where)
    name = data["name"]
    _require(_matches(FIELD_NAME, name), f"{where}: name {name!r} is not snake_case")
    where = f"{where} {name}"
    _require(name not in C_WORDS and not name.startswith("has_"), f"{where}: the name cannot be used in C")
    _require(data["type"] in FIELD_TYPES, f"{where}: type is none of {', '.join(FIELD_TYPES)}")
    _require(data["presence"] in PRESENCES, f"{where}: presence is none of {', '.join(PRESENCES)}")
    _require(_is_text(data["doc"]), f"{where}: doc is empty")
    _require(_is_count(data["since"]) and data["since"] <= version, f"{where}: since is not a version up to {version}")
    bytes_max = data.get("bytes_max")
    if data["type"] == "string":
        in_range = _is_count(bytes_max) and bytes_max <= STRING_BYTES_MAX
        _require(in_range, f"{where}: bytes_max is not 1 to {STRING_BYTES_MAX}")
    else:
        _require(bytes_max is None, f"{where}: bytes_max is for strings")
    return Field(name, data["type"], data["presence"], bytes_max, data["since"], data["doc"])


def _read_fields(data: object, version: int, where: str) -> tuple[Field, ...]:
    _require(isinstance(data, list) and 1 <= len(data) <= FIELDS_MAX, f"{where}: not 1 to {FIELDS_MAX} fields")
    fields = tuple(_read_field(item, version, f"{where}: field") for item in data)
    names = [field.name for field in fields]
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(not twice, f"{where}: field {', '.join(twice)} stands there twice")
    return fields


def _read_key(data: object, fields: tuple[Field, ...], where: str) -> tuple[str, ...]:
    """Every message has a key: the list's last field is always there."""
    by_name = {field.name: field for field in fields}
    known = isinstance(data, list) and len(data) > 0 and all(name in by_name for name in data)
    _require(known, f"{where}: key is not a list of its fields")
    _require(by_name[data[-1]].always_read, f"{where}: the last key field {data[-1]} is not always there")
    return tuple(data)


def read_event_type(data: object, where: str) -> EventType:
    """Checks one description and makes the object. `where` starts every complaint."""
    _check_keys(data, {"name", "version", "topic", "key", "doc", "fields"}, set(), where)
    name, version = data["name"], data["version"]
    _require(_matches(TYPE_NAME, name), f"{where}: name {name!r} is not watchpost.<family>.<type>")
    _require(len(name) <= TYPE_BYTES_MAX, f"{where}: name is over {TYPE_BYTES_MAX} bytes")
    _require(_is_count(version), f"{where}: version is not a number from 1")
    _require(data["topic"] in TOPICS, f"{where}: topic is none of {', '.join(TOPICS)}")
    _require(_is_text(data["doc"]), f"{where}: doc is empty")
    fields = _read_fields(data["fields"], version, where)
    key = _read_key(data["key"], fields, where)
    event_type = EventType(name, version, data["topic"], key, data["doc"], fields)
    _require(event_type.value_bytes_max <= VALUE_BYTES_MAX, f"{where}: can grow over {VALUE_BYTES_MAX} bytes")
    return event_type


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    _require(len(set(names)) == len(names), "a key stands there twice")
    return dict(pairs)


def read_file(path: Path) -> EventType:
    """Reads one description."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
    except (OSError, ValueError, SchemaError) as error:
        raise SchemaError(f"{path.name}: {error}") from error
    return read_event_type(data, path.name)


def load(folder: Path) -> list[EventType]:
    """All descriptions of a folder, by name."""
    types = []
    for path in sorted(folder.glob("*.json")):
        event_type = read_file(path)
        expected = event_type.name.removeprefix("watchpost.") + ".json"
        _require(path.name == expected, f"{path.name}: describes {event_type.name}, so it is called {expected}")
        types.append(event_type)
    _require(bool(types), f"{folder.name}: holds no description")
    c_names = [event_type.c_name for event_type in types]
    twice = sorted({name for name in c_names if c_names.count(name) > 1})
    _require(not twice, f"{', '.join(twice)}: two types have this name in C")
    return types
