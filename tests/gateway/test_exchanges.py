"""Tests of a connection's requests, one after another, and of clients that leave, over real sockets."""

import asyncio

import pytest

from tests.support.guarded import LOOPS, Run, Way, end_half, hang_up, request, served


@pytest.mark.parametrize("behind", [b"", request(b"GET", b"/")], ids=["alone", "another behind it"])
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "later"])
def test_a_client_that_leaves_is_heard_of_without_a_look(way: Way, behind: bytes, is_late: bool) -> None:
    async def main() -> None:
        async with way.served() as server:
            _, writer = await server.connect()
            writer.write(request(b"GET", b"/wait") + (b"" if is_late else behind))
            while not server.app.scopes:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)
            if is_late:
                writer.write(behind)
                await asyncio.sleep(0.02)
            assert server.app.left == 0
            await hang_up(writer)
            await server.is_empty()
            assert server.app.left == 1
            assert len(server.app.scopes) == 1, "what waited behind it was not begun"
            await server.is_served()

    way.run(main())


def test_a_client_that_ends_its_half_has_left_however_much_it_has_yet_to_read(way: Way) -> None:
    async def main() -> None:
        async with way.served(stall_seconds=60) as server:
            with await server.dial() as client:
                client.sendall(request(b"GET", b"/flood"))
                while not any(each.flow.write_paused for each in server.http._state.connections):
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(end_half, client)
                async with asyncio.timeout(20):
                    while not server.app.left:
                        await asyncio.sleep(0.01)
            await server.is_empty()

    way.run(main())


@pytest.mark.parametrize("run", LOOPS)
def test_what_can_be_answered_at_once_is_answered_to_a_client_that_ends_its_half(run: Run) -> None:
    async def main() -> None:
        async with served() as server:
            reader, writer = await server.connect()
            writer.write(request(b"GET", b"/"))
            writer.write_eof()
            async with asyncio.timeout(20):
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            await hang_up(writer)
            await server.is_empty()

    run(main())


def test_a_connection_that_rests_is_closed_and_one_that_waits_for_its_answer_is_not(way: Way) -> None:
    async def main() -> None:
        async with way.served(keep_alive_seconds=0.2) as server:
            reader, writer = await server.connect()
            writer.write(request(b"GET", b"/"))
            async with asyncio.timeout(20):
                assert (await reader.read(65_536)).startswith(b"HTTP/1.1 200 ")
                assert await reader.read() == b""
            await hang_up(writer)
            _, writer = await server.connect()
            writer.write(request(b"GET", b"/wait"))
            await asyncio.sleep(0.5)
            assert server.app.left == 0
            await hang_up(writer)
            await server.is_empty()

    way.run(main())


def test_an_offer_of_another_protocol_is_passed_over(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            offer = (b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQ")
            data = request(b"GET", b"/", *offer) + request(
                b"POST", b"/", *offer, b"content-length: 3", body=b"abc"
            )
            got = await server.ask(data + request(b"GET", b"/", b"connection: close"))
            assert got.count(b"HTTP/1.1 200 ") == 3
            assert server.app.bodies == [0, 3, 0]

    way.run(main())
