"""Anthropic's messages as they come over the wire, and whole ones turned into OpenAI's shape."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from chatvault.core.chat import ThinkingBlock, ToolCall
from chatvault.errors import ProviderFailed
from chatvault.providers.anthropic_usage import WireUsage, usage_of
from chatvault.providers.base import Completion
from chatvault.providers.reasoning_memory import Thoughts
from chatvault.providers.refusals import stream_error
from chatvault.providers.sse_out import completion_body
from chatvault.providers.wire import NOTHING, decoded, forgiving, lenient

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class Block(msgspec.Struct):
    """A content block, as far as a client of OpenAI's API can see it; other kinds keep only their type."""

    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    input: object = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class Delta(msgspec.Struct):
    """What is added to a block; `stop_reason` is the message's."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class WireMessage(msgspec.Struct):
    """A message: the start of a streamed one, or a whole one."""

    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = NOTHING
    error: object = None


class Event(msgspec.Struct):
    """An event of a stream."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: WireMessage | None = None
    usage: msgspec.Raw = NOTHING
    error: object = None


# New kinds of everything come unannounced: what is odd in an event or a message costs only itself.
read_event = forgiving(Event)
_read_message = forgiving(WireMessage)


def _remember_nothing(calls: tuple[ToolCall, ...], thoughts: Thoughts) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader must know of the request.

    `tool_names` turns the names that were sent into the client's own; a call of `json_tool` is not a call but
    the answer itself, which had to follow a schema. `remember` takes a turn's calls and what was thought
    before them.
    """

    tool_names: Mapping[str, str] = field(default_factory=dict)
    json_tool: str | None = None
    remember: Callable[[tuple[ToolCall, ...], Thoughts], None] = _remember_nothing


def finish_reason(stop_reason: str | None, *, has_calls: bool) -> str:
    """Return OpenAI's finish reason for Anthropic's stop reason.

    See https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons.
    """
    found = _FINISH_REASONS.get(stop_reason or "", "stop")
    # A message that only "called" the schema's tool has called nothing.
    return "stop" if found == "tool_calls" and not has_calls else found


def thinking_block(block: Block) -> ThinkingBlock | None:
    """Return a thinking block to be handed back unchanged; None for any other kind."""
    if block.type == "thinking":
        return ThinkingBlock(text=block.thinking or "", signature=block.signature)
    if block.type == "redacted_thinking":
        return ThinkingBlock(redacted=block.data)
    return None


def tool_call(block: Block, reading: Reading, arguments: str) -> ToolCall:
    """Return the call that a block of type `tool_use` stands for, under the client's own name of the tool."""
    name = block.name or ""
    return ToolCall(block.id or "", reading.tool_names.get(name, name), arguments)


def read_message(
    provider: str, body: bytes, reading: Reading, *, created: int, request_id: str | None
) -> Completion:
    """Return a whole answer; `created` is in epoch seconds. Raises ProviderError."""
    message = decoded(_read_message, body, provider=provider, request_id=request_id)
    if message.error is not None:
        raise stream_error(provider, body, request_id=request_id)
    if message.stop_reason is None and not (message.id and message.content):
        raise ProviderFailed(f"{provider} sent an answer that is none", upstream_request_id=request_id)
    return _completion(message, reading, created=created, request_id=request_id)


def _completion(
    message: WireMessage, reading: Reading, *, created: int, request_id: str | None
) -> Completion:
    text, thought = "", ""
    calls: list[ToolCall] = []
    blocks: list[ThinkingBlock] = []
    for raw in message.content or ():
        block = lenient(raw, Block) or Block()
        if block.type == "text":
            text += block.text or ""
        elif block.type == "tool_use" and block.name == reading.json_tool:
            text += msgspec.json.encode(block.input).decode()
        elif block.type == "tool_use":
            calls.append(tool_call(block, reading, msgspec.json.encode(block.input or {}).decode()))
        elif (kept := thinking_block(block)) is not None:
            thought += kept.text or ""
            blocks.append(kept)
    reading.remember(tuple(calls), Thoughts(thought or None, tuple(blocks)))
    reason = finish_reason(message.stop_reason, has_calls=bool(calls))
    told = lenient(message.usage, WireUsage)
    usage = usage_of(told, model=message.model) if told is not None else None
    return Completion(
        body=completion_body(
            id=message.id or "",
            created=created,
            model=message.model or "",
            content=text if text or not calls else None,
            reasoning=thought or None,
            tool_calls=calls,
            finish_reason=reason,
            usage=usage,
        ),
        usage=None if usage is None or usage.is_to_be_estimated else usage,
        finish_reason=reason,
        upstream_model=message.model or None,
        upstream_request_id=request_id or message.id,
    )
