"""One connection: a request's bytes out, an answer's bytes in, and a clock that notices silence.

A connection serves one answer at a time and frees itself the moment that answer's last byte has come, however
slowly the answer is read afterwards. Bytes that come while nobody has asked for anything cut it: they could
only be taken for the answer to somebody else's request. Above `UNREAD_LIMIT` bytes that nobody has read, the
socket is left alone until the reader has dealt with them and comes for more; a read takes `READ_BYTES` at
most, where asyncio's own would take 256 kB. So next to nothing waits here for a client that has stopped
reading, however fast its provider is.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpResponseParser

from chatvault.errors import ProviderError, ProviderFailed
from chatvault.providers.http import faults
from chatvault.providers.http.clock import SilenceClock, Timeouts
from chatvault.providers.http.incoming import HEAD_LIMIT
from chatvault.providers.http.outgoing import Outgoing
from chatvault.providers.http.response import Response

UNREAD_LIMIT = 8 * 1024
READ_BYTES = 25 * 1024
# One for all: what is read is handed to the parser, which copies it, before anything else is read.
_buffer = memoryview(bytearray(READ_BYTES))


class Connection(asyncio.BufferedProtocol):
    """A connection to `label`: `on_free` gets it after each answer that allows another, `on_lost` once."""

    __slots__ = (
        "_answer",
        "_clock",
        "_is_manual",
        "_is_paused",
        "_label",
        "_on_free",
        "_on_lost",
        "_out",
        "_parser",
        "_poll",
        "_timeouts",
        "idle_since",
        "loop",
        "transport",
    )

    def __init__(
        self,
        label: str,
        loop: asyncio.AbstractEventLoop,
        *,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.loop = loop
        self.idle_since = 0.0
        self.transport: asyncio.Transport | None = None
        self._label = label
        self._on_free = on_free
        self._on_lost = on_lost
        self._answer: Response | None = None
        self._out = Outgoing()
        self._parser: Any = None
        self._poll = select.poll()
        self._clock = SilenceClock(loop, self._silent)
        self._timeouts = Timeouts()
        self._is_paused = False
        self._is_manual = False

    # What the pool asks for.

    def is_usable(self) -> bool:
        """Look whether an idle connection can carry a request: open, and with nothing to be read on it.

        Readable means closed by the server, or bytes nobody asked for; the loop may not have seen either yet.
        """
        transport = self.transport
        return transport is not None and not transport.is_closing() and not self._poll.poll(0)

    def start(
        self,
        answer: Response,
        head: bytes,
        body: bytes = b"",
        *,
        timeouts: Timeouts,
        manual_clock: bool = False,
        is_whole: bool = True,
    ) -> None:
        """Send a request; unless it `is_whole`, `send` and `finish_sending` bring the rest."""
        if self.transport is None or self.transport.is_closing():
            answer.fail(self._broken_off(answer, None))
            return
        self._answer = answer
        self._timeouts = timeouts
        self._is_manual = manual_clock
        answer.connection = self
        answer.parser = self._parser = HttpResponseParser(answer)
        self._out.start(head, body, is_whole=is_whole)
        self._set_clock()

    async def send(self, data: bytes) -> bool:
        """Send a further piece and wait until it has drained, more or less.

        Returns whether the next one is wanted: not after the answer has ended, failed, or is an error.
        """
        answer, out = self._answer, self._out
        if answer is None or answer.status >= 400:
            return False
        out.send(data)
        self._set_clock()
        if not out.can_write:
            try:
                await out.wait()
            except asyncio.CancelledError:
                answer.close()
                raise
        return self._answer is answer and answer.status < 400

    def finish_sending(self) -> None:
        """Say that `send` gave all there is: what is waited for now is the answer."""
        self._out.is_whole = True
        self._set_clock()

    def cut(self) -> None:
        """End the answer that is on its way, if there is one, and the connection."""
        if self._answer is not None:
            self._answer.close()
        self.abandon()

    # What the answer asks for.

    def abandon(self) -> None:
        """Cut the connection at once; the answer has already parted from it."""
        self._answer = self._parser = None
        self._out.drop()
        if self.transport is not None:
            self.transport.abort()

    def resume(self) -> None:
        """Take in bytes again, if that was stopped."""
        if self._is_paused and self.transport is not None:
            self._is_paused = False
            self.transport.resume_reading()
            # A pause is the reader's silence, not the other side's.
            self._clock.go_on()
            if not self._is_manual:
                self._clock.restart()

    def restart_clock(self) -> None:
        """Count the silence from now on."""
        self._clock.restart()

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # uvloop's transports have the methods but not the base class.
        self.transport = cast(asyncio.Transport, transport)
        self._out.transport = self.transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the transport the room for one read."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand what came to the parser, and what that made of it to the reader."""
        answer = self._answer
        if answer is None:
            self.abandon()
            return
        answer.has_begun = True
        is_head = not answer.status
        try:
            self._parser.feed_data(_buffer[:nbytes])
        except HttpParserError as exc:
            if not answer.is_done:
                answer.fail(faults.nonsense(self._label, exc, has_head=bool(answer.status)))
                return
            answer.is_keepable = False
        if is_head and not answer.count_head(nbytes):
            answer.status = 0
            answer.fail(
                ProviderFailed(f"{self._label}: the answer's headers are longer than {HEAD_LIMIT} bytes")
            )
            return
        if answer.is_done:
            self._finish(answer)
        else:
            self._go_on(answer, is_head=is_head)
        answer.wake()
        is_much = answer.unread > UNREAD_LIMIT or (nbytes > UNREAD_LIMIT and not answer.is_wanted)
        # Whoever waits for a head takes nothing yet, and would never ask for more.
        if is_much and answer.status:
            self._pause(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is still waiting: well, where the connection's end is the body's, else badly."""
        answer = self._answer
        self._clock.stop()
        if answer is not None:
            if exc is None and answer.ends_with_connection():
                answer.is_done = True
                answer.detach()
                answer.wake()
            else:
                answer.fail(self._broken_off(answer, exc))
        self.abandon()
        self.transport = None
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Stop sending."""
        self._out.can_write = False

    def resume_writing(self) -> None:
        """Go on sending."""
        self._out.resume()
        if self._answer is not None:
            self._set_clock()

    # Inside.

    def _go_on(self, answer: Response, *, is_head: bool) -> None:
        if is_head and self._timeouts.head is not None:
            self._set_clock()
        elif not self._is_manual:
            self._clock.restart()
        if answer.status >= 400:
            self._out.release()

    def _pause(self, answer: Response) -> None:
        if self._answer is answer and not self._is_paused and self.transport is not None:
            self._is_paused = True
            self._clock.hold()
            self.transport.pause_reading()

    def _finish(self, answer: Response) -> None:
        self._answer = self._parser = None
        answer.detach()
        self.resume()
        is_open = self.transport is not None and not self.transport.is_closing()
        if answer.is_keepable and is_open and self._out.is_over:
            self._on_free(self)
        else:
            self.abandon()

    def _set_clock(self) -> None:
        if self._out.is_stuck:
            self._clock.set(self._timeouts.write)
        elif self._out.is_whole:
            timeouts, answer = self._timeouts, self._answer
            is_waiting = timeouts.head is not None and answer is not None and not answer.status
            self._clock.set(timeouts.head if is_waiting else timeouts.read)
        else:
            # The caller has more to send, and takes its time.
            self._clock.set(None)

    def _silent(self) -> None:
        answer = self._answer
        if answer is None:
            return
        if answer.parts or self._is_paused:
            # Not the other side is silent: what it said has not been dealt with yet.
            self._set_clock()
        elif self._out.is_stuck:
            answer.fail(faults.write_timed_out(self._label, self._clock.limit))
        else:
            answer.fail(faults.timed_out(self._label, self._clock.limit, has_head=bool(answer.status)))

    def _broken_off(self, answer: Response, cause: Exception | None) -> ProviderError:
        error = faults.broken_off(self._label, has_begun=answer.has_begun, has_head=bool(answer.status))
        error.__cause__ = cause
        return error
