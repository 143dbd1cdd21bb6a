"""The provider that is an Ollama server, through its native API."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from chatvault.core.chat import ChatRequest
from chatvault.core.setting import setting
from chatvault.core.text import counted
from chatvault.errors import (
    ProviderError,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    RequestError,
)
from chatvault.providers.base import (
    Completion,
    Finding,
    LoadedModel,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)
from chatvault.providers.http import HttpClient, Response
from chatvault.providers.ollama_answer import LineSplitter, Translator, broken_off, read_completion
from chatvault.providers.ollama_errors import missing_model_hint, refusal
from chatvault.providers.ollama_library import DEFAULT_URL, Library, is_loopback, is_remote, open_addresses
from chatvault.providers.ollama_wire import encode
from chatvault.providers.pump import Pump, Take
from chatvault.providers.upstream import run_out, without_key

_COLD_CALL_SECONDS = 10.0
_LOOK_UP_SECONDS = 1.0
_MAX_ERROR_BYTES = 1024 * 1024
_START_HINT = "start it: systemctl start ollama, or ollama serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """An Ollama server's settings."""

    base_url: str = setting(DEFAULT_URL, "The Ollama server's address.")
    max_concurrency: int | None = setting(2, "Requests in flight at once; further ones queue. null: any.")
    queue_seconds: float = setting(120.0, "How long a request may wait for a place before it gets a 503.")
    load_seconds: float = setting(
        300.0, "How long loading a model and reading the prompt may take, in silence."
    )
    answer_seconds: float = setting(
        900.0, "How long an answer that isn't streamed may take, loading included."
    )
    keep_alive: str | None = setting(
        None, "How long a model stays loaded: 30m, or -1 for good. null: Ollama's own."
    )
    num_ctx: int | None = setting(
        None, "The context, in tokens, that models are run with. null: Ollama's own."
    )
    cloud_models: bool = setting(
        False, "Whether models that Ollama runs at ollama.com may be used: it no longer counts as local then."
    )


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider for one Ollama server. Raises ConfigError for a base_url that is none."""
    assert isinstance(settings, Settings)
    return Ollama(name, settings, resources)


class Ollama:
    """The provider of kind `ollama`."""

    kind = "ollama"

    def __init__(self, name: str, settings: Settings, resources: Resources) -> None:
        self.name = name
        host = urlsplit(settings.base_url).hostname or ""
        self.is_local = not settings.cloud_models and not f".{host}".endswith(".ollama.com")
        self._settings = settings
        self._now_ms = resources.now_ms
        self._http = HttpClient(
            settings.base_url, read_timeout=settings.timeout_seconds, environ=resources.environ
        )
        self._headers = [(b"content-type", b"application/json")]
        if settings.api_key is not None:
            self._headers.append((b"authorization", b"Bearer " + settings.api_key.reveal().encode()))
        self._library = Library(self._http, name, headers=self._headers)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Ask for the installed models and their limits. Raises ProviderError."""
        try:
            return await self._library.models(
                with_remote=self._settings.cloud_models, num_ctx=self._settings.num_ctx
            )
        except ProviderUnreachable as exc:
            raise self._explained(exc) from exc.__cause__

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Ask which models are in memory now. Raises ProviderError."""
        return await self._library.loaded()

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return `max_tokens`; without it, a model stops when it likes or at the end of its context."""
        return request.max_tokens

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises RequestError, ProviderError."""
        response = await self._send(request, model, stream=False)
        try:
            body = await response.read_all()
        finally:
            response.close()
        return read_completion(body, model=model, created=self._now_ms() // 1000)

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin a streamed answer: returns with the first token, since Ollama says nothing before.

        Raises RequestError, ProviderError.
        """
        response = await self._send(request, model, stream=True)
        translator = Translator(
            model=model, created=self._now_ms() // 1000, include_usage=request.include_usage
        )
        return OllamaStream(response, translator)

    async def check(self) -> Finding:
        """Find out whether the server answers, and whether others can reach it around ChatVault."""
        try:
            async with asyncio.timeout(_COLD_CALL_SECONDS):
                version, names = await self._library.version(), await self._library.names()
        except ProviderError as exc:
            explained = self._explained(exc)
            return Finding("fail", explained.message, explained.hint)
        except TimeoutError:
            return Finding("fail", f"no answer within {_COLD_CALL_SECONDS:g} s", _START_HINT)
        detail = f"Ollama {version}, {counted(len(names), 'model')}"
        if not names:
            return Finding("warn", detail, "ollama pull llama3.2:3b")
        url = self._settings.base_url
        if not is_loopback(url):
            if urlsplit(url).scheme == "http":
                return Finding(
                    "warn", f"{detail}; prompts cross the network in clear", "put TLS in front of it"
                )
        elif others := open_addresses(urlsplit(url).port or 80):
            return Finding(
                "warn",
                f"{detail}; it also listens on {', '.join(others)}: devices can go around ChatVault",
                "set OLLAMA_HOST=127.0.0.1 for Ollama, and restart it",
            )
        return Finding("pass", detail)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _send(self, request: ChatRequest, model: str, *, stream: bool) -> Response:
        settings = self._settings
        if is_remote(model) and not settings.cloud_models:
            raise RequestError(
                f"the model {model!r} does not run at home: Ollama would send the prompt to ollama.com",
                status=403,
                code="model_not_allowed",
                param="model",
                hint=f"providers.{self.name}.cloud_models: true allows it",
            )
        body = encode(request, model, stream=stream, keep_alive=settings.keep_alive, num_ctx=settings.num_ctx)
        try:
            response = await self._http.request(
                "POST",
                "/api/chat",
                headers=self._headers,
                body=body,
                head_timeout=settings.load_seconds if stream else settings.answer_seconds,
            )
        except (ProviderUnreachable, ProviderTimeout) as exc:
            raise self._explained(exc) from exc.__cause__
        if response.status != 200:
            raise await self._refusal(response, model)
        return response

    async def _refusal(self, response: Response, model: str) -> ProviderError:
        try:
            said = await response.read_all(_MAX_ERROR_BYTES)
        except ProviderError:
            # The status says enough.
            said = b""
        finally:
            response.close()
        error = refusal(
            self.name,
            response.status,
            without_key(said, self._headers),
            model=model,
            retry_after=response.header(b"retry-after"),
        )
        if isinstance(error, ProviderRefused) and error.code == "model_not_found":
            try:
                async with asyncio.timeout(_LOOK_UP_SECONDS):
                    error.hint = missing_model_hint(model, await self._library.names())
            except (ProviderError, TimeoutError):
                error.hint = f"ollama pull {model}"
        return error

    def _explained(self, error: ProviderError) -> ProviderError:
        if isinstance(error, ProviderUnreachable):
            error.hint = _START_HINT
        elif isinstance(error, ProviderTimeout):
            error.hint = f"a big model may take longer to load: raise providers.{self.name}.load_seconds"
        return error


class OllamaStream:
    """An answer that has begun, from Ollama's lines to OpenAI's events."""

    def __init__(self, response: Response, translator: Translator) -> None:
        self.meter = translator.meter
        self._response = response
        self._translator = translator
        self._splitter = LineSplitter()
        self._begin = translator.begin()
        self._failure: ProviderError | None = None

    async def read(self) -> bytes:
        """Return the next events, as many as one read of the connection brought; b"" at the end."""
        if self._translator.is_done:
            await run_out(self._response)
            return b""
        while self._failure is None:
            if events := self._translate(await self._response.read()):
                return events
        raise self._failure

    async def pump(self, take: Take) -> bytes:
        """Hand events to `take` as they come; see `providers.base.Stream`."""
        if self._is_over():
            return await self.read()
        pump = Pump(self._response, self._translate, is_over=self._is_over, take=take)
        return await pump.run() or await self.read()

    def _is_over(self) -> bool:
        return self._translator.is_done or self._failure is not None

    def _translate(self, data: bytes) -> bytes:
        # What came before a failure in the same read is an answer's part all the same: it is passed on first.
        out: list[bytes] = []
        try:
            for line in self._splitter.feed(data) if data else [self._splitter.end()]:
                out.append(self._translator.translate(line))
            if not data and not self._translator.is_done:
                raise broken_off()
        except ProviderError as exc:
            self._failure = exc
        events = b"".join(out)
        if events and self._begin:
            events, self._begin = self._begin + events, b""
        return events

    def close(self) -> None:
        """Let go of the answer. Never raises."""
        self._response.close()
