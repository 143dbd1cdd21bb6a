from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from chatvault.core.pricing import FallbackPrice, Override, PriceBook, Prices, Tier, override


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = ms("2026-11-25")


def own(model: str, usd: int, *, from_day: date | None = None, until_day: date | None = None) -> Override:
    return override(model, input=Decimal(usd), output=Decimal(usd), from_day=from_day, until_day=until_day)


def input_price(
    book: PriceBook, model: str, *, kind: str = "anthropic", name: str = "anthropic", at: int = NOW
) -> int | None:
    """Return the input price found, in USD per million tokens."""
    card = book.find(name, kind, model, at_ms=at)
    return None if card is None else card.tiers[0].prices.input // 10**6


def test_an_id_is_found_exactly_dated_or_by_its_alias() -> None:
    book = PriceBook()
    for model in ("claude-opus-5-5", "claude-opus-5-5-20260901"):
        found = book.find("anthropic", "anthropic", model, at_ms=NOW)
        assert found is not None
        assert (found.model, found.source) == ("claude-opus-5-5", "builtin")
    for alias in ("deepseek-v4-flash", "v4-flash"):
        found = book.find("deepseek", "deepseek", alias, at_ms=NOW)
        assert found is not None
        assert found.model == "deepseek-flash"


@pytest.mark.parametrize(
    "model",
    [
        "claude-nova-9",
        "claude-opus-5-6",
        "claude-opus",
        "claude-opus-5-5-latest",
        "Claude-Opus-5-5",
        "opus-5-5",
        "",
    ],
)
def test_a_name_that_only_looks_alike_has_no_price(model: str) -> None:
    assert PriceBook().find("anthropic", "anthropic", model, at_ms=NOW) is None


def test_a_model_of_another_kind_has_no_price() -> None:
    assert PriceBook().find("anthropic", "openai_compatible", "claude-opus-5-5", at_ms=NOW) is None


def test_the_price_found_changes_on_its_day_and_back() -> None:
    book = PriceBook()
    days = ("2026-10-06T23:59:59.999", "2026-10-07", "2026-10-06T23:59:59.999")
    found = [book.find("a", "anthropic", "claude-sonnet-5-5", at_ms=ms(day)) for day in days]
    assert [card and card.tiers[0].prices.cache_read for card in found] == [200_000, 100_000, 200_000]


def test_before_a_price_is_known_and_after_its_end_there_is_none() -> None:
    book = PriceBook(fallback=lambda kind, model: FallbackPrice((Tier(0, Prices(1, 1, 1, 1, 1)),)))
    # The built-in table knows these ids, so the dateless fallback is not asked.
    assert input_price(book, "deepseek-flash", kind="deepseek", at=ms("2026-08-16T15:59")) is None
    assert input_price(book, "deepseek-chat", kind="deepseek", at=ms("2026-07-24T16:00")) is None
    assert input_price(book, "deepseek-chat", kind="deepseek", at=ms("2026-07-24T15:59")) == 0  # $0.28


def test_an_override_goes_before_the_built_in_table() -> None:
    book = PriceBook([own("claude-opus-5-5", 3)])
    assert input_price(book, "claude-opus-5-5") == 3
    assert input_price(book, "claude-opus-5-5-20260901") == 3
    found = book.find("anthropic", "anthropic", "claude-opus-5-5", at_ms=NOW)
    assert found is not None
    assert found.source == "override"


def test_an_override_for_one_provider_goes_before_one_for_all() -> None:
    book = PriceBook([own("claude-opus-5-5", 3), own("work/claude-opus-5-5", 2), own("claude-opus-5-5", 1)])
    assert input_price(book, "claude-opus-5-5", name="work") == 2
    assert input_price(book, "claude-opus-5-5", name="home") == 1


def test_an_override_holds_from_its_first_day_to_before_its_last() -> None:
    book = PriceBook([own("m", 7, from_day=date(2026, 11, 1), until_day=date(2026, 12, 1))])
    instants = ("2026-10-31T23:59:59.999", "2026-11-01", "2026-11-30T23:59:59.999", "2026-12-01")
    assert [input_price(book, "m", at=ms(at)) for at in instants] == [None, 7, 7, None]


def test_of_two_overrides_that_hold_the_one_that_began_later_wins() -> None:
    book = PriceBook([own("m", 9, from_day=date(2026, 11, 1)), own("m", 4)])
    assert input_price(book, "m", at=ms("2026-10-01")) == 4
    assert input_price(book, "m", at=ms("2026-11-25")) == 9


def test_outside_an_override_the_built_in_table_holds() -> None:
    book = PriceBook([own("claude-opus-5-5", 3, until_day=date(2026, 11, 1))])
    assert input_price(book, "claude-opus-5-5", at=ms("2026-10-31")) == 3
    assert input_price(book, "claude-opus-5-5", at=ms("2026-11-01")) == 4


def test_a_cache_price_left_out_is_the_input_price() -> None:
    made = override("m", input=Decimal(8), output=Decimal(40), cache_read=Decimal("0.20"))
    assert made.prices == Prices(8_000_000, 40_000_000, 200_000, 8_000_000, 8_000_000)


@pytest.mark.parametrize("usd", [Decimal("-1"), Decimal("0.0000001")])
def test_a_price_below_zero_or_finer_than_a_picodollar_is_refused(usd: Decimal) -> None:
    with pytest.raises(ValueError, match=r"price|picodollar"):
        override("m", input=usd, output=Decimal(1))


def test_an_override_of_a_claude_model_keeps_the_modifiers_and_the_search_fee() -> None:
    found = PriceBook([own("claude-nova-9", 3)]).find("anthropic", "anthropic", "claude-nova-9", at_ms=NOW)
    assert found is not None
    assert {modifier.name for modifier in found.modifiers} == {"tier:batch", "geo:us", "speed:fast"}
    assert found.web_search_picousd == 10**10


def test_the_fallback_is_asked_last_and_again_until_it_knows() -> None:
    known: dict[str, FallbackPrice] = {}
    asked: list[tuple[str, str]] = []

    def fallback(kind: str, model: str) -> FallbackPrice | None:
        asked.append((kind, model))
        return known.get(model)

    book = PriceBook(fallback=fallback)
    assert book.find("a", "anthropic", "claude-opus-5-5", at_ms=NOW) is not None
    assert asked == []
    assert book.find("a", "anthropic", "claude-nova-9-20261101", at_ms=NOW) is None
    assert asked == [("anthropic", "claude-nova-9-20261101"), ("anthropic", "claude-nova-9")]
    known["claude-nova-9"] = FallbackPrice((Tier(0, Prices(5, 5, 5, 5, 5)),), note="litellm 1.2.3")
    found = book.find("a", "anthropic", "claude-nova-9-20261101", at_ms=NOW)
    assert found is not None
    assert (found.source, found.model, found.note) == ("litellm", "claude-nova-9", "litellm 1.2.3")


def test_names_without_end_do_not_fill_the_memory() -> None:
    book = PriceBook()
    for number in range(10_000, 20_000):
        book.find("a", "anthropic", f"claude-opus-5-5-202{number}", at_ms=NOW)
    assert len(book._found) <= 4_096


def test_cards_of_one_price_have_one_id() -> None:
    one = PriceBook([own("m", 3)]).find("a", "anthropic", "m", at_ms=NOW)
    same = PriceBook([own("m", 3)]).find("b", "anthropic", "m", at_ms=NOW)
    other = PriceBook([own("m", 4)]).find("a", "anthropic", "m", at_ms=NOW)
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.id == same.id
    assert one.id != other.id
    assert len(one.id) == 16
