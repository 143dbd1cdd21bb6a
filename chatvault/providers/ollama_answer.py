"""Ollama's answers, line by line as they come, turned into OpenAI's."""

import secrets
from typing import TypeAlias

import msgspec

from chatvault.core.chat import ToolCall
from chatvault.core.metering import Meter
from chatvault.core.text import utf8_length
from chatvault.core.usage import Usage, UsageBasis
from chatvault.errors import ProviderBroke, ProviderFailed
from chatvault.providers import sse_out
from chatvault.providers.base import Completion
from chatvault.providers.wire import UNREADABLE, count

_Logprobs: TypeAlias = list[dict[str, object]]

MAX_LINE_BYTES = 16 * 1024 * 1024


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    function: _Function
    id: object = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class Line(msgspec.Struct):
    """One object of `/api/chat`: a whole answer, or a piece of a streamed one. Absent counts are None."""

    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: object = None
    eval_count: object = None
    logprobs: _Logprobs | None = None
    error: object = None


_decode_line = msgspec.json.Decoder(Line).decode


class LineSplitter:
    """Cut a body into its lines, wherever the network cut it; a line longer than 16 MB is an error."""

    __slots__ = ("_kept", "_kept_bytes")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes. Raises ProviderBroke for one without end."""
        *whole, rest = data.split(b"\n")
        if whole and self._kept:
            # Joined once a line ends, and not before: a long line in small pieces would be copied each time.
            whole[0] = b"".join((*self._kept, whole[0]))
            self._kept.clear()
            self._kept_bytes = 0
        if rest:
            self._kept.append(rest)
            self._kept_bytes += len(rest)
            if self._kept_bytes > MAX_LINE_BYTES:
                raise ProviderBroke("Ollama sent a line of more than 16 MB")
        return whole

    def end(self) -> bytes:
        """Return the last line, where no line end followed it."""
        return b"".join(self._kept)


class Translator:
    """Turn the lines of one streamed answer into OpenAI's events; `meter` is right up to the last line."""

    __slots__ = ("_calls", "_include_usage", "_write", "is_done", "meter")

    def __init__(self, *, model: str, created: int, include_usage: bool) -> None:
        self.meter = Meter()
        self.meter.upstream_model = model
        self.is_done = False
        self._write = sse_out.ChunkWriter(id=sse_out.fresh_id(), created=created, model=model)
        self._include_usage = include_usage
        self._calls = 0

    def begin(self) -> bytes:
        """Return the event that opens the answer."""
        return self._write.role()

    def translate(self, data: bytes) -> bytes:
        """Return the events for one line, none for an empty one.

        Raises ProviderBroke for an error, and for what is no answer: it comes after a 200, so the answer has
        begun.
        """
        if self.is_done or not data or data.isspace():
            return b""
        try:
            line = _decode_line(data)
        except UNREADABLE as exc:
            raise ProviderBroke("Ollama's answer holds a line that makes no sense") from exc
        if line.error is not None:
            raise broken_off()
        events = b"" if line.message is None else self._delta(line.message, line.logprobs)
        return events + self._end(line) if line.done else events

    def _delta(self, message: _Message, logprobs: _Logprobs | None) -> bytes:
        meter, write = self.meter, self._write
        events = b""
        if message.thinking:
            meter.output_bytes += utf8_length(message.thinking)
            events = write.reasoning(message.thinking)
        text = message.content
        if text:
            meter.output_bytes += utf8_length(text)
        if logprobs is not None:
            events += write.content_with_logprobs(text or "", _logprobs(logprobs))
        elif text:
            events += write.content(text)
        if message.tool_calls:
            events += b"".join([self._call(sent) for sent in message.tool_calls])
        if events:
            meter.deltas += 1
        return events

    def _call(self, sent: _Call) -> bytes:
        call = _tool_call(sent)
        self.meter.output_bytes += utf8_length(call.name) + utf8_length(call.arguments)
        self._calls += 1
        return self._write.tool_call(self._calls - 1, call)

    def _end(self, line: Line) -> bytes:
        self.is_done = True
        self.meter.usage = _usage(line)
        self.meter.finish_reason = reason = _finish_reason(line, has_calls=self._calls > 0)
        events = self._write.finish(reason)
        if self._include_usage:
            events += self._write.usage(self.meter.usage)
        return events + sse_out.DONE


def read_completion(body: bytes, *, model: str, created: int) -> Completion:
    """Turn a whole answer into OpenAI's. Raises ProviderFailed for one that makes no sense."""
    try:
        line = _decode_line(body)
    except UNREADABLE as exc:
        raise ProviderFailed("Ollama's answer makes no sense") from exc
    if line.error is not None or not line.done:
        raise ProviderFailed("Ollama gave up on the answer", hint=_RUNNER_HINT)
    message = line.message or _Message()
    calls = [_tool_call(sent) for sent in message.tool_calls or ()]
    usage, reason = _usage(line), _finish_reason(line, has_calls=bool(calls))
    is_uncounted = usage.output_tokens == 0 and bool(message.content or message.thinking or calls)
    told = sse_out.completion_body(
        id=sse_out.fresh_id(),
        created=created,
        model=model,
        # OpenAI says null where only tools are called.
        content=message.content or (None if calls else ""),
        finish_reason=reason,
        usage=usage,
        reasoning=message.thinking or None,
        tool_calls=calls,
        logprobs=None if line.logprobs is None else _logprobs(line.logprobs),
    )
    return Completion(
        told,
        None if usage.is_to_be_estimated or is_uncounted else usage,
        finish_reason=reason,
        upstream_model=model,
    )


_RUNNER_HINT = "its model runner may have died: see Ollama's own log (journalctl -u ollama)"


def broken_off() -> ProviderBroke:
    """Return the error of an answer that stopped before its end."""
    # What Ollama says here is its runner's last log line, often of another request: it is kept to itself.
    return ProviderBroke("Ollama broke off its answer", hint=_RUNNER_HINT)


def _tool_call(sent: _Call) -> ToolCall:
    arguments = bytes(sent.function.arguments).decode(errors="replace")
    if arguments.startswith('"'):
        # Ollama sends an object; servers that only speak as it does may send OpenAI's text.
        arguments = msgspec.json.decode(arguments, type=str) or "null"
    if arguments == "null":
        arguments = "{}"
    id = sent.id if isinstance(sent.id, str) and sent.id else f"call_{secrets.token_hex(6)}"
    return ToolCall(id, sent.function.name, arguments)


def _usage(line: Line) -> Usage:
    # Where all of the prompt was in its cache, Ollama may say nothing of it; a zero can't be a count of it.
    read, is_odd = count(line.prompt_eval_count) or None, line.prompt_eval_count is not None
    return Usage(
        input_tokens=read,
        output_tokens=count(line.eval_count),
        basis=UsageBasis.ESTIMATED if read is None and is_odd else UsageBasis.PROVIDER,
    )


def _finish_reason(line: Line, *, has_calls: bool) -> str:
    # Ollama says `stop` after tool calls too; `load` and `unload` answer an empty list of messages.
    if line.done_reason == "length":
        return "length"
    return "tool_calls" if has_calls else "stop"


def _logprobs(entries: _Logprobs) -> msgspec.Raw:
    # Ollama's entries are OpenAI's, put under `content`; only an empty `top_logprobs` is left out of them.
    told = [{"top_logprobs": [], **entry} for entry in entries]
    return msgspec.Raw(msgspec.json.encode({"content": told, "refusal": None}))
