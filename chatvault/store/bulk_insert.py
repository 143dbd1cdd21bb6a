"""Inserts of many rows with few steps of SQLite.

Every step of a statement lets go of the interpreter's lock and has to win it back from a busy event loop:
`executemany` does that once a row, a VALUES list once a statement.
"""

import sqlite3
from collections.abc import Sequence

from chatvault.store.rows import Cell, Cells

_SIZES = (64, 16, 4, 1)


class BulkInsert:
    """An INSERT into `table`, of as many rows at once as there are; `tail` follows the values."""

    def __init__(self, table: str, columns: Sequence[str], *, tail: str = "") -> None:
        row = "(" + ",".join("?" * len(columns)) + ")"
        head = f"INSERT INTO {table}({','.join(columns)}) VALUES "
        self._texts = {size: head + ",".join([row] * size) + tail for size in _SIZES}

    def run(self, connection: sqlite3.Connection, rows: Sequence[Cells]) -> None:
        """Insert `rows` in their order."""
        at, left = 0, len(rows)
        for size in _SIZES:
            while left >= size:
                values: list[Cell] = []
                for row in rows[at : at + size]:
                    values += row
                connection.execute(self._texts[size], values)
                at, left = at + size, left - size
