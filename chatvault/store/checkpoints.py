"""Signed checkpoints of the audit chain: when they are due, how they are kept, and read back."""

import logging
import sqlite3

from chatvault.core.checkpoint import Checkpoint, read_line
from chatvault.errors import StoreError
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer
from chatvault.store.tail import record_head
from chatvault.store.transaction import Transaction

KIND = "checkpoint"
EVERY_ENTRIES = 1000
EVERY_MS = 600_000

_LAST = "SELECT seq, ts_ms, note FROM checkpoint ORDER BY seq DESC LIMIT 1"
_INSERT = "INSERT INTO checkpoint(seq, ts_ms, hash, note) VALUES (?,?,?,?)"

_log = logging.getLogger("chatvault.audit")


def seal(tx: Transaction, signer: Signer) -> Checkpoint | None:
    """Sign the chain's head and return the checkpoint; the last one where nothing has happened since.

    It is kept in its table and in the chain, and logged once committed. None for an empty chain. Raises
    StoreError where the key can't be used.
    """
    last = last_checkpoint(tx.connection)
    seq, digest = tx.head
    if seq == 0 or (last is not None and last.seq == seq - 1):
        return last
    checkpoint = signer.checkpoint(seq, digest, ts_ms=tx.now_ms)
    line = checkpoint.line()
    tx.execute(_INSERT, (seq, tx.now_ms, digest, line))
    tx.append(KIND, {"seq": seq, "head": digest.hex(), "line": line})
    # Into the log: there an older head lies outside the file, beyond the reach of whoever rewrites it.
    tx.when_committed(lambda: _log.info("%s", line))
    return checkpoint


def last_checkpoint(connection: sqlite3.Connection) -> Checkpoint | None:
    """Return the newest checkpoint that is kept."""
    found = connection.execute(_LAST).fetchone()
    return read_line(str(found[2])) if found else None


def all_checkpoints(reader: Reader) -> list[tuple[int, bytes, Checkpoint | None]]:
    """Return what is kept, oldest first: the number, the hash, and the signed line (None: unreadable)."""
    rows = reader.select("SELECT seq, hash, note FROM checkpoint ORDER BY seq")
    return [(int(seq), bytes(digest), read_line(str(note))) for seq, digest, note in rows]


class Sealer:
    """Add a checkpoint to whichever commit one falls due with: 1,000 entries, or 10 minutes with any."""

    def __init__(self, signer: Signer, connection: sqlite3.Connection) -> None:
        self._signer = signer
        self._is_broken = False
        last = last_checkpoint(connection)
        self._sealed_seq = last.seq if last is not None else 0
        self._waiting_since_ms: int | None = None
        self._unrecorded: Checkpoint | None = None

    def before_commit(self, tx: Transaction) -> None:
        """Seal the chain in `tx` if that is due."""
        if self._is_broken:
            return
        # One entry after the sealed one is the checkpoint's own.
        unsealed = tx.head.seq - self._sealed_seq - (self._sealed_seq > 0)
        if unsealed <= 0:
            return
        if self._waiting_since_ms is None or tx.now_ms < self._waiting_since_ms:
            self._waiting_since_ms = tx.now_ms
        if unsealed >= EVERY_ENTRIES or tx.now_ms - self._waiting_since_ms >= EVERY_MS:
            self._seal(tx)

    def note(self, checkpoint: Checkpoint) -> None:
        """Take note of a committed checkpoint."""
        self._sealed_seq = max(self._sealed_seq, checkpoint.seq)
        self._waiting_since_ms = None
        self._unrecorded = checkpoint

    def durable(self) -> None:
        """Keep the newest checkpoint beside the key: all that was committed survives a power cut by now."""
        if self._unrecorded is not None:
            checkpoint, self._unrecorded = self._unrecorded, None
            try:
                record_head(self._signer.folder, checkpoint)
            except StoreError as error:
                # An older line stays there, and is as true.
                _log.warning("the last checkpoint isn't kept beside its key: %s", error.message)

    def _seal(self, tx: Transaction) -> None:
        try:
            checkpoint = seal(tx, self._signer)
        except StoreError as error:
            # The ledger goes on without signatures: `audit verify` and `doctor` show that they are missing.
            self._is_broken = True
            _log.critical("no checkpoint can be signed: %s", error.message)
            return
        if checkpoint is not None:
            tx.when_committed(lambda: self.note(checkpoint))
