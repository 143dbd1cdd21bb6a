"""A small HTTP server for one test: it answers each request with what a function says, in pieces."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CUT = b"\0cut the connection\0"


@dataclass
class Asked:
    """A request as it came; `left` is set once its client has gone before the answer's end."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Said:
    """An answer: a float among the pieces is a pause in seconds, `CUT` breaks the connection."""

    pieces: Sequence[bytes | float]
    status: int = 200
    content_type: str = "application/json"
    before: float = 0.0


@dataclass
class TinyServer:
    """What runs: its address, and every request so far."""

    url: str
    asked: list[Asked]
    connections: int = 0


@asynccontextmanager
async def serve(answer: Callable[[Asked], Said]) -> AsyncIterator[TinyServer]:
    """Serve on a free loopback port until the block ends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.connections += 1
        try:
            while asked := await _read(reader):
                running.asked.append(asked)
                if not await _send(asked, answer(asked), writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            running.asked[-1].left.set()
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    running = TinyServer(f"http://{host}:{port}", [])
    try:
        yield running
    finally:
        server.close()
        others = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "handle"]  # type: ignore[union-attr]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)


async def _send(asked: Asked, said: Said, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(said.before)
    head = (
        f"HTTP/1.1 {said.status} X\r\ncontent-type: {said.content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode())
    for piece in said.pieces:
        if isinstance(piece, float):
            await writer.drain()
            await asyncio.sleep(piece)
            if writer.transport.is_closing():
                asked.left.set()
                return False
        elif piece == CUT:
            await writer.drain()
            writer.transport.abort()
            return False
        elif piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
