"""What an HTTP server may expect of a connection holds for one that came through an SSH channel, too."""

import asyncio
import gc
import hashlib
import os
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import uvloop

from chatvault.daemon.http_server import HttpServer
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts
from chatvault.gateway.tls import Certificates
from chatvault.tunnel.link import Link
from chatvault.tunnel.listener import Doorway
from tests.support.certificates import Authority
from tests.support.ssh_server import SshHost, open_link, ssh_host

Run = Callable[[Coroutine[Any, Any, None]], None]
_MEGABYTE = 1 << 20


@dataclass
class App:
    """Counts, hashes, streams and floods, and keeps what it saw of its clients."""

    scopes: list[dict[str, Any]] = field(default_factory=list)
    produced: int = 0
    left: list[float] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(dict(scope))
        path = scope["path"]
        if path == "/upload":
            await self._upload(receive, send, seconds=0.0)
        elif path == "/slow-upload":
            await self._upload(receive, send, seconds=0.002)
        elif path in ("/tokens", "/tokens-in-two-parts"):
            await self._tokens(send, is_whole=path == "/tokens")
        elif path.startswith("/bulk/"):
            await self._bulk(send, int(path[6:]))
        elif path in ("/flood", "/silence"):
            await self._until_left(receive, send, is_flood=path == "/flood")
        else:
            await _answer(send, b"%s %d" % (scope["client"][0].encode(), scope["client"][1]))

    async def _upload(self, receive: Any, send: Any, *, seconds: float) -> None:
        digest = hashlib.sha256()
        while True:
            message = await receive()
            digest.update(message["body"])
            if seconds:
                await asyncio.sleep(seconds)
            if not message["more_body"]:
                break
        await _answer(send, digest.hexdigest().encode())

    async def _tokens(self, send: Any, *, is_whole: bool) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(20):
            if number == 1 and not is_whole:
                await self.go.wait()
            await send(
                {
                    "type": "http.response.body",
                    "body": b"data: %d %.6f\n\n" % (number, time.monotonic()),
                    "more_body": True,
                }
            )
            await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": b""})

    async def _bulk(self, send: Any, megabytes: int) -> None:
        headers = [(b"content-length", b"%d" % (megabytes * _MEGABYTE))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(megabytes * 16):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _until_left(self, receive: Any, send: Any, *, is_flood: bool) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        watch = asyncio.ensure_future(self._gone(receive))
        try:
            while is_flood and not watch.done():
                await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
                self.produced += 65_536
                await asyncio.sleep(0)
            await watch
        finally:
            watch.cancel()

    async def _gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.append(time.monotonic())


async def _answer(send: Callable[[dict[str, Any]], Awaitable[None]], body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class There:
    """A tunnel with an HTTP server at its home end."""

    host: SshHost
    link: Link
    doorway: Doorway
    http: HttpServer
    app: App
    client: ssl.SSLContext | None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1",
            self.host.relay.public_port,
            ssl=self.client,
            server_hostname="localhost" if self.client else None,
        )

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """Ask on a connection of its own, and return the body of the answer."""
        reader, writer = await self.connect()
        try:
            writer.write(_request(method, path, body, "connection: close"))
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        assert b" 200 " in head.split(b"\r\n")[0] + b" ", head
        return rest


def _request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers]
    if method == "POST":
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return await reader.readexactly(int(length.split(b":")[1]))


@asynccontextmanager
async def _tunnelled(folder: Path, is_tls: bool, **options: Any) -> AsyncIterator[There]:
    app = App()
    certificates, client = None, None
    if is_tls:
        authority = Authority(folder)
        authority.server("localhost")
        certificates = Certificates(folder / "localhost.pem", folder / "localhost.pem")
        client = authority.client()
    limits = GuardLimits(max_connections_per_address=10_000, max_connections=10_000, max_body_bytes=1 << 30)
    server = HttpServer(app, [], guard=Guard(limits, Hosts()), certificates=certificates)
    async with ssh_host(folder, **options) as host:
        link, doorway = await open_link(host.relay, server.protocol_factory(via="tunnel"))
        try:
            yield There(host, link, doorway, server, app, client)
        finally:
            await server.stop(drain_seconds=0, hurry=asyncio.Event())
            await server.abandon(seconds=0)
            await link.close()


Case = Callable[[Callable[[There], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def case(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> Case:
    """Run a test's body with a tunnel, on both loops, plain and in TLS."""

    def go(body: Callable[[There], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(60):
                async with _tunnelled(tmp_path, request.param) as there:
                    await body(there)

        run(main())

    return go


def test_the_client_is_the_device(case: Case) -> None:
    async def body(there: There) -> None:
        reader, writer = await there.connect()
        own = writer.get_extra_info("sockname")
        writer.write(_request("GET", "/"))
        assert await _read_answer(reader) == b"%s %d" % (own[0].encode(), own[1])
        scope = there.app.scopes[0]
        assert scope["extensions"]["chatvault.via"] == "tunnel"
        assert scope["scheme"] == ("https" if there.client else "http")
        writer.close()

    case(body)


def test_a_connection_serves_one_request_after_another(case: Case) -> None:
    async def body(there: There) -> None:
        reader, writer = await there.connect()
        for _ in range(3):
            writer.write(_request("GET", "/"))
            await _read_answer(reader)
        writer.write(_request("GET", "/") * 3)
        for _ in range(3):
            await _read_answer(reader)
        assert len({tuple(scope["client"]) for scope in there.app.scopes}) == 1
        assert len(there.app.scopes) == 6
        writer.close()

    case(body)


def test_tokens_leave_as_they_come(case: Case) -> None:
    async def body(there: There) -> None:
        reader, writer = await there.connect()
        writer.write(_request("GET", "/tokens-in-two-parts"))
        async with asyncio.timeout(20):
            await reader.readuntil(b"\r\n\r\n")
            # The second is not even made before the first is here.
            assert b"data: 0 " in await reader.readuntil(b"\n\n")
            there.app.go.set()
            rest = await reader.readuntil(b"0\r\n\r\n")
        assert rest.count(b"data: ") == 19
        writer.close()

    case(body)


def test_large_bodies_go_both_ways_unchanged(case: Case) -> None:
    async def body(there: There) -> None:
        data = os.urandom(8 * _MEGABYTE)
        assert await there.ask("POST", "/upload", data) == hashlib.sha256(data).hexdigest().encode()
        assert await there.ask("GET", "/bulk/8") == b"x" * (8 * _MEGABYTE)
        assert there.doorway.traffic.bytes_in > 8 * _MEGABYTE
        assert there.doorway.traffic.bytes_out > 8 * _MEGABYTE

    case(body)


def test_a_device_that_does_not_read_stops_who_writes(case: Case) -> None:
    async def body(there: There) -> None:
        _, writer = await there.connect()
        writer.transport.pause_reading()
        writer.write(_request("GET", "/flood"))
        before = -1
        while there.app.produced != before or before == 0:
            before = there.app.produced
            await asyncio.sleep(0.3)
        assert 0 < before < 32 * _MEGABYTE
        assert (await there.ask("GET", "/")).startswith(b"127.0.0.1")
        writer.transport.abort()
        await _until(lambda: bool(there.app.left))

    case(body)


def test_a_handler_that_does_not_read_stops_the_device(case: Case) -> None:
    async def body(there: There) -> None:
        data = os.urandom(4 * _MEGABYTE)
        assert await there.ask("POST", "/slow-upload", data) == hashlib.sha256(data).hexdigest().encode()

    case(body)


@pytest.mark.parametrize("is_abrupt", [False, True])
def test_a_device_that_leaves_is_noticed_at_once(case: Case, is_abrupt: bool) -> None:
    async def body(there: There) -> None:
        reader, writer = await there.connect()
        writer.write(_request("GET", "/silence"))
        await reader.readuntil(b"begun")
        left = time.monotonic()
        if is_abrupt:
            writer.transport.abort()
        else:
            writer.close()
        await _until(lambda: bool(there.app.left))
        assert there.app.left[0] - left < 10
        await _until(lambda: not there.doorway.traffic.open)

    case(body)


def test_a_lost_link_is_told_to_every_handler(case: Case) -> None:
    async def body(there: There) -> None:
        writers = []
        for _ in range(5):
            reader, writer = await there.connect()
            writer.write(_request("GET", "/silence"))
            await reader.readuntil(b"begun")
            writers.append(writer)
        there.host.drop_all()
        await _until(lambda: len(there.app.left) == 5)
        assert there.http.connections == 0
        assert not there.doorway.traffic.open
        for writer in writers:
            writer.transport.abort()

    case(body)


def test_many_at_once_are_all_served(case: Case) -> None:
    async def body(there: There) -> None:
        async def one() -> bool:
            data = os.urandom(65_536)
            return await there.ask("POST", "/upload", data) == hashlib.sha256(data).hexdigest().encode()

        assert all(await asyncio.gather(*(one() for _ in range(60))))
        await _until(lambda: not there.doorway.traffic.open)

    case(body)


_NOISE = [
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 1000,
    b"GET / HTTP/9.9\r\n\r\n",
    b"A" * 70_000,
    b"GET /silence HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\n\r\nabc",
]


def test_noise_hurts_nobody_else(case: Case) -> None:
    async def body(there: There) -> None:
        port = there.host.relay.public_port
        for noise in _NOISE:
            for is_abrupt in (False, True):
                for _ in range(3):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(noise)
                    await asyncio.sleep(0.005)
                    (writer.transport.abort if is_abrupt else writer.close)()
        assert (await there.ask("GET", "/")).startswith(b"127.0.0.1")
        assert len(there.host.connections) == 1

    case(body)


def test_a_connection_that_ended_leaves_nothing_to_the_garbage_collector(case: Case) -> None:
    """Ten thousand in a minute would be hundreds of megabytes until it comes by."""

    async def body(there: There) -> None:
        for is_abrupt in (False, True):
            reader, writer = await there.connect()
            writer.write(_request("GET", "/"))
            await _read_answer(reader)
            (transport,) = there.doorway.traffic.open
            protocol = weakref.ref(transport.get_protocol())
            del transport
            if is_abrupt:
                writer.transport.abort()
            else:
                writer.close()
            await _until(lambda: not there.doorway.traffic.open)
            await _until(lambda ended=protocol: ended() is None)

    gc.disable()
    try:
        case(body)
    finally:
        gc.enable()


def test_stopping_lets_running_answers_end(case: Case) -> None:
    async def body(there: There) -> None:
        reader, writer = await there.connect()
        writer.write(_request("GET", "/tokens"))
        await reader.readuntil(b"data: 0 ")
        there.link.stop_listening()
        ended = asyncio.ensure_future(there.http.stop(drain_seconds=10, hurry=asyncio.Event()))
        rest = await reader.readuntil(b"0\r\n\r\n")
        assert b"data: 19 " in rest
        assert await ended
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", there.host.relay.public_port)
        writer.close()

    case(body)


def test_new_keys_in_between_change_nothing(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with _tunnelled(tmp_path, False, rekey_bytes=200_000) as there:
            data = os.urandom(4 * _MEGABYTE)
            assert await there.ask("POST", "/upload", data) == hashlib.sha256(data).hexdigest().encode()
            assert await there.ask("GET", "/bulk/4") == b"x" * (4 * _MEGABYTE)

    run(main())


class _Broken(asyncio.Protocol):
    """Fails in the callback it is told to fail in."""

    def __init__(self, where: str) -> None:
        self._where = where

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise RuntimeError(f"broken in {where}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._fail("connection_made")

    def data_received(self, data: bytes) -> None:
        self._fail("data_received")

    def eof_received(self) -> None:
        self._fail("eof_received")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("connection_lost")


@pytest.mark.parametrize(
    "where", ["factory", "connection_made", "data_received", "eof_received", "connection_lost"]
)
def test_an_error_in_one_connection_leaves_the_link(run: Run, tmp_path: Path, where: str) -> None:
    """asyncssh would end the whole link, and everyone on it."""

    def make() -> asyncio.Protocol:
        if where == "factory":
            raise RuntimeError("broken in the factory")
        return _Broken(where)

    async def main() -> None:
        async with ssh_host(tmp_path) as host:
            link, doorway = await open_link(host.relay, make)
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: None)
            for _ in range(3):
                _, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
                writer.write(b"anything")
                await asyncio.sleep(0.05)
                writer.close()
            await _until(lambda: not doorway.traffic.open)
            assert await link.round_trip(seconds=20) is not None
            assert len(host.connections) == 1
            await link.close()

    run(main())


def test_a_refused_connection_leaves_the_link(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with ssh_host(tmp_path) as host:
            link, doorway = await open_link(host.relay, lambda: _Broken(""))
            doorway._admit = lambda address: False
            reader, writer = await asyncio.open_connection("127.0.0.1", host.relay.public_port)
            assert await reader.read() == b""
            writer.close()
            assert await link.round_trip(seconds=20) is not None
            await link.close()

    run(main())


async def _until(found: Callable[[], bool], *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():
            await asyncio.sleep(0.005)


def test_this_asyncssh_has_the_names_we_ask_for(run: Run, tmp_path: Path) -> None:
    """Where one is missing the tunnel still works, but worse: better to hear of it here."""

    async def main() -> None:
        async with ssh_host(tmp_path) as host:
            link, _ = await open_link(host.relay, lambda: _Broken(""))
            assert hasattr(asyncssh.SSHClientConnection, "_make_global_request")
            assert await link.round_trip(seconds=20) is not None
            connection = link._connection
            assert connection._transport is not None
            await link.close()

    run(main())
