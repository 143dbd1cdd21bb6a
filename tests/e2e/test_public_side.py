"""The public side under attack: memory stays, honest clients are served, the database doesn't grow."""

import asyncio
import json
import random
import resource
import ssl
import string
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chatvault.core.access import new_secret
from tests.support.daemon import Daemon, Serve

_ECHO: dict[str, Any] = {"providers": {"echo": {"kind": "echo"}}}
_CHAT = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacked:
    """A daemon, measured when it was idle and warm."""

    def __init__(self, daemon: Daemon, secret: str, client: ssl.SSLContext | None) -> None:
        self.daemon = daemon
        self.secret = secret
        self.client = client
        self.idle_bytes = 0
        self.worst_seconds = 0.0

    def memory(self) -> int:
        assert self.daemon.process is not None
        for line in Path(f"/proc/{self.daemon.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    async def connect(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self.daemon.port, ssl=self.client)

    async def raw(self) -> Connection:
        return await asyncio.open_connection("127.0.0.1", self.daemon.port)

    def head(self, secret: str | None, *lines: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
        login = [f"authorization: Bearer {secret}".encode()] if secret else []
        return b"\r\n".join([b"POST %b HTTP/1.1" % path, b"host: 127.0.0.1", *login, *lines, b"", b""])

    def chat(self, secret: str | None, *lines: bytes) -> bytes:
        return self.head(secret, b"content-length: %d" % len(_CHAT), *lines) + _CHAT

    async def honest(self) -> None:
        """Be served, on a connection of one's own; a place that is lost to the crowd is asked for again."""
        started = time.monotonic()
        for _ in range(5):
            with suppress(ConnectionError, ssl.SSLError):
                reader, writer = await self.connect()
                writer.write(self.chat(self.secret, b"connection: close"))
                got = await reader.read()
                writer.close()
                if got:
                    assert got.startswith(b"HTTP/1.1 200 "), got[:300]
                    self.worst_seconds = max(self.worst_seconds, time.monotonic() - started)
                    return
        raise AssertionError("an honest client was not served")

    @asynccontextmanager
    async def honest_all_along(self) -> AsyncIterator[None]:
        """Have an honest client call again and again meanwhile."""

        async def keep_on() -> None:
            while True:
                await self.honest()
                await asyncio.sleep(0.05)

        task = asyncio.ensure_future(keep_on())
        try:
            yield
        finally:
            if task.done():
                task.result()
            task.cancel()
        await self.honest()

    def check_memory(self) -> None:
        now = self.memory()
        # For `pytest -s`.
        print(
            f"{now / 1e6:.0f} MB of {self.idle_bytes / 1e6:.0f} MB, longest wait {self.worst_seconds:.3f} s"
        )
        assert now < 1.5 * self.idle_bytes, f"{now / 1e6:.0f} MB, {self.idle_bytes / 1e6:.0f} MB when idle"


@pytest.fixture(params=["plain", "tls"])
def attacked(request: pytest.FixtureRequest, serve: Serve, tmp_path: Path) -> Attacked:
    return start(serve, tmp_path, is_tls=request.param == "tls")


def start(serve: Serve, tmp_path: Path, *, is_tls: bool = False, **server: Any) -> Attacked:
    client = None
    if is_tls:
        maker = Daemon(tmp_path / "maker")
        made = maker.json("tls", "self-signed")
        server["tls"] = {"cert": made["cert"], "key": made["key"]}
        client = ssl.create_default_context(cafile=made["ca"])
    config = {**_ECHO, "server": server} if server else _ECHO
    daemon = serve(config, tls=client)
    attacked = Attacked(daemon, daemon.add_token(), client)

    async def warm() -> None:
        for _ in range(20):
            await attacked.honest()
        # FastAPI is there from now on, too.
        reader, writer = await attacked.connect()
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        await reader.read()
        writer.close()

    asyncio.run(warm())
    attacked.idle_bytes = attacked.memory()
    return attacked


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
        writer.close()

    async def main() -> None:
        async with attacked.honest_all_along():
            await asyncio.gather(*(guess(count // 20) for _ in range(20)))

    asyncio.run(main())
    assert statuses.keys() <= {b"401", b"429"}
    assert statuses[b"429"] > statuses[b"401"]
    attacked.check_memory()
    honest = len(daemon.ledger())
    daemon.stop()
    rows = audit_rows(daemon)
    assert sum(row["count"] for row in rows) == count + 1, "each is counted (one came while warming up)"
    assert {row["address"] for row in rows} == {"127.0.0.1"}
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


@pytest.mark.full
@pytest.mark.seconds(900)
@pytest.mark.parametrize("opening", [_silent, _slow_head, _slow_body, _after_refusal])
def test_a_crowd_that_waits_does_not_keep_an_honest_client_out(
    serve: Serve,
    tmp_path: Path,
    is_full: bool,
    opening: Opening,
) -> None:
    count = 10_000 if is_full else 600
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacked = start(serve, tmp_path, max_connections=1024 if is_full else 200)
    opened: list[Connection] = []

    async def main() -> None:
        async with attacked.honest_all_along():
            for at in range(count):
                with suppress(ConnectionError):
                    connection, data = await opening(attacked, at)
                    opened.append(connection)
                    connection[1].write(data)
            await asyncio.sleep(1)
        # The last ones that had to make room may still be on their way out.
        async with asyncio.timeout(30):
            while True:
                status = await asyncio.to_thread(attacked.daemon.json, "status")
                if status["connections"] <= (1024 if is_full else 200) + 1:
                    break
        _abort(opened)
        await asyncio.sleep(0.1)

    try:
        asyncio.run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    attacked.check_memory()


@pytest.mark.full
@pytest.mark.seconds(900)
def test_handshakes_without_end_do_not_keep_an_honest_client_out(
    serve: Serve, tmp_path: Path, is_full: bool
) -> None:
    count = 10_000 if is_full else 600
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacked = start(serve, tmp_path, is_tls=True, max_connections=200)
    opened: list[Connection] = []

    async def main() -> None:
        async with attacked.honest_all_along():
            for at in range(count):
                opened.append(await attacked.raw())
                opened[-1][1].write(b"\x16\x03\x01\x02\x00\x01\x00" if at % 2 else b"")
        _abort(opened)
        await asyncio.sleep(0.1)

    try:
        asyncio.run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
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

    asyncio.run(main())
    attacked.check_memory()
    refused = [row["error_code"] for row in attacked.daemon.ledger() if row["status"] == "refused"]
    assert refused == ["request_too_large"] * 2, "a valid access token's requests make a row each"


def test_names_that_are_not_ours_are_refused_and_those_of_the_settings_are_not(serve: Serve) -> None:
    server = {"public_url": "https://gw.example.org:8443", "allowed_hosts": ["box.local"]}
    daemon = serve({**_ECHO, "server": server, "tunnel": {"host": "relay.example.org"}})

    def status(host: str) -> str:
        done = subprocess.run(
            [
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                f"Host: {host}",
                f"{daemon.url}/health",
            ],
            capture_output=True,
            text=True,
        )
        return done.stdout

    for host in (
        "localhost",
        "127.0.0.1:4000",
        "[::1]",
        "gw.example.org:8443",
        "box.local",
        "relay.example.org",
    ):
        assert status(host) == "200", host
    for host in ("evil.example", "gw.example.org.evil.example", "192.0.2.1"):
        assert status(host) == "421", host


def test_a_listed_page_is_answered_to_its_browser_and_others_are_not(serve: Serve) -> None:
    daemon = serve({**_ECHO, "server": {"cors_origins": ["https://chat.example.org"]}})
    secret = daemon.add_token()

    async def ask(method: bytes, origin: bytes, *lines: bytes, body: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        head = [method + b" /v1/chat/completions HTTP/1.1", b"host: localhost", b"origin: " + origin, *lines]
        writer.write(b"\r\n".join([*head, b"connection: close", b"", body]))
        got = await reader.read()
        writer.close()
        return got

    async def main() -> None:
        wanted = b"access-control-request-headers: authorization, x-stainless-lang"
        page = b"https://chat.example.org"
        got = await ask(b"OPTIONS", page, b"access-control-request-method: POST", wanted)
        assert got.startswith(b"HTTP/1.1 204 ")
        assert b"access-control-allow-headers: authorization, x-stainless-lang\r\n" in got
        login = b"authorization: Bearer " + secret.encode()
        size = b"content-length: %d" % len(_CHAT)
        for lines, status in (((login, size), b"200"), ((size,), b"401")):
            got = await ask(b"POST", page, *lines, body=_CHAT)
            assert got.startswith(b"HTTP/1.1 " + status)
            assert b"access-control-allow-origin: https://chat.example.org\r\n" in got
            assert b"vary: Origin\r\n" in got
        got = await ask(b"OPTIONS", b"https://evil.example", b"access-control-request-method: POST", wanted)
        assert got.startswith(b"HTTP/1.1 403 ") and b"access-control" not in got
        got = await ask(b"POST", b"https://evil.example", login, size, body=_CHAT)
        assert b"access-control" not in got

    asyncio.run(main())
    assert len(daemon.wait_for_rows(2)) == 2, "OPTIONS makes no row"


def test_https_is_served_and_a_renewed_certificate_taken_up_while_an_answer_runs(
    serve: Serve, tmp_path: Path
) -> None:
    attacked = start(serve, tmp_path, is_tls=True)
    daemon = attacked.daemon
    made = Daemon(tmp_path / "maker")
    status = daemon.json("status")
    assert status["base_url"].startswith("https://127.0.0.1:")

    async def serial() -> str:
        _, writer = await attacked.connect()
        found = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()
        return str(found)

    async def main() -> None:
        before = await serial()
        reader, writer = await attacked.connect()
        writer.write(attacked.chat(attacked.secret))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(made.json, "tls", "self-signed")
        async with asyncio.timeout(20):
            while await serial() == before:
                await asyncio.sleep(0.2)
        writer.write(attacked.chat(attacked.secret, b"connection: close"))
        assert b"HTTP/1.1 200 " in await reader.read()
        writer.close()

    asyncio.run(main())


def test_settings_with_a_certificate_that_can_not_be_used_are_refused(tmp_path: Path) -> None:
    tls = {"cert": str(tmp_path / "no.crt"), "key": str(tmp_path / "no.key")}
    daemon = Daemon(tmp_path / "home", {**_ECHO, "server": {"tls": tls}})
    done = daemon.run("serve", "--port", str(daemon.port))
    assert done.returncode == 2
    assert "server.tls.cert" in done.stderr and "Try:" in done.stderr
