"""One connection behind the guard: let in or turned away, looked after, let go."""

import asyncio
from typing import cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from chatvault.gateway import guard_answers as answers
from chatvault.gateway.bounded import Bounded
from chatvault.gateway.deadlines import IDLE, Late
from chatvault.gateway.guard import Guard
from chatvault.gateway.lingering import address_of, turn_away
from chatvault.gateway.unsent import Unread, limit_unsent, unsent_bytes


class Guarded(Bounded):
    """One connection, over a socket, TLS or a tunnel's channel.

    `is_counted` False: the layer below has let it in already, and will let it go.
    """

    __slots__ = ("_is_counted", "_is_in", "_unread")

    def __init__(
        self, config: Config, state: ServerState, guard: Guard, *, via: str = "local", is_counted: bool = True
    ) -> None:
        super().__init__(config, state, guard, via=via)
        self._is_counted = is_counted
        self._is_in = False
        self._unread: Unread | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or turn it away."""
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast(asyncio.Transport, transport)
        guard = self._guard
        if self._is_counted:
            reason = guard.enter(self, address_of(transport), via=self._via)
            if reason is not None:
                turn_away(transport, reason)
                return
        self._is_in = True
        self._deadlines.due = guard.tick + guard.first_byte_ticks
        super().connection_made(transport)
        # Now, since it may pause what has been made here: the end of a handshake can still be unsent.
        limit_unsent(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it go."""
        self._guard.leave(self)
        if self._is_in:
            super().connection_lost(exc)

    @property
    def is_connected(self) -> bool:
        """Whether the layer below has made its connection."""
        return self._is_in

    def has_stalled(self, seconds: float) -> bool:
        """Whether the client has taken next to nothing of what waits for it for longer than `seconds`."""
        unread, guard = self._unread, self._guard
        return unread is not None and guard.tick - unread.since > guard.limits.ticks(seconds)

    def check(self, tick: int, below: asyncio.Transport | None = None) -> None:
        """End it if it keeps us waiting: called once a tick.

        `below` is what carries the transport, where that is TLS.
        """
        transport = self.transport
        is_closing = transport.is_closing() or (below is not None and below.is_closing())
        if is_closing and self._unread is None:
            # Closing waits until what was sent last has been read, but not for ever.
            self._unread = Unread(tick)
        if self._unread is not None and self._is_unread(self._unread, tick, below):
            (below or transport).abort()
        elif tick > self._deadlines.due and not is_closing:
            self._overdue(tick)

    def _is_unread(self, unread: Unread, tick: int, below: asyncio.Transport | None) -> bool:
        """Whether the client has had the time it has for reading."""
        guard = self._guard
        waiting = unsent_bytes(self.transport, below)
        unread.look(tick, waiting, floor_bytes=guard.stall_floor_bytes)
        return tick - unread.since > guard.stall_ticks

    def _overdue(self, tick: int) -> None:
        deadlines = self._deadlines
        if deadlines.phase == IDLE and self.is_answering:
            return
        late = deadlines.late(self._guard, tick, is_reading=not self.flow.read_paused)
        if late is Late.CLOSE:
            self.transport.close()
        elif late is Late.ABORT:
            self.transport.abort()
        elif late is not None:
            self._end(answers.HEAD_TOO_SLOW if late is Late.HEAD_TOO_SLOW else answers.BODY_TOO_SLOW)

    def idleness(self) -> tuple[int, int] | None:
        """How little is lost with it; None while a request is being answered."""
        if self.is_answering:
            return None
        return (1, self._deadlines.body_since) if self.has_asked else (0, self._deadlines.due)

    def evict(self) -> None:
        """Make room."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """Note since when the client has not been reading."""
        self._unread = Unread(self._guard.tick)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads."""
        self._unread = None
        super().resume_writing()
