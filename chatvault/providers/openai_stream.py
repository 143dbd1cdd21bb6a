"""A streamed answer of an OpenAI-shaped provider, passed on in its own bytes.

Most events need no look inside: they are counted and go out as they came, many at a time. Only those that
could hold a finish reason, usage, an error or the end are read (`_count_plain` tells them apart). Within JSON
strings quotes are escaped, so that a quoted key found in the bytes is a key.
"""

from collections.abc import Callable

import msgspec

from chatvault.core.metering import Meter
from chatvault.core.sse import EventFramer, EventTooLarge, payloads
from chatvault.errors import ProviderBroke, ProviderError
from chatvault.providers.openai_usage import WireUsage, usage_of
from chatvault.providers.openai_wire import rename_reasoning
from chatvault.providers.refusals import stream_error
from chatvault.providers.sse_out import DONE, ChunkWriter, fresh_id
from chatvault.providers.upstream import Answer, broken_off, request_id, run_out


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        return (self.content or "") + (self.reasoning_content or self.reasoning or "")


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    error: object = None


# An answer ends with a finish reason, usage, and [DONE]; some servers put one more between.
_LAST_EVENTS = 4
_DONE_EVENT = b"data: [DONE]\n\n"
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class OpenAIStream:
    """Read a stream of `chat.completion.chunk` events; see `providers.base.Stream`.

    `include_usage` is whether the client asked for the usage chunk. `listener` is handed every batch of
    events that goes out.
    """

    def __init__(
        self,
        answer: Answer,
        *,
        provider: str,
        include_usage: bool,
        listener: Callable[[bytes], None] | None = None,
    ) -> None:
        self.meter = Meter()
        self.meter.upstream_request_id = request_id(answer)
        self._answer = answer
        self._provider = provider
        self._include_usage = include_usage
        self._listener = listener
        self._framer = EventFramer()
        self._first: _Chunk | None = None
        self._frame_bytes = 0
        self._owes_usage = include_usage
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
            data = await self._answer.read()
            try:
                events = self._framer.feed(data) if data else self._framer.finish()
            except EventTooLarge as exc:
                raise ProviderBroke(f"{self._provider} sent an event that is too large") from exc
            out = self._take(events) if events else b""
            if not data:
                self._body_ended(events)
            out += self._ending()
            if out:
                if self._listener is not None:
                    self._listener(out)
                return out
            if data and not events and not self._framer.is_comment:
                self._answer.payload_seen()

    def close(self) -> None:
        """Let go of the answer."""
        self._answer.close()

    def _take(self, events: bytes) -> bytes:
        if not self._include_usage:
            events = events.replace(b',"usage":null', b"")
        number = _count_plain(events) if self._frame_bytes else 0
        return self._pass(events, number) if number else self._take_apart(events)

    def _take_apart(self, events: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while not self._frame_bytes and at < len(events) and not self._is_over:
            end = events.find(b"\n\n", at) + 2
            out.append(self._look_into(events[at:end]))
            at = end
        events = b"" if self._is_over else events[at:]
        # In a burst it is the last events that need a look: what stands before them goes in one piece.
        cut = _start_of_last(events)
        number = _count_plain(events[:cut])
        if number:
            out.append(self._pass(events[:cut], number))
            events = events[cut:]
        for event in events.split(b"\n\n"):
            if not event or self._is_over:
                continue
            event += b"\n\n"
            out.append(self._pass(event, 1) if _count_plain(event) else self._look_into(event))
        return b"".join(out)

    @property
    def _is_over(self) -> bool:
        return self._is_done or self._error is not None

    def _pass(self, events: bytes, number: int) -> bytes:
        self._answer.payload_seen()
        self.meter.deltas += number
        text_bytes = len(events) - number * self._frame_bytes
        if text_bytes > 0:
            self.meter.output_chars += text_bytes
        return rename_reasoning(events)

    def _look_into(self, event: bytes) -> bytes:
        try:
            return self._read(event)
        except ProviderError as exc:
            # What came before it still goes out; the next read raises.
            self._error = exc
            return b""

    def _read(self, event: bytes) -> bytes:
        found = payloads(event)
        if not found:
            return b""
        self._answer.payload_seen()
        payload = found[0]
        if payload.strip() == b"[DONE]":
            self._is_done = True
            return b""
        try:
            chunk = _decode_chunk(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Odd, but the client may know what it means: the books can do without it.
            self.meter.deltas += 1
            return event
        if chunk.error is not None or event.startswith(b"event: error"):
            raise stream_error(self._provider, payload, request_id=self.meter.upstream_request_id)
        if self._first is None:
            self._open(chunk)
        if chunk.usage is not None:
            self.meter.usage = usage_of(chunk.usage)
        if not chunk.choices:
            return self._usage_chunk(chunk, event)
        text_bytes = self._count(chunk.choices)
        if text_bytes and not self._frame_bytes:
            # What stands around the text is much the same in each chunk: from now on, it need not be read.
            self._frame_bytes = len(event) - text_bytes
        return rename_reasoning(event if chunk.usage is None else _without_usage(payload))

    def _open(self, chunk: _Chunk) -> None:
        self._first = chunk
        self.meter.upstream_model = chunk.model
        if self.meter.upstream_request_id is None:
            self.meter.upstream_request_id = chunk.id

    def _usage_chunk(self, chunk: _Chunk, event: bytes) -> bytes:
        if chunk.usage is None:
            return event
        if self._include_usage and chunk.choices is not None:
            self._owes_usage = False
            return event
        # Without `choices` it breaks strict clients: one of our own is written at the end.
        return b""

    def _count(self, choices: list[_Choice]) -> int:
        text_bytes = 0
        for choice in choices:
            if choice.finish_reason is not None:
                self.meter.finish_reason = choice.finish_reason
            if choice.delta is not None:
                text = choice.delta.text
                if text:
                    self.meter.deltas += 1
                    self.meter.output_chars += len(text)
                    text_bytes += len(text.encode())
        return text_bytes

    def _body_ended(self, rest: bytes) -> None:
        self._has_body_ended = True
        if self._is_done or self._error is not None:
            return
        # Some servers never say [DONE]; one that gave a finish reason and ended in order is whole.
        if self.meter.finish_reason is not None:
            self._is_done = True
        else:
            self._error = broken_off(self._provider, rest, request_id=self.meter.upstream_request_id)

    def _ending(self) -> bytes:
        if not self._is_done:
            return b""
        if not self._owes_usage or self.meter.usage is None:
            return DONE
        first = self._first or _Chunk()
        writer = ChunkWriter(
            id=first.id or fresh_id(), created=int(first.created or 0), model=first.model or ""
        )
        return writer.usage(self.meter.usage) + DONE


def _count_plain(events: bytes) -> int:
    """Return how many whole events these are if none of them needs a look inside, else 0."""
    if events[:5] != b"data:" or events.endswith(_DONE_EVENT):
        return 0
    # bytes.count takes half the time that `in` does, on pieces as short as these; in a burst each takes 8 µs.
    count = events.count
    number = nulls = count(b'"finish_reason":null')
    if count(b"\n") != 2 * nulls:
        # Not all of them are one line with a choice that goes on: rare enough to look again.
        number = count(b"\n\n")
        if count(b'"finish_reason"') != nulls or count(b"[DONE]") or count(b"\n:"):
            return 0
    usages = count(b'"usage"')
    if count(b'"error"') or (usages and usages != count(b'"usage":null')):
        return 0
    return number


def _start_of_last(events: bytes) -> int:
    """Return where the last few of whole events begin, 0 where there are no others."""
    start = len(events)
    for _ in range(_LAST_EVENTS + 1):
        start = events.rfind(b"\n\n", 0, start)
        if start < 0:
            return 0
    return start + 2


def _without_usage(payload: bytes) -> bytes:
    chunk = msgspec.json.decode(payload)
    chunk.pop("usage", None)
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
