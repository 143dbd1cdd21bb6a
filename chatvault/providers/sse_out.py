"""Answers in OpenAI's own bytes: `chat.completion.chunk` events, and whole `chat.completion` bodies.

A chunk is a template with one JSON string in it: building it so costs a microsecond, a dict of dicts costs
ten, and a stream has hundreds of them.
"""

import random
from collections.abc import Sequence
from typing import TypedDict

import msgspec

from chatvault.core.chat import ToolCall
from chatvault.core.usage import Usage

DONE = b"data: [DONE]\n\n"

_string = msgspec.json.Encoder().encode
# An id must be unique, not secret: the system's randomness would give up the interpreter's lock for each.
_bits = random.Random(random.SystemRandom().getrandbits(256)).getrandbits


class PromptDetails(TypedDict, total=False):
    """The parts of `prompt_tokens`; what a provider doesn't tell is left out."""

    cached_tokens: int
    cache_creation_tokens: int


class CompletionDetails(TypedDict, total=False):
    """The parts of `completion_tokens`; what a provider doesn't tell is left out."""

    reasoning_tokens: int


class UsageObject(TypedDict, total=False):
    """OpenAI's `usage` object."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


def fresh_id() -> str:
    """Return a new answer's id, in OpenAI's form, for providers that give none."""
    return f"chatcmpl-{_bits(96):024x}"


def usage_object(usage: Usage) -> UsageObject:
    """Return `usage` in OpenAI's words.

    The three totals are always there, 0 where unknown, since client libraries insist on numbers; the details
    are there where they are known.
    """
    prompt, completion = usage.input_tokens or 0, usage.output_tokens or 0
    told: UsageObject = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    prompt_details: PromptDetails = {}
    if usage.cached_tokens is not None:
        prompt_details["cached_tokens"] = usage.cached_tokens
    if usage.cache_write_tokens is not None:
        prompt_details["cache_creation_tokens"] = usage.cache_write_tokens
    if prompt_details:
        told["prompt_tokens_details"] = prompt_details
    if usage.reasoning_tokens is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


class ChunkWriter:
    """Write the events of one answer: `id`, `created` (epoch seconds) and `model` stand in each of them.

    Every method returns one whole event, `data: {…}` and its blank line.
    """

    __slots__ = ("_frame", "_head")

    def __init__(self, *, id: str, created: int, model: str) -> None:
        self._frame = (
            b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":['
            % (
                _string(id),
                created,
                _string(model),
            )
        )
        self._head = self._frame + b'{"index":0,"delta":{'

    def role(self) -> bytes:
        """Open the answer."""
        return self._head + b'"role":"assistant","content":""},"finish_reason":null}]}\n\n'

    def content(self, text: str) -> bytes:
        """Add to the answer's text."""
        return b'%b"content":%b},"finish_reason":null}]}\n\n' % (self._head, _string(text))

    def content_with_logprobs(self, text: str, logprobs: msgspec.Raw) -> bytes:
        """Add to the answer's text; `logprobs` is OpenAI's object for it, `{"content":[…]}`, as JSON."""
        return b'%b"content":%b},"logprobs":%b,"finish_reason":null}]}\n\n' % (
            self._head,
            _string(text),
            bytes(logprobs),
        )

    def reasoning(self, text: str) -> bytes:
        """Add to the answer's reasoning, as `reasoning_content`."""
        return b'%b"reasoning_content":%b},"finish_reason":null}]}\n\n' % (self._head, _string(text))

    def tool_call(self, index: int, call: ToolCall) -> bytes:
        """Open the tool call at `index` (from 0, without gaps); its arguments may be whole or yet empty."""
        return (
            b'%b"tool_calls":[{"index":%d,"id":%b,"type":"function","function":{"name":%b,"arguments":%b}}]}'
            b',"finish_reason":null}]}\n\n'
            % (self._head, index, _string(call.id), _string(call.name), _string(call.arguments))
        )

    def tool_arguments(self, index: int, fragment: str) -> bytes:
        """Add a piece of JSON text to the arguments of the tool call at `index`."""
        return b'%b"tool_calls":[{"index":%d,"function":{"arguments":%b}}]},"finish_reason":null}]}\n\n' % (
            self._head,
            index,
            _string(fragment),
        )

    def finish(self, reason: str) -> bytes:
        """End the answer: `stop`, `length`, `tool_calls` or `content_filter`."""
        return b'%b},"finish_reason":%b}]}\n\n' % (self._head, _string(reason))

    def usage(self, usage: Usage) -> bytes:
        """Tell the usage, in a chunk without choices: only for clients that asked for it."""
        return b'%b],"usage":%b}\n\n' % (self._frame, _string(usage_object(usage)))


def completion_body(
    *,
    id: str,
    created: int,
    model: str,
    content: str | None,
    finish_reason: str,
    usage: Usage | None,
    reasoning: str | None = None,
    tool_calls: Sequence[ToolCall] = (),
    logprobs: msgspec.Raw | None = None,
) -> bytes:
    """Return a whole `chat.completion` object; `created` is in epoch seconds, `logprobs` OpenAI's object."""
    message: dict[str, object] = {"role": "assistant", "content": content}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if tool_calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in tool_calls
        ]
    body: dict[str, object] = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish_reason}],
    }
    if usage is not None:
        body["usage"] = usage_object(usage)
    return msgspec.json.encode(body)
