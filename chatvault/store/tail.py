"""What has to be true of the chain's end before anything more is signed.

Whoever can write the file, but has no key, could write a tail of their own while nobody looks, and have the
next start sign it. So the tail is read before: from the last checkpoint on, and a little before it. The line
of that checkpoint also lies beside the key, outside the file.
"""

import sqlite3
from pathlib import Path

from chatvault.core.chain import entry_hash
from chatvault.core.checkpoint import Checkpoint, read_line
from chatvault.errors import StoreError
from chatvault.store.entries import SIGNED_AT_BIRTH, Head, read_base
from chatvault.store.private_file import write_whole
from chatvault.store.signing import TrustedKeys

HEAD_FILE = "audit_head"

_ENTRIES_BEFORE = 1000
_LAST = "SELECT seq, hash, note FROM checkpoint ORDER BY seq DESC LIMIT 1"
_ENTRIES = "SELECT seq, ts_ms, kind, CAST(body AS BLOB), hash FROM audit WHERE seq > ? ORDER BY seq"


def doubt_about(connection: sqlite3.Connection, keys_dir: Path, *, is_restored: bool = False) -> str | None:
    """Return why the chain's end can't be signed as it stands; None where it can.

    `is_restored`: it is a backup's, and may end before the last checkpoint that was made here. Raises
    StoreError where the keys can't be read, sqlite3.Error.
    """
    base = read_base(connection)
    keys = TrustedKeys.read(keys_dir)
    last: Checkpoint | None = None
    found = connection.execute(_LAST).fetchone()
    if found is not None:
        last = read_line(str(found[2]))
        if last is None or (last.seq, last.statement.hash) != (found[0], found[1]) or not keys.believes(last):
            return f"the last checkpoint, of entry {found[0]}, isn't one that was signed here"
        if _hash_at(connection, last.seq, base) != last.statement.hash:
            return f"entry {last.seq} isn't the one that was signed"
    elif base.seq:
        return "the beginning was pruned, and there is no checkpoint"
    recorded = None if is_restored else _recorded(keys_dir)
    if recorded is not None and recorded.seq >= base.seq:
        is_there = _hash_at(connection, recorded.seq, base) == recorded.statement.hash
        if not is_there:
            return f"entry {recorded.seq} isn't the one whose signature lies in {keys_dir / HEAD_FILE}"
    return _walk(connection, base, sealed=last.seq if last is not None else 0)


def record_head(keys_dir: Path, checkpoint: Checkpoint) -> None:
    """Keep the line of a checkpoint beside the key; it must be committed for good. Raises StoreError."""
    write_whole(keys_dir / HEAD_FILE, f"{checkpoint.line()}\n".encode())


def _walk(connection: sqlite3.Connection, base: Head, *, sealed: int) -> str | None:
    start = max(base.seq, sealed - _ENTRIES_BEFORE)
    head = _hash_at(connection, start, base)
    last = start
    for seq, ts_ms, kind, body, digest in connection.execute(_ENTRIES, (start,)):
        if seq != last + 1:
            return f"entry {last + 1} is missing"
        if head is None or entry_hash(head, seq=seq, ts_ms=ts_ms, kind=kind, body=body) != digest:
            return f"entry {seq} doesn't follow from the one before it"
        if seq > sealed and kind in SIGNED_AT_BIRTH:
            return f"entry {seq}, {kind}, was never signed"
        last, head = seq, digest
    return None


def _recorded(keys_dir: Path) -> Checkpoint | None:
    try:
        return read_line((keys_dir / HEAD_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{keys_dir / HEAD_FILE} can't be read: {error}") from error


def _hash_at(connection: sqlite3.Connection, seq: int, base: Head) -> bytes | None:
    if seq == base.seq:
        return base.hash
    found = connection.execute("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
    return bytes(found[0]) if found else None
