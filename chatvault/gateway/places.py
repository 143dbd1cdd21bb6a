"""The places a provider has for requests in flight, and the queue before them."""

import asyncio
from collections import deque

from chatvault.errors import RequestError


class Places:
    """At most `limit` requests at once; further ones wait in order, each at most `queue_seconds`.

    An 8 GB card serves two requests at a time: the third is faster waiting here than making all three slow.
    """

    def __init__(self, provider: str, *, limit: int | None, queue_seconds: float) -> None:
        self._provider = provider
        self._limit = limit
        self._queue_seconds = queue_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    @property
    def waiting(self) -> int:
        """How many requests are in the queue."""
        return len(self._waiting)

    def try_enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._limit is not None and (self.taken >= self._limit or self._waiting):
            return False
        self.taken += 1
        return True

    async def enter(self) -> None:
        """Wait for a place and take it. Raises RequestError (503) when none came free in time."""
        if self.try_enter():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._queue_seconds):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise RequestError(
                f"All {self._limit} places at {self._provider} stayed taken for {self._queue_seconds:g} s.",
                status=503,
                type="api_error",
                code="overloaded",
                retry_after=max(1, round(self._queue_seconds / 4)),
            ) from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def leave(self) -> None:
        """Give a place back: it passes straight to the first who waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.leave()
        else:
            turn.cancel()
            if turn in self._waiting:
                self._waiting.remove(turn)
