"""The verdict on the chain, in words."""

import pytest

from chatvault.cli.audit_view import in_words
from chatvault.core.chat import JsonObject


def verdict(**more: object) -> JsonObject:
    return {"ok": False, "entries": 324, "head": "ab", "first_bad": None, "problems": [], **more}  # type: ignore[dict-item]


def test_what_has_no_number_is_told_without_one() -> None:
    problem = {"kind": "trigger", "seq": None, "request_id": None}

    assert in_words(verdict(problems=[problem])) == [
        "The chain is broken: 324 entries read",
        "  a guard against changes is gone from the database, or somebody put another one in",
    ]


def test_an_entry_that_is_missing_at_the_end_is_none_of_those_read() -> None:
    problem = {"kind": "cut_off", "seq": 325, "request_id": None}

    assert in_words(verdict(first_bad=325, problems=[problem])) == [
        "The chain is broken: 324 entries read; the first trouble is at entry 325",
        "  entry 325: a signed checkpoint speaks of this entry, and the chain ends before it",
    ]


@pytest.mark.parametrize(("entries", "words"), [(1, "1 entry"), (0, "0 entries"), (1000, "1,000 entries")])
def test_a_whole_chain_counts_its_entries(entries: int, words: str) -> None:
    assert in_words(verdict(ok=True, entries=entries)) == [f"The chain is whole: {words}, head ab"]


def test_checkpoints_kept_elsewhere_are_counted() -> None:
    against = {"checkpoints": 1, "matched": 1, "lost_to_restore": [], "restored_at": None}

    assert in_words(verdict(ok=True, against=against))[1] == "1 checkpoint kept elsewhere, of which 1 fits."
