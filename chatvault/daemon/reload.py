"""Takes changed settings over while the daemon runs: all of them, or none.

A whole engine is built beside the one that serves, and the gateway is pointed at it in one step. Running
answers live on in the old one, which is closed when the last of them has ended. Providers whose settings are
the same are carried over as they are: a reload must not load a model into memory twice. Other parts of the
daemon, such as the tunnel, are asked first whether they can follow, and do so when all can.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from chatvault.config.settings import Settings
from chatvault.core.chain import Json
from chatvault.core.health import Health
from chatvault.core.redaction import redact
from chatvault.daemon.engine import Engine, now_ms
from chatvault.daemon.following import AnySettings, Prepare
from chatvault.daemon.notify import Notifier
from chatvault.daemon.supervisor import Supervisor
from chatvault.errors import ChatVaultError, ConfigError, StoreError
from chatvault.gateway.call import RunningCalls
from chatvault.store.writer import Store

SETTINGS_CONDITION = "settings"
_log = logging.getLogger("chatvault.daemon")
# What a reload takes over; all else holds from the next start on.
_TAKEN_OVER = (
    "providers",
    "models",
    "prices",
    "limits",
    "usage",
    "tunnel",
    "audit.content",
    "log.level",
    "server.tls",
    "server.public_url",
    "server.allowed_hosts",
    "server.max_body_bytes",
    "server.drain_seconds",
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives every engine, and is told of a reload."""

    running: RunningCalls
    supervisor: Supervisor
    store: Store
    health: Health
    notifier: Notifier


class Reloader:
    """Keep the engine in use, and swap it. `load` reads the settings and may block; it runs in a thread.

    `followers` are the parts beside the engine that go by the settings, by name, in the order they follow in.
    """

    def __init__(
        self,
        settings: AnySettings,
        engine: Engine,
        surroundings: Surroundings,
        *,
        load: Callable[[], AnySettings],
        build: Callable[[AnySettings, Engine], Engine],
        install: Callable[[Engine, AnySettings], None],
        followers: Mapping[str, Prepare],
        status: Callable[[], str],
    ) -> None:
        self.settings = settings
        self.engine = engine
        # Whatever a reload does not take over runs on as it was at the start.
        self._first = settings
        self._around = surroundings
        self._load = load
        self._build = build
        self._install = install
        self._followers = followers
        self._status = status
        self._lock = asyncio.Lock()
        self._lists: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Write down which settings the daemon starts with, and keep the model lists fresh."""
        await self._record_loaded(self.settings, {"changed": []})
        self._keep_lists_fresh()

    async def reload(self) -> dict[str, Json]:
        """Take the settings over. Raises ChatVaultError where they can't be used: all stays as it was."""
        async with self._lock:
            self._around.notifier.reloading()
            try:
                return await self._reload()
            except ChatVaultError as exc:
                await self._note_rejected(exc)
                raise
            finally:
                self._around.notifier.ready(self._status())

    async def reload_by_signal(self) -> None:
        """Reload for SIGHUP: nobody waits for the outcome, so the log and the status tell it."""
        try:
            await self.reload()
        except ChatVaultError:
            return

    async def aclose(self) -> None:
        """Close the engine in use."""
        await self.engine.aclose()

    async def _reload(self) -> dict[str, Json]:
        settings = await asyncio.to_thread(self._load)
        before, old = self.settings, self.engine
        if before.providers and not settings.providers:
            raise ConfigError(
                "the settings name no provider any more: nobody would be answered",
                hint="is the file empty by mistake? To stop answering: systemctl stop chatvault",
                path=str(settings.path),
            )
        steps = {name: await prepare(settings) for name, prepare in self._followers.items()}
        engine = self._build(settings, old)
        changed = changes(before, settings)
        waiting = [name for name in changes(self._first, settings) if not _is_taken_over(name)]
        told: dict[str, Json] = {
            "changed": list(changed),
            "needs_restart": list(waiting),
            **{name: step.effect for name, step in steps.items() if step.effect is not None},
        }
        try:
            # First of all: what can't be written down is not done.
            await self._record_loaded(settings, told)
        except StoreError:
            await engine.aclose(keep=old.providers.values())
            raise
        self.settings, self.engine = settings, engine
        self._install(engine, settings)
        logging.getLogger().setLevel(settings.log.level.upper())
        self._keep_lists_fresh()
        self._around.supervisor.spawn(self._retire(old), "old settings")
        self._around.health.report(SETTINGS_CONDITION, None, now_ms=now_ms())
        _log.info("settings reloaded: %s", ", ".join(changed) or "nothing has changed")
        for step in steps.values():
            step.take()
        if waiting:
            _log.warning("these settings hold from the next start on: %s", ", ".join(waiting))
        return {"path": str(settings.path), **told}

    def _keep_lists_fresh(self) -> None:
        if self._lists is not None:
            self._lists.cancel()
        self._lists = self._around.supervisor.supervised(self.engine.catalog.keep_fresh, "model lists")

    async def _retire(self, old: Engine) -> None:
        """Close what `old` alone has, once no request that may use it is running."""
        tasks = self._around.running.tasks()
        if tasks:
            await asyncio.wait(tasks)
        await old.aclose(keep=self.engine.providers.values())

    async def _note_rejected(self, exc: ChatVaultError) -> None:
        problem = redact(str(exc))
        _log.error("the settings can't be used, the old ones stay: %s", problem)
        self._around.health.report(SETTINGS_CONDITION, f"not reloaded: {problem}", now_ms=now_ms())
        body = {"path": str(self.settings.path), "problem": problem}
        try:
            await self._around.store.record("config.rejected", body)
        except StoreError as failure:
            # Whoever asked is told why the settings were refused, not why that could not be written down.
            _log.error("that could not be written down: %s", failure.message)

    async def _record_loaded(self, settings: AnySettings, told: Mapping[str, Json]) -> None:
        digest = await asyncio.to_thread(_digest, settings.path)
        await self._around.store.record(
            "config.loaded", {"path": str(settings.path), "sha256": digest, **told}
        )


def changes(before: AnySettings, after: AnySettings) -> tuple[str, ...]:
    """Return the settings that differ, by name: `server.port`, `providers.ollama`, `models.fast`."""
    found = []
    for section in fields(Settings):
        old, new = getattr(before, section.name), getattr(after, section.name)
        if old == new or section.name == "path":
            continue
        if section.name in ("providers", "models"):
            names = sorted(old.keys() | new.keys())
            found += [f"{section.name}.{each}" for each in names if old.get(each) != new.get(each)]
        else:
            found += [
                f"{section.name}.{each.name}"
                for each in fields(new)
                if getattr(old, each.name) != getattr(new, each.name)
            ]
    return tuple(found)


def _is_taken_over(name: str) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in _TAKEN_OVER)


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
