"""The daemon's background tasks: each has a name and an owner, and none dies unheard.

An essential task that fails ends the daemon: systemd starts it again. A supervised one is started again after
a while that grows, and what it died of is a health condition until it has run for a minute.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from chatvault.core.health import Health
from chatvault.errors import ChatVaultError

_log = logging.getLogger("chatvault.daemon")
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
_STABLE_SECONDS = 60.0


class Supervisor:
    """Own every background task. `failed` is set, with `cause`, when an essential one has failed."""

    def __init__(self, health: Health, *, now_ms: Callable[[], int]) -> None:
        self._health = health
        self._now_ms = now_ms
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed = asyncio.Event()
        self.cause: BaseException | None = None

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that ends by itself; if it fails, that is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def essential(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task without which the daemon is of no use."""
        self.spawn(self._essential(work), name)

    def supervised(self, work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """Start a task that is started again when it fails."""
        return self.spawn(self._supervised(work, name), name)

    async def close(self) -> None:
        """End every task and wait until all have ended."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _essential(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as exc:
            self.cause = exc
            self.failed.set()
            raise

    async def _supervised(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        pause = _FIRST_PAUSE
        while True:
            started = asyncio.get_running_loop().time()
            recovery = asyncio.get_running_loop().call_later(_STABLE_SECONDS, self._report, name, None)
            try:
                await work()
                self._report(name, None)
                return
            except Exception as exc:
                self._report(name, f"{type(exc).__name__}: {exc}")
                # What ChatVault foresees explains itself: the disk is full, the key can't be read.
                trace = None if isinstance(exc, ChatVaultError) else exc
                _log.error("%s failed; it starts again in %.0f s: %s", name, pause, exc, exc_info=trace)
            finally:
                recovery.cancel()
            if asyncio.get_running_loop().time() - started > _STABLE_SECONDS:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _report(self, name: str, detail: str | None) -> None:
        self._health.report(name, detail, now_ms=self._now_ms())

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=exc)
