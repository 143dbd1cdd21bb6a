"""Reading one entry of litellm's price map, the last resort for a price."""

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from chatvault.core.money import PICOUSD_PER_USD
from chatvault.core.price_book import FallbackPrice
from chatvault.core.rate_card import Prices, Tier

_ABOVE = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
# What would make a token cost something else than these keys say: such an entry is not understood.
_OTHER_UNITS = ("input_cost_per_character", "input_cost_per_query", "input_cost_per_second", "tiered_pricing")


def read_entry(entry: Mapping[str, object], *, version: str) -> FallbackPrice | None:
    """Return the price in an entry of `litellm.model_cost`; `version` is litellm's.

    None where it names none, or names 0: litellm writes 0 for what it doesn't know. An entry with off-peak
    prices gives its peak price, as an upper bound.
    """
    base = _prices(entry, "")
    if base is None or any(key in entry for key in _OTHER_UNITS):
        return None
    tiers = [Tier(0, base)]
    for thousands in sorted(int(match[1]) for key in entry if (match := _ABOVE.fullmatch(key))):
        prices = _prices(entry, f"_above_{thousands}k_tokens")
        if prices is None:
            return None
        tiers.append(Tier(thousands * 1_000, prices))
    return FallbackPrice(
        tuple(tiers),
        _web_search(entry),
        is_upper_bound="off_peak_pricing" in entry,
        note=f"litellm {version}",
    )


def _prices(entry: Mapping[str, object], suffix: str) -> Prices | None:
    """Return a tier's prices; a class of tokens without a price of its own costs what input does."""
    input = _picousd(entry.get(f"input_cost_per_token{suffix}"))
    output = _picousd(entry.get(f"output_cost_per_token{suffix}"))
    if not input or not output:
        return None
    reads = _picousd(entry.get(f"cache_read_input_token_cost{suffix}"))
    writes = _picousd(entry.get(f"cache_creation_input_token_cost{suffix}"))
    writes_1h = _picousd(entry.get(f"cache_creation_input_token_cost_above_1hr{suffix}"))
    return Prices(input, output, reads or input, writes or input, writes_1h or writes or input)


def _web_search(entry: Mapping[str, object]) -> int | None:
    """Return the dearest price of a search: its size isn't in the usage."""
    by_size = entry.get("search_context_cost_per_query")
    if not isinstance(by_size, Mapping):
        return None
    prices = [price for value in by_size.values() if (price := _picousd(value)) is not None]
    return max(prices, default=None)


def _picousd(usd: object) -> int | None:
    """Turn a JSON number into picodollars, a finer one rounded up.

    The shortest decimal that reads back as the float is what litellm's file says.
    """
    if isinstance(usd, bool) or not isinstance(usd, int | float):
        return None
    exact = Decimal(repr(usd))
    if not exact.is_finite() or exact < 0:
        return None
    return int((exact * PICOUSD_PER_USD).to_integral_value(ROUND_CEILING))
