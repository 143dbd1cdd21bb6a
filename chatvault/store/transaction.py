"""One transaction of the writer: the only place where rows are written, and linked into the audit chain."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from chatvault.core.chain import Json, canonical, entry_hash
from chatvault.core.ledger import Attempt, LedgerRow
from chatvault.errors import StoreError
from chatvault.store import bodies, daily_sums
from chatvault.store.bulk_insert import BulkInsert
from chatvault.store.entries import AUDIT_COLUMNS, Head, read_head
from chatvault.store.rows import HOLD_COLUMNS, LEDGER_COLUMNS, Cell, Cells, ledger_values

if TYPE_CHECKING:
    from chatvault.store.models import Borrowed

_INSERT_LEDGER = BulkInsert("ledger", LEDGER_COLUMNS)
_INSERT_HOLD = BulkInsert("hold", HOLD_COLUMNS)
_INSERT_AUDIT = BulkInsert("audit", AUDIT_COLUMNS)
_RAISE_HOLD = "UPDATE hold SET ceiling_picousd = ? WHERE id = ?"
_DELETE_HOLDS = "DELETE FROM hold WHERE id IN (SELECT value FROM json_each(?))"


class Transaction:
    """What a change may do to the database. `now_ms` is the time of the whole transaction.

    Entries of the audit chain are gathered, and written by `finish`. The previous hash is read inside the
    transaction, so that whatever another program appended is followed and never overwritten.
    """

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.head = read_head(connection)
        self._entries: list[Cells] = []
        self._callbacks: list[Callable[[], None]] = []

    @cached_property
    def database(self) -> "Borrowed":
        """The same transaction for peewee's queries."""
        from chatvault.store.models import Borrowed

        return Borrowed(self.connection)

    def execute(self, text: str, values: Sequence[Cell] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self.connection.execute(text, values)

    def append(
        self,
        kind: str,
        body: Mapping[str, Json],
        *,
        request_id: str | None = None,
        token_id: str | None = None,
    ) -> int:
        """Append an entry to the audit chain and return its number.

        The ids are written into the body as well. Raises TypeError for a body with a float in it.
        """
        full = dict(body)
        if request_id is not None:
            full["request_id"] = request_id
        if token_id is not None:
            full["token_id"] = token_id
        self._link(kind, canonical(full), request_id, token_id)
        return self.head.seq

    def hold(self, holds: Sequence[Cells]) -> None:
        """Write down the holds of requests that are about to be sent on."""
        _INSERT_HOLD.run(self.connection, holds)

    def raise_hold(self, request_id: str, ceiling_picousd: int) -> None:
        """Let the hold of a running request cover more. Raises StoreError where it isn't there."""
        if self.execute(_RAISE_HOLD, (ceiling_picousd, request_id)).rowcount != 1:
            raise StoreError(f"the hold of the request {request_id} is gone")

    def settle(self, settlements: Sequence[tuple[LedgerRow, Sequence[Attempt]]]) -> int:
        """Write ledger rows, their audit entries and their sums, and drop their holds.

        Returns how many holds there were. Raises sqlite3.IntegrityError when a row's id is settled already.
        """
        rows = [row for row, _ in settlements]
        _INSERT_LEDGER.run(self.connection, [ledger_values(row) for row in rows])
        for row, attempts in settlements:
            self._link(bodies.kind_of(row), bodies.body_of(row, attempts), row.id, row.token_id)
        daily_sums.add(self.connection, rows)
        return self.drop_holds([row.id for row in rows])

    def drop_holds(self, ids: Sequence[str]) -> int:
        """Delete the holds of `ids` and return how many there were."""
        # ULIDs need no escaping.
        return self.connection.execute(_DELETE_HOLDS, ('["' + '","'.join(ids) + '"]',)).rowcount

    def finish(self) -> None:
        """Write the gathered audit entries; to be called right before the commit."""
        _INSERT_AUDIT.run(self.connection, self._entries)
        self._entries = []

    def when_committed(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in the writer's thread, once all this is committed."""
        self._callbacks.append(callback)

    def committed(self) -> None:
        """Call what waits for the commit; to be called right after it."""
        for callback in self._callbacks:
            callback()

    def _link(self, kind: str, body: bytes, request_id: str | None, token_id: str | None) -> None:
        seq = self.head.seq + 1
        digest = entry_hash(self.head.hash, seq=seq, ts_ms=self.now_ms, kind=kind, body=body)
        self._entries.append((seq, self.now_ms, kind, request_id, token_id, body.decode(), digest))
        self.head = Head(seq, digest)
