"""Sums per UTC day, kept in the transaction that writes the ledger rows they sum up.

Reports read whole days here. `''` stands for a null provider: a key of the table can't be null.
"""

import sqlite3
from collections.abc import Iterable

from chatvault.core.ledger import LedgerRow
from chatvault.store.bulk_insert import BulkInsert
from chatvault.store.rows import Cells

DAY_MS = 86_400_000

KEYS = ("day", "token_id", "user_id", "model_name", "provider", "client", "status")
SUMS = ("requests", "input_tokens", "cached_tokens", "output_tokens", "cost_picousd", "unpriced_requests")

_ADD = BulkInsert(
    "usage_day",
    KEYS + SUMS,
    tail=" ON CONFLICT DO UPDATE SET " + ",".join(f"{name}={name}+excluded.{name}" for name in SUMS),
)


def add(connection: sqlite3.Connection, rows: Iterable[LedgerRow]) -> None:
    """Add `rows` to the sums of their days."""
    sums: dict[Cells, list[int]] = {}
    for row in rows:
        key: Cells = (
            row.started_at // DAY_MS,
            row.token_id,
            row.user_id,
            row.model_name,
            row.provider or "",
            row.client,
            row.status._value_,
        )
        cost = row.cost_picousd
        known = sums.get(key)
        if known is None:
            known = sums[key] = [0, 0, 0, 0, 0, 0]
        known[0] += 1
        known[1] += row.input_tokens or 0
        known[2] += row.cached_tokens or 0
        known[3] += row.output_tokens or 0
        if cost is None:
            known[5] += 1
        else:
            known[4] += cost
    _ADD.run(connection, [(*key, *values) for key, values in sums.items()])
