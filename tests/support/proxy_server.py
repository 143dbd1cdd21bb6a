"""A forward proxy for tests: CONNECT and absolute-form requests, everything to where it is told."""

import asyncio
import contextlib

from tests.support.scripted_server import Peer, Script


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def tunnelling(port: int, *, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Script:
    """Return a script that answers CONNECT with `reply` and then carries bytes to a local port."""

    async def script(peer: Peer) -> None:
        await peer.request()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await peer.send(reply)
            await asyncio.gather(_copy(peer.reader, writer), _copy(reader, peer.writer))
        finally:
            writer.close()

    return script
