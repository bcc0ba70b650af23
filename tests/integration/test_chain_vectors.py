"""The vectors of docs/events.md, computed by an implementation of its own."""

import hashlib
import pathlib
import re

from audit_chain import genesis, link

CLUSTER, TOPIC, PARTITION = "4L6g3nShT-eMCtK--X86sw", "watchpost.development.stripe", 2


class Record:
    """As a consumer's message, as far as the chain looks at it."""

    def __init__(self, offset, timestamp, key, headers, value):
        self.fields = {"topic": TOPIC, "partition": PARTITION, "offset": offset, "timestamp": (1, timestamp), "key": key,
                       "headers": headers, "value": value}

    def __getattr__(self, name):
        return lambda: self.fields[name]


def test_the_vectors_of_the_documentation():
    """Why: people verify exports with programs of their own, from that page alone. How: the page's heads are those that Python
    computes; tests/unit/common/test_chain.c holds the C side to the same values."""
    page = pathlib.Path(__file__).resolve().parents[2].joinpath("docs/events.md").read_text(encoding="utf-8")
    section = page.split("<!-- chain vectors -->")[1].split("<!-- end -->")[0]
    heads = re.findall(r"\| `([0-9a-f]{64})` \|", section)
    first = genesis(CLUSTER, TOPIC, PARTITION)
    plain = Record(41, 1700000000123, b"cus_123", [("ce_type", b"watchpost.stripe.other"), ("ce_id", b"evt_1")],
                   bytes.fromhex("81a26964a56576745f31"))
    second = link(first, plain)
    third = link(second, Record(42, -1, None, None, None))
    assert heads == [first.hex(), second.hex(), third.hex()]
    canonical = bytes.fromhex(re.search(r"`([0-9a-f]{100,})`", section)[1])
    assert hashlib.sha256(second + canonical).digest() == third
