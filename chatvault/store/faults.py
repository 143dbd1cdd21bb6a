"""What SQLite's errors mean here: which ones pass by themselves, and which are the fault of a single row."""

import errno
import sqlite3
from pathlib import Path

from chatvault.errors import DatabaseDamaged, StorageFull, StoreError

_PRIMARY_CODE = 0xFF

# One row can't be written, now or ever: a number beyond 64 bits, text that isn't Unicode, a taken id.
# All other errors of SQLite's are the surroundings': the same row may go in later.
POISON = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    TypeError,
    ValueError,
)


def is_full(error: BaseException) -> bool:
    """Whether `error` says that there is no room left."""
    return _code(error) == sqlite3.SQLITE_FULL


def sqlite_cause(error: BaseException) -> sqlite3.Error | None:
    """Return SQLite's own error behind `error`, which may be peewee's; None when there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.Error):
        cause = cause.__cause__ or cause.__context__
    return cause


def storage_full() -> StorageFull:
    """Return the error of a disk without room."""
    return StorageFull("the disk that holds the database is full", hint="free some space on it")


def store_error(error: BaseException) -> StoreError:
    """Say in our own words what SQLite's `error` means, or peewee's about it."""
    code = _code(sqlite_cause(error) or error)
    if code == sqlite3.SQLITE_FULL:
        return storage_full()
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            "the database is locked by another program", hint="close the program that has it open"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DatabaseDamaged(f"the database is damaged: {error}", hint="chatvault backup restore")
    return StoreError(f"the database can't be written: {error}", hint="chatvault doctor")


def _code(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & _PRIMARY_CODE if isinstance(code, int) else None


def os_error(error: OSError, path: Path) -> StoreError:
    """Say what an error of the system's about the file at `path` means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"there is no room left to write {path}", hint="free some space on its disk")
    return StoreError(
        f"{path} can't be used: {error.strerror or error}", hint="see its owner and permissions"
    )
