"""A provider made of a script: it answers as a test wants it to, and remembers what it was asked.

It is a real HTTP server on a socket of its own, in a thread of the test's process. An answer is a list of
steps: bytes are sent as they stand, a number is a pause in seconds, `CUT` breaks the connection, `STALL` says
nothing more until the other side leaves. A generator makes an answer without an end.
"""

import asyncio
import gzip
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Literal, Self

import httptools


class End(Enum):
    """How an answer can end, other than well."""

    CUT = "the connection breaks"
    STALL = "silence, until the other side leaves"


CUT, STALL = End.CUT, End.STALL
Step = bytes | float | End


@dataclass
class Seen:
    """A request that arrived. Times are of the monotonic clock, in seconds."""

    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    arrived_at: float = 0.0
    closed_at: float | None = None
    is_answered: bool = False
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def wait_closed(self, seconds: float = 20.0) -> float:
        """Return when the other side closed the connection while the answer was still going on."""
        assert self.closed.wait(seconds), f"{self.method} {self.path} was not closed within {seconds} s"
        assert self.closed_at is not None
        return self.closed_at


@dataclass(frozen=True)
class Answer:
    """What to say: `length` framing needs steps that end well and are known beforehand."""

    steps: Iterable[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    framing: Literal["chunked", "length", "close"] = "chunked"
    before_headers: Iterable[Step] = ()


Script = Callable[[Seen], Answer]


def json_answer(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer in JSON with a content-length."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(
        [json.dumps(value).encode()], status, {"content-type": "application/json", **named}, "length"
    )


def event_stream(*steps: Step) -> Answer:
    """An answer as server-sent events."""
    return Answer(steps, headers={"content-type": "text/event-stream"})


def data(value: Any) -> bytes:
    """One server-sent event: JSON, or text as it stands."""
    return b"data: " + (value if isinstance(value, str) else json.dumps(value)).encode() + b"\n\n"


def cut_up(body: bytes, chance: random.Random, *, pieces: int = 12) -> list[Step]:
    """Cut `body` at arbitrary places; a breath between the pieces lets each one leave by itself."""
    places = sorted(chance.randrange(1, len(body)) for _ in range(pieces - 1)) if len(body) > 1 else []
    steps: list[Step] = []
    for start, end in zip([0, *places], [*places, len(body)], strict=True):
        steps += [body[start:end], 0.001]
    return steps


def zipped(body: bytes) -> Answer:
    """An answer that is gzipped although nobody asked for it."""
    return Answer(
        [gzip.compress(body)], headers={"content-type": "application/json", "content-encoding": "gzip"}
    )


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._seen = Seen()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._upstream.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._seen = Seen(arrived_at=time.monotonic())

    def on_url(self, url: bytes) -> None:
        self._seen.path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._seen.body += body

    def on_message_complete(self) -> None:
        self._seen.method = self._parser.get_method().decode()
        self._upstream.seen.append(self._seen)
        answer = self._upstream.answer_to(self._seen)
        self._task = asyncio.get_running_loop().create_task(self._send(self._seen, answer))

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.connections.discard(self)
        if not self._seen.is_answered:
            self._seen.closed_at = time.monotonic()
            self._seen.closed.set()
        if self._task is not None:
            self._task.cancel()

    async def _send(self, seen: Seen, answer: Answer) -> None:
        if not await self._play(answer.before_headers, lambda piece: piece):
            return
        head = [f"HTTP/1.1 {answer.status} Scripted"]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        steps = answer.steps
        if answer.framing == "length":
            whole = b"".join(step for step in steps if isinstance(step, bytes))
            head.append(f"content-length: {len(whole)}")
        elif answer.framing == "chunked":
            head.append("transfer-encoding: chunked")
        else:
            head.append("connection: close")
        self.transport.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        frame = _chunk if answer.framing == "chunked" else lambda piece: piece
        if await self._play(steps, frame):
            # Marked before the last bytes leave, or a quick reader could seem to cut the answer short.
            seen.is_answered = True
            if answer.framing == "chunked":
                self.transport.write(b"0\r\n\r\n")
            elif answer.framing == "close":
                self.transport.close()

    async def _play(self, steps: Iterable[Step], frame: Callable[[bytes], bytes]) -> bool:
        for step in steps:
            if isinstance(step, bytes):
                if step:
                    self.transport.write(frame(step))
            elif step is CUT:
                await asyncio.sleep(0.02)  # what was written before must not be lost with the connection
                self._seen.is_answered = True
                self.transport.abort()
                return False
            elif step is STALL:
                await asyncio.Event().wait()
            elif isinstance(step, float | int):
                await asyncio.sleep(step)
        return True


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Upstream:
    """A scripted provider at `url`; `script` may be set anew at any time.

    `seen` holds every request; `calls` only those that ask for an answer of a model.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.script: Script = script or (lambda seen: json_answer({"error": {"message": "no script"}}, 500))
        self.lists: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)
        self._thread.start()

    @property
    def calls(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == "POST" and not seen.path.endswith("/api/show")]

    @property
    def call(self) -> Seen:
        """The one call there was."""
        assert len(self.calls) == 1, [seen.path for seen in self.calls]
        return self.calls[0]

    def wait_for_calls(self, count: int = 1, seconds: float = 20.0) -> list[Seen]:
        """Wait until `count` calls have arrived."""
        deadline = time.monotonic() + seconds
        while len(self.calls) < count:
            assert time.monotonic() < deadline, f"{len(self.calls)} of {count} calls after {seconds} s"
            time.sleep(0.005)
        return self.calls

    def forget(self) -> None:
        """Start a new list of requests."""
        self.seen = []

    def answer_to(self, seen: Seen) -> Answer:
        path = seen.path.partition("?")[0]
        if path in self.lists:
            return self.lists[path]
        if seen.method != "POST" or path == "/api/show":
            return json_answer({"error": "not found"}, 404)
        return self.script(seen)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), sock=self._socket)
        )
        self._loop.call_soon(self._is_up.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end(server))
        self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        await asyncio.sleep(0.01)  # connections that are just being accepted get a protocol that can end them
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        answers = asyncio.all_tasks() - {asyncio.current_task()}
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)

    def close(self) -> None:
        # A loop that is stopped before it runs leaves its socket to the next test.
        self._is_up.wait(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
