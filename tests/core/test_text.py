"""Text from outside."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.text import counted, csv_text, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("phone é 東京 🙂", "phone é 東京 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202egnp", "abc\\u202egnp"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_moves_a_cursor_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_nothing_printable_holds_a_control(text: str) -> None:
    shown = printable(text)

    assert shown.encode() is not None
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in shown)
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_no_spreadsheet_takes_text_for_a_formula(text: str) -> None:
    assert csv_text(text).startswith("'")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_csv_cell_stays_one_cell(text: str) -> None:
    out = io.StringIO()
    csv.writer(out).writerow([csv_text(text), "end"])

    assert len(next(csv.reader(io.StringIO(out.getvalue())))) == 2


def test_a_long_text_is_cut() -> None:
    assert [shortened("abcdef", width=each) for each in (6, 4, 1)] == ["abcdef", "abc…", "…"]


def test_one_of_something_is_no_plural() -> None:
    counts = [counted(number, "alias", "aliases") for number in (0, 1, 1000)]

    assert counts == ["0 aliases", "1 alias", "1,000 aliases"]
    assert counted(2, "request") == "2 requests"
