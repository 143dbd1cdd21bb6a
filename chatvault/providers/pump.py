"""A stream that is driven by what comes: no chunk waits until a task has its turn."""

import asyncio
from collections.abc import Callable
from typing import Protocol

Take = Callable[[bytes], bool]
"""Takes whole events at once, or returns False: then nothing of them was taken."""


class Source(Protocol):
    """What tells when something has come."""

    def take(self) -> bytes | None:
        """Return what has come, b"" at the end, None where nothing has. Raises ProviderError."""
        ...

    def notify(self, told: Callable[[], None] | None) -> None:
        """Have `told` called at each piece from now on, in place of a reader's turn; None ends that."""
        ...


class Pump:
    """Hand what comes from `source`, as events made by `translate`, to `take`.

    `is_over` tells, after each piece, that nothing more will come of it.
    """

    __slots__ = ("_is_looking", "_is_over", "_left", "_source", "_take", "_translate")

    def __init__(
        self,
        source: Source,
        translate: Callable[[bytes], bytes],
        *,
        is_over: Callable[[], bool],
        take: Take,
    ) -> None:
        self._source = source
        self._translate = translate
        self._is_over = is_over
        self._take = take
        self._is_looking = False
        self._left: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def run(self) -> bytes:
        """Return the events that were not taken: those that didn't fit, or the last ones.

        b"" where the stream is over without any. Raises what `take` of the source and `translate` raise.
        """
        self._came()
        if not self._left.done():
            self._source.notify(self._came)
        try:
            return await self._left
        finally:
            self._source.notify(None)

    def _came(self) -> None:
        if self._is_looking:
            # To take may end the connection, which tells of it at once: the error itself is on its way.
            return
        self._is_looking = True
        left = self._left
        try:
            while not left.done():
                data = self._source.take()
                if data is None:
                    return
                events = self._translate(data)
                if self._is_over() or (events and not self._take(events)):
                    left.set_result(events)
        except BaseException as exc:
            # This runs in the connection's callback: as in any future, whoever waits gets the error.
            if left.done():
                raise
            left.set_exception(exc)
        finally:
            self._is_looking = False
