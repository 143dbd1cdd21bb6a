"""One request and its answer: uvicorn's cycle with a lean way out, and the news of a client that leaves.

An ASGI server holds an answer's head back until the first piece of its body is there: both go out in one
write. The head is checked as strictly as uvicorn does, in one pass over it in place of two patterns a header.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code != 0x09)
_NOT_IN_A_NAME = re.compile(rb'[\x00-\x20\x7f()<>@,;:\[\]={}\\"]')
# `name: ` of the headers that answers had so far.
_NAMES: dict[bytes, bytes] = {}
_MOST_NAMES = 256
_FRAMING = frozenset({b"content-length: ", b"transfer-encoding: ", b"connection: "})
# To copy a larger body behind its head would cost more than a second write.
_MOST_COPIED_BYTES = 65_536


class Exchange(RequestResponseCycle):
    """One request that is being answered on a connection."""

    _head = b""
    _ends_with_connection = False
    _told: Callable[[], None] | None = None
    has_ended = False
    """Whether the app has been given the end of the request's body."""

    def when_left(self, told: Callable[[], None]) -> None:
        """Have `told` called when the client goes away before the whole answer was sent.

        A task that waits for the same news in `receive` would cost each request 15 µs.
        """
        if self.disconnected:
            told()
            return
        # Reading has stopped where another request waits behind this one: then nobody would hear of it.
        self.flow.resume_reading()
        self._told = told

    @property
    def is_watched(self) -> bool:
        """Whether somebody wants to hear of it when the client goes away."""
        return self._told is not None

    def leave(self) -> None:
        """Note that the client has gone."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        self.message_event.set()
        if self._told is not None:
            self._told()

    async def receive(self) -> Any:
        """Return the next ASGI message of the request: at once where its whole body is there already."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return await super().receive()
        if not self.has_ended:
            self.has_ended = True
            self.flow.resume_reading()
            self.message_event.clear()
            body, self.body = bytes(self.body), bytearray()
            return {"type": "http.request", "body": body, "more_body": False}
        return await super().receive()

    async def send(self, message: Any) -> None:
        """Take one ASGI message of the answer. Raises RuntimeError for one that is out of place."""
        # A head is only kept: it waits for nobody, so that whoever is cut while it begins has begun.
        if self.flow.write_paused and self.response_started and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"an answer begins with http.response.start, not with {kind}")
            self._start(message["status"], message.get("headers", ()))
        elif kind != "http.response.body" or self.response_complete:
            raise RuntimeError(f"{kind} is out of place in an answer")
        else:
            self._go_on(message.get("body", b""), is_last=not message.get("more_body", False))

    def push(self, body: bytes) -> bool:
        """Send a further piece of the body at once; False, and nothing is sent, where that takes waiting.

        What `send` does without a turn of the event loop, for whoever is called by what comes in.
        """
        if self.flow.write_paused or not self.response_started or self.disconnected:
            return False
        self._go_on(body, is_last=False)
        return True

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[status][:-2]]
        says_close = False
        for name, value in (*self.default_headers, *headers):
            start = _NAMES.get(name) or _checked(name)
            lines.append(start + value)
            if start in _FRAMING:
                says_close = self._frame(start, value) or says_close
        if not self.keep_alive and not says_close:
            lines.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self._frame_by_itself(lines)
        head = b"\r\n".join(lines)
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * (len(lines) - 1):
            raise RuntimeError("a header's value holds a control character")
        self._head = head + b"\r\n\r\n"

    def _frame_by_itself(self, lines: list[bytes]) -> None:
        """Choose how an answer of unknown length ends: HTTP/1.0 knows no chunks (RFC 9112, 6.1)."""
        self._ends_with_connection = self.scope["http_version"] == "1.0"
        self.chunked_encoding = not self._ends_with_connection
        if self.chunked_encoding:
            lines.append(b"transfer-encoding: chunked")

    def _frame(self, start: bytes, value: bytes) -> bool:
        """Take in what a header says of where the answer ends; return whether it ends the connection too."""
        if start == b"content-length: " and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        elif start == b"transfer-encoding: " and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif start == b"connection: " and b"close" in [part.strip() for part in value.lower().split(b",")]:
            self.keep_alive = False
            return True
        return False

    def _go_on(self, body: bytes, *, is_last: bool) -> None:
        head = self._head
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = b""
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if is_last:
                data += b"0\r\n\r\n"
        elif self._ends_with_connection:
            data = body
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the answer is longer than its content-length")
            data = body
        if head:
            self._head = b""
            if len(data) > _MOST_COPIED_BYTES:
                self.transport.write(head)
            else:
                data = head + data
        if data:
            self.transport.write(data)
        if is_last:
            if self.expected_content_length:
                raise RuntimeError("the answer is shorter than its content-length")
            self.response_complete = True
            self._told = None
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _checked(name: bytes) -> bytes:
    """Return a header's `name: `, and remember it. Raises RuntimeError for what is no name."""
    if not name or _NOT_IN_A_NAME.search(name):
        raise RuntimeError(f"{name!r} is no name of a header")
    start = name.lower() + b": "
    if len(_NAMES) < _MOST_NAMES:
        _NAMES[name] = start
    return start
