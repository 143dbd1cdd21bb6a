"""asyncssh from inside: data goes the short way, the rest the long one, and neither harms the other."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import uvloop
from asyncssh.packet import String, UInt32

from chatvault.tunnel import ssh_internals
from chatvault.tunnel.link import Link
from chatvault.tunnel.packet_cipher import PacketCipher
from tests.support.ssh_server import SshHost, open_link, ssh_host

Run = Callable[[Coroutine[Any, Any, None]], None]
_CHANNEL_DATA = 94


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


@asynccontextmanager
async def _echoing(folder: Path, **options: Any) -> AsyncIterator[tuple[SshHost, Link]]:
    async with asyncio.timeout(60), ssh_host(folder, **options) as host:
        link, _ = await open_link(host.relay, _Echo)
        try:
            yield host, link
        finally:
            link.abort()
            await link.wait_closed()


async def _echo(host: SshHost, size: int) -> None:
    """Send that much, and see that it comes back."""
    data = os.urandom(size)
    reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
    writer.write(data)
    assert await reader.readexactly(size) == data
    writer.close()


def _inside(link: Link) -> Any:
    return link._connection


def test_data_goes_the_short_way(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            inside = _inside(link)
            receive, send = inside._recv_data, inside.send_packet
            long_way, types = [], []

            def count_received() -> None:
                long_way.append(len(inside._inpbuf))
                receive()

            def count_sent(pkttype: int, *args: bytes, handler: Any = None) -> None:
                types.append(pkttype)
                send(pkttype, *args, handler=handler)

            inside._recv_data, inside.send_packet = count_received, count_sent
            await _echo(host, 400_000)
            assert type(inside._recv_encryption) is type(inside._send_encryption) is PacketCipher
            assert long_way
            assert sum(long_way) < 10_000
            assert types
            assert _CHANNEL_DATA not in types

    run(main())


def test_the_send_queue_is_filled_up_when_it_is_empty(run: Run, tmp_path: Path) -> None:
    """Else a token waits behind what was left in it, beside what a download adds."""

    async def main() -> None:
        async with _echoing(tmp_path) as (_, link):
            assert _inside(link)._transport.get_write_buffer_limits() == (0, 65_536)

    run(main())


def test_the_relay_is_acknowledged_at_once(run: Run, tmp_path: Path) -> None:
    class Recorder:
        calls = 0

        def setsockopt(self, *args: int) -> None:
            assert args == (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self.calls += 1

    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            recorder: Any = Recorder()
            ssh_internals.acknowledge_at_once(_inside(link), recorder)
            await _echo(host, 10)
            assert recorder.calls

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_any_cut_of_the_bytes_gives_the_same_data(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        # New keys come in between, and asyncssh may be in the middle of a packet when they do.
        async with _echoing(tmp_path, rekey_bytes=150_000) as (host, link):
            whole = _inside(link).data_received

            def cut(data: bytes, datatype: None = None) -> None:
                at = 0
                while at < len(data):
                    size = chance.choice((1, 3, 16, 17, 900, 5000, 40_000))
                    whole(data[at : at + size])
                    at += size

            ssh_internals._receive_by(_inside(link), cut)
            for size in (1, 70_000, 500_000):
                await asyncio.gather(*(_echo(host, size) for _ in range(3)))
            assert await link.round_trip(seconds=20) is not None
            assert type(_inside(link)._recv_encryption) is PacketCipher

    asyncio.run(main())


def test_a_packet_that_asyncssh_began_is_taken_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            inside = _inside(link)
            reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            short, held = inside.data_received, bytearray()
            ssh_internals._receive_by(inside, lambda data, datatype=None: held.extend(data))
            writer.write(b"x" * 1000)
            while len(held) < 1000:
                await asyncio.sleep(0.01)
            # As when it was at work on a packet that takes time, and read on by itself afterwards.
            type(inside).data_received(inside, bytes(held[:-900]))
            assert inside._recv_handler == inside._recv_packet
            ssh_internals._receive_by(inside, short)
            short(bytes(held[-900:]))
            assert await reader.readexactly(1000) == b"x" * 1000
            writer.close()
            assert inside._recv_handler == inside._recv_pkthdr

    asyncio.run(main())


@pytest.mark.parametrize("cipher", ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr"])
def test_every_cipher_carries_data(run: Run, tmp_path: Path, cipher: str) -> None:
    async def main() -> None:
        async with _echoing(tmp_path, encryption_algs=[cipher], rekey_bytes=150_000) as (host, link):
            await asyncio.gather(*(_echo(host, 400_000) for _ in range(3)))
            assert (type(_inside(link)._recv_encryption) is PacketCipher) == ("gcm" in cipher)

    run(main())


def test_another_release_is_left_as_it_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncssh, "__version__", "3.0.0")

    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            await _echo(host, 400_000)
            assert type(_inside(link)._recv_encryption) is not PacketCipher

    run(main())


_BAD = {
    "a channel that there is not": (UInt32(99), String(b"data")),
    "no channel": (),
    "no data": (UInt32(0),),
    "less data than it says": (UInt32(0), UInt32(50), b"data"),
    "more data than it says": (UInt32(0), String(b"data"), b"more"),
    "more than the window": (UInt32(0), String(bytes(300_000))),
}


@pytest.mark.parametrize("name", list(_BAD))
def test_a_relay_that_breaks_the_rules_is_left(run: Run, tmp_path: Path, name: str) -> None:
    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            host.connections[0].send_packet(_CHANNEL_DATA, *_BAD[name])
            assert isinstance(await link.wait_closed(), asyncssh.ProtocolError)
            writer.transport.abort()

    run(main())


def test_an_empty_piece_of_data_is_nothing(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with _echoing(tmp_path) as (host, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            host.connections[0].send_packet(_CHANNEL_DATA, UInt32(0), String(b""))
            writer.write(b"again")
            assert await reader.readexactly(5) == b"again"
            writer.close()

    run(main())


@pytest.mark.parametrize("changed", [1, 30])
def test_a_changed_packet_ends_the_link(tmp_path: Path, changed: int) -> None:
    """Its length is in clear, the rest is not; a change of either is told by the tag."""

    async def main() -> None:
        async with _echoing(tmp_path) as (host, link):
            reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            genuine = _inside(link).data_received

            def change(data: bytes, datatype: None = None) -> None:
                genuine(data[:changed] + bytes([data[changed] ^ 0x40]) + data[changed + 1 :])

            ssh_internals._receive_by(_inside(link), change)
            writer.write(b"again")
            assert isinstance(await link.wait_closed(), asyncssh.MACError | asyncssh.ProtocolError)
            writer.transport.abort()

    asyncio.run(main())
