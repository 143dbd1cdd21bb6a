"""The packets of one turn of the event loop, written to the socket together instead of one by one."""

import asyncio
from collections.abc import Callable

# Once there are so many it is better that the relay is at work on them while the rest is being made.
_ENOUGH_BYTES = 4096


class Cork:
    """Keep packets, and give them to `send` at the turn's end, or sooner where there are enough of them."""

    def __init__(self, send: Callable[[bytes], None], loop: asyncio.AbstractEventLoop) -> None:
        self._send = send
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0
        self._is_scheduled = False

    def keep(self, packet: bytes) -> None:
        """Take a packet."""
        self._parts.append(packet)
        self._size += len(packet)
        if self._size >= _ENOUGH_BYTES:
            self.flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._tick)

    def keep_until_flush(self, length: bytes, sealed: bytes) -> None:
        """Take the two parts of a packet from one who will flush."""
        self._parts += (length, sealed)
        self._size += len(length) + len(sealed)
        if self._size >= _ENOUGH_BYTES:
            self.flush()

    def _tick(self) -> None:
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what there is."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            # Flow control has to hear of what is written while it is being written.
            self._send(data)
