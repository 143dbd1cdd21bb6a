"""OpenAI's Chat Completions: a request's bytes, through the allow-list, to a ChatRequest.

Every field is taken by name; what isn't known is dropped and named, what could redirect a call is refused.
Nothing of a client's body travels on except through the values built here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from chatvault.core.chat import ChatRequest, ResponseFormat, Thinking
from chatvault.core.value import quickly_made
from chatvault.gateway.dialects import openai_messages, openai_tools
from chatvault.gateway.dialects.body import decoded
from chatvault.gateway.dialects.fields import (
    Dropped,
    as_bool,
    as_int,
    as_number,
    as_object,
    as_text,
    optional,
    refuse,
)
from chatvault.gateway.dialects.forbidden import refuse_forbidden_names

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_MAX_STOPS = 16
# Known, of no use to any provider, and none of its business: who the client's own users are.
_KEPT_HERE = frozenset({"user", "metadata", "store", "safety_identifier", "prompt_cache_key"})


@quickly_made
@dataclass(frozen=True, slots=True)
class Parsed:
    """A request after the allow-list, and the names of the fields that were dropped."""

    request: ChatRequest
    dropped: tuple[str, ...]


def parse(raw: bytes) -> Parsed:
    """Turn a request's body into a ChatRequest. Raises RequestError (400)."""
    body = decoded(raw)
    refuse_forbidden_names(body)
    dropped = Dropped()
    values: dict[str, Any] = {}
    for key, value in body.items():
        take = _FIELDS.get(key)
        if take is not None:
            if value is not None:
                take(values, value, dropped)
        elif key not in _KEPT_HERE:
            dropped.add(key)
    openai_tools.fit_choice(values)
    if not values.get("logprobs") and values.get("top_logprobs") == 0:
        # None of nothing: some send all they know, and a provider that reads it would ask for `logprobs`.
        del values["top_logprobs"]
    if "model" not in values:
        raise refuse("you must provide a model", "model")
    if "messages" not in values:
        raise refuse("you must provide messages", "messages")
    return Parsed(ChatRequest(**values), dropped.names())


def _model(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    model = as_text(value, "model")
    # It goes into a header, a log line and a table: what can't be printed would have to be escaped in each.
    if not model.isprintable() or not 1 <= len(model) <= 256:
        raise refuse("'model' must be 1 to 256 printable characters", "model")
    values["model"] = model


def _messages(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    values["messages"] = openai_messages.parse(value, dropped)


def _stream_options(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    for key, inner in as_object(value, "stream_options").items():
        if key == "include_usage":
            values["include_usage"] = inner is not None and as_bool(inner, "stream_options.include_usage")
        elif key != "include_obfuscation":
            dropped.add(f"stream_options.{key}")


def _n(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    if as_int(value, "n") != 1:
        raise refuse("only n=1 is supported: send the request again for another answer", "n")


def _stop(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS:
        raise refuse(f"'stop' must be a string or a list of at most {_MAX_STOPS} strings", "stop")
    values["stop"] = tuple(as_text(stop, "stop") for stop in stops if stop not in ("", None))


def _logit_bias(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    biases = as_object(value, "logit_bias")
    values["logit_bias"] = {
        key: as_number(bias, "logit_bias", lowest=-100, highest=100) for key, bias in biases.items()
    }


def _effort(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    if value in _EFFORTS:
        values["reasoning_effort"] = value
    elif value != "":
        raise refuse(f"'reasoning_effort' must be one of {', '.join(_EFFORTS)}", "reasoning_effort")


def _thinking(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    thinking = as_object(value, "thinking")
    kind = thinking.get("type")
    if kind not in ("enabled", "disabled", "adaptive"):
        raise refuse("'thinking.type' must be enabled, disabled or adaptive", "thinking.type")
    budget = thinking.get("budget_tokens")
    for key in thinking.keys() - {"type", "budget_tokens"}:
        dropped.add(f"thinking.{key}")
    tokens = None if budget is None else as_int(budget, "thinking.budget_tokens", lowest=1)
    values["thinking"] = Thinking(cast(Any, kind), tokens)


def _response_format(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    form = as_object(value, "response_format")
    if not form:
        return
    kind = form.get("type")
    if kind in ("text", "json_object"):
        for key in form.keys() - {"type"}:
            dropped.add(f"response_format.{key}")
        values["response_format"] = ResponseFormat(cast(Any, kind))
        return
    if kind != "json_schema":
        raise refuse(
            "'response_format.type' must be text, json_object or json_schema", "response_format.type"
        )
    inner = as_object(form.get("json_schema"), "response_format.json_schema")
    for key in inner.keys() - {"name", "description", "schema", "strict"}:
        dropped.add(f"response_format.json_schema.{key}")
    path = "response_format.json_schema"
    values["response_format"] = ResponseFormat(
        "json_schema",
        schema=optional(inner, "schema", path, as_object),
        name=optional(inner, "name", path, as_text),
        description=optional(inner, "description", path, as_text),
        strict=optional(inner, "strict", path, as_bool),
    )


def _tools(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    values["tools"] = openai_tools.parse_tools(value, dropped)


def _tool_choice(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    if value != "":
        values["tool_choice"] = openai_tools.parse_choice(value)


def _old_tools(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    if value not in ([], "none", "auto"):
        raise refuse(f"{openai_tools.OLD_FORM}: send 'tools' and 'tool_choice'", "functions")


_Take = Callable[[dict[str, Any], Any, Dropped], None]


def _number(name: str, lowest: float, highest: float) -> _Take:
    def take(values: dict[str, Any], value: object, dropped: Dropped) -> None:
        values[name] = as_number(value, name, lowest=lowest, highest=highest)

    return take


def _whole(name: str, lowest: int, highest: int) -> _Take:
    def take(values: dict[str, Any], value: object, dropped: Dropped) -> None:
        values[name] = as_int(value, name, lowest=lowest, highest=highest)

    return take


def _claim(name: str) -> _Take:
    def take(values: dict[str, Any], value: object, dropped: Dropped) -> None:
        values[name] = as_bool(value, name)

    return take


def _max_tokens(name: str) -> _Take:
    def take(values: dict[str, Any], value: object, dropped: Dropped) -> None:
        tokens = as_int(value, name)
        if tokens == _NO_LIMIT:
            return
        if not 1 <= tokens <= _MAX_INT:
            raise refuse(
                f"'{name}' must lie between 1 and {_MAX_INT}: leave it out for no limit of your own", name
            )
        if name == "max_tokens":
            values.setdefault("max_tokens", tokens)
        else:
            values["max_tokens"] = tokens

    return take


def _top_k(values: dict[str, Any], value: object, dropped: Dropped) -> None:
    if as_int(value, "top_k", lowest=_NO_LIMIT, highest=_MAX_INT) != _NO_LIMIT:
        values["top_k"] = as_int(value, "top_k")


_MAX_INT = 2**31 - 1
# What llama.cpp, LM Studio, Ollama and vLLM call it, and clients made for them send by default.
_NO_LIMIT = -1
_FIELDS: dict[str, _Take] = {
    "model": _model,
    "messages": _messages,
    "stream": _claim("stream"),
    "stream_options": _stream_options,
    "n": _n,
    "max_tokens": _max_tokens("max_tokens"),
    "max_completion_tokens": _max_tokens("max_completion_tokens"),
    "temperature": _number("temperature", 0, 2),
    "top_p": _number("top_p", 0, 1),
    "top_k": _top_k,
    "min_p": _number("min_p", 0, 1),
    "stop": _stop,
    "seed": _whole("seed", -(2**63), 2**63 - 1),
    "frequency_penalty": _number("frequency_penalty", -2, 2),
    "presence_penalty": _number("presence_penalty", -2, 2),
    "logit_bias": _logit_bias,
    "logprobs": _claim("logprobs"),
    "top_logprobs": _whole("top_logprobs", 0, 20),
    "tools": _tools,
    "tool_choice": _tool_choice,
    "parallel_tool_calls": _claim("parallel_tool_calls"),
    "response_format": _response_format,
    "reasoning_effort": _effort,
    "thinking": _thinking,
    "functions": _old_tools,
    "function_call": _old_tools,
}
