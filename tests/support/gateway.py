"""A gateway's inside, with a real store and providers that do as they are told."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from chatvault.core.access import AccessToken
from chatvault.core.accounts import Accounts
from chatvault.core.chat import ChatRequest
from chatvault.core.metering import Meter
from chatvault.core.pricing import PriceBook, RateCard
from chatvault.core.routing import Route
from chatvault.core.ulid import ulid
from chatvault.core.usage import Usage
from chatvault.daemon.engine import now_ms
from chatvault.gateway.admission import Admission
from chatvault.gateway.answers import Headers
from chatvault.gateway.books import Books
from chatvault.gateway.call import Call
from chatvault.gateway.catalog import Catalog
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.places import Places
from chatvault.gateway.planning import Planner
from chatvault.gateway.price_list import PriceList
from chatvault.gateway.relay import Relay
from chatvault.providers.base import Completion, Finding, ModelInfo
from chatvault.store.writer import Store

TOKEN = AccessToken("tok_test", "phone", "me", 0, "abcd")
DONE = b"data: [DONE]\n\n"
Step = bytes | Exception | Callable[[], Awaitable[bytes]]


def delta(text: str) -> bytes:
    """Return one chunk of a stream."""
    return b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % text.encode()


async def for_ever() -> bytes:
    """Never come back."""
    await asyncio.sleep(3600)
    raise AssertionError("an hour has passed")


class ScriptedStream:
    """A stream whose reads are its steps: bytes, an error, or something to wait for."""

    def __init__(self, steps: Sequence[Step], usage: Usage | None) -> None:
        self.meter = Meter()
        self._steps = list(steps)
        self._usage = usage
        self.is_closed = False

    async def read(self) -> bytes:
        if not self._steps:
            return b""
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        data = step if isinstance(step, bytes) else await step()
        if data == DONE:
            self.meter.usage = self._usage
        else:
            self.meter.deltas += 1
            self.meter.output_bytes += 4
        return data

    async def pump(self, take: Callable[[bytes], bool]) -> bytes:
        while (events := await self.read()) and events != DONE and take(events):
            pass
        return events

    def close(self) -> None:
        self.is_closed = True


@dataclass
class ScriptedProvider:
    """A provider that does as it is told, and keeps what it was asked."""

    name: str
    steps: Sequence[Step] = (delta("hi"), DONE)
    usage: Usage | None = field(default_factory=lambda: Usage(input_tokens=7, output_tokens=3))
    error: Exception | None = None
    wait: Callable[[], Awaitable[bytes]] | None = None
    is_local: bool = True
    kind: str = "openai_compatible"
    listed: tuple[str, ...] = ()
    requests: list[ChatRequest] = field(default_factory=list)
    streams: list[ScriptedStream] = field(default_factory=list)

    async def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo(name) for name in self.listed)

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        return request.max_tokens

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        await self._begin(request)
        return Completion(b'{"object":"chat.completion"}', self.usage, "stop", model, "req_1")

    async def stream(self, request: ChatRequest, model: str) -> ScriptedStream:
        await self._begin(request)
        self.streams.append(ScriptedStream(self.steps, self.usage))
        return self.streams[-1]

    async def check(self) -> Finding:
        return Finding("pass", "scripted")

    async def aclose(self) -> None:
        pass

    async def _begin(self, request: ChatRequest) -> None:
        self.requests.append(request)
        if self.wait is not None:
            await self.wait()
        if self.error is not None:
            raise self.error


class Client:
    """What a client gets: the messages that were sent to it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_ended = False

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert self.status == 0
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            assert self.status, "a body before its start"
            assert not self.is_ended, "a body after the end"
            self.body += message.get("body", b"")
            self.is_ended = not message.get("more_body", False)


@dataclass
class Inside:
    """The parts of a running gateway."""

    relay: Relay
    store: Store
    path: Path
    places: Mapping[str, Places]
    accounts: Accounts
    providers: Mapping[str, ScriptedProvider]

    def call(self, token: AccessToken = TOKEN) -> Call:
        """Return a new call, run by the current task."""
        task = asyncio.current_task()
        assert task is not None
        started_ms = now_ms()
        return Call(
            ulid(started_ms, time.time_ns()),
            token,
            started_ms=started_ms,
            started=time.monotonic(),
            client_ip="192.0.2.7",
            via="local",
            client="curl",
            endpoint="/v1/chat/completions",
            task=task,
        )

    async def ask(self, raw: bytes, *, token: AccessToken = TOKEN, headers: Headers | None = None) -> Client:
        """Serve one request to its end and return what its client got."""
        client = Client()
        await self.relay.serve(self.call(token), raw, client.send, headers if headers is not None else [])
        return client

    async def rows(self) -> list[dict[str, Any]]:
        """Return the ledger, oldest first, once everything is written."""
        await self.store.flush()
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection, connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute("SELECT * FROM ledger ORDER BY id")]
            assert connection.execute("SELECT count(*) FROM hold").fetchone()[0] == 0
        return rows


@asynccontextmanager
async def inside(
    folder: Path,
    *providers: ScriptedProvider,
    aliases: Mapping[str, Sequence[Route]] | None = None,
    prices: PriceBook | None = None,
    limit: int | None = None,
    queue_seconds: float = 1.0,
    ping_after: float = 15.0,
    may_cut: bool = True,
    blocks_unpriced: bool = True,
) -> AsyncIterator[Inside]:
    """Run a gateway's inside over `providers`."""
    path = folder / "state" / "chatvault.db"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    store = Store.open(path, now_ms=now_ms)
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        tasks.add(task)
        return task

    by_name = {provider.name: provider for provider in providers}
    book = prices or PriceBook()
    places = {name: Places(name, limit=limit, queue_seconds=queue_seconds) for name in by_name}
    heartbeat = Heartbeat(spawn, after_seconds=ping_after)

    def remember(card: RateCard) -> None:
        store.remember_rate_card(
            card.id, card.canonical_json(), provider=card.provider, model=card.model, source=card.source
        )

    price_list = PriceList(book, remember)
    accounts = Accounts(ZoneInfo("UTC"), now_ms())
    relay = Relay(
        catalog=Catalog(by_name, aliases or {}, clock=time.monotonic),
        planner=Planner(by_name, price_list),
        admission=Admission(accounts, may_cut=may_cut, blocks_unpriced=blocks_unpriced, clock=time.monotonic),
        books=Books(store, price_list, now_ms=now_ms, clock=time.monotonic),
        places=places,
        heartbeat=heartbeat,
        clock=time.monotonic,
    )
    beating = asyncio.get_running_loop().create_task(heartbeat.run())
    try:
        yield Inside(relay, store, path, places, accounts, by_name)
    finally:
        for task in (beating, *tasks):
            task.cancel()
        await asyncio.gather(beating, *tasks, return_exceptions=True)
        store.close()
