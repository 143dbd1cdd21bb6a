"""What `prices` lists: rate cards, as tables and JSON show them."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.cli.output import iso
from chatvault.config.prices import price_overrides
from chatvault.core import price_table
from chatvault.core.json_types import JsonObject
from chatvault.core.money import usd_text
from chatvault.core.pricing import Override, PriceBook, RateCard
from chatvault.core.rate_card import Prices, Tier
from chatvault.daemon.prices import build_price_book
from chatvault.errors import ChatVaultError

if TYPE_CHECKING:
    from chatvault.config.settings import Settings
    from chatvault.providers.base import ProviderSettings

_TOKENS = 1_000_000


def cards(context: Context, *, is_all: bool) -> tuple[RateCard, ...]:
    """Return the overrides, the built-in table, and what aliases lead to and litellm alone knows.

    What holds now, or all of it. Raises ConfigError.
    """
    now_ms = context.now_ms()
    settings = _settings(context)
    own = own_prices(context)
    every = [_card_of(each) for each in own]
    every += [card for rows in price_table.CARDS.values() for card in rows]
    if settings is not None:
        every += _last_resorts(settings, build_price_book(own), now_ms)
    return tuple(card for card in every if is_all or _holds(card, now_ms))


def _last_resorts(settings: "Settings[ProviderSettings]", book: PriceBook, now_ms: int) -> list[RateCard]:
    found = {}
    for route in dict.fromkeys(each for alias in settings.models.values() for each in alias.routes):
        provider, _, model = route.partition("/")
        card = book.find(provider, settings.providers[provider].kind, model, at_ms=now_ms)
        if card is not None and card.source == "litellm":
            found[card.id] = card
    return list(found.values())


def of_model(context: Context, name: str) -> tuple[RateCard, ...]:
    """Return the cards that the model `name` has now, one a provider. Raises ChatVaultError for none."""
    provider, slash, model = name.partition("/")
    settings = _settings(context)
    book = build_price_book(own_prices(context))
    entries = settings.providers if settings is not None else {}
    pairs = {(each.name, each.kind) for each in entries.values()} | {("anthropic",) * 2, ("deepseek",) * 2}
    found: dict[str, RateCard] = {}
    for provider_name, kind in sorted(pairs):
        if slash and provider_name == provider:
            card = book.find(provider_name, kind, model, at_ms=context.now_ms())
        else:
            card = book.find(provider_name, kind, name, at_ms=context.now_ms()) if not slash else None
        if card is not None:
            found[card.id] = card
    if not found:
        raise ChatVaultError(
            f"{name} has no price", hint=f"chatvault prices set {name} --input USD --output USD"
        )
    return tuple(found.values())


def cells(card: RateCard) -> tuple[str, ...]:
    """Return a card as a table's row; the lowest tier stands for it, peak prices and tiers are marked."""
    prices = card.tiers[0].prices
    marks = ["peak hours dearer"] if card.peak_tiers else []
    marks += [f"dearer above {card.tiers[1].above_tokens:,} tokens"] if len(card.tiers) > 1 else []
    holds = f"{_day(card.from_ms) or '…'} – {_day(card.until_ms) or '…'}"
    figures = (prices.input, prices.output, prices.cache_read, prices.cache_write_5m, prices.cache_write_1h)
    source = f"{card.source} ({', '.join(marks)})" if marks else card.source
    return card.provider, card.model, *(_usd(each) for each in figures), holds, source


def to_json(card: RateCard) -> JsonObject:
    """Return a card as JSON; prices are USD per million tokens."""
    return {
        "provider": card.provider,
        "model": card.model,
        "source": card.source,
        "rate_card_id": card.id,
        "from": iso(card.from_ms),
        "to": iso(card.until_ms),
        "usd_per_mtok": [_tier(each) for each in card.tiers],
        "peak_usd_per_mtok": [_tier(each) for each in card.peak_tiers],
        "modifiers": {each.name: f"{each.numerator}/{each.denominator}" for each in card.modifiers},
        "usd_per_web_search": None if card.web_search_picousd is None else usd_text(card.web_search_picousd),
        "is_upper_bound": card.is_upper_bound,
        "note": card.note,
        "checked_on": card.checked_on,
    }


def _settings(context: Context) -> "Settings[ProviderSettings] | None":
    return context.settings() if context.places.config.exists() else None


def own_prices(context: Context) -> tuple[Override, ...]:
    """Return your own prices: those of the settings, then those set by command. Raises ConfigError."""
    from chatvault.store import prices

    found = price_overrides(context.settings().prices) if context.places.config.exists() else ()
    if not context.places.database.exists():
        return found
    with context.reader() as reader:
        return (*found, *prices.everything(reader.connection))


def _card_of(override: Override) -> RateCard:
    provider, slash, model = override.model.rpartition("/")
    return RateCard(
        "override",
        provider if slash else "any",
        model,
        (Tier(0, override.prices),),
        from_ms=override.from_ms,
        until_ms=override.until_ms,
        note=override.note,
    )


def _holds(card: RateCard, now_ms: int) -> bool:
    return (card.from_ms is None or card.from_ms <= now_ms) and (
        card.until_ms is None or now_ms < card.until_ms
    )


def _tier(tier: Tier) -> JsonObject:
    prices: Prices = tier.prices
    return {
        "above_tokens": tier.above_tokens,
        "input": _usd(prices.input),
        "output": _usd(prices.output),
        "cache_read": _usd(prices.cache_read),
        "cache_write_5m": _usd(prices.cache_write_5m),
        "cache_write_1h": _usd(prices.cache_write_1h),
    }


def _usd(picousd_per_token: int) -> str:
    return usd_text(picousd_per_token * _TOKENS, places=2)


def _day(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC).date().isoformat()
