"""Which rate card holds for a call: your own prices first, then the built-in table, then litellm's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TypeAlias

from chatvault.core import price_table
from chatvault.core.model_ids import spellings
from chatvault.core.money import picousd_per_token
from chatvault.core.rate_card import Prices, RateCard, Tier

# Dated ids make new names without end, and names come from clients.
_MOST_REMEMBERED = 4_096
_EVER_MS = 2**63
_Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Override:
    """A price of your own for `model`: a provider's id, or PROVIDER/ID for the provider of that name alone.

    It holds from `from_ms` up to, not including, `until_ms`.
    """

    model: str
    prices: Prices
    from_ms: int | None = None
    until_ms: int | None = None
    note: str = ""


def override(
    model: str,
    *,
    input: Decimal,
    output: Decimal,
    cache_read: Decimal | None = None,
    cache_write_5m: Decimal | None = None,
    cache_write_1h: Decimal | None = None,
    from_day: date | None = None,
    until_day: date | None = None,
    note: str = "",
) -> Override:
    """Make an override from USD per million tokens; a cache price left out is the input price.

    `from_day` is the first day it holds, `until_day` the first one it no longer does, both UTC. Raises
    ValueError where a price is negative or finer than a picodollar a token.
    """
    reads, writes_5m, writes_1h = (
        picousd_per_token(input if usd is None else usd)
        for usd in (cache_read, cache_write_5m, cache_write_1h)
    )
    prices = Prices(picousd_per_token(input), picousd_per_token(output), reads, writes_5m, writes_1h)
    return Override(model, prices, _midnight(from_day), _midnight(until_day), note)


def _midnight(day: date | None) -> int | None:
    if day is None:
        return None
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class FallbackPrice:
    """What litellm's table says of a model. It has no dates: it is taken to hold at any time."""

    tiers: tuple[Tier, ...]
    web_search_picousd: int | None = None
    is_upper_bound: bool = False
    note: str = ""


class PriceBook:
    """Find the rate card of a call.

    `fallback` is asked, with a kind and an id, about what neither the overrides nor the built-in table know.
    It must be quick: it is called again for as long as it knows nothing.
    """

    def __init__(
        self,
        overrides: Sequence[Override] = (),
        fallback: Callable[[str, str], FallbackPrice | None] | None = None,
    ) -> None:
        self._overrides = tuple(overrides)
        self._fallback = fallback
        self._found: dict[tuple[str, str, str], tuple[int, int, RateCard | None]] = {}

    def use(self, overrides: Sequence[Override]) -> None:
        """Let other overrides hold from now on."""
        self._overrides = tuple(overrides)
        self._found.clear()

    def find(self, provider_name: str, kind: str, model: str, *, at_ms: int) -> RateCard | None:
        """Return the card that holds at `at_ms` (epoch milliseconds), None where there is no price.

        `provider_name` is the provider's name in the settings, `model` the provider's own id.
        """
        known = self._found.get((provider_name, kind, model))
        if known is not None and known[0] <= at_ms < known[1]:
            return known[2]
        return self._look_up(provider_name, kind, model, at_ms)

    def _look_up(self, provider_name: str, kind: str, model: str, at_ms: int) -> RateCard | None:
        names = spellings(kind, model)
        own = self._own(provider_name, kind, names)
        built_in = next((cards for name in names if (cards := price_table.CARDS.get((kind, name)))), ())
        card = _holding(own, at_ms) or _holding(built_in, at_ms)
        if card is None and not built_in:
            card = self._ask_fallback(kind, names)
            if card is None:
                return None
        if len(self._found) >= _MOST_REMEMBERED:
            self._found.clear()
        since, until = _unchanged_around(at_ms, (*own, *built_in))
        self._found[provider_name, kind, model] = (since, until, card)
        return card

    def _own(self, provider_name: str, kind: str, names: Sequence[str]) -> tuple[RateCard, ...]:
        """Return the overrides' cards, best first.

        PROVIDER/ID goes before ID, an id before its spellings, a later start before an earlier one, and the
        one written last before the others.
        """
        wanted = [f"{provider_name}/{name}" for name in names] + list(names)
        fitting = [entry for entry in reversed(self._overrides) if entry.model in wanted]
        fitting.sort(key=lambda entry: (wanted.index(entry.model), -(entry.from_ms or 0)))
        return tuple(
            RateCard(
                "override",
                kind,
                names[0],
                (Tier(0, entry.prices),),
                modifiers=price_table.KIND_MODIFIERS.get(kind, ()),
                web_search_picousd=price_table.KIND_WEB_SEARCH_PICOUSD.get(kind),
                from_ms=entry.from_ms,
                until_ms=entry.until_ms,
                note=entry.note,
            )
            for entry in fitting
        )

    def _ask_fallback(self, kind: str, names: Sequence[str]) -> RateCard | None:
        if self._fallback is None:
            return None
        for name in names:
            price = self._fallback(kind, name)
            if price is not None:
                return RateCard(
                    "litellm",
                    kind,
                    name,
                    price.tiers,
                    modifiers=price_table.KIND_MODIFIERS.get(kind, ()),
                    web_search_picousd=price.web_search_picousd,
                    is_upper_bound=price.is_upper_bound,
                    note=price.note,
                )
        return None


def _holding(cards: Iterable[RateCard], at_ms: int) -> RateCard | None:
    for card in cards:
        since, until = _span(card)
        if since <= at_ms < until:
            return card
    return None


def _span(card: RateCard) -> _Span:
    since = -_EVER_MS if card.from_ms is None else card.from_ms
    return since, _EVER_MS if card.until_ms is None else card.until_ms


def _unchanged_around(at_ms: int, cards: Iterable[RateCard]) -> _Span:
    """Return the span around `at_ms` in which none of the cards begins or ends."""
    since, until = -_EVER_MS, _EVER_MS
    for boundary in (instant for card in cards for instant in _span(card)):
        if boundary <= at_ms:
            since = max(since, boundary)
        else:
            until = min(until, boundary)
    return since, until
