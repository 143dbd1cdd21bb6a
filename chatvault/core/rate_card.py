"""A rate card: what a model's tokens cost, in whole picodollars, from one instant to another."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from chatvault.core import peak_hours

Source: TypeAlias = Literal["override", "builtin", "litellm"]

_ID_CHARS = 16


@dataclass(frozen=True, slots=True)
class Prices:
    """Picodollars per token, of each class of tokens."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int

    def __post_init__(self) -> None:
        if min(self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h) < 0:
            raise ValueError("a price can't be negative")


@dataclass(frozen=True, slots=True)
class Tier:
    """The prices of a request whose whole prompt, cached part included, is over `above_tokens` tokens.

    They hold for all of the request, not just for the tokens above.
    """

    above_tokens: int
    prices: Prices


@dataclass(frozen=True, slots=True)
class Modifier:
    """A factor on all token prices, as an exact ratio.

    Where `is_on_request`, only a call that asks for it bears it; else the account may have it by default.
    """

    name: str
    numerator: int
    denominator: int
    is_on_request: bool = True


@dataclass(frozen=True, slots=True)
class RateCard:
    """What one model costs from `from_ms` (None: always) up to, not including, `until_ms` (None: further on).

    `tiers` begin with the one above 0 tokens and rise. `peak_tiers`, where there are any, hold instead in
    DeepSeek's peak hours. `web_search_picousd` is the price of one search, None where it isn't known.
    `is_upper_bound` says that the provider's own price may be lower. `note` and `checked_on` tell where the
    figures come from and when they were read.
    """

    source: Source
    provider: str
    model: str
    tiers: tuple[Tier, ...]
    peak_tiers: tuple[Tier, ...] = ()
    modifiers: tuple[Modifier, ...] = ()
    web_search_picousd: int | None = None
    from_ms: int | None = None
    until_ms: int | None = None
    is_upper_bound: bool = False
    note: str = ""
    checked_on: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        for tiers in (self.tiers, self.peak_tiers):
            bounds = [tier.above_tokens for tier in tiers]
            if bounds and (bounds[0] != 0 or bounds != sorted(set(bounds))):
                raise ValueError(f"tiers begin at 0 tokens and rise: {bounds}")
        if not self.tiers:
            raise ValueError("a rate card has a price")
        digest = hashlib.sha256(self.canonical_json().encode()).hexdigest()
        object.__setattr__(self, "id", digest[:_ID_CHARS])

    def canonical_json(self) -> str:
        """Return everything that makes up the price, as JSON whose keys are sorted: what `id` is made of."""
        return json.dumps(
            {
                "checked_on": self.checked_on,
                "from_ms": self.from_ms,
                "is_upper_bound": self.is_upper_bound,
                "model": self.model,
                "modifiers": {m.name: [m.numerator, m.denominator] for m in self.modifiers},
                "note": self.note,
                "peak_hours": peak_hours.RULE if self.peak_tiers else None,
                "peak_tiers": [_tier_json(tier) for tier in self.peak_tiers],
                "provider": self.provider,
                "source": self.source,
                "tiers": [_tier_json(tier) for tier in self.tiers],
                "until_ms": self.until_ms,
                "web_search_picousd": self.web_search_picousd,
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
        )


def card_of(canonical_json: str) -> RateCard:
    """Return the card whose `canonical_json` this is, fit to price what it priced before.

    Whether a modifier is borne by an account by default isn't written down, so it makes no ceilings. Raises
    ValueError, KeyError or TypeError for what is no card.
    """
    told = json.loads(canonical_json)
    return RateCard(
        told["source"],
        told["provider"],
        told["model"],
        _tiers(told["tiers"]),
        peak_tiers=_tiers(told["peak_tiers"]),
        modifiers=tuple(Modifier(name, *ratio) for name, ratio in told["modifiers"].items()),
        web_search_picousd=told["web_search_picousd"],
        from_ms=told["from_ms"],
        until_ms=told["until_ms"],
        is_upper_bound=told["is_upper_bound"],
        note=told["note"],
        checked_on=told["checked_on"],
    )


def _tiers(told: list[dict[str, int]]) -> tuple[Tier, ...]:
    return tuple(
        Tier(
            each["above_tokens"],
            Prices(
                each["input"],
                each["output"],
                each["cache_read"],
                each["cache_write_5m"],
                each["cache_write_1h"],
            ),
        )
        for each in told
    )


def _tier_json(tier: Tier) -> dict[str, int]:
    prices = tier.prices
    return {
        "above_tokens": tier.above_tokens,
        "cache_read": prices.cache_read,
        "cache_write_1h": prices.cache_write_1h,
        "cache_write_5m": prices.cache_write_5m,
        "input": prices.input,
        "output": prices.output,
    }
