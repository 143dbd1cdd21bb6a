"""A streamed answer of an OpenAI-shaped provider, passed on in its own bytes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from chatvault.core.sse import payloads
from chatvault.core.text import utf8_length
from chatvault.core.usage import Usage
from chatvault.errors import ProviderBroke, ProviderError
from chatvault.providers.event_reader import EventReader
from chatvault.providers.openai_chunk import Choice, Chunk
from chatvault.providers.openai_chunk_reader import ChunkReader
from chatvault.providers.openai_mending import as_events
from chatvault.providers.openai_plain import count_plain, is_json, start_of_last
from chatvault.providers.openai_usage import usage_of
from chatvault.providers.openai_wire import rename_reasoning
from chatvault.providers.refusals import stream_error
from chatvault.providers.sse_out import DONE, ChunkWriter, fresh_id
from chatvault.providers.upstream import Answer
from chatvault.providers.wire import UNREADABLE

# What stands around the arguments in a piece of a tool call: `[{"index":0,"function":{"arguments":""}}]`.
_CALL_FRAME_BYTES = 41


class OpenAIStream(EventReader):
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
        super().__init__(answer, provider=provider)
        self._include_usage = include_usage
        self._listener = listener
        self._first: Chunk | None = None
        self._frame_bytes = 0
        self._owes_usage = include_usage
        self._running: Usage | None = None
        self._chunks = ChunkReader()
        self._is_odd = False

    def _take(self, events: bytes, *, is_rest: bool) -> bytes:
        if not self._include_usage:
            events = events.replace(b',"usage":null', b"")
        number = count_plain(events) if self._frame_bytes and not self._is_odd else 0
        return self._pass(events, number) if number and is_json(events, number) else self._take_apart(events)

    def _take_apart(self, events: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while (not self._frame_bytes or self._is_odd) and at < len(events) and not self._is_over:
            blank = events.find(b"\n\n", at)
            # A third line end may follow an event.
            end = blank + 2 if blank >= 0 else len(events)
            out.append(self._look_into(events[at:end]))
            at = end
        events = b"" if self._is_over else events[at:]
        # In a burst it is the last events that need a look: what stands before them goes in one piece.
        cut = 0 if self._is_odd else start_of_last(events)
        number = count_plain(events[:cut])
        if number and is_json(events[:cut], number):
            out.append(self._pass(events[:cut], number))
            events = events[cut:]
        for event in events.split(b"\n\n"):
            if not event or self._is_over:
                continue
            event += b"\n\n"
            is_plain = not self._is_odd and count_plain(event) and is_json(event, 1)
            out.append(self._pass(event, 1) if is_plain else self._look_into(event))
        return b"".join(out)

    def _pass(self, events: bytes, number: int) -> bytes:
        self._answer.payload_seen()
        self.meter.deltas += number
        text_bytes = len(events) - number * self._frame_bytes
        if text_bytes > 0:
            self.meter.output_bytes += text_bytes
        return rename_reasoning(events)

    def _look_into(self, event: bytes) -> bytes:
        try:
            return self._read_event(event)
        except ProviderError as exc:
            # What came before it still goes out; the next read raises.
            self._error = exc
        except UNREADABLE:
            self._error = self._broke()
        return b""

    def _read_event(self, event: bytes) -> bytes:
        found = payloads(event)
        if not found:
            return self._without_data(event)
        payload = found[0]
        if not payload or payload.isspace():
            # Sent to keep the connection alive.
            return b""
        self._answer.payload_seen()
        if payload.strip() == b"[DONE]":
            self._is_done = True
            return b""
        try:
            chunk, mended = self._chunks.read(payload, has_begun=self.meter.deltas > 0)
        except msgspec.ValidationError as exc:
            return self._odd(event, payload, exc)
        except UNREADABLE as exc:
            # Half an event at the body's end, or no JSON at all: client libraries would trip over it.
            raise self._broke() from exc
        if chunk.is_error(event):
            raise self._failed(payload)
        if mended is not payload:
            self._is_odd = True
            payload, event = mended, b"data: " + mended + b"\n\n"
        if self._first is None and chunk.choices:
            # Azure begins with a chunk that says nothing, not even its id.
            self._open(chunk)
        has_usage = chunk.has_usage
        text_bytes = self._count(chunk.choices or ())
        self._take_usage(chunk)
        if not chunk.choices:
            return self._usage_chunk(chunk, event, has_usage=has_usage)
        if text_bytes and not self._frame_bytes:
            # What stands around the text is much the same in each chunk: from now on, it need not be read.
            self._frame_bytes = len(event) - text_bytes
        return rename_reasoning(_without_usage(payload) if has_usage else event)

    def _without_data(self, event: bytes) -> bytes:
        if event.startswith(b"error:"):
            # llama.cpp's servers of 2025 name the field itself so.
            raise self._failed(event[6:])
        if event[:1] != b"{":
            return b""
        answer = as_events(event)
        if not answer:
            raise self._failed(event)
        return b"".join(self._read_event(each + b"\n\n") for each in answer.split(b"\n\n") if each)

    def _odd(self, event: bytes, payload: bytes, exc: msgspec.ValidationError) -> bytes:
        # Of another shape, but the client may know what it means: the books can do without it.
        try:
            told = msgspec.json.decode(payload)
        except UNREADABLE:
            told = None
        if not isinstance(told, dict):
            raise self._broke() from exc
        if told.get("error") is not None:
            raise self._failed(payload)
        self.meter.deltas += 1
        return event

    def _failed(self, said: bytes) -> ProviderError:
        return stream_error(self._provider, said, request_id=self.meter.upstream_request_id)

    def _broke(self) -> ProviderBroke:
        return ProviderBroke(
            f"{self._provider} sent an event that makes no sense",
            upstream_request_id=self.meter.upstream_request_id,
        )

    def _open(self, chunk: Chunk) -> None:
        self._first = chunk
        self.meter.upstream_model = chunk.model if isinstance(chunk.model, str) and chunk.model else None
        if self.meter.upstream_request_id is None and chunk.id not in (None, self._chunks.own_id):
            self.meter.upstream_request_id = str(chunk.id)

    def _take_usage(self, chunk: Chunk) -> None:
        told = usage_of(chunk.told_usage)
        if told is None:
            return
        if not told.input_tokens and not told.output_tokens and self.meter.usage is not None:
            # Nothing, and zeros, unsay no count.
            return
        is_last = not chunk.choices or self.meter.finish_reason is not None
        self._running = None if is_last else told
        if not is_last:
            # It counts as it goes: where the answer is cut here, more may have been written than was counted.
            self.meter.deltas = max(self.meter.deltas, told.output_tokens or 0)
            told = replace(told, output_tokens=None, reasoning_tokens=None)
        self.meter.usage = told

    def _usage_chunk(self, chunk: Chunk, event: bytes, *, has_usage: bool) -> bytes:
        if has_usage and self._include_usage and chunk.choices is not None:
            self._owes_usage = False
            return event
        # Without usage it says nothing, and some clients take the first of `choices` unseen; without
        # `choices` it breaks strict ones: a chunk of our own is written at the end.
        return b""

    def _count(self, choices: Sequence[Choice]) -> int:
        text_bytes = 0
        for choice in choices:
            if choice.finish_reason:
                self.meter.finish_reason = choice.finish_reason
            if choice.delta is not None:
                text = choice.delta.text
                if text:
                    self.meter.deltas += 1
                    text_bytes += utf8_length(text)
                calls = len(bytes(choice.delta.tool_calls))
                if calls > _CALL_FRAME_BYTES:
                    self.meter.deltas += 1
                    self.meter.output_bytes += calls - _CALL_FRAME_BYTES
        self.meter.output_bytes += text_bytes
        return text_bytes

    def _is_whole(self) -> bool:
        # Some servers never say [DONE]; one that gave a finish reason and ended in order is whole.
        return self.meter.finish_reason is not None

    def _leaving(self, out: bytes) -> bytes:
        out += self._ending()
        if out and self._listener is not None:
            self._listener(out)
        return out

    def _ending(self) -> bytes:
        if not self._is_done:
            return b""
        self.meter.usage = self._running or self.meter.usage
        if not self._owes_usage or self.meter.usage is None:
            return DONE
        first = self._first or Chunk()
        writer = ChunkWriter(
            id=first.id if isinstance(first.id, str) and first.id else fresh_id(),
            created=int(first.created) if isinstance(first.created, int | float) else 0,
            model=self.meter.upstream_model or "",
        )
        return writer.usage(self.meter.usage) + DONE


def _without_usage(payload: bytes) -> bytes:
    chunk = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    chunk.pop("usage", None)
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
