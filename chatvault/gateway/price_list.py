"""The price book as requests meet it: every card that a row may name is kept in the database first."""

from collections.abc import Callable

from chatvault.core.pricing import PriceBook, RateCard


class PriceList:
    """Find rate cards, and have each remembered once."""

    def __init__(self, book: PriceBook, remember: Callable[[RateCard], None]) -> None:
        self._book = book
        self._remember = remember
        self._remembered: set[str] = set()

    def find(self, provider_name: str, kind: str, model: str, *, at_ms: int) -> RateCard | None:
        """Return the card that holds at `at_ms` (epoch milliseconds), None where there is no price."""
        card = self._book.find(provider_name, kind, model, at_ms=at_ms)
        if card is not None and card.id not in self._remembered:
            self._remember(card)
            self._remembered.add(card.id)
        return card
