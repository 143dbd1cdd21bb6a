"""Pruning: the beginning of the audit chain moves into a signed archive, and the rest stays verifiable.

The cut lies at a checkpoint, whose signature vouches for the hash the rest begins with. Only then an entry
says what was taken out, and only then it is. Ledger rows stay: reports and budgets need them.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chatvault.core.checkpoint import Checkpoint
from chatvault.errors import UsageError
from chatvault.store import books, export, pruned_rows
from chatvault.store.checkpoints import all_checkpoints
from chatvault.store.connections import read_only
from chatvault.store.entries import PRUNED
from chatvault.store.export import Export, Stretch
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.transaction import Transaction

_AT_ONCE = 5000

_INSERT = (
    "INSERT INTO pruned(seq, ts_ms, hash, entry, archive, archive_sha256, row_count, rows_sha256)"
    " VALUES (?,?,?,?,?,?,?,?)"
)
_DELETE = (
    "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit"
    " WHERE seq <= (SELECT coalesce(max(seq), 0) FROM pruned) ORDER BY seq LIMIT ?)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be pruned: it lies in `archive` by now."""

    archive: Export
    hash: bytes
    row_count: int
    rows_sha256: bytes


def prepare(database: Path, folder: Path, *, before_ms: int, signer: Signer, keys: TrustedKeys) -> Plan:
    """Write the entries before `before_ms` (epoch ms), up to the last signed checkpoint there, into `folder`.

    Changes nothing in the database. Raises UsageError where there is nothing to prune, StoreError.
    """
    with Reader.open(database) as reader:
        base = reader.base()
        cut = _cut(reader, before_ms=before_ms, keys=keys, after=base.seq)
        if cut is None:
            raise UsageError(
                "nothing to prune: no signed checkpoint is that old", hint="chatvault audit prune --keep 90d"
            )
        seq, digest = cut
        path = folder / f"audit-{base.seq + 1:012d}-{seq:012d}.ndjson"
        archive = export.write(reader, path, Stretch(base.seq + 1, seq), signer=signer, format="ndjson")
    count, rows = _rows_without_entry(database, seq)
    return Plan(archive, digest, count, rows)


def record(tx: Transaction, plan: Plan, seal: Callable[[Transaction], Checkpoint | None]) -> int:
    """Write down where the chain begins from now on; returns the number of the entry that says so.

    `seal` signs that entry in the same transaction: an unsigned one could be anybody's. Raises StoreError
    where it can't.
    """
    seq = plan.archive.stretch.last
    pruned = pruned_rows.Pruned(
        seq,
        tx.now_ms,
        plan.hash,
        tx.head.seq + 1,
        plan.archive.path.name,
        plan.archive.sha256,
        plan.row_count,
        plan.rows_sha256,
    )
    entry = tx.append(PRUNED, {**pruned.body(), "state": books.state(tx.connection)})
    tx.execute(_INSERT, tuple(pruned))
    seal(tx)
    return entry


def take_out(tx: Transaction) -> int:
    """Delete some entries that are in an archive; returns how many, 0 when all are gone.

    To be called again and again: in small transactions, so that nobody waits for long.
    """
    return tx.execute(_DELETE, (_AT_ONCE,)).rowcount


def _cut(reader: Reader, *, before_ms: int, keys: TrustedKeys, after: int) -> tuple[int, bytes] | None:
    found = None
    for seq, digest, checkpoint in all_checkpoints(reader):
        if seq <= after or checkpoint is None or not keys.believes(checkpoint):
            continue
        # The checkpoint's own entry, right after it, has to stay out of the archive's way: it is younger.
        row = reader.select("SELECT ts_ms, hash FROM audit WHERE seq = ?", (seq,)).fetchone()
        if row is not None and row[0] < before_ms and bytes(row[1]) == digest:
            found = (seq, digest)
    return found


def _rows_without_entry(database: Path, seq: int) -> tuple[int, bytes]:
    """Return count and digest of the ledger rows that have no entry after number `seq`."""
    connection: sqlite3.Connection = read_only(database)
    try:
        connection.execute("BEGIN")
        connection.execute(
            "CREATE TEMP TABLE settled AS SELECT request_id FROM audit"
            f" WHERE kind IN ('request.settled', 'request.refused') AND seq > {seq}"
        )
        connection.execute("CREATE INDEX temp.settled_by_request ON settled (request_id)")
        return pruned_rows.count_and_digest(connection, "temp.settled")
    finally:
        connection.close()
