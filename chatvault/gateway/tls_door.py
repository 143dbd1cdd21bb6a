"""TLS over any transport, with the guard before the handshake.

asyncio would shake hands first and tell us of a connection afterwards: ten thousand silent ones would then
be ten thousand TLS states that nobody counts. Here a connection is counted when it is made, costs next to
nothing until it has sent something, and what it sends first tells a client at the wrong door (http:// for
https://) from one at the right one.
"""

import asyncio
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Any, cast

from chatvault.gateway.guard import Guard
from chatvault.gateway.guard_answers import HTTPS_ONLY
from chatvault.gateway.guarded import Guarded
from chatvault.gateway.lingering import address_of
from chatvault.gateway.tls import Certificates
from chatvault.gateway.unsent import limit_unsent

# The guard sees to it that closing ends, by how its client reads; asyncio's timer would not look at that.
_SHUTDOWN_SECONDS = 86_400
_HANDSHAKE_RECORD = 0x16


class TlsDoor(asyncio.Protocol):
    """A connection until its first bytes. `build` makes the protocol that is served inside."""

    def __init__(
        self, guard: Guard, certificates: Certificates, build: Callable[[], Guarded], *, via: str
    ) -> None:
        self._guard = guard
        self._certificates = certificates
        self._build = build
        self._via = via
        self._due = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or turn it away."""
        transport = cast(asyncio.Transport, transport)
        if self._guard.enter(self, address_of(transport), via=self._via) is not None:
            # Whatever could be said here would have to be said in TLS.
            transport.abort()
            return
        self._transport = transport
        self._due = self._guard.tick + self._guard.first_byte_ticks

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it go."""
        self._guard.leave(self)

    def check(self, tick: int) -> None:
        """End it if nothing came."""
        if self._transport is not None and tick > self._due:
            self._transport.abort()

    def idleness(self) -> tuple[int, int] | None:
        """Nothing is lost with it."""
        return (0, self._due)

    def evict(self) -> None:
        """Make room."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Begin the handshake."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if data[0] != _HANDSHAKE_RECORD:
            transport.write(HTTPS_ONLY)
            transport.close()
            return
        tls = _Tls(self._guard, self._build(), self._certificates, transport)
        self._guard.succeed(self, tls)
        transport.set_protocol(tls)
        tls.connection_made(transport)
        feed(tls, data)


# A connection keeps the room that it once needed for what came in one piece: what is read at once is small.
_READ_BYTES = 8 * 1024
# One for all connections: what is read into it is handed to OpenSSL before anything else is read.
_read_buffer = bytearray(_READ_BYTES)


class _Tls(SSLProtocol):
    """The handshake and all after it; the guard's count ends with it."""

    max_size = _READ_BYTES
    _app_writing_paused: bool
    _ssl_writing_paused: bool

    def __init__(
        self, guard: Guard, app: Guarded, certificates: Certificates, transport: asyncio.Transport
    ) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            app,
            certificates.context,
            None,  # type: ignore[arg-type]  # nobody waits for the handshake
            server_side=True,
            call_connection_made=True,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        # asyncio gives each connection a buffer of its own; an idle one has no use for it.
        self._ssl_buffer = _read_buffer
        self._ssl_buffer_view = memoryview(_read_buffer)
        # An empty deque is 700 bytes, and little ever waits in it.
        self._write_backlog = cast(Any, [])
        # While the app wants no more, as much may wait here as came at once, not asyncio's 256 kB.
        self._app_transport.set_read_buffer_limits(high=_READ_BYTES)
        limit_unsent(transport)
        self._guard = guard
        self._app = app
        self._raw = transport
        self._due = guard.tick + guard.head_ticks

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let it go."""
        self._guard.leave(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the protocol inside too: a whole answer can wait below, with nothing left to hand down."""
        super().pause_writing()
        if self._app.is_connected:
            self._control_app_writing()

    def _control_app_writing(self) -> None:
        if not self._ssl_writing_paused:
            cast(Any, super())._control_app_writing()
        elif not self._app_writing_paused:
            self._app_writing_paused = True
            self._app.pause_writing()

    def check(self, tick: int) -> None:
        """Have the protocol inside look after the connection, once there is one."""
        if self._app.is_connected:
            self._app.check(tick, self._raw)
        elif tick > self._due:
            self._raw.abort()

    def idleness(self) -> tuple[int, int] | None:
        """How little is lost with it; None while a request is being answered."""
        return self._app.idleness() if self._app.is_connected else (0, self._due)

    def evict(self) -> None:
        """Make room."""
        self._raw.abort()


def feed(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    """Hand bytes to a protocol that wants them in a buffer of its own."""
    view = memoryview(data)
    while view:
        buffer = memoryview(protocol.get_buffer(len(view)))
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]
