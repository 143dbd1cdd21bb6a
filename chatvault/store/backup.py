"""Backups: consistent copies of the database, made beside a writer, verified before they get their name."""

import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chatvault.core.text import counted
from chatvault.errors import DatabaseDamaged, StoreError
from chatvault.store import faults
from chatvault.store.connections import read_only
from chatvault.store.inspection import NEWEST, inspect
from chatvault.store.private_file import PART, create, ensure_folder, put_in_place, temporary_beside
from chatvault.store.reader import Reader
from chatvault.store.signing import TrustedKeys
from chatvault.store.verify import verify

_STEM = "chatvault-%Y%m%dT%H%M%SZ"
# Of several that were made within one second, the later ones have a number.
_PATTERN = re.compile(r"(chatvault-\d{8}T\d{6}Z)(?:-(\d+))?\.db", re.ASCII)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that verified: its audit chain has `entries` up to `head` (hex)."""

    path: Path
    size_bytes: int
    seq: int
    head: str
    requests: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in the folder of backups, as far as its name and size tell."""

    path: Path
    size_bytes: int
    made_ms: int


def default_path(folder: Path, now_ms: int) -> Path:
    """Return where a backup made now goes, in `folder`: a name that no file there has."""
    stem = datetime.fromtimestamp(now_ms // 1000, UTC).strftime(_STEM)
    path = folder / f"{stem}.db"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.db"
    return path


def make(source: Path, target: Path, *, keys: TrustedKeys) -> Backup:
    """Copy the database at `source` to `target` while others may write to it, and verify the copy whole.

    The file is 0600 from birth, and there under its name only once it is verified and on the disk. Raises
    StoreError where there is a file already or the copy doesn't verify, StorageFull.
    """
    if target.exists():
        raise StoreError(f"{target} is there already", hint="name another file")
    ensure_folder(target.parent)
    temporary = temporary_beside(target)
    try:
        copy_database(source, temporary)
        found = check(temporary, keys=keys)
        put_in_place(temporary, target)
    except OSError as error:
        raise faults.os_error(error, target) from error
    finally:
        remove(temporary)
    return Backup(target, found.size_bytes, found.seq, found.head, found.requests)


def check(path: Path, *, keys: TrustedKeys) -> Backup:
    """Verify a backup whole: its pages, its chain with all signatures, and its ledger.

    Raises DatabaseDamaged where something is wrong, StoreError where it can't be read. One of an older
    program's shape is verified as far as that goes: its pages, and the last entries of its chain.
    """
    version = inspect(path)
    if version == 0:
        raise DatabaseDamaged(f"{path} is empty", hint="choose another backup: chatvault backup list")
    _check_pages(path)
    if version < NEWEST:
        return _older(path)
    with Reader.open(path) as reader:
        verdict = verify(reader, full=True, keys=keys)
        (requests,) = reader.select("SELECT count(*) FROM ledger").fetchone()
        head = reader.head()
    if not verdict.ok:
        first = verdict.problems[0]
        where = "" if first.seq is None else f" at entry {first.seq}"
        raise DatabaseDamaged(
            f"{path} doesn't verify: {counted(len(verdict.problems), 'problem')}, "
            f"the first one ({first.kind}){where}",
            hint="chatvault audit verify --full",
        )
    return Backup(path, path.stat().st_size, head.seq, head.hash.hex(), int(requests))


def copy_database(source: Path, target: Path) -> None:
    """Copy a database, consistent whoever writes to it, into the new file `target`.

    Raises StoreError, StorageFull, OSError.
    """
    os.close(create(target))
    try:
        connection = read_only(source)
        try:
            # Not page by page: what was deleted is not copied, and every page is read and must make sense.
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise faults.store_error(error) from error


def listed(folder: Path) -> list[Kept]:
    """Return the backups in `folder`, oldest first."""
    found: list[tuple[int, int, Kept]] = []
    for path in folder.glob("chatvault-*.db"):
        if (parts := _PATTERN.fullmatch(path.name)) is None:
            continue
        try:
            made = datetime.strptime(parts[1], _STEM).replace(tzinfo=UTC)
            size = path.stat().st_size
        except (ValueError, OSError):
            continue
        made_ms = int(made.timestamp()) * 1000
        found.append((made_ms, int(parts[2] or 1), Kept(path, size, made_ms)))
    return [kept for _, _, kept in sorted(found, key=lambda each: each[:2])]


def thin_out(folder: Path, *, keep: int, now_ms: int) -> Sequence[Path]:
    """Remove all backups in `folder` but the newest `keep`; return what went. Raises StoreError."""
    # One from the future was made before the clock was set back: it is older than what was made since.
    by_age = sorted(listed(folder), key=lambda each: (each.made_ms <= now_ms, each.made_ms))
    surplus = [each.path for each in by_age[:-keep]]
    for path in surplus:
        try:
            path.unlink()
        except OSError as error:
            raise faults.os_error(error, path) from error
    return surplus


def sweep(*folders: Path) -> None:
    """Remove what backups and restores left half done when their process was killed.

    Whoever calls it holds the writer's lock: nobody else is at it.
    """
    for folder in folders:
        for path in folder.glob(f".*.db.*{PART}*"):
            path.unlink(missing_ok=True)


def has_room(source: Path, folder: Path) -> bool:
    """Whether a copy of `source` fits into `folder`, with as much again to spare."""
    return shutil.disk_usage(folder).free > 2 * source.stat().st_size


def remove(path: Path) -> None:
    """Remove a database file that is not wanted, and what SQLite may have laid beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _check_pages(path: Path) -> None:
    try:
        connection = read_only(path)
        try:
            found = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise faults.store_error(error) from error
    if found != ["ok"]:
        raise DatabaseDamaged(f"{path} is damaged: {'; '.join(found)}", hint="chatvault backup list")


def _older(path: Path) -> Backup:
    connection = read_only(path)
    try:
        seq, digest = connection.execute(
            "SELECT coalesce(max(seq), 0), coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), x'')"
            " FROM audit"
        ).fetchone()
        (requests,) = connection.execute("SELECT count(*) FROM ledger").fetchone()
    except sqlite3.Error as error:
        raise faults.store_error(error) from error
    finally:
        connection.close()
    return Backup(path, path.stat().st_size, int(seq), bytes(digest).hex(), int(requests))
