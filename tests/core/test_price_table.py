import json
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from chatvault.core.price_table import CARDS, Limits, limits
from chatvault.core.rate_card import Prices, RateCard

# USD per million tokens as printed, times 10^6, is picodollars per token: 4 USD/M = 4,000,000.
LIST = [
    # kind, model, day, (input, output, cache read, cache write 5m, cache write 1h)
    ("anthropic", "claude-opus-5-5", "2026-11-23", (4_000_000, 20_000_000, 200_000, 5_000_000, 8_000_000)),
    ("anthropic", "claude-opus-5", "2026-11-23", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)),
    ("anthropic", "claude-opus-4-8", "2026-11-23", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)),
    ("anthropic", "claude-opus-4-7", "2026-11-23", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)),
    ("anthropic", "claude-opus-4-6", "2026-11-23", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)),
    ("anthropic", "claude-opus-4-5", "2026-11-23", (5_000_000, 25_000_000, 500_000, 6_250_000, 10_000_000)),
    ("anthropic", "claude-sonnet-5-5", "2026-10-06", (2_000_000, 10_000_000, 200_000, 2_500_000, 4_000_000)),
    ("anthropic", "claude-sonnet-5-5", "2026-10-07", (2_000_000, 10_000_000, 100_000, 2_500_000, 4_000_000)),
    ("anthropic", "claude-sonnet-5", "2026-11-23", (2_000_000, 10_000_000, 200_000, 2_500_000, 4_000_000)),
    ("anthropic", "claude-haiku-5-5", "2026-11-23", (100_000, 500_000, 10_000, 125_000, 200_000)),
    (
        "anthropic",
        "claude-fable-5-1",
        "2026-11-23",
        (10_000_000, 50_000_000, 250_000, 12_500_000, 20_000_000),
    ),
    (
        "anthropic",
        "claude-mythos-5-1",
        "2026-11-23",
        (10_000_000, 50_000_000, 250_000, 12_500_000, 20_000_000),
    ),
    ("anthropic", "claude-fable-5-2", "2026-11-23", (8_000_000, 40_000_000, 200_000, 10_000_000, 16_000_000)),
    (
        "anthropic",
        "claude-mythos-5-2",
        "2026-11-23",
        (8_000_000, 40_000_000, 200_000, 10_000_000, 16_000_000),
    ),
    ("anthropic", "claude-haiku-4-5", "2026-11-23", (1_000_000, 5_000_000, 100_000, 1_250_000, 2_000_000)),
    ("anthropic", "claude-sonnet-4-5", "2026-11-23", (3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000)),
    ("deepseek", "deepseek-flash", "2026-08-17", (150_000, 600_000, 3_000, 150_000, 150_000)),
    ("deepseek", "deepseek-v4-pro", "2026-11-23", (660_000, 1_980_000, 22_000, 660_000, 660_000)),
    ("deepseek", "deepseek-chat", "2026-07-24", (280_000, 420_000, 28_000, 280_000, 280_000)),
]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def all_cards() -> list[RateCard]:
    return [card for cards in CARDS.values() for card in cards]


def holding(kind: str, model: str, at_ms: int) -> list[RateCard]:
    return [
        card
        for card in CARDS[kind, model]
        if (card.from_ms is None or card.from_ms <= at_ms)
        and (card.until_ms is None or at_ms < card.until_ms)
    ]


@pytest.mark.parametrize(("kind", "model", "day", "expected"), LIST)
def test_a_row_says_what_the_provider_prints(
    kind: str, model: str, day: str, expected: tuple[int, int, int, int, int]
) -> None:
    (card,) = holding(kind, model, ms(day))
    assert card.tiers[0].prices == Prices(*expected)


def test_haikus_second_tier_is_five_times_the_first() -> None:
    (card,) = CARDS["anthropic", "claude-haiku-5-5"]
    assert [tier.above_tokens for tier in card.tiers] == [0, 100_000]
    assert card.tiers[1].prices == Prices(500_000, 2_500_000, 50_000, 625_000, 1_000_000)


def test_deepseeks_peak_is_twice_its_off_peak() -> None:
    for model in ("deepseek-flash", "deepseek-v4-pro"):
        (card,) = CARDS["deepseek", model]
        low, high = card.tiers[0].prices, card.peak_tiers[0].prices
        assert (high.input, high.output, high.cache_read) == (
            low.input * 2,
            low.output * 2,
            low.cache_read * 2,
        )


def test_deepseeks_cards_begin_at_midnight_in_beijing() -> None:
    (card,) = CARDS["deepseek", "deepseek-flash"]
    assert card.from_ms == ms("2026-08-16T16:00")


def test_a_retired_name_has_no_price_after_its_last_day() -> None:
    assert holding("deepseek", "deepseek-chat", ms("2026-07-24T15:59")) != []
    assert holding("deepseek", "deepseek-chat", ms("2026-07-25")) == []
    assert holding("deepseek", "deepseek-reasoner", ms("2026-11-23")) == []


def test_no_two_rows_of_a_model_hold_at_once() -> None:
    for cards in CARDS.values():
        for earlier, later in pairwise(cards):
            assert earlier.until_ms is not None
            assert later.from_ms is not None
            assert earlier.until_ms <= later.from_ms


def test_every_row_names_its_source_and_the_day_it_was_read() -> None:
    for card in all_cards():
        assert card.source == "builtin"
        assert card.note
        assert datetime.fromisoformat(card.checked_on)


def test_every_card_has_an_id_of_its_own_made_of_its_json() -> None:
    cards = all_cards()
    assert len({card.id for card in cards}) == len(cards)
    for card in cards:
        text = card.canonical_json()
        again = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert text == again


def test_limits_know_dates_and_aliases_and_nothing_fuzzy() -> None:
    assert limits("anthropic", "claude-haiku-4-5-20251001") == Limits(200_000, 64_000)
    assert limits("deepseek", "deepseek-v4-flash") == limits("deepseek", "deepseek-flash")
    assert limits("anthropic", "claude-haiku-4-5-latest") is None
    assert limits("ollama", "claude-haiku-4-5") is None


def test_every_priced_model_has_limits() -> None:
    assert [key for key in CARDS if limits(*key) is None] == []


def litellm_map() -> dict[str, dict[str, object]]:
    # find_spec doesn't import the package, which would take seconds.
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        pytest.skip("litellm is not installed")
    path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    loaded: dict[str, dict[str, object]] = json.loads(path.read_text())
    return loaded


def test_the_installed_litellm_agrees_on_what_it_knows() -> None:
    known = litellm_map()
    compared = 0
    for (kind, model), cards in CARDS.items():
        entry = known.get(model)
        # deepseek-chat is retired; a row with an end is history, which litellm doesn't keep.
        if entry is None or entry.get("litellm_provider") != kind or cards[-1].until_ms is not None:
            continue
        prices = (cards[-1].peak_tiers or cards[-1].tiers)[0].prices
        for field, key in (
            ("input", "input_cost_per_token"),
            ("output", "output_cost_per_token"),
            ("cache_read", "cache_read_input_token_cost"),
        ):
            assert getattr(prices, field) == round(float(str(entry[key])) * 10**12), (model, key)
        found = limits(kind, model)
        assert found is not None
        assert (found.context_tokens, found.max_output_tokens) == (
            entry["max_input_tokens"],
            entry["max_output_tokens"],
        )
        compared += 1
    assert compared >= 15
