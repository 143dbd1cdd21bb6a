"""The price book that the settings make: one for the daemon, and for the commands that speak of prices."""

from chatvault.config.prices import price_overrides
from chatvault.config.settings import PriceSettings
from chatvault.core.pricing import PriceBook
from chatvault.providers.litellm_prices import fallback_price


def build_price_book(prices: PriceSettings) -> PriceBook:
    """Return the book: your own prices first, then the built-in table, then litellm's."""
    return PriceBook(price_overrides(prices), fallback_price)
