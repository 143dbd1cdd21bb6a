"""The loop around a provider's stream of events, whatever they mean."""

from abc import ABC, abstractmethod

from chatvault.core.metering import Meter
from chatvault.core.sse import EventFramer, EventTooLarge
from chatvault.errors import ProviderBroke, ProviderError
from chatvault.providers.pump import Pump, Take
from chatvault.providers.upstream import Answer, broken_off, request_id, run_out


class EventReader(ABC):
    """Read a stream of events; see `providers.base.Stream`. A subclass says what they mean.

    `_take` sets `_is_done` once the answer is whole, and `_error` where it can't go on: what came before an
    error still goes out, and the next read raises it.
    """

    def __init__(self, answer: Answer, *, provider: str) -> None:
        self.meter = Meter()
        self.meter.upstream_request_id = request_id(answer)
        self._answer = answer
        self._provider = provider
        self._framer = EventFramer()
        self._is_done = False
        self._has_body_ended = False
        self._error: ProviderError | None = None

    async def read(self) -> bytes:
        """Return the next whole events; see `providers.base.Stream`.

        The read after `data: [DONE]` sees to the body's own end, so that the connection can serve again.
        """
        while True:
            if self._error is not None:
                raise self._error
            if self._is_done:
                if not self._has_body_ended:
                    self._has_body_ended = True
                    await run_out(self._answer)
                return b""
            if out := self._digest(await self._answer.read()):
                return out

    async def pump(self, take: Take) -> bytes:
        """Hand whole events to `take` as they come; see `providers.base.Stream`."""
        if self._is_over:
            return await self.read()
        pump = Pump(self._answer, self._digest, is_over=lambda: self._is_over, take=take)
        return await pump.run() or await self.read()

    @property
    def _is_over(self) -> bool:
        return self._is_done or self._error is not None

    def _digest(self, data: bytes) -> bytes:
        """Return what goes out for one read of the answer, b"" for its end."""
        try:
            events = self._framer.feed(data) if data else self._framer.finish()
        except EventTooLarge as exc:
            raise ProviderBroke(
                f"{self._provider} sent an event that is too large",
                upstream_request_id=self.meter.upstream_request_id,
            ) from exc
        out = self._take(events, is_rest=not data) if events else b""
        if not data:
            self._body_ended(events)
        out = self._leaving(out)
        if data and not events and not out and not self._framer.is_comment:
            self._answer.payload_seen()
        return out

    def close(self) -> None:
        """Let go of the answer."""
        self._answer.close()

    @abstractmethod
    def _take(self, events: bytes, *, is_rest: bool) -> bytes:
        """Return what goes out for `events`; `is_rest` is what the body's end left without a blank line."""

    def _leaving(self, out: bytes) -> bytes:
        """Return what goes out in the end, with what has to follow it."""
        return out

    def _is_whole(self) -> bool:
        """Whether an answer that ended without saying so is whole."""
        return False

    def _body_ended(self, rest: bytes) -> None:
        self._has_body_ended = True
        if self._is_over:
            return
        if self._is_whole():
            self._is_done = True
        else:
            self._error = broken_off(self._provider, rest, request_id=self.meter.upstream_request_id)
