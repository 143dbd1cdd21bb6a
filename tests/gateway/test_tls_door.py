"""Tests of TLS before and behind its handshake, over real sockets, on both loops."""

from typing import Any

import pytest

from tests.support.guarded import LOOPS, Run, Served, Way, hang_up, request, served


@pytest.mark.parametrize("run", LOOPS)
def test_plain_http_at_the_door_of_https_is_told_so(run: Run, tls: dict[str, Any]) -> None:
    async def main() -> None:
        async with served(**tls) as server:
            plain = Served(server.port, server.guard, server.app, server.http, None)
            got = await plain.ask(request(b"GET", b"/"))
            assert got.startswith(b"HTTP/1.1 400 ") and b"https://" in got
            await server.is_empty()

    run(main())


@pytest.mark.parametrize("run", LOOPS)
@pytest.mark.parametrize("hello", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16" + bytes(40_000)])
def test_a_handshake_that_does_not_come_is_given_up(run: Run, tls: dict[str, Any], hello: bytes) -> None:
    async def main() -> None:
        async with served(**tls) as server:
            plain = Served(server.port, server.guard, server.app, server.http, None)
            await plain.ask(hello, seconds=15)
            await server.is_empty()
            await server.is_served()

    run(main())


def test_a_client_that_reads_nothing_of_a_whole_answer_is_cut_no_later(way: Way) -> None:
    async def main() -> None:
        async with way.served(stall_seconds=0.8, keep_alive_seconds=600) as server:
            _, writer = await server.connect()
            writer.transport.pause_reading()
            writer.write(request(b"GET", b"/large"))
            await server.is_empty()
            await hang_up(writer)

    way.run(main())
