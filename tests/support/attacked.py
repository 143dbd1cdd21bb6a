"""A daemon under attack, on its local port or through a tunnel: what is done to it."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.daemon import Daemon
from tests.support.guarded import hang_up

CHAT = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}).encode()
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Run = Callable[[Coroutine[Any, Any, None]], None]


class Attacked:
    """A daemon, measured when it was idle and warm.

    `run` runs attackers where they are: here, or on the device; `address` is what the daemon knows them by.
    """

    def __init__(
        self,
        daemon: Daemon,
        *,
        client: ssl.SSLContext | None = None,
        run: Run = asyncio.run,
        host: str = "127.0.0.1",
        address: str = "127.0.0.1",
    ) -> None:
        self.daemon = daemon
        self.secret = daemon.add_token()
        self.client = client
        self.run = run
        self.host = host
        self.address = address
        self.idle_bytes = 0
        self.worst_seconds = 0.0

    def memory(self) -> int:
        assert self.daemon.process is not None
        for line in Path(f"/proc/{self.daemon.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    async def connect(self) -> Connection:
        return await asyncio.open_connection(self.host, self.daemon.port, ssl=self.client)

    async def raw(self) -> Connection:
        return await asyncio.open_connection(self.host, self.daemon.port)

    def head(self, secret: str | None, *lines: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
        login = [f"authorization: Bearer {secret}".encode()] if secret else []
        return b"\r\n".join(
            [b"POST %b HTTP/1.1" % path, b"host: " + self.host.encode(), *login, *lines, b"", b""]
        )

    def chat(self, secret: str | None, *lines: bytes) -> bytes:
        return self.head(secret, b"content-length: %d" % len(CHAT), *lines) + CHAT

    async def honest(self) -> None:
        """Be served, on a connection of one's own; a place that is lost to the crowd is asked for again."""
        started = time.monotonic()
        for _ in range(5):
            with suppress(ConnectionError, ssl.SSLError):
                reader, writer = await self.connect()
                writer.write(self.chat(self.secret, b"connection: close"))
                try:
                    got = await reader.read()
                finally:
                    await hang_up(writer)
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

    def warm(self) -> None:
        """Have everything there that will be there, and measure."""

        async def ask() -> None:
            for _ in range(20):
                await self.honest()
            # FastAPI is there from now on, too.
            reader, writer = await self.connect()
            writer.write(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            await reader.read()
            await hang_up(writer)

        self.run(ask())
        self.idle_bytes = self.memory()
