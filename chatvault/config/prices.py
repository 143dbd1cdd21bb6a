"""The settings' own prices, as the price book takes them."""

from chatvault.config.settings import PriceOverride, PriceSettings
from chatvault.core.pricing import Override, override


def price_overrides(prices: PriceSettings) -> tuple[Override, ...]:
    """Return the overrides in force; `load` has seen to it that each can be one."""
    return tuple(price_override(each) for each in prices.overrides)


def price_override(each: PriceOverride) -> Override:
    """Return one override. Raises ValueError for a price finer than a picodollar a token, or none at all."""
    return override(
        each.model,
        input=each.per_mtok.input,
        output=each.per_mtok.output,
        cache_read=each.per_mtok.cache_read,
        cache_write_5m=each.per_mtok.cache_write_5m,
        cache_write_1h=each.per_mtok.cache_write_1h,
        from_day=each.from_,
        until_day=each.to,
        note=each.note or "",
    )
