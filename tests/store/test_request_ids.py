"""Tests of request ids at the store's doors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.ulid import epoch_ms, ulid
from chatvault.store.request_ids import check

_INSTANTS = st.integers(0, 2**48 - 1)


@given(_INSTANTS, st.integers(0, 2**80 - 1))
def test_an_id_of_its_instant_is_let_in(instant: int, chance: int) -> None:
    check(ulid(instant, chance), instant)


@given(_INSTANTS, _INSTANTS)
def test_an_id_of_another_instant_is_refused(instant: int, other: int) -> None:
    text = ulid(instant, 0)
    if other != epoch_ms(text):
        with pytest.raises(ValueError, match="no ULID"):
            check(text, other)


@pytest.mark.parametrize("text", ["", "0" * 25, "0" * 27, "-" * 26, "ILOU" * 7])
def test_what_is_no_ulid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no ULID"):
        check(text, 0)
