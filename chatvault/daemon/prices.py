"""The price book that the settings make: one for the daemon, and for the commands that speak of prices."""

from collections.abc import Sequence

from chatvault.core.pricing import Override, PriceBook
from chatvault.providers.litellm_prices import fallback_price


def build_price_book(own: Sequence[Override]) -> PriceBook:
    """Return the book: your own prices first, then the built-in table, then litellm's."""
    return PriceBook(own, fallback_price)
