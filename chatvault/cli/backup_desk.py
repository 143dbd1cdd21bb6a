"""Backups as the command line asks for them: by the running daemon, else by this process under its lock."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatvault.cli.context import Context
from chatvault.cli.output import iso
from chatvault.core.json_types import JsonObject
from chatvault.errors import AlreadyRunning, DaemonNotRunning, DatabaseDamaged, StoreError, UsageError

if TYPE_CHECKING:
    from chatvault.store.backup import Backup, Kept

_SET_ASIDE = ("*.bak", "*.before-restore-*[0-9]")


def create(context: Context, path: Path | None) -> JsonObject:
    """Make a backup and return what it is."""
    target = None if path is None else str(path.absolute())
    try:
        return context.control(timeout=3600.0).post("/v1/backups", {"path": target})
    except DaemonNotRunning:
        return _create_here(context, path)


def _create_here(context: Context, path: Path | None) -> JsonObject:
    from chatvault.store import backup
    from chatvault.store.signing import TrustedKeys

    with context.reader():
        pass
    now_ms = context.now_ms()
    target = path.absolute() if path is not None else backup.default_path(context.places.backup_dir, now_ms)
    if target.is_dir():
        target = backup.default_path(target, now_ms)
    with context.store() as store:
        made = backup.make(context.places.database, target, keys=TrustedKeys.read(context.places.keys_dir))
        told = _backup_json(made)
        store.run(lambda tx: tx.append("backup.created", told))
    return told


def listed(context: Context) -> "list[Kept]":
    """Return the backups, oldest first, and after them what was set aside beside the database."""
    from chatvault.store.backup import Kept, listed

    found = listed(context.places.backup_dir)
    for pattern in _SET_ASIDE:
        for path in sorted(context.places.state_dir.glob(context.places.database.name + pattern)):
            status = path.stat()
            found.append(Kept(path, status.st_size, int(status.st_mtime * 1000)))
    return found


def to_json(kept: "Kept") -> JsonObject:
    """Return a listed backup as JSON."""
    return {"path": str(kept.path), "bytes": kept.size_bytes, "made_at": iso(kept.made_ms)}


def verified(context: Context, path: Path) -> JsonObject:
    """Verify a backup and return the outcome as JSON. Raises UsageError where there is none."""
    from chatvault.store.backup import check
    from chatvault.store.signing import TrustedKeys

    _must_exist(path)
    try:
        found = check(path, keys=TrustedKeys.read(context.places.keys_dir))
    except (DatabaseDamaged, StoreError) as exc:
        return {"ok": False, "path": str(path), "problem": exc.message}
    return {"ok": True, **_backup_json(found)}


def restore(context: Context, path: Path, *, is_sure: bool) -> JsonObject:
    """Restore a backup and return what was done. Raises UsageError without a yes, AlreadyRunning."""
    from chatvault.config.files import ensure_private_folder
    from chatvault.control.lock import WriterLock
    from chatvault.store.restore import restore
    from chatvault.store.signing import Signer

    _must_exist(path)
    places = context.places
    ensure_private_folder(places.run_dir)
    ensure_private_folder(places.state_dir)
    try:
        lock = WriterLock.acquire(places.lock)
    except AlreadyRunning as exc:
        raise AlreadyRunning(
            "the database is in use: a backup can be restored only while the daemon is down",
            hint="stop it first: systemctl stop chatvault, or Ctrl-C where it runs",
        ) from exc
    with lock:
        if places.database.exists() and not is_sure:
            _ask(places.database)
        done = restore(path, places.database, signer=Signer(places.keys_dir), now_ms=context.now_ms)
    replaced = done.replaced
    return {
        **_backup_json(done.backup),
        "path": str(places.database),
        "restored_from": str(path),
        "kept": None if done.kept is None else str(done.kept),
        "replaced_seq": None if replaced is None else replaced.seq,
        "revoked_again": list(done.revoked),
        "interrupted_requests": done.interrupted,
    }


def in_words(done: JsonObject) -> list[str]:
    """Return in lines what a restore did."""
    lines = [f"Restored {done['restored_from']}: {done['requests']} requests, {done['seq']} entries."]
    if done["kept"] is not None:
        lines.append(f"The database that was there is kept as {done['kept']}.")
    lost = done["replaced_seq"]
    if isinstance(lost, int) and isinstance(done["seq"], int) and lost > done["seq"]:
        lines.append(f"{lost - done['seq']} later entries are in it alone; budgets no longer count them.")
    if done["revoked_again"]:
        lines.append("Access tokens revoked since stay revoked; one rotated since has its old secret again.")
    return lines


def _ask(database: Path) -> None:
    from chatvault.cli.prompt import line

    if not sys.stdin.isatty():
        raise UsageError(
            f"there is a database at {database}", hint="--yes replaces it; it is kept beside the new one"
        )
    if line(f"Replace {database}? It is kept beside the new one. [y/N] ").lower() not in ("y", "yes"):
        raise UsageError("nothing was changed")


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"there is no backup at {path}", hint="chatvault backup list")


def _backup_json(made: "Backup") -> dict[str, str | int]:
    return {
        "path": str(made.path),
        "bytes": made.size_bytes,
        "seq": made.seq,
        "head": made.head,
        "requests": made.requests,
    }
