"""A server on a real socket that does, byte by byte, what a test's script says."""

import asyncio
import contextlib
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class Request:
    """A request as it stood on the wire."""

    head: bytes
    body: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.head.rstrip(b"\r\n").split(b"\r\n")

    def header(self, name: bytes) -> bytes | None:
        for line in self.lines[1:]:
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip()
        return None


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[Request] = []

    async def request(self) -> Request:
        """Read one request, whole."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        request = Request(head, b"")
        length = request.header(b"content-length")
        if length is not None:
            request.body = await self.reader.readexactly(int(length))
        elif request.header(b"transfer-encoding") == b"chunked":
            request.body = await self.chunked()
        self.requests.append(request)
        return request

    async def chunked(self) -> bytes:
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            body += (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return body

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a write of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.001)

    async def answer(self, body: bytes = b"ok", *, status: bytes = b"200 OK", headers: bytes = b"") -> None:
        """Read a request and send a whole answer."""
        await self.request()
        await self.send(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n" % (status, headers, len(body)) + body)

    async def gone(self) -> bool:
        """Wait for the other side to go; whatever it still sends is dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True

    def close(self) -> None:
        self.writer.close()

    def half_close(self) -> None:
        """End this side at once, without the loop."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """A running server: where it is, and who came."""

    port: int
    scheme: str = "http"
    peers: list[Peer] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        return [request for peer in self.peers for request in peer.requests]


@contextlib.asynccontextmanager
async def serving(
    *scripts: Script, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Server]:
    """Serve each connection by the script of its number, further ones by the last; then close it.

    A script that fails otherwise than by the other side's going fails the test.
    """
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        peer = Peer(reader, writer)
        server.peers.append(peer)
        try:
            await scripts[min(len(server.peers), len(scripts)) - 1](peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as exc:
            server.failures.append(exc)
        finally:
            running.discard(task)
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", port, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1], "https" if tls else "http")
    try:
        yield server
    finally:
        listener.close()
        # A connection that is just being accepted gets its task a few turns later.
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tuple(running):
            task.cancel()
        if running:
            await asyncio.wait(tuple(running))
        for peer in server.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    for failure in server.failures:
        raise failure


async def forever(peer: Peer) -> None:
    """Answer `ok` to every request."""
    while True:
        await peer.answer()


async def silence(peer: Peer) -> None:
    """Take everything and say nothing."""
    await peer.gone()
