"""What `doctor` looks at in the database."""

import shutil
import sqlite3
from pathlib import Path

from chatvault.core.check import Check
from chatvault.core.text import counted
from chatvault.errors import StoreError
from chatvault.store import backup, faults
from chatvault.store.connections import read_only
from chatvault.store.inspection import inspect
from chatvault.store.reader import Reader
from chatvault.store.signing import TrustedKeys
from chatvault.store.verify import verify

_LITTLE_ROOM_BYTES = 500 << 20
_MOST_CHECKED_ENTRIES = 300_000
_MOST_CHECKED_BYTES = 512 << 20
_RESTORE = "chatvault backup restore"


def check_all(path: Path, *, keys_dir: Path | None = None) -> list[Check]:
    """Check the database file at `path` and its audit chain, without changing either.

    With `keys_dir` the signatures of its checkpoints too.
    """
    database = check_database(path)
    if database.status == "fail":
        return [database, Check("Audit chain", "skip", "the database can't be read")]
    return [database, check_chain(path, keys_dir=keys_dir)]


def check_database(path: Path) -> Check:
    """Check the file: whose it is, its pages, and the room left on its disk."""
    name = "Database"
    try:
        inspect(path)
        megabytes = path.stat().st_size / (1 << 20)
        free = shutil.disk_usage(path.parent).free
        is_whole = path.stat().st_size <= _MOST_CHECKED_BYTES
        if is_whole and (broken := _broken_pages(path)):
            return Check(name, "fail", f"{path} is damaged: {broken}", _RESTORE)
    except StoreError as error:
        return Check(name, "fail", error.message, error.hint)
    except OSError as error:
        return Check(name, "fail", f"{path} can't be read: {error.strerror}", "see its owner and permissions")
    detail = f"{megabytes:.0f} MB, {free >> 30} GB free"
    if not is_whole:
        detail += "; too large to read every page here"
    if free < _LITTLE_ROOM_BYTES:
        return Check(name, "warn", detail, "free some space: without it, no paid request is sent")
    return Check(name, "pass", detail)


def check_chain(path: Path, *, keys_dir: Path | None = None) -> Check:
    """Check the audit chain: all of it, or of a long one its last entries."""
    name = "Audit chain"
    try:
        with Reader.open(path) as reader:
            entries = reader.head().seq
            if entries > _MOST_CHECKED_ENTRIES:
                detail = f"the newest of {counted(entries, 'entry', 'entries')} follow each other"
                return Check(name, "pass", f"{detail}; `chatvault audit verify` reads them all")
            keys = None if keys_dir is None else TrustedKeys.read(keys_dir)
            verdict = verify(reader, full=False, keys=keys)
    except StoreError as error:
        return Check(name, "fail", error.message, error.hint)
    if verdict.ok:
        return Check(name, "pass", f"{counted(entries, 'entry', 'entries')}, head {verdict.head[:16]}")
    where = "" if verdict.first_bad is None else f", the first at entry {verdict.first_bad}"
    return Check(
        name, "fail", f"{counted(len(verdict.problems), 'problem')}{where}", "chatvault audit verify --full"
    )


def check_backups(folder: Path, *, every_ms: int, now_ms: int) -> Check:
    """Check that the newest backup isn't older than twice `every_ms`."""
    name = "Backups"
    found = backup.listed(folder)
    if not found:
        return Check(name, "skip", "there is none yet", "chatvault backup create")
    hours = max(0, now_ms - found[-1].made_ms) // 3_600_000
    detail = f"{len(found)}, the newest made {hours} h ago"
    if now_ms - found[-1].made_ms > 2 * every_ms:
        return Check(
            name, "warn", detail, "chatvault serve makes them; chatvault backup create makes one now"
        )
    return Check(name, "pass", detail)


def _broken_pages(path: Path) -> str:
    try:
        connection = read_only(path)
        try:
            found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return faults.store_error(error).message
    return "" if found == ["ok"] else "; ".join(found)
