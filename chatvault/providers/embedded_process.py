"""The embedded model's process, seen from the gateway: started when first needed, watched, and ended in time.

A process that died is started again by the next request that needs it; one that keeps dying is left alone for
a while, longer each time, and requests are told why meanwhile.
"""

import asyncio
import logging
import math
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import msgspec

from chatvault.errors import ProviderUnreachable
from chatvault.providers import embedded_server
from chatvault.providers.embedded_server import Orders

_SCRIPT = Path(embedded_server.__file__)
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0
_STOP_SECONDS = 0.5
_KEPT_LINES = 5

_log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class _Told(msgspec.Struct):
    address: str


class ModelProcess:
    """One child process that serves a model on a loopback port of its own."""

    def __init__(
        self,
        name: str,
        orders: Orders,
        *,
        environ: Mapping[str, str],
        spawn: Spawn,
        load_seconds: float,
    ) -> None:
        self._name = name
        self._orders = orders
        self._environ = environ
        self._spawn = spawn
        self._load_seconds = load_seconds
        self._ready: asyncio.Future[str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._early_deaths = 0
        self._rests_until = -math.inf
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._process is None else self._process.pid

    async def address(self) -> str:
        """Return the URL the model is served at, once it is loaded. Raises ProviderUnreachable."""
        if self._ready is None:
            self._start()
        assert self._ready is not None
        # Shielded: who gives up waiting doesn't stop the loading for everyone else.
        return await asyncio.shield(self._ready)

    async def ended(self, seconds: float) -> None:
        """Wait until the child's end, if it came to one, has been noticed; at most so long."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    async def stop(self) -> None:
        """End the child, within a second, and start none again."""
        self._is_closed = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_STOP_SECONDS)
            # Its clean-up kills a child that is still there.
            self._task.cancel()
            await asyncio.wait([self._task], timeout=_STOP_SECONDS)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        rest = self._rests_until - loop.time()
        if self._is_closed:
            raise ProviderUnreachable(f"{self._name} is being stopped")
        if rest > 0:
            raise self._failed("its model process keeps ending", retry_after=math.ceil(rest))
        self._ready = ready = loop.create_future()
        # A future nobody waits for any more may fail in silence: the log has it.
        ready.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._task = self._spawn(self._run(ready), f"{self._name}: model process")

    async def _run(self, ready: asyncio.Future[str]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            code = await self._run_child(ready)
        except OSError as exc:
            # Not even started: no memory, no more processes.
            self._last_lines.append(str(exc))
            code = -1
        finally:
            self._ready = None
            self._process = None
            lived = loop.time() - began
            self._early_deaths = 0 if lived > _STEADY_SECONDS else self._early_deaths + 1
            # The first death is an accident: the next request may have it back at once.
            if self._early_deaths > 1 or not ready.done():
                pause = _FIRST_PAUSE_SECONDS * 2.0 ** min(self._early_deaths - 1, 10)
                self._rests_until = loop.time() + min(pause, _LONGEST_PAUSE_SECONDS)
            if not ready.done():
                ready.set_exception(self._failed("its model could not be loaded"))
        if not self._is_closed:
            _log.warning("%s: the model process ended with %d after %.1f s", self._name, code, lived)

    async def _run_child(self, ready: asyncio.Future[str]) -> int:
        _log.info("%s: loading the model", self._name)
        began = asyncio.get_running_loop().time()
        # Isolated: its imports come from where ours do, by our word, and not from its own environment.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_SCRIPT),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environ,
            cwd="/",
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._log_lines(process.stderr), name=f"{self._name}: model process's log")
                process.stdin.write(msgspec.json.encode(self._orders) + b"\n")
                line = await self._first_line(process.stdout)
                if line:
                    ready.set_result(msgspec.json.decode(line, type=_Told).address)
                    took = asyncio.get_running_loop().time() - began
                    _log.info("%s: the model is loaded, process %d, %.1f s", self._name, process.pid, took)
                else:
                    _kill(process)
                return await process.wait()
        finally:
            _kill(process)
            process.stdin.close()

    async def _first_line(self, stdout: asyncio.StreamReader) -> bytes:
        try:
            async with asyncio.timeout(self._load_seconds):
                return await stdout.readline()
        except TimeoutError:
            self._last_lines.append(f"not loaded within {self._load_seconds:g} s")
            return b""

    async def _log_lines(self, stderr: asyncio.StreamReader) -> None:
        while data := await stderr.read(8192):
            for line in data.decode(errors="replace").splitlines():
                shown = "".join(char if char.isprintable() else " " for char in line)
                self._last_lines.append(shown)
                _log.debug("%s: model process: %s", self._name, shown)

    def _failed(self, what: str, *, retry_after: int | None = None) -> ProviderUnreachable:
        last = self._last_lines[-1] if self._last_lines else "it said nothing"
        return ProviderUnreachable(f"{self._name}: {what}", hint=f"it said: {last}", retry_after=retry_after)


def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
