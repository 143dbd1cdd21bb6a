"""What a client sends on one connection, parsed within the guard's limits, and refused beyond them.

A request has a Host of ours, a bounded head and a bounded body; whoever sends something else is told why, and
the connection ends.
"""

from typing import NoReturn

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from chatvault.gateway import guard_answers as answers
from chatvault.gateway.deadlines import BODY, HEAD, IDLE, OVER
from chatvault.gateway.exchanges import Exchanges
from chatvault.gateway.guard import Guard
from chatvault.gateway.lingering import Lingering
from chatvault.gateway.upgrade_offers import has_body, without_offer

# Bytes of a chunked body that are no body: extensions and trailers, which nobody needs.
_MAX_BARREN_BYTES = 16_384
_TWO_HOSTS = b"\r\n"
# Named here, because super() would cost as much as what is done between.
_on_message_complete = HttpToolsProtocol.on_message_complete
_on_body = HttpToolsProtocol.on_body


class _Refused(Exception):
    """Leaves the parser's callback; the answer stands in the protocol."""


class Bounded(Exchanges):
    """One connection's input."""

    __slots__ = ("_answer", "_barren_bytes", "_head_bytes", "_host", "_is_offer_with_body", "_read_bytes")

    def __init__(self, config: Config, state: ServerState, guard: Guard, *, via: str) -> None:
        super().__init__(config, state, guard, via=via)
        self._read_bytes = 0
        self._head_bytes = 0
        self._barren_bytes = 0
        self._answer: bytes | None = None
        self._host: bytes | None = None
        self._is_offer_with_body = False

    @property
    def is_in_body(self) -> bool:
        """Whether a body is on its way, and not whole yet."""
        return self._deadlines.phase == BODY

    # --- what it sends

    def data_received(self, data: bytes) -> None:
        """Parse what came, within the limits."""
        deadlines = self._deadlines
        phase = deadlines.phase
        if phase == OVER:
            return
        guard = self._guard
        if phase < HEAD:
            deadlines.phase = HEAD
            deadlines.due = guard.tick + guard.head_ticks
            self._head_bytes = 0
        self._read_bytes = len(data)
        body_bytes = deadlines.body_bytes
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._pass_over_offer(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._end(self._answer or answers.NOT_HTTP)
            return
        phase = deadlines.phase
        if phase == HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > guard.max_head_bytes:
                self._end(answers.head_too_large(guard.max_head_bytes, guard.max_headers))
        elif phase == BODY:
            self._look_at_body(len(data), deadlines.body_bytes != body_bytes)

    def _pass_over_offer(self, rest: bytes) -> None:
        """Go on in HTTP/1.1 where another protocol was offered."""
        if self._is_offer_with_body:
            self._is_offer_with_body = False
            rest = without_offer(self.parser.get_method(), self.url, self.headers) + rest
            self.parser = httptools.HttpRequestParser(self)
        if rest:
            self.data_received(rest)

    def _look_at_body(self, read_bytes: int, has_grown: bool) -> None:
        """Bound a body that did not come in one piece with its head."""
        self._barren_bytes = 0 if has_grown else self._barren_bytes + read_bytes
        if self._barren_bytes > _MAX_BARREN_BYTES or len(self.headers) > self._guard.max_headers:
            self._end(answers.BARREN_BODY)
            return
        if self._deadlines.body_bytes > self._guard.limits.max_body_bytes and self.cycle.response_complete:
            self.transport.close()
        elif self.cycle.transport is self.transport and not self.cycle.response_complete:
            self.cycle.transport = Lingering(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        name = name.lower()
        if name == b"host" and self._deadlines.phase != BODY:
            # A trailer of that name would be the next request's.
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
            self._raise(answers.head_too_large(guard.max_head_bytes, guard.max_headers))
        if self.pipeline and len(self.pipeline) >= guard.limits.max_pipelined:
            self._raise(answers.TOO_MANY_WAITING)
        if self.parser.should_upgrade() and has_body(self.headers):
            if self.parser.get_method() == b"CONNECT":
                # What stands behind it is another protocol's, with or without an offer.
                self._raise(answers.NOT_HTTP)
            self._is_offer_with_body = True
            return
        deadlines = self._deadlines
        deadlines.phase = BODY
        deadlines.body_bytes = deadlines.body_seen = self._barren_bytes = 0
        deadlines.body_since = guard.tick
        deadlines.due = guard.tick + guard.body_ticks
        self._begin_exchange()
        # Trailers would be added to the headers of a request that is being answered by them.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Count a piece of a body."""
        self._deadlines.body_bytes += len(body)
        _on_body(self, body)

    def on_message_complete(self) -> None:
        """Note a request's end."""
        if self._is_offer_with_body:
            return
        deadlines, guard = self._deadlines, self._guard
        deadlines.phase = IDLE
        deadlines.due = guard.tick + guard.keep_alive_ticks
        _on_message_complete(self)

    def _check_host(self, host: bytes | None) -> None:
        if host is None or host == _TWO_HOSTS:
            self._raise(answers.NO_HOST if host is None else answers.TWO_HOSTS)
        own = self.server[0] if self.server else None
        if not self._guard.hosts.allows(host, own=own):
            self._raise(answers.foreign_host(host))

    def _check_head_size(self) -> None:
        guard = self._guard
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > guard.max_head_bytes:
            self._raise(answers.head_too_large(guard.max_head_bytes, guard.max_headers))

    # --- how it ends

    def _raise(self, answer: bytes) -> NoReturn:
        self._answer = answer
        raise _Refused

    def _end(self, answer: bytes) -> None:
        """Say why, if nothing else is being said on this connection, and close it."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started or self._deadlines.phase != BODY or self.pipeline:
                self._deadlines.phase = OVER
                self.transport.abort()
                return
            # The app waits for this body: it learns that there will be no more of it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(answer)
        self.linger()

    def linger(self) -> None:
        """Close in a while: what is still coming would reset the connection, and with it our answer."""
        self._deadlines.phase = OVER
        self._deadlines.due = self._guard.tick + self._guard.linger_ticks
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def eof_received(self) -> None:
        """Take it that the client has left: nothing more comes from there, and the transport closes.

        A client that only closes its own half looks like one that has gone: TCP sends one FIN for both, and
        TLS 1.2 ends both ways at once. To wait for the difference would cost tokens that nobody reads.
        """
        if self._deadlines.phase == OVER:
            self.transport.close()
        elif self._current is not None:
            # Now: what the client has not read yet may keep the connection for as long as it likes.
            self._current.leave()
