"""How much text a whole answer holds: for the estimate where its provider counted nothing."""

import msgspec

from chatvault.core.text import utf8_length


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice]


_decode = msgspec.json.Decoder(_Body).decode


def text_length(body: bytes) -> int:
    """Return the bytes of text, reasoning and tool calls in a `chat.completion` object."""
    try:
        choices = _decode(body).choices
    except msgspec.MsgspecError:
        return len(body)
    length = 0
    for choice in choices:
        if choice.message is not None:
            message = choice.message
            length += utf8_length(message.content or "") + utf8_length(message.reasoning_content or "")
            for call in message.tool_calls or ():
                if call.function is not None:
                    length += utf8_length(call.function.name or "")
                    length += utf8_length(call.function.arguments or "")
    return length
