"""uvicorn's HTTP protocol with the guard before it: what it parses has a Host of ours, a bounded head, a
bounded body, and comes in time.

This file and `exchange` know the inside of uvicorn's classes; the pinned versions are those that they are
tested with.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chatvault.gateway import guard_answers as answers
from chatvault.gateway.exchange import Exchange
from chatvault.gateway.guard import Guard
from chatvault.gateway.lingering import Lingering, address_of, turn_away
from chatvault.gateway.unsent import limit_unsent

# Bytes of a chunked body that are no body: extensions and trailers, which nobody needs.
_MAX_BARREN_BYTES = 16_384


# What a connection is sending: nothing yet, nothing just now, a head, a body, nothing that is looked at.
# Plain numbers: they are compared twice for each request.
_FIRST, _IDLE, _HEAD, _BODY, _OVER = range(5)

_TWO_HOSTS = b"\r\n"
_NO_REQUEST: Any = {}
# Nobody waits for it: the answer that it was about has been given.
_NO_NEWS = asyncio.Event()
# Hardly a client sends its next request before the answer to this one, and an empty deque is 700 bytes.
_NOBODY_WAITS: deque[tuple[RequestResponseCycle, ASGI3Application]] = deque(maxlen=0)
# Named here, because super() would cost as much as what is done between.
_on_message_complete = HttpToolsProtocol.on_message_complete
_on_body = HttpToolsProtocol.on_body


class _Refused(Exception):
    """Leaves the parser's callback; the answer stands in the protocol."""


class Guarded(HttpToolsProtocol):
    """One connection, over a socket, TLS or a tunnel's channel.

    `is_counted` False: the layer below has let it in already, and will let it go.
    """

    def __init__(
        self, config: Config, state: ServerState, guard: Guard, *, via: str = "local", is_counted: bool = True
    ) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.pipeline = _NOBODY_WAITS
        self._guard = guard
        self._via = via
        self._extensions: dict[str, object] = {
            "chatvault.via": via,
            "chatvault.when_left": self._when_left,
            "chatvault.push": self._push,
        }
        self._is_counted = is_counted
        self._is_in = False
        self._phase = _FIRST
        self._due = 0
        self._read_bytes = 0
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_seen = 0
        self._body_since = 0
        self._barren_bytes = 0
        self._stalled_since: int | None = None
        self._closing_since: int | None = None
        self._answer: bytes | None = None
        self._host: bytes | None = None
        self._is_offer_with_body = False
        self._offer_line = b""
        # The one that is being answered; `cycle` is the one that came in last.
        self._current: Exchange | None = None

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in, or turn it away."""
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast(asyncio.Transport, transport)
        guard = self._guard
        if self._is_counted:
            reason = guard.enter(self, address_of(transport), via=self._via)
            if reason is not None:
                turn_away(transport, reason)
                return
        self._is_in = True
        self._due = guard.tick + guard.first_byte_ticks
        doorway = transport.get_extra_info("doorway")
        if doorway is not None:
            self._extensions["chatvault.doorway"] = doorway
        super().connection_made(transport)
        # Now, since it may pause what has been made here: the end of a handshake can still be unsent.
        limit_unsent(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let it go."""
        self._guard.leave(self)
        # It holds a method of this connection: neither would be freed before the next garbage collection.
        self._extensions.clear()
        if self._is_in:
            if self._current is not None:
                self._current.leave()
            super().connection_lost(exc)
            if self.cycle is not None:
                # Else the two hold each other until the garbage collector comes by.
                self.cycle.transport = self.transport

    @property
    def is_in_body(self) -> bool:
        """Whether a body is on its way, and not whole yet."""
        return self._phase == _BODY

    @property
    def is_connected(self) -> bool:
        """Whether the layer below has made its connection."""
        return self._is_in

    def has_stalled(self, seconds: float) -> bool:
        """Whether the client has taken nothing of what waits for it for longer than `seconds`."""
        since, guard = self._stalled_since, self._guard
        return since is not None and guard.tick - since > guard.limits.ticks(seconds)

    def check(self, tick: int) -> None:
        """End it if it keeps us waiting: called once a tick."""
        transport = self.transport
        guard = self._guard
        if transport.is_closing():
            # What it was sent last is not read: closing waits for that, but not for ever.
            if self._closing_since is None:
                self._closing_since = tick
            elif tick - self._closing_since > guard.stall_ticks:
                transport.abort()
        elif self._stalled_since is not None and tick - self._stalled_since > guard.stall_ticks:
            transport.abort()
        elif tick > self._due:
            self._overdue(tick)

    def idleness(self) -> tuple[int, int] | None:
        """How little is lost with it; None while a request is being answered."""
        cycle = cast(RequestResponseCycle | None, self.cycle)
        if cycle is None:
            return (0, self._due)
        return (1, self._body_since) if cycle.response_complete and not self.pipeline else None

    def evict(self) -> None:
        """Make room."""
        self.transport.abort()

    def _overdue(self, tick: int) -> None:
        phase = self._phase
        if phase == _IDLE:
            if self.cycle is not None and self.cycle.response_complete and not self.pipeline:
                self.transport.close()
            return
        if phase == _OVER:
            self.transport.abort()
        elif phase == _FIRST:
            self.transport.close()
        elif self.flow.read_paused:
            # It is us who don't read: the request before this one is still being answered.
            self._due = tick + (self._guard.head_ticks if phase == _HEAD else self._guard.body_ticks)
        elif phase == _HEAD:
            self._end(answers.HEAD_TOO_SLOW)
        else:
            came = self._body_bytes - self._body_seen
            self._body_seen = self._body_bytes
            self._due = tick + self._guard.body_ticks
            if came < self._guard.body_floor_bytes:
                self._end(answers.BODY_TOO_SLOW)

    def pause_writing(self) -> None:
        """Note since when the client has not been reading."""
        self._stalled_since = self._guard.tick
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads."""
        self._stalled_since = None
        super().resume_writing()

    # --- what it sends

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the limits."""
        phase = self._phase
        if phase == _OVER:
            return
        guard = self._guard
        if phase < _HEAD:
            self._phase = _HEAD
            self._due = guard.tick + guard.head_ticks
            self._head_bytes = 0
        self._read_bytes = len(data)
        body_bytes = self._body_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._end(self._answer or answers.NOT_HTTP)
            return
        phase = self._phase
        if phase == _HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > guard.max_head_bytes:
                self._end(answers.head_too_large(self._guard.max_head_bytes, self._guard.max_headers))
        elif phase == _BODY:
            self._look_at_body(len(data), self._body_bytes != body_bytes)

    def _pass_over_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where another protocol was offered: Java's client does so, with its body behind.

        The parser takes such a body for the other protocol, so it is shown the request without the offer.
        """
        if self._is_offer_with_body:
            self._is_offer_with_body = False
            head = [self._offer_line]
            for name, value in self.headers:
                if name == b"connection":
                    value = b"close" if b"close" in value.lower() else b"keep-alive"
                if name not in (b"upgrade", b"http2-settings"):
                    head.append(b"%b: %b" % (name, value))
            self.parser = httptools.HttpRequestParser(self)
            rest = b"\r\n".join([*head, b"", rest])
        if rest:
            self.data_received(rest)

    def _look_at_body(self, read_bytes: int, has_grown: bool) -> None:
        """Bound a body that did not come in one piece with its head."""
        self._barren_bytes = 0 if has_grown else self._barren_bytes + read_bytes
        if self._barren_bytes > _MAX_BARREN_BYTES or len(self.headers) > self._guard.max_headers:
            self._end(answers.BARREN_BODY)
            return
        if self._body_bytes > self._guard.limits.max_body_bytes and self.cycle.response_complete:
            self.transport.close()
        elif self.cycle.transport is self.transport and not self.cycle.response_complete:
            self.cycle.transport = Lingering(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        name = name.lower()
        if name == b"host":
            self._host = value if self._host is None else _TWO_HOSTS
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Look at a request's head, then have it answered."""
        guard = self._guard
        if self._host not in guard.hosts.seen:
            self._check_host(self._host)
        self._host = None
        if self._head_bytes + self._read_bytes > guard.max_head_bytes:
            self._check_head_size()
        if len(self.headers) > guard.max_headers:
            self._raise(answers.head_too_large(self._guard.max_head_bytes, self._guard.max_headers))
        if self.pipeline and len(self.pipeline) >= guard.limits.max_pipelined:
            self._raise(answers.TOO_MANY_WAITING)
        if self.parser.should_upgrade() and self._has_body():
            self._keep_offer()
            return
        self._phase = _BODY
        self._body_bytes = self._body_seen = self._barren_bytes = 0
        self._body_since = guard.tick
        self._due = guard.tick + guard.body_ticks
        self._begin_exchange()
        # Trailers would be added to the headers of a request that is being answered by them.
        self.headers = []

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

    def _when_left(self, told: Callable[[], None]) -> None:
        """Have `told` called if the client leaves before the answer that is being made was sent."""
        assert self._current is not None
        self._current.when_left(told)

    def _push(self, body: bytes) -> bool:
        """Send a piece of the answer that is being made at once, if that needs no waiting."""
        assert self._current is not None
        return self._current.push(body)

    def on_body(self, body: bytes) -> None:
        """Count a piece of a body."""
        self._body_bytes += len(body)
        _on_body(self, body)

    def on_message_complete(self) -> None:
        """Note a request's end."""
        if self._is_offer_with_body:
            return
        self._phase = _IDLE
        self._due = self._guard.tick + self._guard.keep_alive_ticks
        _on_message_complete(self)

    def on_response_complete(self) -> None:
        """Begin the next request that waits here, or the time that the connection may rest.

        The guard's sweep ends that, in place of a timer of the loop for each request (4 µs).
        """
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._phase == _IDLE:
            self._due = self._guard.tick + self._guard.keep_alive_ticks
            # A connection that rests keeps nothing of what it asked for: thousands may.
            self.scope = self.cycle.scope = _NO_REQUEST
            self.cycle.message_event = _NO_NEWS

    def _keep_offer(self) -> None:
        method = self.parser.get_method()
        if method == b"CONNECT":
            # What stands behind it is another protocol's, with or without an offer.
            self._raise(answers.NOT_HTTP)
        self._is_offer_with_body = True
        self._offer_line = b"%b %b HTTP/1.1" % (method, self.url)

    def _has_body(self) -> bool:
        return any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)

    def _check_host(self, host: bytes | None) -> None:
        if host is None or host == _TWO_HOSTS:
            self._raise(answers.NO_HOST if host is None else answers.TWO_HOSTS)
        own = self.server[0] if self.server else None
        if not self._guard.hosts.allows(host, own=own):
            self._raise(answers.foreign_host(host))

    def _check_head_size(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._guard.max_head_bytes:
            self._raise(answers.head_too_large(self._guard.max_head_bytes, self._guard.max_headers))

    # --- how it ends

    def _raise(self, answer: bytes) -> NoReturn:
        self._answer = answer
        raise _Refused

    def _end(self, answer: bytes) -> None:
        """Say why, if nothing else is being said on this connection, and close it."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self._phase != _BODY or self.pipeline:
                self._phase = _OVER
                self.transport.abort()
                return
            # The app waits for this body: it learns that there will be no more of it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(answer)
        self.linger()

    def linger(self) -> None:
        """Close in a while: what is still coming would reset the connection, and with it our answer."""
        self._phase = _OVER
        self._due = self._guard.tick + self._guard.linger_ticks
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def eof_received(self) -> None:
        """Nothing more comes from there."""
        if self._phase == _OVER:
            self.transport.close()


@lru_cache(maxsize=64)
def _url_parts(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, raw path and query. Raises HttpParserError or UnicodeDecodeError, as uvicorn would."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
