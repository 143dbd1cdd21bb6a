"""What one group writes in its transaction."""

from collections.abc import Sequence

from chatvault.core.ledger import LedgerRow, Status
from chatvault.store.transaction import Transaction
from chatvault.store.waiting import Groupable, NewCard, NewHold, Record, Settlement

_TOUCH_EVERY_MS = 60_000

# Placeholders without numbers: early releases of Python 3.12 (3.12.1 for one) warn of numbered ones.
_INSERT_CARD = """INSERT INTO rate_card(id, source, provider, model, body, recorded_at)
    SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM rate_card WHERE id = ?)"""
_TOUCH = "UPDATE token SET last_used_at = ? WHERE id = ? AND coalesce(last_used_at, 0) < ?"


class Group:
    """Write groups, and note the last use of each access token, once a minute."""

    def __init__(self) -> None:
        self._touched: dict[str, int] = {}
        self._due: dict[str, int] = {}

    def write(self, tx: Transaction, items: Sequence[Groupable]) -> int:
        """Write `items` and return how many settled requests had no hold where they should have had one.

        Raises what SQLite raises, and `faults.POISON` for what can't be written as it is.
        """
        self._due = {}
        without_hold = 0
        for item in items:
            if type(item) is NewCard:
                tx.execute(_INSERT_CARD, (*item.values, tx.now_ms, item.values[0]))
        holds = [item.values for item in items if type(item) is NewHold]
        if holds:
            tx.hold(holds)
        settlements = [(item.row, item.attempts) for item in items if type(item) is Settlement]
        if settlements:
            rows = [row for row, _ in settlements]
            had_hold = tx.settle(settlements)
            without_hold = max(0, sum(row.status is not Status.REFUSED for row in rows) - had_hold)
            self._touch(tx, rows)
        for item in items:
            if type(item) is Record:
                tx.append(item.kind, item.body, request_id=item.request_id, token_id=item.token_id)
        return without_hold

    def committed(self) -> None:
        """Remember what the last `write` wrote."""
        self._touched.update(self._due)

    def _touch(self, tx: Transaction, rows: Sequence[LedgerRow]) -> None:
        for row in rows:
            known = self._touched.get(row.token_id)
            if known is None or row.started_at >= known + _TOUCH_EVERY_MS:
                self._due[row.token_id] = max(row.started_at, self._due.get(row.token_id, 0))
        for token_id, used_at in self._due.items():
            tx.execute(_TOUCH, (used_at, token_id, used_at))
