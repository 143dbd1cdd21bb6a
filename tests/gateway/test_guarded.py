"""Tests of a connection's life: who is let in, who reads, how it ends; on both loops, plain and in TLS."""

import asyncio
import ssl
from contextlib import suppress

import pytest

from chatvault.gateway.unsent import UNSENT_BYTES
from tests.support.guarded import LARGE_BYTES, Way, hang_up, request


def test_a_client_that_does_not_read_is_cut(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            reader, writer = await server.connect()
            writer.transport.pause_reading()
            writer.write(request(b"GET", b"/flood"))
            await server.is_empty()
            assert server.app.left == 1, "the app is told"
            await hang_up(writer)
            assert reader is not None

    way.run(main())


@pytest.mark.parametrize("line", [b"connection: close", b"x: y"], ids=["closes", "stays"])
def test_a_client_that_reads_slowly_but_steadily_gets_all_of_it(way: Way, line: bytes) -> None:
    async def main() -> None:
        async with way.served(stall_seconds=0.8) as server:
            # Three times as long as one that doesn't read has.
            got = await server.read_slowly(request(b"GET", b"/large", line), pause=0.013)
            assert got >= LARGE_BYTES
            await server.is_empty()

    way.run(main())


@pytest.mark.parametrize("line", [b"connection: close", b"x: y"], ids=["closes", "stays"])
def test_reading_next_to_nothing_does_not_keep_a_connection(way: Way, line: bytes) -> None:
    async def main() -> None:
        async with way.served(stall_floor_bytes_per_second=500_000_000, keep_alive_seconds=0.1) as server:
            got = await server.read_slowly(request(b"GET", b"/large", line), pause=0.013)
            assert got < LARGE_BYTES
            await server.is_empty()

    way.run(main())


def test_little_waits_for_a_client_that_does_not_read(way: Way) -> None:
    async def main() -> None:
        async with way.served(stall_seconds=60) as server:
            _, writer = await server.connect()
            writer.transport.pause_reading()
            writer.write(request(b"GET", b"/flood"))
            while not any(each.flow.write_paused for each in server.http._state.connections):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            (connection,) = server.http._state.connections
            below = getattr(next(iter(server.guard._watched)), "_raw", None)
            waiting = connection.transport.get_write_buffer_size()
            waiting += below.get_write_buffer_size() if below is not None else 0
            # On each level a write of the app's, and what the mark allows before it.
            assert waiting < (2 if below is not None else 1) * 66_000 + UNSENT_BYTES
            await hang_up(writer)
            await server.is_empty()

    way.run(main())


def test_connections_in_all_are_limited(way: Way) -> None:
    async def main() -> None:
        async with way.served(max_connections=5, body_grace_seconds=60) as server:
            held = [await server.connect() for _ in range(5)]
            for _, each in held:
                each.write(request(b"POST", b"/", b"content-length: 9"))
            while len(server.app.scopes) < 5:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with suppress(ConnectionError):
                got = await reader.read()
                assert got.startswith(b"HTTP/1.1 503 ") or server.client is not None, got
            await hang_up(writer)
            assert server.guard.refused == 1
            for _, each in held:
                await hang_up(each)
            await server.is_empty()
            await server.is_served()

    way.run(main())


def test_silent_connections_make_room_for_those_who_ask(way: Way) -> None:
    async def main() -> None:
        async with way.served(
            max_connections=5, first_byte_seconds=60, head_seconds=60, body_grace_seconds=60
        ) as server:
            resting_reader, resting = await server.connect()
            resting.write(request(b"GET", b"/"))
            await resting_reader.readuntil(b"\r\n\r\n0")
            busy_reader, busy = await server.connect()
            busy.write(request(b"POST", b"/", b"content-length: 1", b"connection: close"))
            while len(server.app.scopes) < 2:
                await asyncio.sleep(0.01)
            held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
            for _, each in held[::2]:
                each.write(b"\x16" if server.client else b"GET ")
            for _ in range(5):
                await server.is_served()
            assert len(server.guard) <= 5
            assert server.guard.evicted >= 290
            busy.write(b"x")
            assert (await busy_reader.read()).startswith(b"HTTP/1.1 200 "), "who is being answered stays"
            for _, each in [*held, (None, busy), (None, resting)]:
                await hang_up(each)
            await server.is_empty()

    way.run(main())


def test_connections_end_with_the_server_on_time(way: Way) -> None:
    async def main() -> None:
        async with way.served(first_byte_seconds=60) as server:
            reader, writer = await server.connect()
            writer.write(request(b"GET", b"/"))
            await reader.readuntil(b"\r\n\r\n0")
        async with asyncio.timeout(10):
            with suppress(ConnectionError, ssl.SSLError):
                assert await reader.read() == b""
        await hang_up(writer)

    way.run(main())


def test_a_client_that_stopped_reading_does_not_hold_the_end_up(way: Way) -> None:
    async def main() -> None:
        async with way.served(stall_seconds=60) as server:
            _, writer = await server.connect()
            writer.transport.pause_reading()
            writer.write(request(b"GET", b"/flood"))
            while not any(each.has_stalled(2.0) for each in server.http._state.connections):
                await asyncio.sleep(0.02)
            assert not await server.http.stop(drain_seconds=0.1, hurry=asyncio.Event())
            assert server.app.left == 0, "for as long as answers may take to end it may read on"
            async with asyncio.timeout(20):
                await server.http.abandon(seconds=60)
            assert server.app.left == 1
            await hang_up(writer)

    way.run(main())
