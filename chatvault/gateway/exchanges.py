"""The requests of one connection, answered one after another: uvicorn's protocol, with exchanges of ours.

This file, those above it (`bounded`, `guarded`) and `exchange` know the inside of uvicorn's classes; the
pinned versions are those that they are tested with.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chatvault.gateway.deadlines import IDLE, Deadlines
from chatvault.gateway.exchange import Exchange
from chatvault.gateway.guard import Guard

# Hardly a client sends its next request before the answer to this one, and an empty deque is 700 bytes.
_NOBODY_WAITS: deque[tuple[RequestResponseCycle, ASGI3Application]] = deque(maxlen=0)
_NO_REQUEST: Any = {}
# Nobody waits for it: the answer that it was about has been given.
_NO_NEWS = asyncio.Event()


class Exchanges(HttpToolsProtocol):
    """One connection's requests and answers. `via` is how it came in."""

    # Here and above: CPython has objects share the keys of their dicts up to thirty names; uvicorn's class
    # sets 28. With more, each connection would have a kilobyte of keys for itself.
    __slots__ = ("_current", "_deadlines", "_extensions", "_guard", "_via")

    def __init__(self, config: Config, state: ServerState, guard: Guard, *, via: str) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.pipeline = _NOBODY_WAITS
        self._guard = guard
        self._deadlines = Deadlines()
        self._via = via
        self._extensions: dict[str, object]
        # The one that is being answered; `cycle` is the one that came in last.
        self._current: Exchange | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to listen."""
        self._extensions = {
            "chatvault.via": self._via,
            "chatvault.when_left": self._when_left,
            "chatvault.push": self._push,
        }
        doorway = transport.get_extra_info("doorway")
        if doorway is not None:
            self._extensions["chatvault.doorway"] = doorway
        super().connection_made(transport)

    @property
    def has_asked(self) -> bool:
        """Whether a request has come in on this connection."""
        return cast(RequestResponseCycle | None, self.cycle) is not None

    @property
    def is_answering(self) -> bool:
        """Whether something that was asked for has not been answered yet."""
        return self.has_asked and (not self.cycle.response_complete or bool(self.pipeline))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who is answering, and let go of what would hold this connection."""
        # It holds a method of this connection: neither would be freed before the next garbage collection.
        self._extensions.clear()
        if self._current is not None:
            self._current.leave()
        super().connection_lost(exc)
        if self.cycle is not None:
            # Else the two hold each other until the garbage collector comes by.
            self.cycle.transport = self.transport

    def _begin_exchange(self) -> None:
        """Do what uvicorn does with a head, with a cycle of ours, and without what is never asked of it."""
        parser = self.parser
        version = parser.get_http_version()
        scope: Any = self.scope
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _url_parts(self.url)
        if version != "1.1":
            scope["http_version"] = version
        before = self.cycle
        self.cycle = exchange = Exchange(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = self._extensions
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:
            if self._current is None or not self._current.is_watched:
                # Who doesn't read doesn't hear of a client that leaves either.
                self.flow.pause_reading()
            if self.pipeline is _NOBODY_WAITS:
                self.pipeline = deque()
            self.pipeline.appendleft((exchange, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current = cast(Exchange, cycle)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Begin the next request that waits here, or the time that the connection may rest.

        The guard's sweep ends that, in place of a timer of the loop for each request (4 µs).
        """
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._deadlines.phase == IDLE:
            self._deadlines.due = self._guard.tick + self._guard.keep_alive_ticks
            # A connection that rests keeps nothing of what it asked for: thousands may.
            self.scope = self.cycle.scope = _NO_REQUEST
            self.cycle.message_event = _NO_NEWS

    def _when_left(self, told: Callable[[], None]) -> None:
        """Have `told` called if the client leaves before the answer that is being made was sent."""
        assert self._current is not None
        self._current.when_left(told)

    def _push(self, body: bytes) -> bool:
        """Send a piece of the answer that is being made at once, if that needs no waiting."""
        assert self._current is not None
        return self._current.push(body)


@lru_cache(maxsize=64)
def _url_parts(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, raw path and query. Raises HttpParserError or UnicodeDecodeError, as uvicorn would."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
