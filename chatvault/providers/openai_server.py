"""A server with OpenAI's Chat Completions: asked, listed and checked; what a kind adds stands in its file."""

from collections.abc import Awaitable, Callable

import msgspec

from chatvault.core.secret import Secret
from chatvault.core.text import counted
from chatvault.errors import ProviderAuthFailed, ProviderError, ProviderRefused
from chatvault.providers.base import Completion, Finding, ModelInfo
from chatvault.providers.openai_stream import OpenAIStream
from chatvault.providers.openai_wire import read_completion
from chatvault.providers.upstream import Client, Headers, fetch, open_stream, request_id
from chatvault.providers.wire import decoded

_CHAT = "/chat/completions"
_MODELS = "/models"


class _Model(msgspec.Struct):
    id: str
    created: int | float | None = None
    context_length: int | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


_decode_models = msgspec.json.Decoder(_Models).decode


class OpenAIServer:
    """One server under a base URL; `name` is the provider's in the settings."""

    def __init__(self, name: str, client: Client, *, api_key: Secret | None) -> None:
        self._name = name
        self._client = client
        self._headers: Headers = [(b"content-type", b"application/json")]
        if api_key is not None:
            bearer = f"Bearer {api_key.reveal()}".encode()
            self._headers = [*self._headers, (b"authorization", bearer)]

    async def complete(self, body: bytes) -> Completion:
        """Send a chat request and return its whole answer. Raises ProviderError."""
        said, answer = await fetch(
            self._client, "POST", _CHAT, provider=self._name, headers=self._headers, body=body
        )
        return read_completion(self._name, said, request_id=request_id(answer))

    async def stream(
        self, body: bytes, *, include_usage: bool, listener: Callable[[bytes], None] | None = None
    ) -> OpenAIStream:
        """Send a chat request and return its answer once it begins. Raises ProviderError."""
        answer = await open_stream(self._client, _CHAT, provider=self._name, headers=self._headers, body=body)
        return OpenAIStream(answer, provider=self._name, include_usage=include_usage, listener=listener)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are. Raises ProviderError."""
        said, _ = await fetch(self._client, "GET", _MODELS, provider=self._name, headers=self._headers)
        listed = decoded(_decode_models, said, provider=self._name, what="a list of models").data
        return tuple(
            ModelInfo(
                model.id,
                created=int(model.created) if model.created is not None else None,
                context_tokens=model.max_model_len or model.context_length,
            )
            for model in listed
        )

    async def check(self) -> Finding:
        """Find out whether the server answers and takes the key: listing models costs nothing."""
        return await check_by_models(self._name, self.models)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def check_by_models(name: str, models: Callable[[], Awaitable[tuple[ModelInfo, ...]]]) -> Finding:
    """Find out whether a provider is there and takes its key, by asking for its models."""
    try:
        found = await models()
    except ProviderAuthFailed as exc:
        return Finding("fail", exc.message, exc.hint)
    except ProviderRefused as exc:
        return Finding("warn", f"reachable, but it lists no models: {exc.message}")
    except ProviderError as exc:
        return Finding("fail", exc.message, exc.hint or f"check providers.{name}.base_url and the network")
    return Finding("pass", f"{counted(len(found), 'model')}, the key is accepted")
