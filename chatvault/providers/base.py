"""What a provider is: one class that answers in OpenAI's shape, and the values it answers with."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from chatvault.core.chat import ChatRequest
from chatvault.core.metering import Meter
from chatvault.core.secret import Secret
from chatvault.core.setting import setting
from chatvault.core.usage import Usage
from chatvault.core.value import quickly_made


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSettings:
    """What every kind of provider understands; a kind's own `Settings` adds to it and sets its defaults."""

    base_url: str = setting("", "The server's address; ChatVault adds the paths that its kind has.")
    api_key: Secret | None = setting(None, "The provider's key: env:NAME, file:PATH, cred:NAME or a literal.")
    timeout_seconds: float = setting(120.0, "Silence between payload bytes that ends an answer.")
    max_concurrency: int | None = setting(None, "Requests in flight at once; further ones queue. null: any.")
    queue_seconds: float = setting(30.0, "How long a request may wait for a place before it gets a 503.")


@dataclass(frozen=True, slots=True)
class Resources:
    """What providers are built with, beside their settings.

    `environ` names the proxies; `cache_dir` may hold what can be made again; `spawn` starts a named
    background task that the daemon owns and ends; `now_ms` is the clock, in epoch milliseconds.
    """

    environ: Mapping[str, str]
    cache_dir: Path
    spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model a provider offers.

    Token counts are limits; None is unknown, an empty tuple of capabilities too.
    """

    id: str
    created: int | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    size_bytes: int | None = None


@quickly_made
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
        """Return the next whole events as OpenAI's SSE; b"" once `data: [DONE]` has been returned.

        The usage-only chunk is among them exactly when the request asked for it. Raises ProviderBroke where
        the answer breaks off, ProviderTimeout after `timeout_seconds` without payload, or the provider's
        error sent mid-stream.
        """
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bytes:
        """Hand whole events to `take` the moment they come, for as long as it returns True.

        Returns the events that were not taken: at the latest those that end with `data: [DONE]`. Raises as
        `read` does.
        """
        ...

    def close(self) -> None:
        """Let go of the answer: reuse its connection if it ended, else cut it at once. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found out: `status` is pass, warn, fail or skip; `fix` says what to do."""

    status: str
    detail: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that a provider at home holds in memory, and how much of that is video memory, in bytes."""

    name: str
    memory_bytes: int
    video_memory_bytes: int


@runtime_checkable
class LoadsModels(Protocol):
    """A provider that can say which of its models are loaded."""

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Ask which models are loaded now. Raises ProviderError."""
        ...


@runtime_checkable
class RestoresThinking(Protocol):
    """A provider that sends more than its client did: what a model thought, and the client left out."""

    def restored(self, request: ChatRequest) -> ChatRequest:
        """Return the request with all the thinking that goes into it: that is input, and is paid for."""
        ...


class Provider(Protocol):
    """One upstream, under the name the settings give it (`name`), of a `kind` that names its file.

    The file `providers/KIND.py` holds `Settings` (a ProviderSettings) and
    `build(name, settings, resources) -> Provider`; `providers/registry.py` lists the kinds.

    `is_local` providers run at home: they cost nothing, and `--local-only` access tokens may use them.
    """

    name: str
    kind: str
    is_local: bool

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask which models there are. Raises ProviderError; no request waits long for it."""
        ...

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return the most output tokens the call may be billed for: its `max_tokens`, else the model's limit.

        None where nobody knows. Where it is sent, or the model can't do more, no hold's ceiling is overshot;
        a server of unknown limits that is told none can write more than was held.
        """
        ...

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole; `model` is the provider's own id. Raises RequestError, ProviderError."""
        ...

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer: return once the provider has accepted it.

        Raises RequestError, ProviderError. Cancelling the call, before or after, cuts the upstream connection
        at once.
        """
        ...

    async def check(self) -> Finding:
        """Find out, at no cost, whether the provider is reachable and its key is accepted."""
        ...

    async def aclose(self) -> None:
        """Close connections and end child processes."""
        ...
