"""Tests of prices as they are asked to be set."""

import pytest

from chatvault.control.prices import PriceOrder, price_json
from chatvault.errors import UsageError

GOOD = {"model": "deepseek/m", "usd_per_mtok": {"input": "0.28", "output": "0.42"}, "from": "2026-11-01"}


def test_an_order_is_exact_and_a_cache_price_left_out_is_the_input_price() -> None:
    order = PriceOrder.from_json(GOOD)
    assert order.override is not None
    assert (order.override.prices.input, order.override.prices.cache_read) == (280_000, 280_000)
    assert order.override.from_ms == 1_793_491_200_000
    assert price_json(order)["usd_per_mtok"] == {
        "input": "0.28",
        "output": "0.42",
        "cache_read": "0.28",
        "cache_write_5m": "0.28",
        "cache_write_1h": "0.28",
    }


def test_an_order_without_prices_takes_back() -> None:
    assert PriceOrder.from_json({"model": "m"}) == PriceOrder("m", None)


@pytest.mark.parametrize(
    "change",
    [
        {"model": ""},
        {"model": None},
        {"model": "a b"},
        {"usd_per_mtok": 3},
        {"usd_per_mtok": {"input": "1"}},
        {"usd_per_mtok": {"input": "1", "output": "x"}},
        {"usd_per_mtok": {"input": "-1", "output": "1"}},
        {"usd_per_mtok": {"input": "NaN", "output": "1"}},
        {"usd_per_mtok": {"input": "0.0000001", "output": "1"}},
        {"from": "yesterday"},
        {"to": "2026-11-01"},
    ],
)
def test_a_wrong_order_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        PriceOrder.from_json({**GOOD, **change})  # type: ignore[dict-item]
