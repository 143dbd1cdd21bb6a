"""Reading beside the writer: what the command line, the control socket and reports look up."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from chatvault.core.access import AccessToken
from chatvault.core.ledger import Hold, LedgerRow
from chatvault.errors import DatabaseTooNew, StoreError
from chatvault.store import faults
from chatvault.store.connections import read_only
from chatvault.store.entries import AUDIT_COLUMNS, REFUSED, SETTLED, Entry, Head, read_base, read_head
from chatvault.store.migrations import MIGRATIONS
from chatvault.store.rows import HOLD_COLUMNS, LEDGER_COLUMNS, Cell, hold_of, ledger_row

if TYPE_CHECKING:
    from chatvault.store.models import Borrowed
    from chatvault.store.users import User

__all__ = ["Entry", "Reader"]

_LEDGER = f"SELECT {','.join(LEDGER_COLUMNS)} FROM ledger"
_AUDIT = f"SELECT {','.join(AUDIT_COLUMNS)} FROM audit"
_OF_REQUESTS = f"kind IN ('{SETTLED}', '{REFUSED}')"
_NEAR_ENTRIES = 10_000
_CLOCK_SLACK_MS = 5_000


class Reader:
    """A read-only connection. One thread at a time uses it; `close` it, or use it as a context."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    def open(cls, path: Path) -> "Reader":
        """Open the database at `path` for reading.

        Raises StoreError when there is none or it needs a migration first, DatabaseTooNew, DatabaseDamaged.
        """
        if not path.exists():
            raise StoreError(f"there is no database at {path}", hint="chatvault serve")
        newest = MIGRATIONS[-1].number
        try:
            connection = read_only(path)
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise faults.store_error(error) from error
        if version == newest:
            return cls(connection)
        connection.close()
        if version > newest:
            raise DatabaseTooNew(f"{path} was written by a newer ChatVault", hint="update ChatVault")
        raise StoreError(f"{path} has an older program's shape", hint="chatvault serve brings it up to date")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state of the database."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    @cached_property
    def database(self) -> "Borrowed":
        """The same connection for peewee's queries."""
        from chatvault.store.models import Borrowed

        return Borrowed(self.connection)

    def select(self, text: str, values: Sequence[Cell] = ()) -> sqlite3.Cursor:
        """Run a query."""
        return self.connection.execute(text, values)

    def tokens(self) -> list[AccessToken]:
        """Return all access tokens, revoked ones included, oldest first."""
        from chatvault.store import tokens

        return tokens.everything(self.database)

    def users(self) -> "list[User]":
        """Return all users by name."""
        from chatvault.store import users

        return users.everything(self.database)

    def request(self, request_id: str) -> LedgerRow | None:
        """Return the ledger row of one request."""
        found = self.select(f"{_LEDGER} WHERE id = ?", (request_id,)).fetchone()
        return ledger_row(found) if found else None

    def holds(self) -> list[Hold]:
        """Return the holds of the requests that run now, oldest first."""
        rows = self.select(f"SELECT {','.join(HOLD_COLUMNS)} FROM hold ORDER BY id")
        return [hold_of(cells) for cells in rows]

    def latest(self, count: int, *, after: int | None = None) -> list[tuple[int, LedgerRow]]:
        """Return up to `count` requests in the order of their settlement, each with its entry's number.

        These are the newest, or with `after` the first ones settled after that entry.
        """
        values: tuple[int, ...] = (count,) if after is None else (after, count)
        query = f"{_OF_REQUESTS} " + ("ORDER BY seq DESC" if after is None else "AND seq > ? ORDER BY seq")
        with self.snapshot():
            found = self.select(f"SELECT seq, request_id FROM audit WHERE {query} LIMIT ?", values).fetchall()
            rows = [(int(seq), self.request(request_id)) for seq, request_id in found]
        return sorted((seq, row) for seq, row in rows if row is not None)

    def entries(self, *, after: int = 0, count: int = 1000) -> list[Entry]:
        """Return up to `count` entries of the audit chain after number `after`."""
        rows = self.select(f"{_AUDIT} WHERE seq > ? ORDER BY seq LIMIT ?", (after, count))
        return [Entry(*row) for row in rows]

    def entry_of(self, row: LedgerRow) -> Entry | None:
        """Return the audit entry of a settled request.

        The chain has no index by request. Its entries lie in the order of time, so this one is found near the
        end of its request; only where the clock was set back is the whole chain read.
        """
        near = self._first_entry_at(row.finished_at - _CLOCK_SLACK_MS)
        query = f"{_AUDIT} WHERE request_id = ? AND {_OF_REQUESTS}"
        found = self.select(
            f"{query} AND seq >= ? AND seq < ? LIMIT 1", (row.id, near, near + _NEAR_ENTRIES)
        ).fetchone()
        found = found or self.select(f"{query} LIMIT 1", (row.id,)).fetchone()
        return Entry(*found) if found else None

    def head(self) -> Head:
        """Return the last entry of the audit chain."""
        return read_head(self.connection)

    def base(self) -> Head:
        """Return the last entry that was pruned: the chain begins after it."""
        return read_base(self.connection)

    def _first_entry_at(self, at_ms: int) -> int:
        low, high = 1, self.head().seq + 1
        while low < high:
            middle = (low + high) // 2
            (ts_ms,) = self.select(
                "SELECT coalesce(max(ts_ms), 0) FROM audit WHERE seq = ?", (middle,)
            ).fetchone()
            low, high = (low, middle) if ts_ms >= at_ms else (middle + 1, high)
        return low
