"""Tests of request ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.ulid import epoch_ms, lowest, ulid

instants = st.integers(min_value=0, max_value=2**48 - 1)
chances = st.integers(min_value=0, max_value=2**80 - 1)


@given(instants, chances)
def test_a_ulid_gives_its_instant_back(instant: int, chance: int) -> None:
    assert epoch_ms(ulid(instant, chance)) == instant


@given(instants, instants, chances, chances)
def test_ulids_sort_by_their_instants(first: int, second: int, one: int, other: int) -> None:
    if first < second:
        assert ulid(first, one) < ulid(second, other)


@given(instants, chances)
def test_no_ulid_of_an_instant_lies_below_its_lowest(instant: int, chance: int) -> None:
    assert lowest(instant) <= ulid(instant, chance)


def test_a_known_instant_is_written_as_the_specification_has_it() -> None:
    assert ulid(1469918176385, 0)[:10] == "01ARYZ6S41"


@pytest.mark.parametrize(
    "text", ["", "01ARYZ6S41", "01ARYZ6S41TSV4RRFFQ69G5FA!", "01aryz6s41tsv4rrffq69g5fav"]
)
def test_what_is_no_ulid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a ULID"):
        epoch_ms(text)
