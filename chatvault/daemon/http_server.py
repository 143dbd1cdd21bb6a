"""The gateway's listening sockets, and uvicorn's HTTP protocol on them inside the daemon's own loop.

uvicorn's server would take over signals, bind late and leave the process when that fails; its protocol class
alone does none of that, and it takes a connection from anywhere: a socket here, a tunnel's channel later.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from chatvault.errors import ChatVaultError, NotPermitted
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.guarded import Guarded
from chatvault.gateway.hosts import Hosts
from chatvault.gateway.tls import Certificates
from chatvault.gateway.tls_door import TlsDoor

_BACKLOG = 2048
# How long a connection that was accepted before the stop may take to send its first request.
_FIRST_REQUEST_SECONDS = 1.0
_LOOK_SECONDS = 0.02
# A client that took nothing for so long will not read a last word either.
_DEAF_SECONDS = 2.0


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind and listen on every address `host` stands for. Raises ChatVaultError with what to do."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as exc:
        raise ChatVaultError(
            f"server.host: {host!r} is no address of this machine ({exc.strerror})",
            hint="127.0.0.1 is this machine only, 0.0.0.0 every network it is in",
        ) from exc
    listeners: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(_listen(family, address))
    except OSError as exc:
        for listener in listeners:
            listener.close()
        raise _bind_error(host, port, exc) from exc
    return listeners


def _listen(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _bind_error(host: str, port: int, exc: OSError) -> ChatVaultError:
    if isinstance(exc, PermissionError):
        return NotPermitted(
            f"port {port} may not be listened on by this user", hint="choose a port above 1023: --port 4000"
        )
    if exc.errno == errno.EADDRNOTAVAIL:
        hint = "the host has to be an address of this machine: `ip -br address` shows them, 0.0.0.0 is all"
    else:
        hint = f"is another program there? `ss -ltnp 'sport = :{port}'` shows it; --port chooses another"
    return ChatVaultError(
        f"{host}:{port} can't be listened on: {(exc.strerror or str(exc)).lower()}", hint=hint
    )


class HttpServer:
    """Serve an ASGI app on bound sockets, behind the guard."""

    def __init__(
        self,
        app: Any,
        listeners: list[socket.socket],
        *,
        guard: Guard | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._certificates = certificates
        self._guard = Guard(GuardLimits(), Hosts()) if guard is None else guard
        self._listeners = listeners
        self.addresses: list[tuple[str, int]] = [each.getsockname()[:2] for each in listeners]
        """The addresses and ports that are listened on."""
        self._servers: list[asyncio.Server] = []
        self._state = ServerState()
        self._config = Config(
            app,
            lifespan="off",
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        self._config.load()
        self.set_date()

    @property
    def certificates(self) -> Certificates | None:
        """What makes it HTTPS, None where it is HTTP."""
        return self._certificates

    @property
    def is_tls(self) -> bool:
        """Whether HTTPS is what is served."""
        return self._certificates is not None

    def use(self, certificates: Certificates | None) -> None:
        """Serve new connections by other certificates, or without; those of the other scheme end."""
        is_other_scheme = (certificates is None) is not (self._certificates is None)
        self._certificates = certificates
        if is_other_scheme:
            self._end_after_answers(are_fresh_spared=False)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._state.connections)

    def set_date(self) -> None:
        """Set the Date header that answers carry, to the second."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]

    async def keep_date(self) -> None:
        """Keep the Date header right for as long as the daemon runs."""
        while True:
            self.set_date()
            await asyncio.sleep(1)

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            factory = self.protocol_factory(via="local")
            self._servers.append(await loop.create_server(factory, sock=listener, backlog=_BACKLOG))

    def protocol_factory(self, *, via: str) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of one connection.

        It takes any asyncio.Transport: a socket's, or a tunnel's channel, whose `peername` is the device.
        With certificates it is TLS that is spoken there.
        """
        guard = self._guard

        def inside() -> Guarded:
            return Guarded(self._config, self._state, guard, via=via, is_counted=False)

        def make() -> asyncio.Protocol:
            certificates = self._certificates
            if certificates is None:
                return Guarded(self._config, self._state, guard, via=via)
            return TlsDoor(guard, certificates, inside, via=via)

        return make

    def let_go(self, doorway: object, are_fresh_spared: bool) -> int:
        """Have the connections that came in by `doorway` end after their answers; return how many run."""
        _, running = self._end_after_answers(are_fresh_spared=are_fresh_spared, doorway=doorway)
        return running

    async def stop(self, *, drain_seconds: float, hurry: asyncio.Event) -> bool:
        """Stop accepting and let running answers end; return whether all did within `drain_seconds`.

        `hurry` ends the wait early. A connection that was accepted and has not asked yet is still answered:
        its client can't know that it came a moment before the end.
        """
        for server in self._servers:
            server.close()
        drained = asyncio.ensure_future(self._let_go())
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({drained, hurried}, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        hurried.cancel()
        return not self._state.tasks

    async def _let_go(self) -> None:
        """End each connection after its running answer, and a fresh one after its first."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + _FIRST_REQUEST_SECONDS
        # What the kernel handed over a moment ago becomes a connection in the loop's next turns.
        await asyncio.sleep(0)
        while self._end_after_answers(are_fresh_spared=loop.time() < patience)[0]:
            await asyncio.sleep(_LOOK_SECONDS)
        await self._drained()

    def _end_after_answers(self, *, are_fresh_spared: bool, doorway: object = None) -> tuple[int, int]:
        """Tell all connections, or those by `doorway`, of the end; return how many are spared, and run."""
        spared = running = 0
        for connection in list(self._state.connections):
            transport: Any = getattr(connection, "transport", None)
            if doorway is not None and transport.get_extra_info("doorway") is not doorway:
                continue
            cycle = getattr(connection, "cycle", None)
            if are_fresh_spared and cycle is None:
                spared += 1
                continue
            running += cycle is not None and not cycle.response_complete
            connection.shutdown()
        return spared, running

    async def _drained(self) -> None:
        while self._state.tasks:
            await asyncio.wait(set(self._state.tasks))

    async def abandon(self, *, seconds: float) -> None:
        """Give what is still running, once told to end, so long to do so; then close everything.

        What only waits for a client that doesn't read has had its time.
        """
        for connection in list(self._state.connections):
            if isinstance(connection, Guarded) and connection.has_stalled(_DEAF_SECONDS):
                connection.transport.abort()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=seconds)
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
