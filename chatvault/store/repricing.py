"""What settled requests cost at the prices that are known by now.

A row doesn't hold all that its cost was made of: prompt caches for an hour, searches, modifiers and passes
are in the provider's usage alone. So a row is priced anew only where its own columns explain the cost it has:
its own card and counts come to that very sum, or it had no price at all. The others stay as they are, and are
counted.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatvault.core.ledger import Cost, CostBasis, LedgerRow
from chatvault.core.pricing import RateCard, cost
from chatvault.core.rate_card import card_of
from chatvault.core.ulid import lowest
from chatvault.core.usage import Usage, UsageBasis
from chatvault.store import adjustments
from chatvault.store.rows import LEDGER_COLUMNS, ledger_row
from chatvault.store.transaction import Transaction

_COLUMNS = ",".join(f"ledger.{name}" for name in LEDGER_COLUMNS)
_ROWS = f"""SELECT {_COLUMNS}, (SELECT cost_picousd FROM adjustment
        WHERE request_id = ledger.id ORDER BY seq DESC LIMIT 1)
    FROM ledger WHERE id >= ? AND id < ? AND provider IS NOT NULL AND cost_basis != 'local'
        AND usage_basis != 'none'"""
_CARDS = "SELECT id, body FROM rate_card"

Find = Callable[[str, str, int], "RateCard | None"]
"""From a provider's name, its id of the model and an instant (epoch ms) to the card that holds."""


@dataclass(frozen=True, slots=True)
class NewCost:
    """A request that costs something else by now; `before` is None where it had no price."""

    row: LedgerRow
    before: int | None
    after: int
    card: RateCard

    @property
    def difference(self) -> int:
        """How much more it costs, in picodollars."""
        return self.after - (self.before or 0)


@dataclass(frozen=True, slots=True)
class Repricing:
    """What a repricing would change; `unexplained` rows have a cost that their columns don't explain."""

    changes: tuple[NewCost, ...]
    unchanged: int
    unexplained: int


def reprice(
    connection: sqlite3.Connection, find: Find, *, since_ms: int, until_ms: int, model: str | None = None
) -> Repricing:
    """Compare the paid requests that began in [since, until) with the prices that `find` knows.

    `model` is the provider's own id, or PROVIDER/ID.
    """
    cards = _cards(connection)
    changes: list[NewCost] = []
    unchanged = unexplained = 0
    for *cells, adjusted in connection.execute(_ROWS, (lowest(since_ms), lowest(until_ms))):
        row = ledger_row(cells)
        if model is not None and model not in (row.upstream_model, f"{row.provider}/{row.upstream_model}"):
            continue
        assert row.provider is not None and row.upstream_model is not None
        card = find(row.provider, row.upstream_model, row.started_at)
        before = row.cost_picousd if adjusted is None else int(adjusted)
        after = None if card is None else _cost(card, row).picousd
        if card is None or after is None or after == before:
            unchanged += 1
        elif _is_explained(row, cards):
            changes.append(NewCost(row, before, after, card))
        else:
            unexplained += 1
    return Repricing(tuple(changes), unchanged, unexplained)


def write_down(tx: Transaction, changes: Sequence[NewCost], *, reason: str) -> None:
    """Append an adjustment for each of `changes`."""
    for change in changes:
        adjustments.adjust(
            tx, change.row.id, cost_picousd=change.after, rate_card_id=change.card.id, reason=reason
        )


def _cards(connection: sqlite3.Connection) -> dict[str, RateCard]:
    return {str(card_id): card_of(body) for card_id, body in connection.execute(_CARDS)}


def _is_explained(row: LedgerRow, cards: dict[str, RateCard]) -> bool:
    if row.cost_basis is CostBasis.UNPRICED:
        # With a card and without a cost: something in it had no price, and that isn't in the row.
        return row.rate_card_id is None
    card = cards.get(row.rate_card_id or "")
    return card is not None and _cost(card, row).picousd == row.cost_picousd


def _cost(card: RateCard, row: LedgerRow) -> Cost:
    usage = Usage(
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        cache_write_tokens=row.cache_write_tokens,
        output_tokens=row.output_tokens,
        reasoning_tokens=row.reasoning_tokens,
        basis=UsageBasis(row.usage_basis),
    )
    return cost(card, usage, started_ms=row.started_at, finished_ms=row.finished_at)
