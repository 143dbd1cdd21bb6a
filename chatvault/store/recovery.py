"""What a start-up makes of the requests that were running when the process died."""

import logging
import sqlite3

from chatvault.core.chain import Json
from chatvault.core.ledger import LedgerRow, interrupted
from chatvault.store import faults
from chatvault.store.rows import HOLD_COLUMNS, hold_of
from chatvault.store.transaction import Transaction

_OPEN = f"SELECT {','.join(HOLD_COLUMNS)} FROM hold ORDER BY id"
_SETTLED = "SELECT id FROM hold WHERE id IN (SELECT id FROM ledger)"

_log = logging.getLogger(__name__)


def settle_open_holds(connection: sqlite3.Connection, now_ms: int) -> tuple[LedgerRow, ...]:
    """Turn every open hold into an `interrupted` row, in one transaction, and return the rows.

    One entry `daemon.recovered` lists them. Raises StorageFull or StoreError.
    """
    if connection.execute("SELECT 1 FROM hold LIMIT 1").fetchone() is None:
        return ()
    connection.execute("PRAGMA synchronous=FULL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        tx = Transaction(connection, now_ms)
        _drop_settled(tx)
        rows = tuple(
            interrupted(hold_of(cells), finished_at=now_ms) for cells in tx.execute(_OPEN).fetchall()
        )
        if rows:
            tx.settle([(row, ()) for row in rows])
            ids: list[Json] = [row.id for row in rows]
            tx.append("daemon.recovered", {"request_ids": ids})
        tx.finish()
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise faults.store_error(error) from error
    return rows


def _drop_settled(tx: Transaction) -> None:
    """Drop holds whose request is in the ledger: a defect, but none to keep the daemon from starting."""
    ids = [str(cells[0]) for cells in tx.execute(_SETTLED).fetchall()]
    if ids:
        _log.error("%d holds were left beside their ledger rows", len(ids))
        tx.drop_holds(ids)
