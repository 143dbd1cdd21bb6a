"""One HTTP client in a closed loop, for `tests/bench/http_client.py`.

`python -m tests.bench.http_client_child CLIENT PORT MODEL COUNT SECONDS [--stream]` prints its figures as one
JSON object. Every client runs on uvloop, as the daemon does.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import uvloop

PATH = "/v1/chat/completions"
HEADERS = {"content-type": "application/json", "authorization": "Bearer bench"}
Ask = Callable[[bytes], AsyncIterator[bytes]]
End = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Count:
    """What has been measured so far."""

    times_ms: list[float] = field(default_factory=list)
    chunks: int = 0


def ours(origin: str) -> tuple[Ask, End]:
    """Ask through ChatVault's client."""
    from chatvault.providers.http import HttpClient

    client = HttpClient(origin, max_idle=1024)
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def ask(body: bytes) -> AsyncIterator[bytes]:
        response = await client.request("POST", PATH, headers=headers, body=body)
        try:
            while piece := await response.read():
                yield piece
        finally:
            response.close()

    return ask, client.aclose


def with_httpx(origin: str, *, is_ours: bool) -> tuple[Ask, End]:
    """Ask through httpx, on its own transport or on ours."""
    import httpx

    if is_ours:
        from chatvault.providers.http.transport import HttptoolsTransport

        client = httpx.AsyncClient(base_url=origin, transport=HttptoolsTransport(), timeout=60)
    else:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        client = httpx.AsyncClient(base_url=origin, limits=limits, timeout=60)

    async def ask(body: bytes) -> AsyncIterator[bytes]:
        async with client.stream("POST", PATH, headers=HEADERS, content=body) as response:
            async for piece in response.aiter_raw():
                yield piece

    return ask, client.aclose


def with_aiohttp(origin: str) -> tuple[Ask, End]:
    """Ask through aiohttp."""
    import aiohttp

    session = aiohttp.ClientSession(origin, connector=aiohttp.TCPConnector(limit=0))

    async def ask(body: bytes) -> AsyncIterator[bytes]:
        async with session.post(PATH, headers=HEADERS, data=body) as response:
            async for piece in response.content.iter_any():
                yield piece

    return ask, session.close


async def work(ask: Ask, body: bytes, *, until: float, count: Count) -> None:
    """Ask again and again; a content delta is told by the mock's stamp."""
    while (started := time.perf_counter()) < until:
        async for piece in ask(body):
            count.chunks += piece.count(b"@")
        count.times_ms.append((time.perf_counter() - started) * 1e3)


async def measure(name: str, port: int, body: bytes, *, connections: int, seconds: float) -> dict[str, float]:
    """Warm the client up, then measure it."""
    origin = f"http://127.0.0.1:{port}"
    match name:
        case "ours":
            ask, end = ours(origin)
        case "aiohttp":
            ask, end = with_aiohttp(origin)
        case _:
            ask, end = with_httpx(origin, is_ours=name == "ours-under-httpx")
    for length in (0.1, seconds):
        count = Count()
        started, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work(ask, body, until=started + length, count=count))
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    await end()
    times = sorted(count.times_ms)
    return {
        "requests_per_second": len(times) / wall,
        "chunks_per_second": count.chunks / wall,
        "cpu_us_per_request": cpu * 1e6 / len(times),
        "cpu_us_per_chunk": cpu * 1e6 / max(1, count.chunks),
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[int(len(times) * 0.99)],
    }


def main() -> None:
    """Read the command line, measure, print."""
    name, port, model, connections, seconds, *rest = sys.argv[1:]
    message = {"role": "user", "content": "p" * 200}
    request = {"model": model, "messages": [message], "stream": bool(rest)}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(
            measure(
                name,
                int(port),
                json.dumps(request).encode(),
                connections=int(connections),
                seconds=float(seconds),
            )
        )
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
