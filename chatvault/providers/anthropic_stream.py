"""A streamed answer of Anthropic's, turned into OpenAI's events as it comes."""

from dataclasses import dataclass, field

import msgspec

from chatvault.core.chat import ThinkingBlock, ToolCall
from chatvault.core.sse import payloads
from chatvault.core.text import utf8_length
from chatvault.errors import ProviderError, ProviderFailed
from chatvault.providers.anthropic_usage import WireUsage, merged, usage_of
from chatvault.providers.anthropic_wire import (
    Block,
    Event,
    Reading,
    finish_reason,
    read_event,
    thinking_block,
    tool_call,
)
from chatvault.providers.event_reader import EventReader
from chatvault.providers.reasoning_memory import Thoughts
from chatvault.providers.refusals import stream_error
from chatvault.providers.sse_out import DONE, ChunkWriter
from chatvault.providers.upstream import Answer
from chatvault.providers.wire import UNREADABLE, lenient


@dataclass(slots=True)
class _Open:
    """The block that is being written. `tool` is its place among the tool calls."""

    block: Block
    tool: int | None = None
    is_json: bool = False
    has_arguments: bool = False
    text: list[str] = field(default_factory=list)


class AnthropicStream(EventReader):
    """Read the events of a message; see `providers.base.Stream`. `created` is in epoch seconds."""

    def __init__(
        self, answer: Answer, reading: Reading, *, provider: str, include_usage: bool, created: int
    ) -> None:
        super().__init__(answer, provider=provider)
        self._reading = reading
        self._include_usage = include_usage
        self._created = created
        self._writer = ChunkWriter(id="", created=created, model="")
        self._usage = WireUsage()
        self._knows_output = False
        self._open: dict[int, _Open] = {}
        self._calls: list[ToolCall] = []
        self._blocks: list[ThinkingBlock] = []

    def _take(self, events: bytes, *, is_rest: bool) -> bytes:
        out = []
        is_alive = False
        for payload in payloads(events):
            if self._is_done:
                break
            if not payload or payload.isspace():
                # Sent to keep the connection alive.
                continue
            if payload == b"[DONE]" and self.meter.finish_reason is not None:
                # Servers that speak other APIs too may end as OpenAI does.
                out.append(self._stop())
                break
            try:
                event = read_event(payload)
                is_alive = is_alive or event.type != "ping" or self._is_at_work()
                written = self._translate(event, payload)
            except ProviderError as exc:
                # What came before it still goes out; the next read raises.
                self._error = exc
                break
            except UNREADABLE:
                if not is_rest:
                    self._error = ProviderFailed(
                        f"{self._provider} sent an event that makes no sense",
                        upstream_request_id=self.meter.upstream_request_id,
                    )
                break
            if written:
                out.append(written)
        if is_alive:
            self._answer.payload_seen()
        return b"".join(out)

    def _is_at_work(self) -> bool:
        # While it thinks in silence or a tool of the provider's runs, pings are all that comes for minutes.
        return any(entry.block.type not in ("text", "tool_use") for entry in self._open.values())

    def _translate(self, event: Event, payload: bytes) -> bytes:
        match event.type:
            case "content_block_delta":
                return self._delta(event)
            case "content_block_start":
                return self._start_block(event)
            case "content_block_stop":
                return self._stop_block(event)
            case "message_start":
                return self._start(event)
            case "message_delta":
                return self._finish(event)
            case "message_stop":
                return self._stop()
            case "error":
                raise stream_error(self._provider, payload, request_id=self.meter.upstream_request_id)
            case "" if event.error is not None:
                # Its type may stand beside the data alone, as the event's name.
                raise stream_error(self._provider, payload, request_id=self.meter.upstream_request_id)
        return b""

    def _start(self, event: Event) -> bytes:
        message = event.message
        if message is None:
            return b""
        self._writer = ChunkWriter(id=message.id or "", created=self._created, model=message.model or "")
        self.meter.upstream_model = message.model or None
        if self.meter.upstream_request_id is None:
            self.meter.upstream_request_id = message.id or None
        told = lenient(message.usage, WireUsage)
        if told is not None:
            self._usage = merged(self._usage, told)
            self.meter.usage = usage_of(self._usage, model=message.model, is_final=False)
        return self._writer.role()

    def _start_block(self, event: Event) -> bytes:
        block = event.content_block
        if block is None:
            return b""
        entry = self._open[event.index] = _Open(block)
        if block.type == "text":
            return self._text(block.text) if block.text else b""
        if block.type == "thinking":
            entry.text.append(block.thinking or "")
            return self._thought(block.thinking) if block.thinking else b""
        if block.type != "tool_use":
            return b""
        # Anthropic starts with an empty object; others may send the whole input here.
        arguments = msgspec.json.encode(block.input).decode() if block.input else ""
        entry.has_arguments = bool(arguments)
        if block.name == self._reading.json_tool:
            entry.is_json = True
            return self._text(arguments) if arguments else b""
        entry.tool = len(self._calls)
        call = tool_call(block, self._reading, arguments)
        self._calls.append(call)
        return self._writer.tool_call(entry.tool, call)

    def _delta(self, event: Event) -> bytes:
        delta = event.delta
        if delta is None:
            return b""
        if delta.text and delta.type in ("text_delta", None):
            return self._text(delta.text)
        entry = self._open.get(event.index)
        if entry is None:
            return b""
        if delta.partial_json:
            return self._arguments(entry, delta.partial_json)
        if delta.thinking:
            entry.text.append(delta.thinking)
            return self._thought(delta.thinking)
        if delta.signature:
            entry.block.signature = delta.signature
        return b""

    def _arguments(self, entry: _Open, fragment: str) -> bytes:
        if entry.is_json:
            entry.has_arguments = True
            return self._text(fragment)
        if entry.tool is None:
            return b""
        entry.has_arguments = True
        self._count(fragment)
        return self._writer.tool_arguments(entry.tool, fragment)

    def _stop_block(self, event: Event) -> bytes:
        entry = self._open.pop(event.index, None)
        if entry is None:
            return b""
        entry.block.thinking = "".join(entry.text)
        kept = thinking_block(entry.block)
        if kept is not None:
            self._blocks.append(kept)
        return self._object_at_least(entry)

    def _object_at_least(self, entry: _Open) -> bytes:
        if entry.tool is None or entry.has_arguments:
            return b""
        # Clients parse the arguments: none at all must still be an object.
        return self._writer.tool_arguments(entry.tool, "{}")

    def _finish(self, event: Event) -> bytes:
        told = lenient(event.usage, WireUsage)
        if told is not None:
            self._usage = merged(self._usage, told)
            self._knows_output = self._knows_output or told.output_tokens is not None
            self.meter.usage = usage_of(
                self._usage, model=self.meter.upstream_model, is_final=self._knows_output
            )
        if event.delta is None or event.delta.stop_reason is None:
            return b""
        thought = "".join(block.text or "" for block in self._blocks)
        self._reading.remember(tuple(self._calls), Thoughts(thought or None, tuple(self._blocks)))
        reason = finish_reason(event.delta.stop_reason, has_calls=bool(self._calls))
        self.meter.finish_reason = reason
        unstopped = b"".join(self._object_at_least(entry) for entry in self._open.values())
        self._open.clear()
        return unstopped + self._writer.finish(reason)

    def _stop(self) -> bytes:
        self._is_done = True
        if self._include_usage and self.meter.usage is not None:
            return self._writer.usage(self.meter.usage) + DONE
        return DONE

    def _text(self, text: str) -> bytes:
        self._count(text)
        return self._writer.content(text)

    def _thought(self, text: str) -> bytes:
        self._count(text)
        return self._writer.reasoning(text)

    def _count(self, text: str) -> None:
        self.meter.deltas += 1
        self.meter.output_bytes += utf8_length(text)
