"""From a server's address to an open connection: TCP, a proxy's consent, TLS."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable

from chatvault.errors import ProviderError
from chatvault.providers.http.address import Address
from chatvault.providers.http.clock import Timeouts
from chatvault.providers.http.connection import Connection
from chatvault.providers.http.faults import ProxyRefused, connect_timed_out, not_connected
from chatvault.providers.http.proxy import Proxy
from chatvault.providers.http.response import Response
from chatvault.providers.http.tcp import connect


@functools.cache
def default_tls() -> ssl.SSLContext:
    """Return the context that trusts the system's CAs and SSL_CERT_FILE's; made once, in some 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Makes connections to one server, through a proxy or not."""

    def __init__(self, address: Address, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._proxy = proxy
        self._tls = tls
        self._nearest = address if proxy is None else proxy.address
        self._label = address.label if proxy is None else f"proxy {proxy.address.label}"

    async def dial(self, make: Callable[[], Connection], timeout: float | None) -> Connection:
        """Return an open connection. Raises ProviderUnreachable or ProviderTimeout; leaves nothing behind."""
        try:
            async with asyncio.timeout(timeout):
                sock = await connect(self._nearest)
                connection = await self._over(sock, make)
        except TimeoutError as exc:
            raise connect_timed_out(self._label, timeout) from exc
        except OSError as exc:
            raise not_connected(self._label, exc) from exc
        return connection

    async def _over(self, sock: socket.socket, make: Callable[[], Connection]) -> Connection:
        proxy = self._proxy
        is_secured = self._address.is_tls or (proxy is not None and proxy.address.is_tls)
        connection = _stage(self._label) if is_secured else make()
        try:
            await connection.loop.create_connection(lambda: connection, sock=sock)
        except BaseException:
            connection.abandon()
            sock.close()
            raise
        if proxy is not None and proxy.address.is_tls:
            layer = _stage(self._label) if self._address.is_tls else make()
            connection = await self._secured(connection, layer, proxy.address)
        if self._address.is_tls:
            if proxy is not None:
                await self._ask(proxy, connection)
            connection = await self._secured(connection, make(), self._address)
        return connection

    async def _secured(self, below: Connection, layer: Connection, address: Address) -> Connection:
        transport = below.transport
        try:
            context = self._tls if self._tls is not None else await asyncio.to_thread(default_tls)
            if transport is None or transport.is_closing():
                raise ConnectionResetError
            name = address.host.partition("%")[0]
            secure = await layer.loop.start_tls(transport, layer, context, server_hostname=name)
            if secure is None or secure.is_closing():
                raise ConnectionResetError
        except BaseException as exc:
            if transport is not None:
                transport.abort()
            if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
                raise not_connected(address.label, exc) from exc
            raise
        layer.connection_made(secure)
        return layer

    async def _ask(self, proxy: Proxy, connection: Connection) -> None:
        """Have the proxy connect us through (RFC 9110, 9.3.6)."""
        target = self._address.label
        lines = [f"CONNECT {target} HTTP/1.1".encode(), f"host: {target}".encode()]
        if proxy.authorization is not None:
            lines.append(b"proxy-authorization: " + proxy.authorization)
        label = self._label
        answer = TunnelAnswer(label, is_bodiless=True)
        # The dialling as a whole has a deadline: this part of it needs none of its own.
        connection.start(answer, b"\r\n".join([*lines, b"", b""]), timeouts=Timeouts(None, None, None))
        try:
            await answer.wait_head()
        except ProviderError as exc:
            raise ProxyRefused(exc.message, hint="is it an HTTP proxy?") from exc
        if answer.status == 407:
            raise ProxyRefused(
                f"{label}: it wants a login",
                hint="write it as http://USER:PASSWORD@HOST:PORT in the proxy's variable",
            )
        if not answer.is_keepable:
            raise ProxyRefused(f"{label}: it would not connect to {target} (status {answer.status})")


class TunnelAnswer(Response):
    """A proxy's answer to CONNECT: after a 2xx the connection belongs to whoever asked."""

    __slots__ = ()

    def on_message_complete(self) -> None:
        """Keep the connection exactly when the proxy agreed, whatever length it states (RFC 9110, 9.3.6)."""
        super().on_message_complete()
        if self.status:
            self.is_keepable = 200 <= self.status < 300


def _stage(label: str) -> Connection:
    """Return a connection that only carries the making of another one."""
    return Connection(label, asyncio.get_running_loop(), on_free=_ignore, on_lost=_ignore)


def _ignore(connection: Connection) -> None:
    pass
