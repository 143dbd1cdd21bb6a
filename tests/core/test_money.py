from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.money import picousd, picousd_per_token, usd_text


@pytest.mark.parametrize(
    ("usd_per_mtok", "expected"),
    [
        ("4", 4_000_000),
        ("0.20", 200_000),
        # $0.003625 per million tokens: the finest price seen at a provider.
        ("0.003625", 3_625),
        ("0.000001", 1),
        ("0", 0),
    ],
)
def test_a_list_price_is_whole_picodollars_a_token(usd_per_mtok: str, expected: int) -> None:
    assert picousd_per_token(Decimal(usd_per_mtok)) == expected


@pytest.mark.parametrize("usd", ["0.0000001", "-1", "1.0000001"])
def test_a_price_that_is_negative_or_too_fine_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=r"negative|finer"):
        picousd_per_token(Decimal(usd))


def test_usd_turn_into_picodollars_exactly() -> None:
    assert picousd(Decimal("5.00")) == 5_000_000_000_000
    assert picousd(Decimal("0.000000000001")) == 1
    with pytest.raises(ValueError, match="finer"):
        picousd(Decimal("0.0000000000001"))


@pytest.mark.parametrize(
    ("amount", "places", "expected"),
    [
        (13_100_000_000, 4, "0.0131"),
        (0, 4, "0.0000"),
        (1_500_000_000_000, 4, "1.5000"),
        # Further decimals are never cut.
        (3_000, 4, "0.000000003"),
        (1, 2, "0.000000000001"),
        (-13_100_000_000, 4, "-0.0131"),
        (2_000_000_000_000, 0, "2"),
        (9_223_372_036_854_775_807, 2, "9223372.036854775807"),
    ],
)
def test_picodollars_are_written_as_usd_to_their_last_digit(amount: int, places: int, expected: str) -> None:
    assert usd_text(amount, places=places) == expected


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 12))
def test_what_is_written_reads_back_as_the_same_amount(amount: int, places: int) -> None:
    assert picousd(Decimal(usd_text(amount, places=places))) == amount
