"""The database file: made, migrated, refused."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from chatvault.errors import StoreError
from chatvault.store import faults
from chatvault.store.connections import for_writing
from chatvault.store.inspection import inspect
from chatvault.store.migrations import MIGRATIONS

_OWNER_ONLY_FILE = 0o600
_OWNER_ONLY_FOLDER = 0o700


def open_database(path: Path, *, now_ms: Callable[[], int]) -> sqlite3.Connection:
    """Open the database at `path` for its one writer, making it or bringing it up to date.

    A new file is 0600 from birth. A backup is laid beside an existing one before each step that changes its
    shape. Raises DatabaseTooNew or DatabaseDamaged, and leaves such a file as it is; StorageFull, StoreError.
    """
    try:
        _make_file(path)
        found = version = inspect(path)
        connection = for_writing(path)
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error.strerror}", hint="chatvault doctor") from error
    except sqlite3.Error as error:
        raise faults.store_error(error) from error
    try:
        for migration in MIGRATIONS:
            if migration.number > version:
                # Peewee is imported where a step is due: it takes longer than opening the database does.
                from chatvault.store.migrate import migrate

                if found:
                    _back_up(connection, path, version, now_ms())
                migrate(connection, migration)
                version = migration.number
    except (sqlite3.Error, OSError) as error:
        connection.close()
        raise faults.store_error(error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY_FILE)
    except FileExistsError:
        return
    os.close(descriptor)


def _back_up(connection: sqlite3.Connection, path: Path, version: int, now_ms: int) -> None:
    """Copy the whole database beside itself: `chatvault.db.schema1-1790000000000.bak`."""
    target = path.with_name(f"{path.name}.schema{version}-{now_ms}.bak")
    _make_file(target)
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        # In one step: a copy in several starts anew whenever somebody writes.
        connection.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        copy.close()
