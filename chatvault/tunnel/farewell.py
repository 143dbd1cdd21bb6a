"""Seeing out a link that other settings put an end to: its port first, its answers when they have ended."""

import asyncio
import logging

from chatvault.core.text import counted
from chatvault.tunnel.link import Link
from chatvault.tunnel.listener import Doorway
from chatvault.tunnel.takeover import Parked

_log = logging.getLogger("chatvault.tunnel")


class Farewell:
    """Close `link` when the answers through `doorway` have ended, or after `seconds`, or when `hurry` is set.

    Answers that are cut end with a word to their clients. `has_left_port` is set when the relay has let go of
    the public port, or can't be asked.
    """

    def __init__(self, link: Link, doorway: Doorway, parked: Parked, *, seconds: float) -> None:
        self.link = link
        self.has_left_port, self.hurry = asyncio.Event(), asyncio.Event()
        self._doorway = doorway
        self._parked = parked
        self._seconds = seconds

    async def run(self) -> None:
        """See it out."""
        if not await self.link.leave_port():
            # The relay is silent, and keeps the port until this session is reset.
            self.link.drop()
            self.link.release(self._parked)
            return
        self.has_left_port.set()
        cut = await self._doorway.drain(seconds=self._seconds, hurry=self.hurry)
        if cut:
            _log.warning("the old link ends, and cuts %s", counted(cut, "answer"))
        else:
            _log.info("the old link ends")
        await self.link.close()

    def end(self) -> None:
        """End the link, if it has not ended."""
        self.has_left_port.set()
        self.link.abort()


class Farewells:
    """Those that are being said."""

    def __init__(self) -> None:
        self._said: dict[asyncio.Task[None], Farewell] = {}

    def are_said(self) -> bool:
        """Whether answers may still run in an old link."""
        return bool(self._said)

    def begin(self, farewell: Farewell, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """See a link out, as one of `tasks`, which is returned."""
        task = tasks.create_task(farewell.run(), name="tunnel: old link")
        self._said[task] = farewell

        def end(task: asyncio.Task[None]) -> None:
            # Here, since a task that is cancelled before its first step does not even begin.
            self._said.pop(task).end()

        task.add_done_callback(end)
        return task

    def hurry(self) -> None:
        """Have all of them cut what still runs."""
        for farewell in self._said.values():
            farewell.hurry.set()
