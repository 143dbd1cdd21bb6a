"""The `messages` of OpenAI's Chat Completions, through the allow-list."""

import re
from typing import Any, cast

import msgspec

from chatvault.core.chat import ImagePart, Message, Part, Role, TextPart, ThinkingBlock, ToolCall
from chatvault.gateway.dialects.fields import Dropped, as_object, as_text, cache_mark, refuse
from chatvault.gateway.dialects.openai_tools import OLD_FORM

_TALKERS = frozenset({"system", "developer", "user", "assistant"})
_ROLES = _TALKERS | {"tool"}
_KNOWN = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
    "cache_control",
}
# What answers hold and clients send back as they got it: nothing is lost when it is left out.
_ANSWER_ONLY = frozenset({"refusal", "annotations", "audio", "function_call"})
_IMAGE_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,|https?://", re.IGNORECASE)


def parse(value: object, dropped: Dropped) -> tuple[Message, ...]:
    """Turn the wire's list into messages. Raises RequestError."""
    if not isinstance(value, list) or not value:
        raise refuse("'messages' must be a list with at least one message", "messages")
    return tuple([_message(item, index, dropped) for index, item in enumerate(value)])


def _message(value: object, index: int, dropped: Dropped) -> Message:
    if not isinstance(value, dict):
        raise refuse(f"'messages[{index}]' must be an object", f"messages[{index}]")
    role = value.get("role")
    content = value.get("content")
    # Most messages are a role and a text, and a conversation has hundreds of them.
    if len(value) == 2 and isinstance(content, str) and isinstance(role, str) and role in _TALKERS:
        return Message(cast(Role, role), as_text(content, f"messages[{index}]"))
    path = f"messages[{index}]"
    if role == "function":
        raise refuse(f"{OLD_FORM}: send 'tool_calls', and answers with the role tool", f"{path}.role")
    if not isinstance(role, str) or role not in _ROLES:
        raise refuse(f"'{path}.role' must be one of {', '.join(sorted(_ROLES))}", f"{path}.role")
    return _full(value, cast(Role, role), path, dropped)


def _full(value: dict[str, Any], role: Role, path: str, dropped: Dropped) -> Message:
    for key in value.keys() - _KNOWN:
        if key not in _ANSWER_ONLY:
            dropped.add(f"messages.{key}")
    if value.get("function_call") and not value.get("tool_calls"):
        raise refuse(f"{OLD_FORM}: send 'tool_calls'", f"{path}.function_call")
    content = _content(value.get("content"), f"{path}.content", dropped)
    if content is None and value.get("refusal") is not None:
        # The whole of what the model said; without it, it would have said nothing.
        content = as_text(value["refusal"], f"{path}.refusal")
    calls = _tool_calls(value.get("tool_calls"), f"{path}.tool_calls", dropped) if role == "assistant" else ()
    if content is None and not calls and role != "assistant":
        raise refuse(f"'{path}.content' must be a string or a list of parts", f"{path}.content")
    call_id = value.get("tool_call_id")
    if role == "tool" and not isinstance(call_id, str):
        raise refuse(f"'{path}.tool_call_id' must say which call this answers", f"{path}.tool_call_id")
    reasoning = value.get("reasoning_content") or value.get("reasoning")
    name = value.get("name")
    return Message(
        role,
        content,
        name=None if name in (None, "") else as_text(name, f"{path}.name"),
        tool_calls=calls,
        tool_call_id=as_text(call_id, f"{path}.tool_call_id") if role == "tool" else None,
        reasoning=None if reasoning is None else as_text(reasoning, f"{path}.reasoning_content"),
        thinking_blocks=_thinking_blocks(value.get("thinking_blocks"), f"{path}.thinking_blocks"),
        cache=cache_mark(value.get("cache_control"), f"{path}.cache_control"),
    )


def _content(value: object, path: str, dropped: Dropped) -> str | tuple[Part, ...] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return as_text(value, path)
    if not isinstance(value, list):
        raise refuse(f"'{path}' must be a string or a list of parts", path, code="invalid_type")
    return tuple([_part(item, f"{path}[{index}]", dropped) for index, item in enumerate(value)])


def _part(value: object, path: str, dropped: Dropped) -> Part:
    part = as_object(value, path)
    kind = part.get("type")
    mark = cache_mark(part.get("cache_control"), f"{path}.cache_control")
    if kind in ("text", "refusal"):
        for key in part.keys() - {"type", "text", "refusal", "cache_control"}:
            dropped.add(f"messages.content.{key}")
        return TextPart(as_text(part.get(kind), f"{path}.{kind}"), mark)
    if kind != "image_url":
        raise refuse(f"'{path}.type' must be text or image_url: others are not served here", f"{path}.type")
    for key in part.keys() - {"type", "image_url", "cache_control"}:
        dropped.add(f"messages.content.{key}")
    image = part.get("image_url")
    detail = None
    if isinstance(image, dict):
        for key in image.keys() - {"url", "detail"}:
            dropped.add(f"messages.content.image_url.{key}")
        detail = image.get("detail")
        image = image.get("url")
    url = as_text(image, f"{path}.image_url.url")
    if _IMAGE_URL.match(url) is None:
        raise refuse(
            f"'{path}.image_url.url' must be a base64 data: URL or an http(s) one", f"{path}.image_url"
        )
    detail = detail or None
    if detail is not None and detail not in ("auto", "low", "high", "original"):
        raise refuse(f"'{path}.image_url.detail' must be auto, low or high", f"{path}.image_url.detail")
    return ImagePart(url, cast("str | None", detail), mark)


def _tool_calls(value: object, path: str, dropped: Dropped) -> tuple[ToolCall, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise refuse(f"'{path}' must be a list", path, code="invalid_type")
    return tuple([_tool_call(item, f"{path}[{index}]", dropped) for index, item in enumerate(value)])


def _tool_call(value: object, path: str, dropped: Dropped) -> ToolCall:
    call = as_object(value, path)
    if call.get("type", "function") not in ("function", None):
        raise refuse(f"'{path}.type' must be function", f"{path}.type")
    for key in call.keys() - {"id", "type", "function", "index"}:
        dropped.add(f"messages.tool_calls.{key}")
    function = as_object(call.get("function"), f"{path}.function")
    for key in function.keys() - {"name", "arguments"}:
        dropped.add(f"messages.tool_calls.function.{key}")
    arguments = function.get("arguments")
    if arguments is None:
        arguments = "{}"
    elif isinstance(arguments, dict):
        # Some clients hand back the object that they parsed, not the text that they got.
        arguments = msgspec.json.encode(arguments).decode()
    return ToolCall(
        as_text(call.get("id"), f"{path}.id"),
        as_text(function.get("name"), f"{path}.function.name"),
        as_text(arguments, f"{path}.function.arguments"),
    )


def _thinking_blocks(value: object, path: str) -> tuple[ThinkingBlock, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise refuse(f"'{path}' must be a list", path, code="invalid_type")
    blocks = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        block = as_object(item, where)
        if block.get("type") == "redacted_thinking":
            blocks.append(ThinkingBlock(redacted=as_text(block.get("data"), f"{where}.data")))
        elif block.get("type") == "thinking":
            signature = block.get("signature")
            blocks.append(
                ThinkingBlock(
                    text=as_text(block.get("thinking"), f"{where}.thinking"),
                    signature=None if signature is None else as_text(signature, f"{where}.signature"),
                )
            )
        else:
            raise refuse(f"'{where}.type' must be thinking or redacted_thinking", f"{where}.type")
    return tuple(blocks)
