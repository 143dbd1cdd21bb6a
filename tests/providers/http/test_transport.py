"""One battery for both: what httpx's own transport does, ours does."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import uvicorn

from chatvault.providers.http.dial import default_tls
from chatvault.providers.http.transport import HttptoolsTransport
from tests.providers.http.conftest import Run
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.proxy_server import tunnelling
from tests.support.scripted_server import Peer, Script, forever, serving, silence

Make = Callable[[], httpx.AsyncBaseTransport]


def stock() -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(verify=default_tls())


@pytest.fixture(params=[stock, HttptoolsTransport], ids=["httpx", "chatvault"])
def make(request: pytest.FixtureRequest) -> Make:
    """Each of the two transports."""
    kind: Make = request.param
    return kind


def sending(*pieces: bytes, stays: bool = True) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if stays:
            await peer.gone()

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([HEAD + b"content-length: 5\r\n\r\nhello"], 200, b"hello"),
        ([HEAD + b"content-length: 5\r\n\r\nhe", b"llo"], 200, b"hello"),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"], 200, b"hello"),
        (
            [
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n" + HEAD + b"content-length: 0\r\n\r\n",
            ],
            200,
            b"",
        ),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"], 304, b""),
        ([b"HTTP/1.1 404 Nope\r\ncontent-length: 2\r\n\r\nno"], 404, b"no"),
        ([b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"], 302, b""),
        (
            [HEAD + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + gzip.compress(b"hello")],
            200,
            b"hello",
        ),
    ],
)
def test_answers_are_read_alike(run: Run, make: Make, pieces: list[bytes], status: int, body: bytes) -> None:
    async def main() -> None:
        stays = b"connection: close" not in pieces[0]
        async with (
            serving(sending(*pieces, stays=stays)) as server,
            httpx.AsyncClient(transport=make()) as client,
        ):
            response = await client.get(server.url)
            assert (response.status_code, response.content) == (status, body)
            assert response.http_version == "HTTP/1.1"

    run(main())


def test_reason_version_and_headers_are_told(run: Run, make: Make) -> None:
    async def main() -> None:
        script = sending(
            b"HTTP/1.0 299 Odd Reason\r\nX-A:  1 \r\nx-a: 2\r\nX-Empty:\r\n\r\nbody", stays=False
        )
        async with serving(script) as server, httpx.AsyncClient(transport=make()) as client:
            response = await client.get(server.url)
            assert response.http_version == "HTTP/1.0"
            assert response.reason_phrase == "Odd Reason"
            assert response.headers.get_list("x-a") == ["1", "2"]
            assert response.headers["x-empty"] == ""
            assert response.content == b"body"

    run(main())


def test_a_head_request_ends_with_its_headers(run: Run, make: Make) -> None:
    async def main() -> None:
        script = sending(HEAD + b"content-length: 500\r\n\r\n")
        async with serving(script) as server, httpx.AsyncClient(transport=make()) as client:
            response = await client.head(server.url)
            assert (response.headers["content-length"], response.content) == ("500", b"")

    run(main())


def test_requests_stand_on_the_wire_alike(run: Run, make: Make) -> None:
    async def main() -> None:
        async with serving(forever) as server, httpx.AsyncClient(transport=make()) as client:
            await client.post(f"{server.url}/a%20b?q=ü&r", content=b"body", headers={"X-Test": "1"})
            await client.get(server.url)
            await client.post(server.url)
            first, second, third = server.requests
            assert first.lines[0] == b"POST /a%20b?q=%C3%BC&r HTTP/1.1"
            assert first.header(b"host") == f"127.0.0.1:{server.port}".encode()
            assert (first.header(b"content-length"), first.body) == (b"4", b"body")
            assert (first.header(b"x-test"), first.header(b"connection")) == (b"1", b"keep-alive")
            assert (second.lines[0], second.header(b"content-length")) == (b"GET / HTTP/1.1", None)
            assert third.header(b"content-length") == b"0"
            assert len(server.peers) == 1

    run(main())


@pytest.mark.parametrize("headers", [{}, {"content-length": "9"}])
def test_a_streamed_request_arrives(run: Run, make: Make, headers: dict[str, str]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"abc", b"", b"def", b"ghi"):
            yield piece
            await asyncio.sleep(0)

    async def main() -> None:
        async with serving(forever) as server, httpx.AsyncClient(transport=make()) as client:
            for _ in range(2):
                response = await client.post(server.url, content=pieces(), headers=headers)
                assert response.content == b"ok"
            assert [request.body for request in server.requests] == [b"abcdefghi"] * 2
            assert len(server.peers) == 1

    run(main())


@pytest.mark.parametrize("length", ["3", "30"])
def test_a_body_of_another_length_than_declared_is_refused(run: Run, length: str) -> None:
    # httpx lets its parser's own error out here.
    async def pieces() -> AsyncIterator[bytes]:
        yield b"four"

    async def main() -> None:
        async with serving(forever) as server, httpx.AsyncClient(transport=HttptoolsTransport()) as client:
            with pytest.raises(httpx.LocalProtocolError):
                await client.post(server.url, content=pieces(), headers={"content-length": length})
            with pytest.raises(httpx.LocalProtocolError):
                await client.post(server.url, content=b"four", headers={"content-length": length})

    run(main())


def test_an_upload_that_fails_cuts_the_connection(run: Run, make: Make) -> None:
    class Broken(Exception):
        pass

    async def pieces() -> AsyncIterator[bytes]:
        yield b"abc"
        raise Broken

    async def main() -> None:
        cut = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.gone()
            cut.set()

        async with serving(script) as server, httpx.AsyncClient(transport=make()) as client:
            with pytest.raises(Broken):
                await client.post(server.url, content=pieces())
            await asyncio.wait_for(cut.wait(), 10)

    run(main())


def test_a_streamed_answer_flows_and_may_be_left(run: Run, make: Make) -> None:
    async def main() -> None:
        go, cut = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await go.wait()
            await peer.send(b"6\r\nsecond\r\n")
            await peer.gone()
            cut.set()

        async with serving(script) as server, httpx.AsyncClient(transport=make()) as client:
            async with client.stream("GET", server.url) as response:
                pieces = response.aiter_raw()
                assert await anext(pieces) == b"first"
                go.set()
                assert await anext(pieces) == b"second"
            await asyncio.wait_for(cut.wait(), 10)

    run(main())


async def hang_up(peer: Peer) -> None:
    await peer.request()


async def reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def reset_later(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD + b"content-length: 9\r\n\r\nbegun")
    await asyncio.sleep(0.01)
    peer.reset()


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (hang_up, httpx.RemoteProtocolError),
        (reset, httpx.ReadError),
        (reset_later, httpx.ReadError),
        (silence, httpx.ReadTimeout),
        (sending(HEAD + b"content-length: 9\r\n\r\nbegun"), httpx.ReadTimeout),
        (sending(HEAD + b"content-length: 9\r\n\r\nbegun", stays=False), httpx.RemoteProtocolError),
        (
            sending(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nbe", stays=False),
            httpx.RemoteProtocolError,
        ),
        (sending(b"SSH-2.0-Open\r\n\r\n"), httpx.RemoteProtocolError),
        (sending(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"), httpx.RemoteProtocolError),
        (sending(HEAD + b"x: " + b"y" * 150_000 + b"\r\n\r\n"), httpx.RemoteProtocolError),
    ],
)
def test_failures_are_told_in_httpxs_words(
    run: Run, make: Make, script: Script, error: type[Exception]
) -> None:
    async def main() -> None:
        seconds = 0.3 if error is httpx.ReadTimeout else 20
        async with serving(script) as server, httpx.AsyncClient(transport=make(), timeout=seconds) as client:
            with pytest.raises(error) as caught:
                await client.get(server.url)
            assert isinstance(caught.value, httpx.TransportError)
            assert caught.value.request.url == server.url

    run(main())


def test_nobody_there_is_a_connect_error(run: Run, make: Make) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=make()) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"http://127.0.0.1:{free_port()}")
            with pytest.raises(httpx.ConnectError):
                await client.get("http://no-such-host.invalid")
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("ftp://127.0.0.1/")

    run(main())


def test_a_server_that_takes_nothing_is_a_write_timeout(run: Run, make: Make) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 20)

    async def main() -> None:
        async def deaf(peer: Peer) -> None:
            peer.writer.transport.pause_reading()
            await asyncio.sleep(5)

        timeout = httpx.Timeout(5, write=0.1)
        async with serving(deaf) as server, httpx.AsyncClient(transport=make(), timeout=timeout) as client:
            with pytest.raises(httpx.WriteTimeout):
                await client.post(server.url, content=pieces())
            with pytest.raises(httpx.WriteTimeout):
                await client.post(server.url, content=bytes(32 << 20))

    run(main())


def test_a_slow_source_is_no_timeout(run: Run, make: Make) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(2):
            await asyncio.sleep(0.8)
            yield b"x"

    async def main() -> None:
        async with serving(forever) as server, httpx.AsyncClient(transport=make(), timeout=0.7) as client:
            assert (await client.post(server.url, content=pieces())).content == b"ok"

    run(main())


def test_a_handshake_that_never_ends_is_a_connect_timeout(run: Run, make: Make) -> None:
    async def main() -> None:
        timeout = httpx.Timeout(5, connect=0.1)
        async with serving(silence) as server, httpx.AsyncClient(transport=make(), timeout=timeout) as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(server.url.replace("http:", "https:"))

    run(main())


def test_a_stale_connection_is_no_ones_error(run: Run) -> None:
    async def stale(peer: Peer) -> None:
        await peer.answer()
        await peer.request()

    async def main() -> None:
        async with (
            serving(stale, forever) as server,
            httpx.AsyncClient(transport=HttptoolsTransport()) as client,
        ):
            for _ in range(3):
                assert (await client.post(server.url, content=b"x")).content == b"ok"
            assert len(server.peers) == 2

    run(main())


def test_an_early_error_ends_the_upload(run: Run) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(1 << 16)
            await asyncio.sleep(0.001)

    async def main() -> None:
        async def early(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
            await peer.gone()

        async with serving(early) as server, httpx.AsyncClient(transport=HttptoolsTransport()) as client:
            response = await client.post(server.url, content=pieces())
            assert (response.status_code, response.content) == (413, b"big")

    run(main())


def test_proxies_and_trust_are_given(run: Run, authority: Authority) -> None:
    async def main() -> None:
        async with (
            serving(forever, tls=authority.server("api.example.com")) as server,
            serving(tunnelling(server.port), forever) as proxy,
        ):
            environ = {"ALL_PROXY": f"http://me:pw@127.0.0.1:{proxy.port}"}
            transport = HttptoolsTransport(tls=authority.client(), environ=environ)
            async with httpx.AsyncClient(transport=transport) as client:
                assert (await client.get("https://api.example.com/x")).content == b"ok"
                assert (await client.get("http://api.example.com/y")).content == b"ok"
            assert proxy.requests[0].lines[0] == b"CONNECT api.example.com:443 HTTP/1.1"
            assert proxy.requests[1].lines[0] == b"GET http://api.example.com/y HTTP/1.1"
            assert proxy.requests[1].header(b"proxy-authorization") == b"Basic bWU6cHc="
            transport = HttptoolsTransport(environ={"ALL_PROXY": "socks5://127.0.0.1:1"})
            async with httpx.AsyncClient(transport=transport) as client:
                with pytest.raises(httpx.ProxyError):
                    await client.get("http://api.example.com/")

    run(main())


async def echo(scope: dict[str, object], receive: Callable, send: Callable) -> None:  # type: ignore[type-arg]
    """Stream back what comes, as it comes."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    is_more = True
    while is_more:
        message = await receive()
        is_more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def echoing(http: str) -> AsyncIterator[str]:
    config = uvicorn.Config(echo, http=http, lifespan="off", log_config=None, port=0)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await server.shutdown()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_real_server_echoes_everything(run: Run, make: Make, http: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"%d," % number

    async def main() -> None:
        async with echoing(http) as url, httpx.AsyncClient(transport=make()) as client:
            for size in (0, 1, 70_000):
                assert (await client.post(url, content=b"x" * size)).content == b"x" * size
            assert (await client.post(url, content=pieces())).content.startswith(b"0,1,2,3,")
            results = await asyncio.gather(*[client.post(url, content=b"%d" % n) for n in range(20)])
            assert [result.content for result in results] == [b"%d" % n for n in range(20)]
            assert (await client.head(url)).content == b""

    run(main())
