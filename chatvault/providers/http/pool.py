"""The connections to one upstream: the idle ones are kept, the last used first, and nobody ever queues here.

How many requests run at once is the gateway's to decide; the pool takes an idle connection or makes one, both
in constant time whatever else goes on.

**A stale connection is replaced once.** A server may close an idle connection at the very moment a request
sets out on it. Such a request is sent again on a fresh connection if, and only if, the connection had served
before, not a byte of an answer came, and its end showed within `STALE_SECONDS`. For a POST too, where
RFC 9110 (9.2.2) wants a reason to believe that it was not acted upon. The reason: a close that crosses our
bytes arrives within one round trip, from a server that had decided to close before it saw the request. A
server or a load balancer that had taken the request and then died or lost patience takes longer: that one is
not asked again, for the work may be done, and billed, already.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from chatvault.errors import ProviderUnreachable
from chatvault.providers.http.clock import Timeouts
from chatvault.providers.http.connection import Connection
from chatvault.providers.http.dial import Dialer
from chatvault.providers.http.faults import Disconnected
from chatvault.providers.http.response import Response

STALE_SECONDS = 0.3


@dataclass(slots=True)
class Counts:
    """What the pool has done since it was made."""

    connections: int = 0
    retries: int = 0


class Pool:
    """Connections to the server that `dialer` reaches; `label` is its name in errors."""

    def __init__(self, label: str, dialer: Dialer, *, max_idle: int = 64, idle_seconds: float = 50.0) -> None:
        self.label = label
        self.counts = Counts()
        self._dialer = dialer
        self._max_idle = max_idle
        self._idle_seconds = idle_seconds
        # In order of their last use: a dict takes from the end, and any one out, in constant time.
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._all_lost: asyncio.Future[None] | None = None
        self._is_closed = False

    @property
    def idle_count(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def open_count(self) -> int:
        """How many connections there are, idle or not."""
        return len(self._open)

    async def send(
        self,
        head: bytes,
        body: bytes,
        *,
        make: Callable[[], Response],
        timeouts: Timeouts,
        manual_clock: bool = False,
    ) -> Response:
        """Send a request and return its answer, from the moment its head is there.

        Raises ProviderUnreachable, ProviderTimeout, ProviderFailed.
        """
        answer = make()
        connection = self.take()
        if connection is not None:
            began = connection.loop.time()
            connection.start(answer, head, body, timeouts=timeouts, manual_clock=manual_clock)
            try:
                await answer.wait_head()
                return answer
            except Disconnected:
                if answer.has_begun or connection.loop.time() - began > STALE_SECONDS:
                    raise
            self.counts.retries += 1
            answer = make()
            answer.is_retry = True
        connection = await self.dial(timeouts.connect)
        connection.start(answer, head, body, timeouts=timeouts, manual_clock=manual_clock)
        await answer.wait_head()
        return answer

    def take(self) -> Connection | None:
        """Return the idle connection that was used last and is still good, None where there is none."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)
        idle = self._idle
        while idle:
            connection, _ = idle.popitem()
            if connection.is_usable():
                return connection
            connection.abandon()
        return None

    async def dial(self, timeout: float | None) -> Connection:
        """Return a new connection. Raises ProviderUnreachable, ProviderTimeout."""
        self._refuse_if_closed()
        connection = await self._dialer.dial(self._make, timeout)
        if self._is_closed:
            connection.abandon()
            self._refuse_if_closed()
        if connection.transport is not None:
            self._open.add(connection)
        self.counts.connections += 1
        return connection

    async def aclose(self) -> None:
        """Cut every connection, in use or not, and refuse further requests."""
        self._is_closed = True
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loop is not asyncio.get_running_loop():
            self._open.clear()
        for connection in tuple(self._open):
            connection.cut()
        if self._open:
            self._all_lost = asyncio.get_running_loop().create_future()
            await self._all_lost

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ProviderUnreachable(f"{self.label}: this client has been closed")

    def _make(self) -> Connection:
        loop = asyncio.get_running_loop()
        return Connection(self.label, loop, on_free=self._give_back, on_lost=self._forget)

    def _give_back(self, connection: Connection) -> None:
        if self._is_closed or len(self._idle) >= self._max_idle:
            connection.abandon()
            return
        self._idle[connection] = None
        connection.idle_since = connection.loop.time()
        if self._timer is None:
            self._timer = connection.loop.call_later(self._idle_seconds, self._close_old)

    def _forget(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._open.discard(connection)
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    def _close_old(self) -> None:
        self._timer = None
        assert self._loop is not None
        now = self._loop.time()
        for connection in tuple(self._idle):
            due = connection.idle_since + self._idle_seconds
            if due > now + 0.001:
                self._timer = self._loop.call_at(due, self._close_old)
                return
            del self._idle[connection]
            connection.abandon()

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start afresh on another loop: what hung on the last one died with it."""
        self._loop = loop
        self._timer = None
        self._idle.clear()
        self._open.clear()
