"""The provider that is Anthropic: its requests as litellm knows them, its answers read here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from chatvault.core.chat import ChatRequest
from chatvault.core.model_limits import limits
from chatvault.core.setting import setting
from chatvault.providers import litellm_door
from chatvault.providers.anthropic_request import mend, translate
from chatvault.providers.anthropic_stream import AnthropicStream
from chatvault.providers.anthropic_wire import Reading, read_message
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.openai_server import check_by_models
from chatvault.providers.openai_wire import to_json
from chatvault.providers.reasoning_memory import ReasoningMemory
from chatvault.providers.translated import translated_client
from chatvault.providers.upstream import Client, Headers, fetch, open_stream, request_id
from chatvault.providers.wire import decoded

_PATH = "/v1/messages"
_MODELS = "/v1/models?limit=1000"
_VERSION = b"2023-06-01"
_UNKNOWN_MODELS_OUTPUT = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """Anthropic's settings."""

    base_url: str = setting("https://api.anthropic.com", "Anthropic's address.")


class _Model(msgspec.Struct):
    id: str
    created_at: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


_decode_models = msgspec.json.Decoder(_Models).decode


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider, and begin to load litellm. Raises ConfigError without a key."""
    assert isinstance(settings, Settings)
    client = translated_client(name, settings, resources)
    return Anthropic(name, settings, client, now_ms=resources.now_ms)


class Anthropic:
    """The provider of kind `anthropic`."""

    kind = "anthropic"
    is_local = False

    def __init__(self, name: str, settings: Settings, client: Client, *, now_ms: Callable[[], int]) -> None:
        self.name = name
        self._client = client
        self._now_ms = now_ms
        self._memory = ReasoningMemory(now_ms)
        key = settings.api_key.reveal() if settings.api_key is not None else ""
        self._headers: Headers = [
            (b"content-type", b"application/json"),
            (b"anthropic-version", _VERSION),
            (b"x-api-key", key.encode()),
        ]

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are, and add their known limits. Raises ProviderError."""
        said, _ = await fetch(self._client, "GET", _MODELS, provider=self.name, headers=self._headers)
        listed = decoded(_decode_models, said, provider=self.name, what="a list of models").data
        return tuple(self._model_info(model) for model in listed)

    def output_limit(self, request: ChatRequest, model: str) -> int:
        """Return `max_tokens`, else the model's limit: Anthropic insists on one, so it is sent."""
        if request.max_tokens is not None:
            return request.max_tokens
        known = limits(self.kind, model)
        return (known.max_output_tokens if known is not None else None) or _UNKNOWN_MODELS_OUTPUT

    def restored(self, request: ChatRequest) -> ChatRequest:
        """Return the request with all the thinking that may be put back into it."""
        return self._memory.restore_all(request)

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises RequestError, ProviderError."""
        body, headers, reading = await self._prepare(request, model, stream=False)
        said, answer = await fetch(
            self._client, "POST", _PATH, provider=self.name, headers=headers, body=body
        )
        return read_message(
            self.name, said, reading, created=self._now_ms() // 1000, request_id=request_id(answer)
        )

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer. Raises RequestError, ProviderError."""
        body, headers, reading = await self._prepare(request, model, stream=True)
        answer = await open_stream(self._client, _PATH, provider=self.name, headers=headers, body=body)
        return AnthropicStream(
            answer,
            reading,
            provider=self.name,
            include_usage=request.include_usage,
            created=self._now_ms() // 1000,
        )

    async def check(self) -> Finding:
        """Find out whether Anthropic answers and takes the key."""
        return await check_by_models(self.name, self.models)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _prepare(
        self, request: ChatRequest, model: str, *, stream: bool
    ) -> tuple[bytes, Headers, Reading]:
        messages, options = translate(
            request, self._memory, max_tokens=self.output_limit(request, model), stream=stream
        )
        litellm = await litellm_door.ready()
        translated = litellm.anthropic_request(model, messages, options)
        mend(translated.body, request)
        more = [(name.lower().encode(), value.encode()) for name, value in translated.headers.items()]
        reading = Reading(translated.tool_names, translated.json_tool, self._memory.remember)
        return to_json(translated.body), [*self._headers, *more], reading

    def _model_info(self, model: _Model) -> ModelInfo:
        known = limits(self.kind, model.id)
        return ModelInfo(
            model.id,
            created=_epoch(model.created_at),
            context_tokens=known.context_tokens if known is not None else None,
            max_output_tokens=known.max_output_tokens if known is not None else None,
        )


def _epoch(iso: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(iso).timestamp()) if iso is not None else None
    except ValueError:
        return None
