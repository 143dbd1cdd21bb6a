"""Attacks on the local port and through the tunnel: memory stays, honest clients are served, and the database
doesn't grow."""

import asyncio
import json
import random
import re
import resource
import ssl
import string
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from chatvault.core.access import new_secret
from tests.support.attacked import Attacked, Connection
from tests.support.daemon import Daemon, Serve
from tests.support.guarded import hang_up
from tests.support.home import PUBLIC_HOST
from tests.support.namespaces import needs_root
from tests.support.tunnel_world import World, world

_TUNNEL = pytest.param("tunnel", marks=needs_root)
Start = Callable[..., Attacked]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], World]]:
    """A function that makes the machines around a tunnel, once, and only for those who ask for them."""
    with ExitStack() as stack:
        made: list[World] = []

        def get() -> World:
            if not made:
                made.append(stack.enter_context(world(tmp_path_factory.mktemp("tunnel"))))
            return made[0]

        yield get


@pytest.fixture
def start(serve: Serve, tmp_path: Path, worlds: Callable[[], World]) -> Iterator[Start]:
    """A function that starts a daemon that is reached by `way`, with its server's settings."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:

        def begin(way: str, **server: Any) -> Attacked:
            if way == "tunnel":
                there = worlds()
                daemon, client = stack.enter_context(there.tls_daemon(server=server))

                def on_the_device(attack: Coroutine[Any, Any, None]) -> None:
                    there.net.device.call(lambda: asyncio.run(attack))

                attacked = Attacked(
                    daemon, client=client, run=on_the_device, host=PUBLIC_HOST, address="10.78.0.2"
                )
            else:
                attacked = _local(serve, tmp_path, is_tls=way == "tls", server=server)
            attacked.warm()
            return attacked

        yield begin
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _local(serve: Serve, tmp_path: Path, *, is_tls: bool, server: dict[str, Any]) -> Attacked:
    client = None
    if is_tls:
        made = Daemon(tmp_path / "maker").json("tls", "self-signed")
        server = {**server, "tls": {"cert": made["cert"], "key": made["key"]}}
        client = ssl.create_default_context(cafile=made["ca"])
    config = {"providers": {"echo": {"kind": "echo"}}, **({"server": server} if server else {})}
    return Attacked(serve(config, tls=client), client=client)


@pytest.fixture(params=["plain", "tls", _TUNNEL])
def attacked(request: pytest.FixtureRequest, start: Start) -> Attacked:
    return start(request.param)


def audit_rows(daemon: Daemon) -> list[dict[str, Any]]:
    rows = daemon.query("SELECT body FROM audit WHERE kind = 'auth.failures' ORDER BY seq")
    return [json.loads(row["body"]) for row in rows]


@pytest.mark.full
@pytest.mark.seconds(900)
def test_wrong_access_tokens_neither_fill_the_disk_nor_lock_anyone_out(
    attacked: Attacked, is_full: bool
) -> None:
    count = 100_000 if is_full else 2_000
    daemon = attacked.daemon
    database, log = daemon.home / "chatvault.db", daemon.log_path
    sizes = database.stat().st_size, log.stat().st_size
    statuses: dict[bytes, int] = {}

    async def guess(times: int) -> None:
        reader, writer = await attacked.connect()
        for at in range(times):
            # Well-formed ones, which are looked up, and ones that are not.
            wrong = (
                new_secret(random.choice)
                if at % 2
                else "cvk_" + "".join(random.choices(string.hexdigits, k=38))
            )
            writer.write(attacked.head(wrong, b"content-length: 0"))
            head = await reader.readuntil(b"\r\n\r\n")
            statuses[head[9:12]] = statuses.get(head[9:12], 0) + 1
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        await hang_up(writer)

    async def main() -> None:
        async with attacked.honest_all_along():
            await asyncio.gather(*(guess(count // 20) for _ in range(20)))

    attacked.run(main())
    assert statuses.keys() <= {b"401", b"429"}
    assert statuses[b"429"] > statuses[b"401"]
    attacked.check_memory()
    honest = len(daemon.ledger())
    daemon.stop()
    rows = audit_rows(daemon)
    assert sum(row["count"] for row in rows) == count + 1, "each is counted (one came while warming up)"
    assert {row["address"] for row in rows} == {attacked.address}
    grown = database.stat().st_size - sizes[0]
    assert grown < 200_000 + 4_000 * honest, f"the database grew by {grown} bytes"
    said = log.stat().st_size - sizes[1]
    assert said < 200_000 + 1_000 * honest, f"the log grew by {said} bytes"


def _abort(opened: list[Connection]) -> None:
    for _, writer in opened:
        writer.transport.abort()


Opening = Callable[[Attacked, int], Awaitable[tuple[Connection, bytes]]]


async def _silent(attacked: Attacked, at: int) -> tuple[Connection, bytes]:
    return await attacked.raw(), b""


async def _slow_head(attacked: Attacked, at: int) -> tuple[Connection, bytes]:
    return await attacked.connect(), b"POST / HTTP/1.1\r\nhost: localhost\r\nx: "


async def _slow_body(attacked: Attacked, at: int) -> tuple[Connection, bytes]:
    return await attacked.connect(), attacked.head(None, b"content-length: 1000000") + b"{"


async def _after_refusal(attacked: Attacked, at: int) -> tuple[Connection, bytes]:
    return await attacked.connect(), attacked.head(None, b"content-length: 0")


_OPENINGS = [_silent, _slow_head, _slow_body, _after_refusal]


@pytest.mark.full
@pytest.mark.seconds(900)
@pytest.mark.parametrize("opening", _OPENINGS)
@pytest.mark.parametrize("way", ["plain", _TUNNEL])
def test_a_crowd_that_waits_does_not_keep_an_honest_client_out(
    start: Start, is_full: bool, way: str, opening: Opening
) -> None:
    if way == "tunnel" and not is_full and opening is not _silent:
        pytest.skip("only at full size: it is the same guard that the local port has")
    count, places = (10_000, 1024) if is_full else (600, 200)
    attacked = start(way, max_connections=places, max_connections_per_address=2 * count)
    opened: list[Connection] = []

    async def main() -> None:
        async with attacked.honest_all_along():
            for at in range(count):
                with suppress(ConnectionError, ssl.SSLError):
                    connection, data = await opening(attacked, at)
                    opened.append(connection)
                    connection[1].write(data)
            await asyncio.sleep(1)
        # The last ones that had to make room may still be on their way out.
        await _at_most(attacked, places + 1, seconds=30)
        if is_full and opening in (_silent, _slow_head):
            # Who has said nothing whole within 10 s is cut.
            await _at_most(attacked, 5, seconds=40)
        _abort(opened)
        await asyncio.sleep(0.1)

    attacked.run(main())
    attacked.check_memory()


async def _at_most(attacked: Attacked, count: int, *, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while (await asyncio.to_thread(attacked.daemon.json, "status"))["connections"] > count:
            await asyncio.sleep(0.2)


@pytest.mark.full
@pytest.mark.seconds(900)
@pytest.mark.parametrize("way", ["tls", _TUNNEL])
def test_handshakes_without_end_do_not_keep_an_honest_client_out(
    start: Start, is_full: bool, way: str
) -> None:
    count = 10_000 if is_full else 600
    attacked = start(way, max_connections=200, max_connections_per_address=2 * count)
    opened: list[Connection] = []

    async def main() -> None:
        async with attacked.honest_all_along():
            for at in range(count):
                with suppress(ConnectionError):
                    opened.append(await attacked.raw())
                    opened[-1][1].write(b"\x16\x03\x01\x02\x00\x01\x00" if at % 2 else b"")
        _abort(opened)
        await asyncio.sleep(0.1)

    attacked.run(main())
    # 200 handshakes begun are 200 TLS states; beyond those nothing may be kept.
    attacked.check_memory()


def test_what_is_too_large_is_refused_before_it_is_read(attacked: Attacked, is_full: bool) -> None:
    async def main() -> None:
        for secret, path, status in (
            (attacked.secret, b"/v1/chat/completions", 413),
            (None, b"/v1/chat/completions", 401),
            (None, b"/v1/nothing", 404),
        ):
            for lines, frame in (
                ((b"content-length: 200000000",), b"%b"),
                ((b"transfer-encoding: chunked",), b"10000\r\n%b\r\n"),
            ):
                reader, writer = await attacked.connect()
                writer.write(attacked.head(secret, *lines, path=path))
                got = asyncio.ensure_future(reader.read())
                piece = frame % bytes(65_536)
                with suppress(ConnectionError, ssl.SSLError):
                    for _ in range(3000):
                        writer.write(piece)
                        await writer.drain()
                        # Where the other side takes all at once, `drain` gives nobody else a turn.
                        await asyncio.sleep(0)
                        if got.done():
                            break
                writer.transport.abort()
                with suppress(ConnectionError, ssl.SSLError):
                    answer = await got
                    assert answer.startswith(b"HTTP/1.1 %d " % status), (status, answer[:200])
            await attacked.honest()
        for size in (20_000, 2_000_000):
            reader, writer = await attacked.connect()
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * size)
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 431 ")
            writer.transport.abort()
        await attacked.honest()

    attacked.run(main())
    attacked.check_memory()
    refused = [row["error_code"] for row in attacked.daemon.ledger() if row["status"] == "refused"]
    assert refused == ["request_too_large"] * 2, "a valid access token's requests make a row each"


_CHUNKED, _BODY = b"transfer-encoding: chunked", b"0\r\n\r\nGET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_pairs_that_two_readers_would_read_differently_are_refused(attacked: Attacked) -> None:
    def post(*lines: bytes) -> bytes:
        return attacked.head(attacked.secret, *lines)

    pairs = [
        (400, post(b"content-length: 5", _CHUNKED) + _BODY),
        (400, post(_CHUNKED, b"content-length: 5") + _BODY),
        (400, post(b"content-length: 1", b"content-length: 2") + b"ab"),
        (400, post(b"content-length: 1, 2") + b"ab"),
        (400, post(b"transfer-encoding: chunked, identity") + _BODY),
        (400, post(b"transfer-encoding : chunked") + _BODY),
        (400, b"GET /health HTTP/1.1\nhost: localhost\n\n"),
        (400, b"GET /health HTTP/1.1\r\nhost: localhost\nx: y\r\n\r\n"),
        (400, b"GET /health HTTP/1.1\r\n\r\n"),
        (400, b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n"),
        (421, b"GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n"),
    ]

    async def one(status: int, data: bytes) -> None:
        reader, writer = await attacked.connect()
        writer.write(data)
        # One answer and the end: what stands behind it is no request.
        with suppress(ConnectionError, ssl.SSLError):
            got = await reader.read()
            assert got.startswith(b"HTTP/1.1 %d " % status), (data, got[:200])
            assert len(re.findall(rb"HTTP/1\.1 \d{3} ", got)) == 1, (data, got)
        await hang_up(writer)

    async def main() -> None:
        await asyncio.gather(*(one(*pair) for pair in pairs))
        await attacked.honest()

    attacked.run(main())
    attacked.check_memory()


@pytest.mark.parametrize("way", ["plain", _TUNNEL])
def test_an_offer_of_websocket_is_passed_over(start: Start, way: str) -> None:
    """No route speaks it: what is asked for is answered in HTTP, on a connection that stays."""
    attacked = start(way)
    offer = (
        b"connection: upgrade",
        b"upgrade: websocket",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    )

    def get(path: bytes) -> bytes:
        login = b"authorization: Bearer " + attacked.secret.encode()
        return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"host: localhost", login, *offer, b"", b""])

    async def main() -> None:
        reader, writer = await attacked.connect()
        for path, status in ((b"/v1/models", 200), (b"/v1/realtime", 404), (b"/health", 200)):
            writer.write(get(path))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 %d " % status), head
            assert b"upgrade" not in head.lower()
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            json.loads(await reader.readexactly(size))
        # Frames are no HTTP.
        writer.write(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400 ")
        await hang_up(writer)

    attacked.run(main())
