"""The streamed answer as it goes out to a client: its start, its events, its pings, its end."""

from collections.abc import Callable

from chatvault.gateway.answers import SSE_HEADERS, Headers, Send

PING = b": ping\n\n"
SSE_DONE = b"data: [DONE]\n\n"
# A quiet stream gets a ping after this many seconds: proxies and phones give up on a silent connection.
PING_AFTER_SECONDS = 15


Push = Callable[[bytes], bool]
"""Sends a piece of a body at once, or returns False: then it has to be awaited."""


class SseAnswer:
    """Send one stream; the response starts with the first bytes, whoever sends them: the relay, or a ping.

    `beats` grows with everything that is sent: whoever looks twice and sees the same number saw silence.
    """

    __slots__ = ("_headers", "_push", "_send", "beats", "has_started", "is_over")

    def __init__(self, send: Send, headers: Headers, push: Push | None = None) -> None:
        self._send = send
        self._push = push
        self._headers = headers
        self.has_started = False
        self.is_over = False
        self.beats = 0

    async def write(self, events: bytes) -> None:
        """Send whole events on their way."""
        self.beats += 1
        if not self.has_started:
            await self._start()
        await self._send({"type": "http.response.body", "body": events, "more_body": True})

    def offer(self, events: bytes) -> bool:
        """Send whole events at once; False, and nothing is sent, where `write` would have to wait."""
        if self._push is None or not self.has_started or not self._push(events):
            return False
        self.beats += 1
        return True

    async def end(self, last_events: bytes = b"") -> None:
        """Send the last events and end the response."""
        self.is_over = True
        if not self.has_started:
            await self._start()
        await self._send({"type": "http.response.body", "body": last_events})

    async def ping(self) -> None:
        """Send a comment that keeps the connection alive and that no client reads.

        A client that does not take what waits for it already gets none: here a ping would wait as well, and
        might come after the end.
        """
        if self.is_over:
            return
        if self._push is None:
            await self.write(PING)
            return
        if not self.has_started:
            await self._start()
        self.offer(PING)

    async def _start(self) -> None:
        self.has_started = True
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [*SSE_HEADERS, *self._headers]}
        )
