"""Requests a second and CPU a request on warm connections: this client, the bare loop, httpx; one run.

`PYTHONPATH=. python tests/providers/http/bench.py [SECONDS]`. The server is a process of its own and answers
from a constant, so that the client is what is measured. Not part of the tests.
"""

import asyncio
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import uvloop

from chatvault.providers.http import HttpClient

BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * 200 + b'"}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Wed, 25 Nov 2026 12:00:00 GMT\r\nserver: bench\r\n"
    b"content-type: application/json\r\nx-request-id: 1234\r\ncontent-length: 700\r\n\r\n" + b"y" * 700
)
HEADERS = [(b"authorization", b"Bearer secret"), (b"content-type", b"application/json")]
Shot = Callable[[], Awaitable[None]]


class Canned(asyncio.Protocol):
    """Answers each read that ends a request; requests here are one read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"}"):
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


def pin(core: int) -> None:
    """Stay on one core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


def serve(sock: socket.socket) -> None:
    pin(1)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Canned, sock=sock)
        await server.serve_forever()

    uvloop.run(main())


class Bare(asyncio.Protocol):
    """What the loop itself costs: one write, one read, one wake-up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    async def shot(self) -> None:
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(MESSAGE)  # type: ignore[attr-defined]
        await self.waiter

    def data_received(self, data: bytes) -> None:
        self.waiter.set_result(None)


MESSAGE = b"POST /v1 HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


async def timed(shots: list[Shot], seconds: float) -> tuple[float, float]:
    end = time.perf_counter() + seconds

    async def loop(shot: Shot) -> int:
        count = 0
        while time.perf_counter() < end:
            await shot()
            count += 1
        return count

    cpu = time.process_time()
    count = sum(await asyncio.gather(*[loop(shot) for shot in shots]))
    return count / seconds, (time.process_time() - cpu) / count * 1e6


async def main(port: int, seconds: float) -> None:
    url = f"http://127.0.0.1:{port}"
    loop = asyncio.get_running_loop()
    client = HttpClient(url, max_idle=128)
    stock = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))

    async def ours() -> None:
        answer = await client.request("POST", "/v1", headers=HEADERS, body=BODY)
        await answer.read_all()

    async def theirs() -> None:
        await stock.post(f"{url}/v1", headers={"authorization": "Bearer secret"}, content=BODY)

    for count in (1, 16, 64):
        bare = [(await loop.create_connection(Bare, "127.0.0.1", port))[1].shot for _ in range(count)]
        kinds = {"bare loop": bare, "chatvault": [ours] * count, "httpx": [theirs] * count}
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(5):
            for name, shots in kinds.items():
                await timed(shots, seconds / 20)
                rounds[name].append(await timed(shots, seconds / 5))
        for name, figures in rounds.items():
            rate = statistics.median(rate for rate, _ in figures)
            cpu = statistics.median(cpu for _, cpu in figures)
            print(
                f"{type(loop).__module__.split('.')[0]:8} c={count:<3} {name:10} {rate:9.0f}/s {cpu:8.1f} us"
            )
    await client.aclose()
    await stock.aclose()


if __name__ == "__main__":
    sock = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=(sock,), daemon=True)
    server.start()
    pin(0)
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    uvloop.run(main(sock.getsockname()[1], seconds))
    asyncio.run(main(sock.getsockname()[1], seconds))
    server.terminate()
