"""Repricing: what a request costs after its price was put right. The ledger row itself stays as it was."""

from chatvault.store.reader import Reader
from chatvault.store.transaction import Transaction

_INSERT = "INSERT INTO adjustment(ts_ms, request_id, cost_picousd, rate_card_id, reason) VALUES (?,?,?,?,?)"


def adjust(
    tx: Transaction, request_id: str, *, cost_picousd: int, rate_card_id: str | None, reason: str
) -> None:
    """Let a request cost `cost_picousd` from now on, in every sum. Its last adjustment counts."""
    tx.execute(_INSERT, (tx.now_ms, request_id, cost_picousd, rate_card_id, reason))
    body = {"cost_picousd": cost_picousd, "rate_card_id": rate_card_id, "reason": reason}
    tx.append("cost.adjusted", body, request_id=request_id)


def adjusted_cost(reader: Reader, request_id: str) -> int | None:
    """Return what a request costs after its last adjustment, in picodollars; None when it has none."""
    found = reader.select(
        "SELECT cost_picousd FROM adjustment WHERE request_id = ? ORDER BY seq DESC LIMIT 1", (request_id,)
    ).fetchone()
    return int(found[0]) if found else None
