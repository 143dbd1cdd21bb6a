"""The provider that is any other server with OpenAI's Chat Completions: vLLM, LM Studio, OpenAI itself."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from chatvault.core.chat import ChatRequest
from chatvault.core.model_limits import limits
from chatvault.core.setting import setting
from chatvault.errors import ConfigError
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.http import HttpClient
from chatvault.providers.openai_server import OpenAIServer
from chatvault.providers.openai_wire import encode
from chatvault.providers.upstream import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """The settings of a server with OpenAI's API."""

    base_url: str = setting("", "The server's address with its /v1; required.")
    local: bool = setting(
        False, "Whether it runs at home: its answers cost nothing, and --local-only access tokens may use it."
    )
    max_output_tokens: int | None = setting(
        None, "Sent as the limit of an answer where the client names none; budgets reckon with it."
    )
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = setting(
        "auto", "What the server calls that limit. auto: max_completion_tokens at OpenAI, else max_tokens."
    )


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider for one server. Raises ConfigError where its address is missing."""
    assert isinstance(settings, Settings)
    if not settings.base_url:
        raise ConfigError(
            f"providers.{name}: base_url is missing", hint="give the server's address, with its /v1"
        )
    client = HttpClient(settings.base_url, read_timeout=settings.timeout_seconds, environ=resources.environ)
    return OpenAICompatible(name, settings, client)


class OpenAICompatible:
    """The provider of kind `openai_compatible`."""

    kind = "openai_compatible"

    def __init__(self, name: str, settings: Settings, client: Client) -> None:
        self.name = name
        self.is_local = settings.local
        self._settings = settings
        self._server = OpenAIServer(name, client, api_key=settings.api_key)
        host = urlsplit(settings.base_url).hostname or ""
        self._is_openai = f".{host}".endswith(".openai.com")
        self._max_tokens_field: str = settings.max_tokens_field
        if settings.max_tokens_field == "auto":
            # OpenAI's reasoning models refuse `max_tokens`; most other servers know nothing else.
            self._max_tokens_field = "max_completion_tokens" if self._is_openai else "max_tokens"

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are. Raises ProviderError."""
        return await self._server.models()

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return `max_tokens`, else the setting, else the model's limit where that is known."""
        sent = self._sent_limit(request)
        if sent is not None:
            return sent
        known = limits(self.kind, model)
        return known.max_output_tokens if known is not None else None

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises ProviderError."""
        return await self._server.complete(self._body(request, model, stream=False))

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer. Raises ProviderError."""
        body = self._body(request, model, stream=True)
        return await self._server.stream(body, include_usage=request.include_usage)

    async def check(self) -> Finding:
        """Find out whether the server answers and takes the key."""
        return await self._server.check()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._server.aclose()

    def _sent_limit(self, request: ChatRequest) -> int | None:
        return request.max_tokens if request.max_tokens is not None else self._settings.max_output_tokens

    def _body(self, request: ChatRequest, model: str, *, stream: bool) -> bytes:
        # Chat templates of open models know no developer, and OpenAI refuses `reasoning_content`.
        return encode(
            request,
            model,
            stream=stream,
            max_tokens=self._sent_limit(request),
            max_tokens_field=self._max_tokens_field,
            has_developer_role=self._is_openai,
            sends_reasoning=not self._is_openai,
        )
