"""How much of an answer waits here for a client that does not read, and since when it takes none of it."""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress

# The kernel's own buffer keeps a client busy that reads; what waits here waits for one that doesn't.
UNSENT_BYTES = 16_384


def limit_unsent(transport: asyncio.WriteTransport) -> None:
    """Have a transport's protocol stop once a little waits; over TLS, once the transport below is at that.

    asyncio's own marks come to half a megabyte for each such client, twice with TLS.
    """
    if transport.get_extra_info("sslcontext"):
        # What can't be handed down at once is the sign: what is below has had enough.
        transport.set_write_buffer_limits(high=1, low=0)
    else:
        transport.set_write_buffer_limits(high=UNSENT_BYTES)


def unsent_bytes(transport: asyncio.Transport, below: asyncio.Transport | None = None) -> int:
    """Return how much of what was written has not reached the client's machine yet.

    `below` is what carries the transport, where that is TLS. The kernel's part counts too: it asks for more
    only when a third of its buffer is free, and a client on a slow line takes minutes to read so much.
    """
    waiting = transport.get_write_buffer_size()
    if below is not None:
        waiting += below.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # The connection may have ended, and its number with it.
        with suppress(OSError, ValueError):
            (kept,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
            waiting += kept
    return waiting


class Unread:
    """Since which tick a client has taken next to nothing of what waits for it."""

    __slots__ = ("_bytes", "since")

    def __init__(self, tick: int) -> None:
        self.since = tick
        self._bytes = 0

    def look(self, tick: int, waiting_bytes: int, *, floor_bytes: int) -> None:
        """Begin anew where so much was taken since that began last."""
        if self._bytes - waiting_bytes >= floor_bytes:
            self.since = tick
            self._bytes = waiting_bytes
        elif waiting_bytes > self._bytes:
            self._bytes = waiting_bytes
