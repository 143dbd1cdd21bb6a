"""The OpenAPI description of what FastAPI doesn't see: the chat request, its answers, and the errors."""

from typing import Any

_Schema = dict[str, Any]


def _object(properties: _Schema, *, required: tuple[str, ...] = (), help: str = "") -> _Schema:
    schema: _Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    if help:
        schema["description"] = help
    return schema


def _number(lowest: float, highest: float) -> _Schema:
    return {"type": ["number", "null"], "minimum": lowest, "maximum": highest}


def _whole(lowest: int, highest: int) -> _Schema:
    return {"type": ["integer", "null"], "minimum": lowest, "maximum": highest}


_FLAG: _Schema = {"type": ["boolean", "null"]}
_TEXT: _Schema = {"type": "string"}
_CACHE = _object({"type": {"const": "ephemeral"}, "ttl": {"enum": ["5m", "1h"]}}, required=("type",))
_PART: _Schema = {
    "oneOf": [
        _object(
            {"type": {"const": "text"}, "text": _TEXT, "cache_control": _CACHE}, required=("type", "text")
        ),
        _object(
            {
                "type": {"const": "image_url"},
                "image_url": _object(
                    {
                        "url": {"type": "string", "pattern": "^(data:image/[a-z0-9.+-]+;base64,|https?://)"},
                        "detail": {"enum": ["auto", "low", "high", None]},
                    },
                    required=("url",),
                ),
                "cache_control": _CACHE,
            },
            required=("type", "image_url"),
        ),
    ]
}
_CONTENT: _Schema = {"oneOf": [_TEXT, {"type": "array", "items": _PART}]}
_TOOL_CALL = _object(
    {
        "id": _TEXT,
        "type": {"const": "function"},
        "function": _object({"name": _TEXT, "arguments": _TEXT}, required=("name", "arguments")),
    },
    required=("id", "function"),
)
_MESSAGE: _Schema = {
    "oneOf": [
        _object(
            {"role": {"enum": ["system", "developer", "user"]}, "content": _CONTENT, "name": _TEXT},
            required=("role", "content"),
        ),
        _object(
            {
                "role": {"const": "assistant"},
                "content": {"oneOf": [*_CONTENT["oneOf"], {"type": "null"}]},
                "tool_calls": {"type": "array", "items": _TOOL_CALL},
                "reasoning_content": {"type": ["string", "null"]},
                "name": _TEXT,
            },
            required=("role",),
        ),
        _object(
            {"role": {"const": "tool"}, "content": _CONTENT, "tool_call_id": _TEXT},
            required=("role", "content", "tool_call_id"),
        ),
    ]
}
_FUNCTION = _object(
    {
        "name": {"type": "string", "minLength": 1},
        "description": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"]},
        "strict": _FLAG,
    },
    required=("name",),
)
CHAT_REQUEST = _object(
    {
        "model": {
            "type": "string",
            "minLength": 1,
            "maxLength": 256,
            "description": "An alias of the settings, PROVIDER/NAME, or a name that just one provider has.",
        },
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "stream": _FLAG,
        "stream_options": {
            "oneOf": [_object({"include_usage": _FLAG}), {"type": "null"}],
        },
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 1},
        "max_tokens": _whole(1, 2**31 - 1),
        "max_completion_tokens": _whole(1, 2**31 - 1),
        "temperature": _number(0, 2),
        "top_p": _number(0, 1),
        "top_k": _whole(0, 2**31 - 1),
        "min_p": _number(0, 1),
        "stop": {"oneOf": [_TEXT, {"type": "array", "maxItems": 16, "items": _TEXT}, {"type": "null"}]},
        "seed": _whole(-(2**63), 2**63 - 1),
        "frequency_penalty": _number(-2, 2),
        "presence_penalty": _number(-2, 2),
        "logit_bias": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        },
        "logprobs": _FLAG,
        "top_logprobs": _whole(0, 20),
        "tools": {
            "type": ["array", "null"],
            "maxItems": 512,
            "items": _object(
                {"type": {"const": "function"}, "function": _FUNCTION}, required=("type", "function")
            ),
        },
        "tool_choice": {
            "oneOf": [
                {"enum": ["none", "auto", "required", None]},
                _object(
                    {
                        "type": {"const": "function"},
                        "function": _object({"name": _TEXT}, required=("name",)),
                    },
                    required=("type", "function"),
                ),
            ]
        },
        "parallel_tool_calls": _FLAG,
        "response_format": {
            "oneOf": [
                _object({"type": {"enum": ["text", "json_object"]}}, required=("type",)),
                _object(
                    {
                        "type": {"const": "json_schema"},
                        "json_schema": _object(
                            {"name": _TEXT, "schema": {"type": "object"}, "strict": _FLAG}, required=("name",)
                        ),
                    },
                    required=("type", "json_schema"),
                ),
                {"type": "null"},
            ]
        },
        "reasoning_effort": {"enum": ["none", "minimal", "low", "medium", "high", "xhigh", "max", None]},
        "thinking": {
            "oneOf": [
                _object(
                    {
                        "type": {"enum": ["enabled", "disabled", "adaptive"]},
                        "budget_tokens": _whole(1, 2**31 - 1),
                    },
                    required=("type",),
                ),
                {"type": "null"},
            ]
        },
    },
    required=("model", "messages"),
    help="Unknown fields are dropped and named in the header x-chatvault-dropped; fields that could redirect"
    " a call or its key are refused.",
)
ERROR = _object(
    {
        "error": _object(
            {
                "message": _TEXT,
                "type": _TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            required=("message", "type", "param", "code"),
        )
    },
    required=("error",),
)
_COMPLETION = _object(
    {
        "id": _TEXT,
        "object": {"const": "chat.completion"},
        "created": {"type": "integer"},
        "model": _TEXT,
        "choices": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": ["object", "null"]},
    },
    required=("id", "object", "choices"),
)
MODEL = _object(
    {
        "id": _TEXT,
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": _TEXT,
        "context_window": {"type": ["integer", "null"]},
        "max_output_tokens": {"type": ["integer", "null"]},
        "capabilities": {"type": "array", "items": _TEXT},
    },
    required=("id", "object", "created", "owned_by"),
)
MODEL_LIST = _object(
    {"object": {"const": "list"}, "data": {"type": "array", "items": MODEL}}, required=("object", "data")
)
_ERRORS = {
    400: "The request can't be taken as it is.",
    401: "No valid access token.",
    403: "The access token may not use this model.",
    404: "There is no such model.",
    413: "The body is too large.",
    429: "A limit is reached: retry-after says when to try again.",
    502: "The provider failed.",
    503: "No place came free, or nothing can be written down.",
    504: "The provider was silent for too long.",
}


def json_answer(schema: _Schema, help: str) -> _Schema:
    """Return the description of an answer in JSON."""
    return {"description": help, "content": {"application/json": {"schema": schema}}}


def error_answers(*statuses: int) -> dict[int | str, _Schema]:
    """Return the descriptions of errors, by their status."""
    return {status: json_answer(ERROR, _ERRORS[status]) for status in statuses}


def chat_answers() -> dict[int | str, _Schema]:
    """Return the descriptions of everything that a chat request can be answered with."""
    whole = json_answer(_COMPLETION, "The answer: whole, or as server-sent events where `stream` is true.")
    whole["content"]["text/event-stream"] = {"schema": _TEXT}
    return {200: whole, **error_answers(*_ERRORS)}
