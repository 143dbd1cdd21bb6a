"""Requests in OpenAI's JSON, and whole answers read from it."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from chatvault.core.chat import (
    ChatRequest,
    ImagePart,
    Json,
    Message,
    NamedTool,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from chatvault.core.usage import Usage
from chatvault.errors import ProviderFailed, RequestError
from chatvault.providers.base import Completion
from chatvault.providers.openai_mending import WireMessage, mend_answer
from chatvault.providers.openai_usage import usage_of
from chatvault.providers.refusals import stream_error
from chatvault.providers.wire import NOTHING, decoded, lenient

_NO_REASONING = re.compile(rb',\s*"reasoning_content":\s*null|"reasoning_content":\s*null\s*,')
_PLAIN_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "reasoning_effort",
)


def encode(
    request: ChatRequest,
    model: str,
    *,
    stream: bool,
    max_tokens: int | None = None,
    max_tokens_field: str = "max_tokens",
    has_developer_role: bool = True,
    sends_reasoning: bool = False,
) -> bytes:
    """Return the body of a chat request: what the client said, `max_tokens` as given here, and no default.

    A streamed answer's usage is always asked for. `sends_reasoning` hands `reasoning_content` of earlier
    answers back.
    """
    body = request_fields(request)
    body["model"] = model
    body["messages"] = [
        message_fields(m, has_developer_role=has_developer_role, sends_reasoning=sends_reasoning)
        for m in request.messages
    ]
    if max_tokens is not None:
        body[max_tokens_field] = max_tokens
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return to_json(body)


def to_json(body: Mapping[str, object]) -> bytes:
    """Encode a body; mappings and sequences of any kind are fine. Raises RequestError for half characters."""
    try:
        return msgspec.json.encode(body, enc_hook=_plain)
    except UnicodeEncodeError as exc:
        # JSON in a string, as a tool call's arguments are, can hold one half of a surrogate pair.
        raise RequestError(
            "The request holds half a character (a lone UTF-16 surrogate), which can't be sent on.",
            param="messages",
        ) from exc


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def request_fields(request: ChatRequest) -> dict[str, object]:
    """Return what the client said, in OpenAI's fields; the model, messages, stream and max_tokens apart."""
    fields: dict[str, object] = {
        name: value for name in _PLAIN_FIELDS if (value := getattr(request, name)) is not None
    }
    if request.stop:
        fields["stop"] = list(request.stop)
    if request.tools:
        fields["tools"] = [tool_fields(tool) for tool in request.tools]
    if request.tool_choice is not None:
        fields["tool_choice"] = tool_choice_field(request.tool_choice)
    if request.response_format is not None:
        fields["response_format"] = response_format_field(request.response_format)
    if request.thinking is not None:
        fields["thinking"] = _known(
            {"type": request.thinking.type, "budget_tokens": request.thinking.budget_tokens}
        )
    return fields


def message_fields(
    message: Message, *, has_developer_role: bool = True, sends_reasoning: bool = False
) -> dict[str, object]:
    """Return a message in OpenAI's fields."""
    role = "system" if message.role == "developer" and not has_developer_role else message.role
    fields: dict[str, object] = {"role": role, "content": _content(message)}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_calls:
        fields["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if sends_reasoning and message.reasoning is not None:
        fields["reasoning_content"] = message.reasoning
    return fields


def _content(message: Message) -> object:
    if message.content is None or isinstance(message.content, str):
        return message.content
    if not message.images and message.role != "user":
        # Several servers take nothing but a string from anyone but the user.
        return message.text
    return [
        {"type": "image_url", "image_url": _known({"url": part.url, "detail": part.detail})}
        if isinstance(part, ImagePart)
        else {"type": "text", "text": part.text}
        for part in message.content
    ]


def tool_fields(tool: Tool) -> dict[str, object]:
    """Return a tool in OpenAI's fields."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": _known(function)}


def tool_choice_field(choice: ToolChoice) -> object:
    """Return a tool choice as OpenAI writes it."""
    if isinstance(choice, NamedTool):
        return {"type": "function", "function": {"name": choice.name}}
    return choice


def response_format_field(wanted: ResponseFormat) -> dict[str, object]:
    """Return a response format as OpenAI writes it."""
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    schema: dict[str, Json] = {
        "name": wanted.name or "answer",
        "description": wanted.description,
        "schema": wanted.schema,
        "strict": wanted.strict,
    }
    return {"type": "json_schema", "json_schema": _known(schema)}


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


class _Choice(msgspec.Struct):
    message: msgspec.Raw = NOTHING
    finish_reason: object = None


class _Body(msgspec.Struct):
    id: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NOTHING
    error: object = None


_decode_body = msgspec.json.Decoder(_Body).decode


def read_completion(provider: str, body: bytes, *, request_id: str | None = None) -> Completion:
    """Return a whole answer: its bytes as they came, but for what is not of OpenAI's shape.

    Raises ProviderError for an error in place of an answer, and for what is no answer.
    """
    body = mend_answer(body)
    told = decoded(_decode_body, body, provider=provider, request_id=request_id)
    if told.error is not None:
        raise stream_error(provider, body, request_id=request_id)
    if not told.choices or bytes(told.choices[0].message)[:1] != b"{":
        raise ProviderFailed(f"{provider} sent an answer without content", upstream_request_id=request_id)
    choice = told.choices[0]
    usage = usage_of(told.usage)
    if usage is not None and (usage.is_to_be_estimated or _is_uncounted(usage, choice)):
        usage = None
    return Completion(
        body=rename_reasoning(body),
        usage=usage,
        finish_reason=choice.finish_reason if isinstance(choice.finish_reason, str) else None,
        upstream_model=told.model if isinstance(told.model, str) else None,
        upstream_request_id=request_id or (str(told.id) if told.id else None),
    )


def _is_uncounted(usage: Usage, choice: _Choice) -> bool:
    # An answer of no tokens has no text: who says so has not counted.
    if usage.output_tokens != 0:
        return False
    message = lenient(choice.message, WireMessage)
    return message is not None and bool(message.content or message.tool_calls)


def rename_reasoning(json: bytes) -> bytes:
    """Rename the key `reasoning` (Ollama, vLLM, OpenRouter) to `reasoning_content`, which clients read.

    Within a JSON string the quotes would be escaped: what is found here is always a key.
    """
    if not json.count(b'"reasoning":'):
        return json
    if json.count(b'"reasoning_content"'):
        # Both names: what was thought may stand under the newer one alone.
        json = _NO_REASONING.sub(b"", json)
    if not json.count(b'"reasoning_content"'):
        return json.replace(b'"reasoning":', b'"reasoning_content":')
    if json.find(b"\n\n", 0, -2) < 0:
        return json
    # Events that came together: each may hold one name or the other.
    return b"\n\n".join([rename_reasoning(event) for event in json.split(b"\n\n")])
