"""The provider that is DeepSeek: its requests as litellm knows them, its answers in their own bytes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from chatvault.core.chat import ChatRequest, Message, ResponseFormat, ToolCall
from chatvault.core.model_limits import limits
from chatvault.core.setting import setting
from chatvault.core.sse import payloads
from chatvault.providers import litellm_door
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.openai_server import OpenAIServer
from chatvault.providers.openai_wire import message_fields, request_fields, to_json
from chatvault.providers.reasoning_memory import ReasoningMemory, Thoughts
from chatvault.providers.translated import translated_client
from chatvault.providers.upstream import Client
from chatvault.providers.wire import UNREADABLE

# The least that the API takes for reasoning that nobody has any more.
_FORGOTTEN = " "


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """DeepSeek's settings."""

    base_url: str = setting("https://api.deepseek.com", "DeepSeek's address.")


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider, and begin to load litellm. Raises ConfigError without a key."""
    assert isinstance(settings, Settings)
    client = translated_client(name, settings, resources)
    return DeepSeek(name, settings, client, now_ms=resources.now_ms)


class DeepSeek:
    """The provider of kind `deepseek`."""

    kind = "deepseek"
    is_local = False

    def __init__(self, name: str, settings: Settings, client: Client, *, now_ms: Callable[[], int]) -> None:
        self.name = name
        self._server = OpenAIServer(name, client, api_key=settings.api_key)
        self._memory = ReasoningMemory(now_ms)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are, and add their known limits. Raises ProviderError."""
        return tuple(self._with_limits(model) for model in await self._server.models())

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return `max_tokens`, else the model's limit.

        The limit itself is not sent: DeepSeek adds it to the prompt when it looks whether both fit.
        """
        if request.max_tokens is not None:
            return request.max_tokens
        known = limits(self.kind, model)
        return known.max_output_tokens if known is not None else None

    def restored(self, request: ChatRequest) -> ChatRequest:
        """Return the request with all the thinking that may be put back into it."""
        return self._memory.restore_all(request)

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises RequestError, ProviderError."""
        completion = await self._server.complete(await self._body(request, model, stream=False))
        if request.tools:
            collector = _Collector(self._memory)
            collector.take_whole(completion.body)
        return completion

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer. Raises RequestError, ProviderError."""
        body = await self._body(request, model, stream=True)
        # Only an answer that can call tools has reasoning that is asked for again.
        listener = _Collector(self._memory).take_events if request.tools else None
        return await self._server.stream(body, include_usage=request.include_usage, listener=listener)

    async def check(self) -> Finding:
        """Find out whether DeepSeek answers and takes the key."""
        return await self._server.check()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()

    def _with_limits(self, model: ModelInfo) -> ModelInfo:
        known = limits(self.kind, model.id)
        if known is None:
            return model
        return replace(model, context_tokens=known.context_tokens, max_output_tokens=known.max_output_tokens)

    async def _body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        litellm = await litellm_door.ready()
        messages, options = translate(request, self._memory)
        if stream:
            options["stream"] = True
            options["stream_options"] = {"include_usage": True}
        return to_json(litellm.deepseek_request(model, messages, options))


def translate(request: ChatRequest, memory: ReasoningMemory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a request's messages and options as DeepSeek wants them, still in OpenAI's words.

    In thinking mode, which is the default, a conversation with tools must bring the reasoning of every answer
    back (https://api-docs.deepseek.com/guides/thinking_mode).
    """
    is_thinking = request.reasoning_effort != "none"
    if request.thinking is not None:
        is_thinking = request.thinking.type != "disabled"
    has_tools = bool(request.tools) or any(message.tool_calls for message in request.messages)
    turns = request.messages
    if is_thinking and has_tools:
        turns = tuple(_with_reasoning(memory.restore(turn)) for turn in turns)
    messages = [message_fields(turn, has_developer_role=False, sends_reasoning=is_thinking) for turn in turns]
    options = request_fields(request)
    for unknown in ("top_k", "min_p", "logit_bias", "parallel_tool_calls"):
        options.pop(unknown, None)
    if request.max_tokens is not None:
        options["max_tokens"] = request.max_tokens
    if request.response_format is not None and request.response_format.type == "json_schema":
        messages.insert(0, {"role": "system", "content": _schema_in_words(request.response_format)})
        options["response_format"] = {"type": "json_object"}
    return messages, options


def _with_reasoning(turn: Message) -> Message:
    if turn.role != "assistant" or turn.reasoning:
        return turn
    return replace(turn, reasoning=_FORGOTTEN)


def _schema_in_words(wanted: ResponseFormat) -> str:
    # DeepSeek promises JSON, but refuses a schema for it (https://api-docs.deepseek.com/guides/json_mode).
    return (
        f"Answer with one JSON object that follows this JSON schema: {to_json(wanted.schema or {}).decode()}"
    )


class _Function(msgspec.Struct):
    name: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function | None = None


class _Turn(msgspec.Struct):
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Turn | None = None
    message: _Turn | None = None
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Answer).decode


class _Collector:
    """Gather one answer's reasoning and tool calls, and remember them when it is whole."""

    def __init__(self, memory: ReasoningMemory) -> None:
        self._memory = memory
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []

    def take_events(self, events: bytes) -> None:
        for payload in payloads(events):
            self._take(payload)

    def take_whole(self, body: bytes) -> None:
        self._take(body)

    def _take(self, payload: bytes) -> None:
        try:
            choices = _decode(payload).choices
        except UNREADABLE:
            return
        for choice in choices[:1]:
            turn = choice.delta or choice.message
            if turn is not None:
                if turn.reasoning_content:
                    self._reasoning.append(turn.reasoning_content)
                for call in turn.tool_calls or ():
                    if call.id and call.function is not None and call.function.name:
                        self._calls.append(ToolCall(call.id, call.function.name, ""))
            if choice.finish_reason is not None:
                self._memory.remember(self._calls, Thoughts("".join(self._reasoning)))
