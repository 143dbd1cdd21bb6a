"""The settings' own prices, as the price book takes them."""

from chatvault.config.settings import PriceSettings
from chatvault.core.pricing import Override, override
from chatvault.errors import ConfigError


def price_overrides(prices: PriceSettings) -> tuple[Override, ...]:
    """Return the overrides in force. Raises ConfigError for a price finer than a picodollar a token."""
    found = []
    for index, each in enumerate(prices.overrides):
        try:
            found.append(
                override(
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
            )
        except ValueError as exc:
            raise ConfigError(f"prices.overrides[{index}]: {exc}") from exc
    return tuple(found)
