"""What is watched while a link is up: how far the relay is, and whether the outside still leads here."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncssh

from chatvault.tunnel.link import Link
from chatvault.tunnel.probe import Outside, Verdict

# After sleep the old connection is most likely gone; a change of the network may be somebody else's.
WAKE_SECONDS = 3.0
CHANGE_SECONDS = 6.0
_MEASURE_EVERY = 15.0
_FIRST_LOOK = 1.0
_LOOK_EVERY = 300.0
_LOOK_AGAIN = 60.0


class RoundTrips:
    """Measure the round trip to the relay, and prove the link when something speaks against it.

    `seconds` is the last one. A link that does not answer in time when it is in doubt is dropped.
    """

    def __init__(self, is_up: asyncio.Event, current: Callable[[], Link | None]) -> None:
        self._is_up = is_up
        self._current = current
        self._doubted = asyncio.Event()
        self._patience = WAKE_SECONDS
        self.seconds: float | None = None

    def doubt(self, patience: float) -> None:
        """Have the link prove itself within `patience` seconds."""
        self._patience = patience
        self._doubted.set()

    async def run(self) -> None:
        """Measure every 15 s, and whenever the link is in doubt."""
        while True:
            await self._is_up.wait()
            link, is_doubted = self._current(), self._doubted.is_set()
            self._doubted.clear()
            if link is not None:
                await self._measure(link, is_doubted=is_doubted)
            try:
                async with asyncio.timeout(_MEASURE_EVERY):
                    await self._doubted.wait()
            except TimeoutError:
                pass

    async def _measure(self, link: Link, *, is_doubted: bool) -> None:
        try:
            taken = await link.round_trip(seconds=self._patience if is_doubted else WAKE_SECONDS)
            if self._current() is link:
                self.seconds = taken
        except TimeoutError:
            if is_doubted and self._current() is link:
                link.drop()
        except (OSError, asyncssh.Error):
            # The link has just ended; whoever holds it knows.
            pass


class OutsideWatch:
    """Look at the public address every few minutes; `on_news` hears what is met whenever that changes.

    `found` is what was met over the link there is, None until it has been looked.
    """

    def __init__(
        self,
        is_up: asyncio.Event,
        look: Callable[[], Awaitable[Outside]],
        on_news: Callable[[Outside], None],
    ) -> None:
        self._is_up = is_up
        self._look = look
        self._on_news = on_news
        self._is_over = asyncio.Event()
        self._told: Verdict | None = None
        self.found: Outside | None = None

    def link_ended(self) -> None:
        """Forget what was met: it says nothing of the next link, which is looked at soon after it came up."""
        self.found = None
        self._is_over.set()

    def address_changed(self) -> None:
        """Forget what was met and what was told of it: it is another address, or another certificate."""
        self._told = None
        self.link_ended()

    async def run(self) -> None:
        """Look a second after a link came up, and from then on, for each link anew."""
        while True:
            await self._is_up.wait()
            self._is_over.clear()
            pause = _FIRST_LOOK
            while not await self._ends_within(pause):
                found = await self._look()
                # What is met while the link is away says nothing.
                if self._is_over.is_set():
                    break
                if found.verdict != self._told:
                    self._told = found.verdict
                    self._on_news(found)
                self.found = found
                pause = _LOOK_EVERY if found.is_met else _LOOK_AGAIN

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._is_over.wait()
        except TimeoutError:
            return False
        return True
