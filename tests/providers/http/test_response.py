import asyncio
import gzip
import zlib

import pytest

from chatvault.errors import ProviderBroke, ProviderFailed
from chatvault.providers.http import HttpClient
from tests.providers.http.conftest import Run
from tests.support.scripted_server import Peer, forever, serving
from tests.support.waiting import until

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_each_piece_is_handed_on_as_it_comes(run: Run) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED)
            for number in range(3):
                await go.wait()
                go.clear()
                await peer.send(chunk(b"data: %d\n\n" % number))
            await go.wait()
            await peer.send(b"0\r\n\r\n")
            await peer.gone()

        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert answer.header(b"content-type") == "text/event-stream"
            assert answer.header(b"x-none") is None
            for number in range(3):
                go.set()
                assert await answer.read() == b"data: %d\n\n" % number
            go.set()
            assert await answer.read() == b""
            assert await answer.read() == b""
            await client.aclose()

    run(main())


def test_parts_that_came_together_are_read_together(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"a") + chunk(b"b") + chunk(b"c") + b"0\r\n\r\n")
        await peer.gone()

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert await answer.read() == b"abc"
            await client.aclose()

    run(main())


def test_what_came_before_a_break_is_read_first(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"first"))

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            await asyncio.sleep(0.02)
            assert await answer.read() == b"first"
            for _ in range(2):
                with pytest.raises(ProviderBroke, match="broke off"):
                    await answer.read()
            await client.aclose()

    run(main())


def test_read_all_has_a_limit(run: Run) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(b"x" * 1000)

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            assert len(await (await client.request("GET", "/")).read_all(1000)) == 1000
            with pytest.raises(ProviderFailed, match="larger than 999 bytes"):
                await (await client.request("GET", "/")).read_all(999)
            await client.aclose()

    run(main())


def test_a_body_without_end_is_cut_at_the_limit(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await peer.send(b"x" * 65536)

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            with pytest.raises(ProviderFailed, match="larger"):
                await answer.read_all(300_000)
            await client.aclose()

    run(main())


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_an_encoding_that_came_unasked_is_undone(run: Run, coding: str) -> None:
    packed = gzip.compress(b"hello " * 1000) if coding == "gzip" else zlib.compress(b"hello " * 1000)

    async def script(peer: Peer) -> None:
        await peer.answer(packed, headers=b"content-encoding: %b\r\n" % coding.encode())
        await peer.answer(packed[:-5], headers=b"content-encoding: %b\r\n" % coding.encode())
        await peer.gone()

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert await answer.read_all() == b"hello " * 1000
            answer = await client.request("GET", "/")
            with pytest.raises(ProviderBroke, match="compressed answer broke off"):
                await answer.read_all()
            assert server.requests[0].header(b"accept-encoding") == b"identity"
            await client.aclose()

    run(main())


def test_a_bomb_meets_the_limit(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(gzip.compress(bytes(30 << 20)), headers=b"content-encoding: gzip\r\n")
        await peer.gone()

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            with pytest.raises(ProviderFailed, match="larger"):
                await answer.read_all(5 << 20)
            await client.aclose()

    run(main())


def test_an_encoding_that_cannot_be_undone_is_an_error_and_cuts_the_connection(run: Run) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\nxxx")
            await peer.gone()
            cut.set()

        async with serving(script) as server:
            client = HttpClient(server.url)
            with pytest.raises(ProviderFailed, match="br"):
                await client.request("GET", "/")
            await cut.wait()
            await client.aclose()

    run(main())


def test_closing_in_the_middle_cuts_the_connection_at_once(run: Run) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED + chunk(b"first"))
            await peer.gone()
            cut.set()

        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert await answer.read() == b"first"
            answer.close()
            answer.close()
            await asyncio.wait_for(cut.wait(), 10)
            with pytest.raises(ProviderBroke, match="on this side"):
                await answer.read()
            await client.aclose()

    run(main())


def test_closing_after_the_end_keeps_the_connection(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            for _ in range(3):
                answer = await client.request("GET", "/")
                await until(lambda answer=answer: answer.is_done)
                answer.close()
            assert client.counts.connections == 1
            await client.aclose()

    run(main())


def test_cancelling_a_read_cuts_the_connection_at_once(run: Run) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED)
            await peer.gone()
            cut.set()

        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer.read(), 0.01)
            await asyncio.wait_for(cut.wait(), 10)
            await client.aclose()

    run(main())


def test_an_answer_has_one_reader(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await peer.gone()

    async def main() -> None:
        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            first = asyncio.ensure_future(answer.read())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError):
                await answer.read()
            answer.close()
            with pytest.raises(ProviderBroke):
                await first
            await client.aclose()

    run(main())
