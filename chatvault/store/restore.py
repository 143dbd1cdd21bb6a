"""Putting a backup in the database's place. Nothing is lost: what was there is kept beside it."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chatvault.core.chain import Json
from chatvault.errors import StoreError, UsageError
from chatvault.store import faults, tokens
from chatvault.store.backup import Backup, check, copy_database, remove
from chatvault.store.connections import for_writing
from chatvault.store.entries import RESTORED, Head
from chatvault.store.private_file import ensure_folder, sync, temporary_beside
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.transaction import Transaction
from chatvault.store.writer import Store


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    `replaced` is the last entry of the chain that was there before, None where it couldn't be read; `kept` is
    that database; `revoked` names the access tokens that the backup still let in, and which stay revoked.
    """

    backup: Backup
    kept: Path | None
    replaced: Head | None
    revoked: tuple[str, ...]
    interrupted: int


def restore(source: Path, database: Path, *, signer: Signer, now_ms: Callable[[], int]) -> Restored:
    """Verify the backup `source` and put it in the place of `database`; the caller holds the writer's lock.

    The chain goes on with an entry that says so, signed. Raises StoreError, and leaves all as it was, where
    the backup doesn't verify or can't be copied.
    """
    if database.exists() and source.exists() and source.samefile(database):
        raise UsageError(f"{source} is the database itself", hint="chatvault backup list")
    ensure_folder(database.parent)
    temporary = temporary_beside(database)
    try:
        copy_database(source, temporary)
        # The copy is what counts from now on: it is verified, not what it came from.
        found = check(temporary, keys=TrustedKeys.read(signer.folder))
        sync(temporary)
        replaced = _look_at(database)
        kept = _set_aside(database, now_ms()) if database.exists() else None
        temporary.replace(database)
        sync(database.parent)
    except OSError as error:
        raise faults.os_error(error, database) from error
    finally:
        remove(temporary)
    return _go_on(database, source, found, kept, replaced, signer=signer, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class _Replaced:
    """The database that is being replaced; `highest_seq` counts chains that were replaced before it, too."""

    head: Head
    highest_seq: int
    revoked_ids: frozenset[str]


def _look_at(database: Path) -> _Replaced | None:
    try:
        with Reader.open(database) as reader:
            head = reader.head()
            (earlier,) = reader.select(
                "SELECT coalesce(max(body ->> 'highest_seq'), 0) FROM audit WHERE kind = ?", (RESTORED,)
            ).fetchone()
            revoked = frozenset(each.id for each in reader.tokens() if each.revoked_at is not None)
            return _Replaced(head, max(head.seq, int(earlier)), revoked)
    except (StoreError, sqlite3.Error):
        # Damaged: that is why a backup is being restored.
        return None


def _set_aside(database: Path, now_ms: int) -> Path:
    kept = database.with_name(f"{database.name}.before-restore-{now_ms}")
    try:
        connection = for_writing(database)
        try:
            # What lies in the write-ahead log moves into the file, so that one file is all of it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except sqlite3.Error:
        pass
    os.link(database, kept)
    for suffix in ("-wal", "-shm"):
        beside = database.with_name(database.name + suffix)
        if beside.exists():
            # Left where it is, SQLite would take it for the restored file's.
            beside.replace(kept.with_name(kept.name + suffix))
    return kept


def _go_on(
    database: Path,
    source: Path,
    found: Backup,
    kept: Path | None,
    replaced: _Replaced | None,
    *,
    signer: Signer,
    now_ms: Callable[[], int],
) -> Restored:
    revoked_ids = frozenset() if replaced is None else replaced.revoked_ids
    store = Store.open(database, now_ms=now_ms, signer=signer, is_restored=True)
    try:

        def note(tx: Transaction) -> tuple[str, ...]:
            revoked = tuple(
                tokens.revoke(tx, each.id, now_ms=tx.now_ms).name
                for each in tokens.everything(tx.database)
                if each.id in revoked_ids and each.revoked_at is None
            )
            body: dict[str, Json] = {
                "file": source.name,
                "seq": found.seq,
                "head": found.head,
                "replaced_seq": None if replaced is None else replaced.head.seq,
                "replaced_head": None if replaced is None else replaced.head.hash.hex(),
                "highest_seq": None if replaced is None else replaced.highest_seq,
                "kept": None if kept is None else kept.name,
            }
            tx.append(RESTORED, body)
            store.checkpoint(tx)
            return revoked

        revoked = store.run(note)
        head = None if replaced is None else replaced.head
        return Restored(found, kept, head, revoked, len(store.recovered))
    finally:
        store.close()
