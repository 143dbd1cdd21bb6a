"""Pings for streams that have gone quiet: one ticker for all of them, so that a busy stream pays nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from chatvault.gateway.sse_answer import PING_AFTER_SECONDS, SseAnswer

_Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class Heartbeat:
    """Watch the open streams, and ping each that has sent nothing for `after_seconds`."""

    def __init__(self, spawn: _Spawn, *, after_seconds: float = PING_AFTER_SECONDS) -> None:
        self._spawn = spawn
        self._ticks_to_ping = 15
        self._tick_seconds = after_seconds / self._ticks_to_ping
        self._quiet: dict[SseAnswer, tuple[int, int]] = {}

    def watch(self, answer: SseAnswer) -> None:
        """Begin to watch a stream."""
        self._quiet[answer] = (0, 0)

    def forget(self, answer: SseAnswer) -> None:
        """Stop watching a stream."""
        self._quiet.pop(answer, None)

    async def run(self) -> None:
        """Tick for as long as the daemon runs."""
        while True:
            await asyncio.sleep(self._tick_seconds)
            for answer, (beats, ticks) in list(self._quiet.items()):
                if answer.beats != beats:
                    self._quiet[answer] = (answer.beats, 0)
                elif ticks + 1 < self._ticks_to_ping:
                    self._quiet[answer] = (beats, ticks + 1)
                else:
                    self._quiet[answer] = (beats, 0)
                    self._spawn(answer.ping(), "ping")
