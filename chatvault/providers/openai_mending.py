"""What servers with OpenAI's API say otherwise than OpenAI does, put into its shape.

Mistral sends text as a list of parts, Gemini and older Ollamas tool calls without an index or all under the
same one, some send arguments as an object, a name with every piece, or an older API's `function_call`.
Clients add up what they get by the letter, so that two calls become one, or none.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import msgspec

from chatvault.providers.openai_calls import Object, ToolCalls, name_call, write_arguments
from chatvault.providers.openai_chunk import Chunk
from chatvault.providers.sse_out import DONE
from chatvault.providers.wire import UNREADABLE, whole_characters

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

CHUNK = "chat.completion.chunk"
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
FINISH_REASONS = frozenset(get_args(FinishReason))
# Known words of others. Any other word is left as it is: DeepSeek has one of its own.
_OTHER_WORDS = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "max_tokens": "length",
    "max_length": "length",
    "safety": "content_filter",
}


def needs_mending(chunk: Chunk) -> bool:
    """Whether a chunk may not be of OpenAI's shape. Whoever calls tools may say so in many ways."""
    if not chunk.choices and not chunk.has_usage:
        return False
    if chunk.kind != CHUNK or chunk.id is None or chunk.created is None or chunk.model is None:
        return True
    for choice in chunk.choices or ():
        delta, reason = choice.delta, choice.finish_reason
        if delta is None or not isinstance(choice.index, int):
            return True
        if reason is not None and reason not in FINISH_REASONS:
            return True
        if bytes(delta.tool_calls) != b"null" or bytes(delta.function_call) != b"null":
            return True
    return False


def mend_chunk(
    payload: bytes, calls: dict[int, ToolCalls], *, names: Mapping[str, object], has_begun: bool
) -> bytes:
    """Return the payload of a chunk in OpenAI's shape, as it is where it has that already.

    `names` are the fields that every chunk has, as they stand where the server leaves them out. `calls`
    keeps, for each choice, what has been called. `has_begun` says that text came before: a whole message
    that follows only repeats it (MiniMax).
    """

    def mend(choice: Object) -> bool:
        delta = choice.get("delta")
        is_mended = not isinstance(delta, dict)
        if not isinstance(delta, dict):
            message = choice.pop("message", None)
            delta = choice["delta"] = message if isinstance(message, dict) and not has_begun else {}
        is_mended = _mend_content(delta) or is_mended
        called = delta.get("tool_calls")
        at = choice.get("index")
        if not isinstance(at, int):
            at = choice["index"] = 0
            is_mended = True
        known = calls.setdefault(at, ToolCalls())
        return (isinstance(called, list) and known.mend(called)) or is_mended

    return _mended(payload, mend, names)


class WireFunction(msgspec.Struct):
    """What a tool call calls."""

    name: str
    arguments: str


class WireCall(msgspec.Struct):
    """A tool call of a whole answer."""

    id: str
    type: str
    function: WireFunction


class WireMessage(msgspec.Struct):
    """The message of a whole answer, as far as it is of OpenAI's shape."""

    content: str | None = None
    tool_calls: list[WireCall] | None = None
    function_call: None = None


class _Choice(msgspec.Struct):
    message: WireMessage
    finish_reason: FinishReason | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


_decode_answer = msgspec.json.Decoder(_Answer).decode


def mend_answer(body: bytes) -> bytes:
    """Return a whole answer in OpenAI's shape, as it came where it has that already, or is no answer."""
    body = body.removeprefix(_BYTE_ORDER_MARK)
    try:
        _decode_answer(body)
    except UNREADABLE:
        pass
    else:
        return body
    try:
        return _mended_answer(body)
    except UNREADABLE:
        return body


def _mended_answer(body: bytes) -> bytes:
    def mend(choice: Object) -> bool:
        message = choice.get("message")
        if not isinstance(message, dict):
            return False
        is_mended = _mend_content(message)
        called = message.get("tool_calls")
        calls = called if isinstance(called, list) else []
        changes = [_mend_call(call) for call in calls if isinstance(call, dict)]
        return is_mended or any(changes)

    return _mended(body, mend)


def as_events(body: bytes) -> bytes:
    """Return a whole answer that came in place of a stream as one, b"" where it is no answer."""
    try:
        told = msgspec.json.decode(whole_characters(body))
    except UNREADABLE:
        return b""
    choices = told.get("choices") if isinstance(told, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return b""
    usage = told.pop("usage", None)
    told["object"] = CHUNK
    reason = choice.get("finish_reason") or "stop"
    pieces: list[Object] = [
        {"choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {"choices": [], "usage": usage},
    ]
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(told | piece) for piece in pieces) + DONE


def _mended(
    body: bytes, mend: Callable[[Object], bool], names: Mapping[str, object] = MappingProxyType({})
) -> bytes:
    body = whole_characters(body)
    told = msgspec.json.decode(body)
    choices = told.get("choices") if isinstance(told, dict) else None
    if not isinstance(choices, list):
        return body
    missing = {name: value for name, value in names.items() if told.get(name) is None}
    if "object" in names and told.get("object") not in (CHUNK, "error"):
        missing["object"] = CHUNK
    told |= missing
    is_mended = bool(missing)
    for choice in choices:
        if isinstance(choice, dict):
            is_mended = mend(choice) or is_mended
            is_mended = _mend_finish(choice) or is_mended
    return msgspec.json.encode(told) if is_mended else body


def _mend_finish(choice: Object) -> bool:
    reason = choice.get("finish_reason")
    if reason is None:
        return False
    if isinstance(reason, str):
        word = reason.lower()
        mended = _OTHER_WORDS.get(word) or (word if word in FINISH_REASONS else reason) or None
    else:
        mended = "stop" if reason else None
    choice["finish_reason"] = mended
    return mended != reason


def _mend_content(message: Object) -> bool:
    is_mended = isinstance(message.get("content"), list)
    if is_mended:
        _mend_parts(message)
    function = message.get("function_call")
    if isinstance(function, dict):
        del message["function_call"]
        message["tool_calls"] = [{"function": function}]
        is_mended = True
    return is_mended


def _mend_call(call: Object) -> bool:
    function = call.get("function")
    if not isinstance(function, dict):
        return False
    before = (call.copy(), function.copy())
    write_arguments(function)
    if function.get("arguments") is None:
        # Clients parse the arguments: none at all must still be an object.
        function["arguments"] = "{}"
    name_call(call)
    return (call, function) != before


def _mend_parts(message: Object) -> None:
    """Turn a list of parts into text, and what was thought into reasoning (Mistral)."""
    parts = message["content"]
    message["content"] = _text_of(parts, "text")
    if thought := _text_of(parts, "thinking"):
        message["reasoning_content"] = thought


def _text_of(parts: object, kind: str) -> str:
    found = ""
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, str) and kind == "text":
            found += part
        elif isinstance(part, dict) and part.get("type") == kind:
            inner = part.get(kind)
            found += inner if isinstance(inner, str) else _text_of(inner, "text")
    return found
