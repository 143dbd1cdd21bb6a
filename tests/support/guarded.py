"""The gateway's HTTP server before a small app, with deadlines that a test can wait for."""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvloop

from chatvault.daemon.http_server import HttpServer, bind
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts
from chatvault.gateway.tls import Certificates

Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPS = [pytest.param(asyncio.run, id="asyncio"), pytest.param(uvloop.run, id="uvloop")]
QUICK = GuardLimits(
    tick_seconds=0.02,
    first_byte_seconds=0.3,
    head_seconds=0.3,
    body_grace_seconds=0.3,
    stall_seconds=0.3,
    linger_seconds=0.3,
    max_body_bytes=100_000,
)
# More than the kernel takes for a client that does not read.
LARGE_BYTES = 12_000_000


@dataclass
class App:
    """Reads a body and answers with its length.

    `/early` answers first, `/large` with 12 MB at once; `/flood` sends without end, `/wait` answers nothing
    until its client leaves.
    """

    bodies: list[int] = field(default_factory=list)
    scopes: list[Mapping[str, Any]] = field(default_factory=list)
    left: int = 0

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/early":
            await _answer(send, 401, b"no", (b"connection", b"close"))
            return
        if scope["path"] == "/large":
            await _answer(send, 200, bytes(LARGE_BYTES))
            return
        if scope["path"] == "/unread":
            await _answer(send, 404, b"no")
            return
        if scope["path"] == "/flood":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            watch = asyncio.ensure_future(self._watch(receive))
            while not watch.done():
                await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
                await asyncio.sleep(0)
            return
        if scope["path"] == "/wait":
            left = asyncio.Event()
            scope["extensions"]["chatvault.when_left"](left.set)
            await left.wait()
            self.left += 1
            return
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        self.bodies.append(size)
        await _answer(send, 200, b"%d" % size)

    async def _watch(self, receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1


async def _answer(
    send: Callable[[Mapping[str, Any]], Awaitable[None]], status: int, body: bytes, *more: tuple[bytes, bytes]
) -> None:
    headers = [(b"content-length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Served:
    """A running server: its port, its guard, its app, and how its clients speak TLS."""

    port: int
    guard: Guard
    app: App
    http: HttpServer
    client: ssl.SSLContext | None

    async def connect(self, *, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, TLS where it is served."""
        name = "localhost" if self.client else None
        return await asyncio.open_connection(host, self.port, ssl=self.client, server_hostname=name)

    async def ask(self, data: bytes, *, seconds: float = 20.0) -> bytes:
        """Send `data` and return what comes until the server closes; fail if it does not."""
        reader, writer = await self.connect()
        got = b""
        try:
            writer.write(data)
            async with asyncio.timeout(seconds):
                # A reset after the answer is the server's right; what came before it counts.
                with suppress(ConnectionError):
                    while piece := await reader.read(65_536):
                        got += piece
        finally:
            await hang_up(writer)
        return got

    async def dial(self) -> socket.socket:
        """Open a connection that reads and ends by halves as told, TLS where it is served; without a loop."""
        return await asyncio.to_thread(self._dial)

    def _dial(self) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", self.port))
        raw.settimeout(20)
        return self.client.wrap_socket(raw, server_hostname="localhost") if self.client else raw

    async def read_slowly(self, data: bytes, *, pause: float) -> int:
        """Send `data`, read 64 KiB of what comes at a time, and return how much came."""
        return await asyncio.to_thread(self._read_slowly, data, pause)

    def _read_slowly(self, data: bytes, pause: float) -> int:
        size = 0
        with self._dial() as client, suppress(ConnectionError, ssl.SSLEOFError):
            client.sendall(data)
            while size < LARGE_BYTES and (piece := client.recv(65_536)):
                size += len(piece)
                time.sleep(pause * len(piece) / 65_536)
        return size

    async def is_served(self) -> None:
        """Fail unless an honest request is answered."""
        got = await self.ask(request(b"GET", b"/", b"connection: close"))
        assert got.startswith(b"HTTP/1.1 200 "), got

    async def is_empty(self, *, seconds: float = 20.0) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(seconds):
            while len(self.guard) or self.http.connections:
                await asyncio.sleep(0.01)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a client's connection."""
    writer.transport.abort()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


def end_half(client: socket.socket) -> None:
    """End a client's half of a connection, over TLS by close_notify alone, and read nothing."""
    if isinstance(client, ssl.SSLSocket):
        # It is sent; what is found then is the rest of an answer, and no close_notify from there.
        with suppress(ssl.SSLError):
            client.unwrap()
    else:
        client.shutdown(socket.SHUT_WR)


def request(method: bytes, path: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    """Return a request with the right Host."""
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), b"host: localhost", *lines, b"", body])


@asynccontextmanager
async def served(
    *,
    limits: GuardLimits = QUICK,
    certificates: Certificates | None = None,
    client: ssl.SSLContext | None = None,
) -> AsyncIterator[Served]:
    """Serve the app on a port of its own; fail if the loop caught what nobody else did."""
    uncaught: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: uncaught.append(context))
    app, guard = App(), Guard(limits, Hosts())
    http = HttpServer(app, bind("127.0.0.1", 0), guard=guard, certificates=certificates)
    await http.start()
    sweeping = asyncio.ensure_future(guard.run())
    try:
        yield Served(http.addresses[0][1], guard, app, http, client)
    finally:
        sweeping.cancel()
        await http.stop(drain_seconds=0.1, hurry=asyncio.Event())
        await http.abandon(seconds=0.1)
        # The transports' last callbacks.
        await asyncio.sleep(0.05)
    assert not uncaught, uncaught


class Way:
    """How a test's server is reached."""

    def __init__(self, run: Run, tls: dict[str, Any]) -> None:
        self.run = run
        self.tls = tls

    def served(self, **changes: Any) -> Any:
        return served(limits=replace(QUICK, **changes), **self.tls)
