"""docs/events.md from the event descriptions."""

import json

from model import EventType, Field

# Kept from the file that is there: tests/integration/test_chain_vectors.py checks what stands between them.
CHAIN_BEGIN, CHAIN_END = "<!-- chain vectors -->", "<!-- end -->"

# Topic: written by, read by, kept for.
TOPICS = {
    "stripe": ("ingress", "subscription-sync, audit-log", "400 days"),
    "agent": ("ingress", "audit-log", "400 days"),
    "spend": ("outbox-relay", "audit-log", "400 days"),
    "access": ("outbox-relay", "revocation-fanout, audit-log", "400 days"),
    "access-changes": ("revocation-fanout", "every ingress, without a group, from the end", "one hour"),
    "dead-letter": ("any worker", "operators (`watchpostctl dead-letter`)", "400 days"),
}

OPENING = """\
# Events

Made by `schemas/generate.py markdown` from `schemas/events/`; change it there.

Kafka messages follow the CloudEvents Kafka binding in binary mode: the attributes are record headers, the value is
msgpack. kcat and any msgpack library read them without our code.
"""

KEYS = """\
The key is the first field of its list that the event has. What shares a key shares a partition and keeps its order.
"""

HEADERS = """\
| header | holds |
| --- | --- |
| `ce_specversion` | `1.0` |
| `ce_id` | the event's id, unique within its source: readers drop what they have seen |
| `ce_type` | the event's type, one of the list below |
| `ce_source` | who made it: `//watchpost.systems/<environment>/<program>` |
| `ce_time` | when it happened, RFC 3339 in UTC with milliseconds |
| `ce_dataschema` | `urn:watchpost:schema:<type>:<version>` |
| `ce_sequence` | the event's number among those of its topic and key, decimal from 1 without gaps, on records that the outbox published; readers drop what is not the next number. Absent: not numbered |
| `content-type` | `application/msgpack` |
"""

RULES = """\
A value is one msgpack map from field name to value. Types: `string` (msgpack str, UTF-8 without U+0000, at most so many
bytes), `i64` (any msgpack integer within 64 bits, signed), `bool`. Readers of ours take the fields in any order and
pass over fields that they do not know, nested at most 8 deep. They refuse, naming the field: a required field that is
missing, a field given twice, a wrong type, a string over its bound. They also refuse more than 64 fields, a value over
65,536 bytes, and bytes after the map. What is refused goes to the topic `dead-letter` with the reason.

Descriptions change so that yesterday's reader takes tomorrow's message and the other way round: fields are only added,
with a new version. Nothing is removed, renamed, retyped, or made required or optional later. A required field that came
with a later version is required of writers; readers do without it, since older messages lack it. The versions that were
ever written stand in `schemas/history/`, and `make tidy` compares.
"""

EXAMPLE = """\
The key, the headers and where a record stands, with kcat alone (`WATCHPOST_KAFKA` is in `var/dev.env`):

```sh
kcat -C -q -e -b "$WATCHPOST_KAFKA" -t watchpost.development.stripe -f '%p/%o key=%k %h\\n'
```

The values, with kcat and any msgpack library; `%R` puts each value's length before it:

```sh
kcat -C -q -e -b "$WATCHPOST_KAFKA" -t watchpost.development.stripe -f '%R%s' | /usr/bin/python3 -c '
import json, msgpack, struct, sys
while head := sys.stdin.buffer.read(4):
    value = sys.stdin.buffer.read(struct.unpack(">i", head)[0])
    print(json.dumps(msgpack.unpackb(value)))
'
```
"""


def pack(value: dict[str, object]) -> bytes:
    """msgpack for the example: maps, short strings, integers and booleans in their shortest forms."""

    def item(thing: object) -> bytes:
        if isinstance(thing, bool):
            return b"\xc3" if thing else b"\xc2"
        if isinstance(thing, int):
            assert 2**16 <= thing < 2**32
            return b"\xce" + thing.to_bytes(4, "big")
        data = str(thing).encode()
        assert len(data) < 32
        return bytes([0xA0 | len(data)]) + data

    assert len(value) < 16
    return bytes([0x80 | len(value)]) + b"".join(item(name) + item(thing) for name, thing in value.items())


SAMPLE = {"event_id": "evt_1", "stripe_type": "charge.succeeded", "created_s": 1686089714, "livemode": False}


def _sample() -> str:
    digits = pack(SAMPLE).hex()
    lines = [digits[start:start + 96] for start in range(0, len(digits), 96)]
    shown = "\n".join([json.dumps(SAMPLE), *lines])
    return f"The smallest `watchpost.stripe.other`, and its value in hex:\n\n```\n{shown}\n```\n"


def _topics(types: list[EventType]) -> str:
    used = {event_type.topic for event_type in types} | {"dead-letter"}
    out = "| topic `watchpost.<environment>.…` | key | written by | read by | kept for |\n"
    out += "| --- | --- | --- | --- | --- |\n"
    for topic, (writer, reader, kept) in TOPICS.items():
        if topic not in used:
            continue
        keys = sorted({_key(event_type) for event_type in types if event_type.topic == topic})
        out += f"| `{topic}` | {'; '.join(keys) or 'as in the record that failed'} | {writer} | {reader} | {kept} |\n"
    return out


def _key(event_type: EventType) -> str:
    return ", else ".join(f"`{name}`" for name in event_type.key)


def _field_row(field: Field) -> str:
    presence = field.presence
    if field.required and not field.always_read:
        presence = "required of writers"
    bound = f" ≤ {field.bytes_max}" if field.bytes_max else ""
    return f"| `{field.name}` | {field.type}{bound} | {presence} | {field.since} | {field.doc} |\n"


def _type_section(event_type: EventType) -> str:
    rows = "".join(map(_field_row, event_type.fields))
    return (
        f"### {event_type.name}\n\n{event_type.doc}\n\n"
        f"Topic `{event_type.topic}`, key {_key(event_type)}, schema `{event_type.dataschema}`.\n\n"
        f"| field | type | presence | since version | |\n| --- | --- | --- | --- | --- |\n{rows}"
    )


def chain_vectors(before: str) -> str:
    """What stands between the markers; empty when they are not there."""
    _, begin, rest = before.partition(CHAIN_BEGIN)
    kept, end, _ = rest.partition(CHAIN_END)
    return kept if begin and end else "\n"


def document(types: list[EventType], before: str) -> str:
    """The text of docs/events.md; `before` is the text that is there now."""
    parts = [
        OPENING,
        "## Topics\n\n" + _topics(types) + "\n" + KEYS,
        "## Headers\n\n" + HEADERS,
        "## Values\n\n" + RULES,
        "## Reading them\n\n" + EXAMPLE + "\n" + _sample(),
        "## Types\n\n" + "\n".join(map(_type_section, types)),
        f"## The hash chain\n\n{CHAIN_BEGIN}{chain_vectors(before)}{CHAIN_END}\n",
    ]
    return "\n".join(parts)
