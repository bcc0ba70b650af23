"""common/text_fold.c against Unicode itself: no decimal digit of any script is missing from the table."""

import re
import unicodedata
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "common" / "text_fold.c"


def rows() -> list[tuple[int, int, str, str]]:
    found = re.findall(r"\{0x([0-9A-F]+), 0x([0-9A-F]+), ([A-Z]+), ('.'|\d+)\}", SOURCE.read_text())
    return [(int(first, 16), int(last, 16), fold, base) for first, last, fold, base in found]


def test_the_table_is_in_order():
    """Why: it is searched by halves. How: each row ends before the next begins."""
    table = rows()
    assert len(table) > 100
    assert all(first <= last for first, last, _, _ in table)
    assert all(before[1] < after[0] for before, after in zip(table, table[1:]))


def test_every_decimal_digit_is_folded():
    """Why: a card number in Bengali digits is a card number. How: every code point that Python's Unicode calls a decimal digit is in a
    row of digits, and the row says its value."""
    table = [(first, last, int(base)) for first, last, fold, base in rows() if fold == "DIGITS"]
    table.append((0xFF10, 0xFF19, 0))  # in the row of full-width forms
    for code in range(0x80, 0x110000):
        if unicodedata.category(chr(code)) != "Nd":
            continue
        row = next((row for row in table if row[0] <= code <= row[1]), None)
        assert row is not None, hex(code)
        assert (row[2] + code - row[0]) % 10 == unicodedata.digit(chr(code)), hex(code)
