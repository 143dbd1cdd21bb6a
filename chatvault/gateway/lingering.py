"""Connections that end without losing what was said last."""

import asyncio
from typing import Protocol

from chatvault.gateway.guard import TooMany
from chatvault.gateway.guard_answers import refusal


class _Receiving(Protocol):
    """A connection's protocol, as it is closed."""

    transport: asyncio.Transport

    @property
    def is_in_body(self) -> bool: ...

    def linger(self) -> None: ...


class Lingering(asyncio.Transport):
    """Stand before a connection's transport for a request whose body is not whole yet: close gently.

    To close while a client is still sending resets the connection, and with it an answer that the client has
    not read: it would never learn why its request was refused.
    """

    def __init__(self, protocol: _Receiving) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write  # type: ignore[method-assign]  # no call between, per chunk
        self.is_closing = protocol.transport.is_closing  # type: ignore[method-assign]

    def close(self) -> None:
        """Close at once if the body has come whole meanwhile, else gently."""
        if self._protocol.is_in_body:
            self._protocol.linger()
        else:
            self._protocol.transport.close()


def turn_away(transport: asyncio.Transport, reason: TooMany) -> None:
    """Say why a connection is not let in, and close it."""
    transport.write(refusal(reason.status, reason.code, reason.message, retry_after=5))
    transport.close()


def address_of(transport: asyncio.BaseTransport) -> str:
    """Return the address on a transport's other side, "" where there is none."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple | list) and peer else ""
