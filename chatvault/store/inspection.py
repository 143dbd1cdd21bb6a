"""Whether a database file is one this program can use, told without changing it.

All of it is cheap at any size: the header, the schema, the chain's last entries. Only a small file is checked
whole; `chatvault doctor` and `audit verify` read everything.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from chatvault.core.chain import GENESIS, entry_hash
from chatvault.errors import DatabaseDamaged, DatabaseTooNew, StoreError
from chatvault.store import faults
from chatvault.store.connections import APPLICATION_ID, read_only
from chatvault.store.migrations import MIGRATIONS

NEWEST = MIGRATIONS[-1].number

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_SMALL_BYTES = 16 << 20
_TAIL_ENTRIES = 64
_RESTORE = "restore a backup: chatvault backup restore"


def inspect(path: Path) -> int:
    """Return the schema's number of the database at `path`; 0 for an empty file.

    Raises DatabaseTooNew, DatabaseDamaged (both leave the file as it is) or StoreError when it can't be read.
    """
    if path.stat().st_size == 0:
        return 0
    _check_header(path)
    try:
        connection = read_only(path)
        try:
            return _check(connection, path)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise _meaning(error, path) from error


def _check(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if owner != APPLICATION_ID and (owner or tables):
        raise StoreError(
            f"{path} is not a ChatVault database", hint="name another file, or move this one away"
        )
    if version > NEWEST:
        raise DatabaseTooNew(
            f"{path} was written by a newer ChatVault (schema {version}, this one knows {NEWEST})",
            hint="update ChatVault",
        )
    if version:
        missing = {"ledger", "hold", "audit", "token", "usage_day"} - tables
        if missing:
            raise _damaged(path, f"it has no table {', '.join(sorted(missing))}")
        _check_tail(connection, path)
        connection.execute("SELECT id FROM ledger ORDER BY id DESC LIMIT 1").fetchone()
        connection.execute("SELECT count(*) FROM hold").fetchone()
    if path.stat().st_size <= _SMALL_BYTES:
        found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise _damaged(path, "; ".join(found))
    return version


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise _damaged(path, "it doesn't begin as SQLite's files do")
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    # The page count only holds where the change counter and the version it is valid for agree.
    if header[24:28] == header[92:96] and size < page_bytes * int.from_bytes(header[28:32], "big"):
        raise _damaged(path, "its end is missing")


def _check_tail(connection: sqlite3.Connection, path: Path) -> None:
    rows = connection.execute(
        "SELECT seq, ts_ms, kind, CAST(body AS BLOB), hash FROM audit ORDER BY seq DESC LIMIT ?",
        (_TAIL_ENTRIES + 1,),
    ).fetchall()
    rows.reverse()
    if rows and not _is_linked(rows):
        raise _damaged(path, "the last entries of its audit chain don't follow each other")


def _is_linked(rows: list[tuple[int, int, str, bytes, bytes]]) -> bool:
    is_whole_chain = rows[0][0] == 1
    previous = GENESIS if is_whole_chain else rows[0][4]
    linked: Iterable[tuple[int, int, str, bytes, bytes]] = rows if is_whole_chain else rows[1:]
    for seq, ts_ms, kind, body, digest in linked:
        if entry_hash(previous, seq=seq, ts_ms=ts_ms, kind=kind, body=body) != digest:
            return False
        previous = digest
    return True


def _meaning(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    meaning = faults.store_error(error)
    if isinstance(meaning, DatabaseDamaged) or type(error) is sqlite3.DatabaseError:
        return _damaged(path, str(error))
    return meaning


def _damaged(path: Path, what: str) -> DatabaseDamaged:
    return DatabaseDamaged(f"{path} is damaged: {what}", hint=_RESTORE)
