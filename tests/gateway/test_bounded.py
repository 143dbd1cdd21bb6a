"""Tests of what a client may send, over real sockets, on both loops, plain and in TLS."""

import asyncio
from contextlib import suppress

import pytest

from tests.support.guarded import Way, hang_up, request

HOST = b"host: localhost\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", 400, id="no Host in HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, id="two Hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421, id="a foreign Host"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + HOST + b"host: evil.example\r\n\r\n", 400, id="ours, then a foreign Host"
        ),
        pytest.param(request(b"GET", b"/", b"x: " + b"a" * 17_000), 431, id="a head of 17 kB"),
        pytest.param(request(b"GET", b"/" + b"a" * 17_000), 431, id="a URL of 17 kB"),
        pytest.param(request(b"GET", b"/", b"x: " + b"a" * 2_000_000), 431, id="a head of 2 MB"),
        pytest.param(request(b"GET", b"/", *[b"x: y"] * 64), 431, id="65 headers"),
        pytest.param(b"\r\n" * 20_000, 431, id="empty lines without end"),
        pytest.param(
            request(b"POST", b"/", b"content-length: 5", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
            400,
            id="Content-Length and Transfer-Encoding",
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked", b"content-length: 5", body=b"0\r\n\r\n"),
            400,
            id="Transfer-Encoding and Content-Length",
        ),
        pytest.param(
            request(b"POST", b"/", b"content-length: 1", b"content-length: 2", body=b"ab"),
            400,
            id="two Content-Lengths",
        ),
        pytest.param(
            request(b"POST", b"/", b"content-length: 1, 1", body=b"a"), 400, id="a list of Content-Lengths"
        ),
        pytest.param(
            request(b"POST", b"/", b"content-length: +1", body=b"a"), 400, id="a signed Content-Length"
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n"),
            400,
            id="chunked not last",
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding : chunked", body=b"0\r\n\r\n"),
            400,
            id="a blank before the colon",
        ),
        pytest.param(request(b"POST", b"/", b"x: y\r\n z", b"content-length: 0"), 400, id="a folded header"),
        pytest.param(b"GET / HTTP/1.1\nhost: localhost\n\n", 400, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: localhost\nx: y\r\n\r\n", 400, id="bare LF in the head"),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked", body=b"1\na\n0\n\n"),
            400,
            id="bare LF in chunks",
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked", body=b"-1\r\na\r\n"), 400, id="chunk of -1"
        ),
        pytest.param(b"CONNECT evil.example:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400, id="CONNECT"),
        pytest.param(
            request(b"CONNECT", b"/", b"content-length: 5", body=b"hello"), 400, id="CONNECT with a body"
        ),
        pytest.param(
            request(b"CONNECT", b"a:80", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
            400,
            id="CONNECT with chunks",
        ),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS inside"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", 400, id="SSH"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(way: Way, data: bytes, status: int) -> None:
    async def main() -> None:
        async with way.served() as server:
            got = await server.ask(data)
            assert got.startswith(b"HTTP/1.1 %d " % status), got[:300]
            assert got.count(b"connection: close\r\n") == 1 and b"HTTP/1.1 200 " not in got, (
                "nothing after it is answered"
            )
            assert b'{"error":{"message":"' in got
            assert server.app.bodies == [], "the app has answered nothing"
            await server.is_served()
            await server.is_empty()

    way.run(main())


def test_a_name_that_is_not_ours_is_told_where_it_could_be_allowed(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            got = await server.ask(b"GET / HTTP/1.1\r\nhost: box.local:4000\r\n\r\n")
            assert b"box.local:4000" in got
            assert b"server.allowed_hosts" in got

    way.run(main())


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"\r\n", b"HTTP/1.1 408 ", id="an empty line"),
        pytest.param(b"GET / HT", b"HTTP/1.1 408 ", id="half a line"),
        pytest.param(b"GET / HTTP/1.1\r\nx: y\r\n", b"HTTP/1.1 408 ", id="half a head"),
        pytest.param(request(b"POST", b"/", b"content-length: 9"), b"HTTP/1.1 408 ", id="no body"),
        pytest.param(
            request(b"POST", b"/", b"content-length: 9", body=b"a"), b"HTTP/1.1 408 ", id="half a body"
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked", body=b"5\r\nabc"),
            b"HTTP/1.1 408 ",
            id="half a chunk",
        ),
        pytest.param(
            request(b"POST", b"/", b"transfer-encoding: chunked", body=b"1\r\na\r\n0\r\nx: y\r\n"),
            b"HTTP/1.1 408 ",
            id="half a trailer",
        ),
        pytest.param(
            request(b"POST", b"/unread", b"content-length: 9", body=b"a"),
            b"HTTP/1.1 404 ",
            id="half a body nobody wants",
        ),
    ],
)
def test_what_stops_in_the_middle_is_ended(way: Way, data: bytes, answer: bytes) -> None:
    async def main() -> None:
        async with way.served() as server:
            got = await server.ask(data)
            assert got.startswith(answer) and bool(got) == bool(answer), got
            await server.is_empty()

    way.run(main())


@pytest.mark.parametrize(
    "start",
    [b"", request(b"GET", b"/"), request(b"POST", b"/", b"content-length: 90000")],
    ids=["at first", "after a request", "as a body"],
)
def test_dripping_does_not_keep_a_connection(way: Way, start: bytes) -> None:
    async def main() -> None:
        async with way.served() as server:
            reader, writer = await server.connect()
            writer.write(start)
            async with asyncio.timeout(20):
                with suppress(ConnectionError):
                    while not reader.at_eof() and len(server.guard):
                        writer.write(b"G" if b"length" not in start else b"x")
                        await asyncio.sleep(0.02)
            assert not len(server.guard) or reader.at_eof()
            await hang_up(writer)
            await server.is_empty()

    way.run(main())


def test_a_body_above_the_floor_rate_may_take_its_time(way: Way) -> None:
    async def main() -> None:
        async with way.served(body_floor_bytes_per_second=1000) as server:
            reader, writer = await server.connect()
            writer.write(request(b"POST", b"/", b"content-length: 10000", b"connection: close"))
            for _ in range(40):
                writer.write(bytes(250))
                await asyncio.sleep(0.025)
            assert (await reader.read()).endswith(b"10000")
            await hang_up(writer)

    way.run(main())


def test_a_body_that_came_fast_may_not_rest_for_long_on_that(way: Way) -> None:
    async def main() -> None:
        async with way.served(body_floor_bytes_per_second=1000) as server:
            got = await server.ask(request(b"POST", b"/", b"content-length: 90001", body=bytes(90_000)))
            assert got.startswith(b"HTTP/1.1 408 "), got
            await server.is_empty()
            assert server.app.left == 1

    way.run(main())


def test_trailers_without_end_are_refused(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            head = request(b"POST", b"/", b"transfer-encoding: chunked", body=b"1\r\na\r\n0\r\n")
            got = await server.ask(head + b"x: " + b"y" * 500_000)
            assert got.startswith(b"HTTP/1.1 400 "), got
            got = await server.ask(head + b"x: y\r\n" * 50_000)
            assert got.startswith(b"HTTP/1.1 400 "), got
            await server.is_empty()

    way.run(main())


def test_trailers_are_no_headers(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            trailer = b"1\r\na\r\n0\r\nauthorization: Bearer x\r\n\r\n"
            await server.ask(
                request(b"POST", b"/", b"transfer-encoding: chunked", b"connection: close", body=trailer)
            )
            assert server.app.bodies == [1]
            assert b"authorization" not in dict(server.app.scopes[0]["headers"])

    way.run(main())


def test_a_trailer_is_no_host_of_the_next_request(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            trailer = b"1\r\na\r\n0\r\nhost: localhost\r\n\r\n"
            first = request(b"POST", b"/", b"transfer-encoding: chunked", body=trailer)
            got = await server.ask(first + request(b"GET", b"/", b"connection: close"))
            assert got.count(b"HTTP/1.1 200 ") == 2, got
            await server.ask(first + b"GET /hostless HTTP/1.1\r\n\r\n")
            assert "/hostless" not in [scope["path"] for scope in server.app.scopes]

    way.run(main())


def test_a_client_that_is_refused_while_it_sends_gets_to_read_why(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            head = request(b"POST", b"/early", b"content-length: 3000000")
            for _ in range(5):
                got = await server.ask(head + bytes(3_000_000))
                assert got.startswith(b"HTTP/1.1 401 "), got
            await server.is_empty()

    way.run(main())


def test_a_body_nobody_reads_is_not_taken_for_ever(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            got = await server.ask(
                request(b"POST", b"/unread", b"content-length: 200000000") + bytes(5_000_000)
            )
            assert got.startswith(b"HTTP/1.1 404 ") and got.count(b"HTTP/1.1") == 1, got
            await server.is_empty()

    way.run(main())


def test_little_waits_here_of_a_body_that_nobody_reads_for_now(way: Way) -> None:
    async def main() -> None:
        async with way.served(max_body_bytes=10_000_000) as server:
            _, writer = await server.connect()
            writer.write(request(b"POST", b"/wait", b"content-length: 5000000") + bytes(5_000_000))
            while not any(each.flow.read_paused for each in server.http._state.connections):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            (connection,) = server.http._state.connections
            waiting, piece = len(connection.cycle.body), 262_144
            if server.client is not None:
                waiting += connection.transport.get_read_buffer_size()
                piece = 3 * 16_384
            # uvicorn's mark, and over it what is read at once: over TLS a record, and what is to be one.
            assert waiting < 65_536 + piece
            # Who doesn't read doesn't hear that the client leaves.
            connection.transport.abort()
            await hang_up(writer)
            await server.is_empty()

    way.run(main())


def test_more_requests_at_once_than_anyone_sends_end_the_connection(way: Way) -> None:
    async def main() -> None:
        async with way.served() as server:
            await server.ask(request(b"GET", b"/") * 5000)
            await server.is_empty()
            assert len(server.app.scopes) <= 40
            got = await server.ask(request(b"GET", b"/") * 20 + request(b"GET", b"/", b"connection: close"))
            assert got.count(b"HTTP/1.1 200 ") == 21

    way.run(main())
