"""What a provider is: one class that answers in OpenAI's shape, and the values it answers with."""

from dataclasses import dataclass
from typing import Protocol

from chatvault.core.chat import ChatRequest
from chatvault.core.metering import Meter
from chatvault.core.usage import Usage


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a provider offers. Token counts are limits; None is unknown, an empty tuple of capabilities too."""

    id: str
    created: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer: `body` is OpenAI's `chat.completion` object as JSON, ready for the client."""

    body: bytes
    usage: Usage | None
    finish_reason: str | None = None
    upstream_model: str | None = None
    upstream_request_id: str | None = None


class Stream(Protocol):
    """An answer that has begun. Its `meter` is right up to the last read."""

    meter: Meter

    async def read(self) -> bytes:
        """Return the next events as OpenAI's SSE, whole events only; b"" after `data: [DONE]` has been returned.

        The usage-only chunk is among them exactly when the request asked for it. Raises ProviderBroke where the answer
        breaks off, ProviderTimeout after `timeout_seconds` without payload, or the provider's error sent mid-stream.
        """
        ...

    def close(self) -> None:
        """Let go of the answer: the upstream connection is reused if it ended, else cut at once. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found out: `status` is pass, warn, fail or skip; `fix` says what to do."""

    status: str
    detail: str
    fix: str | None = None


class Provider(Protocol):
    """One upstream, under the name the settings give it (`name`), of a `kind` that names its file.

    `is_local` providers run at home: they cost nothing, and `--local-only` access tokens may use them.
    """

    name: str
    kind: str
    is_local: bool

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are. Raises ProviderError; never called on a request's way."""
        ...

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole; `model` is the provider's own id. Raises RequestError, ProviderError."""
        ...

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer: return once the provider has accepted it. Raises RequestError, ProviderError.

        Cancelling the call, before or after, cuts the upstream connection at once.
        """
        ...

    async def check(self) -> Finding:
        """Find out, at no cost, whether the provider is reachable and its key is accepted."""
        ...

    async def aclose(self) -> None:
        """Close connections and end child processes."""
        ...
