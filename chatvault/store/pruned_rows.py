"""What is left of pruned entries: the row that tells where the chain begins, and their ledger rows.

Pruning takes entries out of the chain, not requests out of the ledger. The entry that records it holds one
digest over all rows whose entries are gone, so that these stay as verifiable as the rest.
"""

import hashlib
import sqlite3
from typing import NamedTuple

import msgspec

from chatvault.store.bodies import body_of
from chatvault.store.entries import PRUNED
from chatvault.store.reader import Reader
from chatvault.store.rows import LEDGER_COLUMNS, ledger_row
from chatvault.store.verdict import Findings

_COLUMNS = ",".join(f"ledger.{name}" for name in LEDGER_COLUMNS)

_ALL = """SELECT seq, ts_ms, hash, entry, archive, archive_sha256, row_count, rows_sha256
    FROM pruned ORDER BY seq"""


class Pruned(NamedTuple):
    """One pruning: entries up to `seq`, whose hash was `hash`, lie in `archive`; entry `entry` says so."""

    seq: int
    ts_ms: int
    hash: bytes
    entry: int
    archive: str
    archive_sha256: bytes
    row_count: int
    rows_sha256: bytes

    def body(self) -> dict[str, int | str]:
        """Return what its entry in the chain says."""
        return {
            "seq": self.seq,
            "head": self.hash.hex(),
            "archive": self.archive,
            "archive_sha256": self.archive_sha256.hex(),
            "row_count": self.row_count,
            "rows_sha256": self.rows_sha256.hex(),
        }


class _Body(msgspec.Struct):
    seq: int
    head: str
    archive: str
    archive_sha256: str
    row_count: int
    rows_sha256: str


def last_pruned(reader: Reader) -> Pruned | None:
    """Return the last pruning."""
    found = all_pruned(reader)
    return found[-1] if found else None


def all_pruned(reader: Reader) -> list[Pruned]:
    """Return all prunings, the first one first."""
    return [Pruned(*row) for row in reader.select(_ALL)]


def check_base(reader: Reader, findings: Findings) -> None:
    """See that the chain itself says where it was pruned: what `pruned` says alone, anybody could write."""
    pruned = last_pruned(reader)
    if pruned is None:
        return
    found = reader.select(
        "SELECT CAST(body AS BLOB) FROM audit WHERE seq = ? AND kind = ?", (pruned.entry, PRUNED)
    ).fetchone()
    try:
        is_told = found is not None and (
            msgspec.structs.asdict(msgspec.json.decode(found[0], type=_Body)) == pruned.body()
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        is_told = False
    if not is_told:
        findings.add("pruned", seq=pruned.seq)


def count_and_digest(connection: sqlite3.Connection, settled: str) -> tuple[int, bytes]:
    """Return how many ledger rows have no entry in the table `settled` (by request_id), and their digest."""
    digest = hashlib.sha256()
    count = 0
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM ledger WHERE id NOT IN (SELECT request_id FROM {settled}) ORDER BY id"
    )
    for cells in rows:
        count += 1
        digest.update(hashlib.sha256(body_of(ledger_row(cells))).digest())
    return count, digest.digest()
