"""The daemon's backups: made when asked for, and by the schedule in the settings."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from chatvault.config.places import Places
from chatvault.config.settings import BackupSettings
from chatvault.control.server import Handler
from chatvault.core.chain import Json
from chatvault.core.health import Health
from chatvault.core.json_types import JsonObject
from chatvault.errors import StorageFull, StoreError
from chatvault.store import backup
from chatvault.store.writer import Store

CONDITION = "backup"

_LOOK_SECONDS = 60.0
_RETRY_SECONDS = 600.0

_log = logging.getLogger("chatvault.backup")


class Backups:
    """Make backups in a process of their own, one at a time."""

    def __init__(self, store: Store, places: Places, health: Health, *, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._database = places.database
        self._folder = places.backup_dir
        self._keys_dir = places.keys_dir
        self._health = health
        self._now_ms = now_ms
        self._one_at_a_time = asyncio.Lock()

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Return what the control socket offers."""
        return {("POST", "/v1/backups"): self._create}

    async def _create(self, body: JsonObject) -> JsonObject:
        path = body.get("path")
        made = await self.create(Path(path) if isinstance(path, str) else None)
        return {name: value for name, value in made.items() if isinstance(value, str | int)}

    async def create(self, target: Path | None = None) -> dict[str, Json]:
        """Make a backup at `target`, or under its usual name; return what it is.

        Raises StoreError, StorageFull. It stands in the audit chain.
        """
        folder = self._folder if target is None else target
        async with self._one_at_a_time:
            # Within the lock: two of one second are to have two names.
            is_named = target is not None and not target.is_dir()
            made = await self._run(folder if is_named else backup.default_path(folder, self._now_ms()))
        await self._store.record("backup.created", made)
        return made

    async def keep(self, settings: BackupSettings) -> None:
        """Make backups by the schedule for as long as the daemon runs; a failure is a health condition."""
        await asyncio.to_thread(backup.sweep, self._folder, self._database.parent)
        pause = _LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = _LOOK_SECONDS if await self.look(settings) else _RETRY_SECONDS

    async def look(self, settings: BackupSettings) -> bool:
        """Make a backup if one is due; return whether all is well, and report it as the condition it is."""
        try:
            await self.keep_once(settings)
        except StoreError as error:
            self._health.report(CONDITION, error.message, now_ms=self._now_ms())
            _log.error("the backup failed: %s", error.message)
            return False
        self._health.report(CONDITION, None, now_ms=self._now_ms())
        return True

    async def keep_once(self, settings: BackupSettings) -> None:
        """Make a backup if one is due, and remove the oldest ones. Raises StoreError, StorageFull."""
        now_ms = self._now_ms()
        known = backup.listed(self._folder)
        every_ms = int(settings.every.total_seconds() * 1000)
        if not any(0 <= now_ms - each.made_ms < every_ms for each in known):
            await self._make_one()
        # Whoever made them: the daemon, a timer, or somebody by hand.
        thinned = backup.thin_out(self._folder, keep=settings.keep, now_ms=now_ms)
        removed: list[Json] = [each.name for each in thinned]
        if removed:
            await self._store.record("backup.removed", {"files": removed})

    async def _make_one(self) -> None:
        if not backup.has_room(self._database, self._database.parent):
            raise StorageFull("there is too little room on the disk for a backup")
        made = await self.create()
        _log.info("backup made: %s", made["path"])

    async def _run(self, target: Path) -> dict[str, Json]:
        # -P: nothing is imported from wherever the daemon was started.
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "chatvault.store.backup_process",
            str(self._database),
            str(target),
            str(self._keys_dir),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, complaints = await child.communicate()
        except asyncio.CancelledError:
            if child.returncode is None:
                child.kill()
            raise
        try:
            told: dict[str, Json] = json.loads(out)
        except ValueError as error:
            words = complaints.decode(errors="replace").strip().splitlines()
            raise StoreError(f"the backup failed: {words[-1] if words else child.returncode}") from error
        if "error" in told:
            kind = StorageFull if told.get("is_full") else StoreError
            hint = told.get("hint")
            raise kind(str(told["error"]), hint=hint if isinstance(hint, str) else None)
        return told
