"""The sending side of one SSH link: its channels take turns, and little waits in the link's own queue.

asyncssh puts whatever a channel writes into one unbounded buffer, so that a token waits behind somebody's
download. Here channels keep their data until the link has room, and then take turns by deficit round robin
after RFC 8290: a channel that had nothing waiting goes before those that always have.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

_QUANTUM_BYTES = 16_384


def _nothing() -> None:
    return None


class Writable(Protocol):
    """The end of a channel that data goes into."""

    def write(self, data: bytes) -> None: ...


def _write(channel: Writable, data: bytes) -> None:
    channel.write(data)


class Sender(Protocol):
    """What the link schedules."""

    def send_some(self, limit: int) -> bool:
        """Hand over at most `limit` bytes; return whether more can be sent now."""
        ...


class FairLink:
    """Schedule the senders of one link; `is_full` follows the link's flow control.

    A sender gives a channel its data by `write`; `flush` is called when all have had their turn, and writes
    out what they gave.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        write: Callable[[Writable, bytes], None] = _write,
        flush: Callable[[], None] = _nothing,
    ) -> None:
        self._loop = loop
        self.write = write
        self._flush = flush
        self._fresh: deque[Sender] = deque()
        self._waiting: deque[Sender] = deque()
        self._queued: set[int] = set()
        self._is_scheduled = False
        self._is_sending = False
        self.is_full = False

    def pause(self) -> None:
        """Take note that the link's send queue is full."""
        self.is_full = True

    def resume(self) -> None:
        """Go on sending: the link's send queue has room."""
        self.is_full = False
        self._send()

    def submit(self, sender: Sender) -> None:
        """Give `sender` a turn, after all that this turn of the event loop writes: a head and its body go out
        as one packet."""
        if id(sender) not in self._queued:
            self._queued.add(id(sender))
            self._fresh.append(sender)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._tick)

    def forget(self, sender: Sender) -> None:
        """Drop a sender that has ended."""
        if id(sender) in self._queued:
            self._queued.discard(id(sender))
            for queue in (self._fresh, self._waiting):
                if sender in queue:
                    queue.remove(sender)

    def _tick(self) -> None:
        self._is_scheduled = False
        self._send()

    def _send(self) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        try:
            while not self.is_full and (self._fresh or self._waiting):
                self._serve_next()
            self._flush()
        finally:
            self._is_sending = False

    def _serve_next(self) -> None:
        is_fresh = bool(self._fresh)
        sender = (self._fresh if is_fresh else self._waiting).popleft()
        self._queued.discard(id(sender))
        has_more = sender.send_some(_QUANTUM_BYTES)
        # One that had its fill stays in line for a round: writing in small pieces must not buy it the first
        # place again and again.
        if (has_more or (is_fresh and self._waiting)) and id(sender) not in self._queued:
            self._queued.add(id(sender))
            self._waiting.append(sender)
