"""A chat request as Ollama's native `/api/chat` wants it.

Native for everything: `/v1` cuts an over-long prompt without a word, can't set `num_ctx`, takes no notice of
`max_completion_tokens`, and hides a runner that died.

Ollama has no `tool_choice`, `logit_bias` or `parallel_tool_calls`. `none` sends no tools and a named function
only that one; the rest is left out.
"""

from typing import TypeAlias

import msgspec

from chatvault.core.chat import ChatRequest, Json, Message, NamedTool, ResponseFormat, Tool
from chatvault.errors import RequestError
from chatvault.providers.data_url import image_base64
from chatvault.providers.wire import UNREADABLE

_Body: TypeAlias = dict[str, object]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

# Ollama knows four levels (its 400: "must be high, medium, low, max, true, or false").
_THINK: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "max",
}

# Field of the request -> Ollama's option.
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}


def encode(
    request: ChatRequest, model: str, *, stream: bool, keep_alive: str | None, num_ctx: int | None
) -> bytes:
    """Return the body of `POST /api/chat`.

    `keep_alive` and `num_ctx` left None are Ollama's own. Raises RequestError for what Ollama can't be told.
    """
    body: _Body = {
        "model": model,
        "messages": _messages(request.messages),
        "stream": stream,
        # Without these, an over-long prompt is cut and an over-long answer pushes its own beginning out.
        "truncate": False,
        "shift": False,
    }
    options: _Body = {} if num_ctx is None else {"num_ctx": num_ctx}
    for field, option in _OPTIONS.items():
        value = getattr(request, field)
        if value is not None:
            options[option] = value
    if request.stop:
        options["stop"] = request.stop
    if options:
        body["options"] = options
    if tools := _tools(request):
        body["tools"] = tools
    if request.response_format is not None and (asked := _format(request.response_format)) is not None:
        body["format"] = asked
    if (think := _think(request)) is not None:
        body["think"] = think
    if request.logprobs:
        body["logprobs"] = True
        body["top_logprobs"] = request.top_logprobs or 0
    if keep_alive is not None:
        body["keep_alive"] = _keep_alive(keep_alive)
    return _encode(body)


def _keep_alive(text: str) -> int | str:
    # Ollama reads a bare number as seconds, and only as a JSON number; "-1" keeps a model for good.
    try:
        return int(text)
    except ValueError:
        return text


def _messages(messages: tuple[Message, ...]) -> list[_Body]:
    told = []
    tool_names: dict[str, str] = {}
    for position, message in enumerate(messages):
        tool_names.update((call.id, call.name) for call in message.tool_calls)
        told.append(_message(message, position, tool_names))
    return told


def _message(message: Message, position: int, tool_names: dict[str, str]) -> _Body:
    told: _Body = {
        "role": "system" if message.role == "developer" else message.role,
        "content": message.text,
    }
    if message.images:
        told["images"] = [image_base64(part, f"messages[{position}].content") for part in message.images]
    if message.reasoning is not None and message.role == "assistant":
        told["thinking"] = message.reasoning
    if message.tool_calls:
        told["tool_calls"] = [
            {
                "id": call.id,
                "function": {
                    "index": index,
                    "name": call.name,
                    "arguments": _arguments(
                        call.arguments, f"messages[{position}].tool_calls[{index}].function.arguments"
                    ),
                },
            }
            for index, call in enumerate(message.tool_calls)
        ]
    if message.role == "tool" and message.tool_call_id is not None:
        told["tool_call_id"] = message.tool_call_id
        if name := message.name or tool_names.get(message.tool_call_id):
            told["tool_name"] = name
    return told


def _arguments(text: str, param: str) -> msgspec.Raw | _Body:
    # Ollama wants an object where OpenAI has its text; the text goes in as it stands, so no number changes.
    if not text.strip():
        return {}
    try:
        value = _decode(text)
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        raise RequestError("a tool call's arguments must be a JSON object", param=param)
    return msgspec.Raw(text.encode())


def _tools(request: ChatRequest) -> list[_Body]:
    choice = request.tool_choice
    if choice == "none":
        return []
    return [
        _tool(tool) for tool in request.tools if not isinstance(choice, NamedTool) or tool.name == choice.name
    ]


def _tool(tool: Tool) -> _Body:
    function: _Body = {
        "name": tool.name,
        # Ollama renders both into the prompt, and older versions stumble over a missing one.
        "description": tool.description or "",
        "parameters": tool.parameters or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def _format(asked: ResponseFormat) -> Json:
    if asked.type == "text":
        return None
    if asked.type == "json_schema" and asked.schema is not None:
        return asked.schema
    return "json"


def _think(request: ChatRequest) -> bool | str | None:
    if request.thinking is not None and request.thinking.type == "disabled":
        return False
    if request.reasoning_effort is not None:
        return _THINK.get(request.reasoning_effort, True)
    if request.thinking is not None and request.thinking.type == "enabled":
        return True
    return None
