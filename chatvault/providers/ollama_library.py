"""What an Ollama server has: its version, its models and their limits, and who else can reach it."""

import asyncio
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from chatvault.errors import ProviderError, ProviderFailed
from chatvault.providers.base import LoadedModel, ModelInfo
from chatvault.providers.http import HttpClient
from chatvault.providers.ollama_errors import refusal
from chatvault.providers.upstream import without_key
from chatvault.providers.wire import UNREADABLE

DEFAULT_URL = "http://127.0.0.1:11434"

_MAX_BYTES = 16 * 1024 * 1024
_SHOWS_AT_ONCE = 4
_LISTEN = "0A"
_SOCKET_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


class _Details(msgspec.Struct):
    context_length: int | None = None


class _Tag(msgspec.Struct):
    name: str
    digest: str = ""
    size: int | None = None
    modified_at: str | None = None
    details: _Details | None = None
    capabilities: tuple[str, ...] | None = None
    remote_host: str | None = None


class _Tags(msgspec.Struct):
    models: tuple[_Tag, ...] | None = None


class _Running(msgspec.Struct):
    name: str
    size: int = 0
    size_vram: int = 0


class _Ps(msgspec.Struct):
    models: tuple[_Running, ...] | None = None


class _Shown(msgspec.Struct):
    model_info: dict[str, object] | None = None
    capabilities: tuple[str, ...] | None = None


class _Version(msgspec.Struct):
    version: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """An Ollama that answered: its version, and the names of its models that run at home."""

    version: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Facts:
    context_tokens: int | None
    capabilities: tuple[str, ...]


class Library:
    """The models of one server. What `/api/show` said of a model is kept until the model changes."""

    def __init__(
        self, http: HttpClient, provider: str, *, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self._http = http
        self._provider = provider
        self._headers = headers
        self._facts: dict[tuple[str, str], _Facts] = {}

    async def version(self) -> str:
        """Return the server's version. Raises ProviderError."""
        return (await self._get("/api/version", _Version)).version

    async def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are in memory now. Raises ProviderError."""
        running = (await self._get("/api/ps", _Ps)).models or ()
        return tuple(LoadedModel(each.name, each.size, each.size_vram) for each in running)

    async def names(self) -> tuple[str, ...]:
        """Return the names of the models that run at home. Raises ProviderError."""
        return tuple(tag.name for tag in await self._tags() if not is_remote(tag.name, tag.remote_host))

    async def models(self, *, with_remote: bool, num_ctx: int | None) -> tuple[ModelInfo, ...]:
        """Return all models, those that only look local (they run at ollama.com) if `with_remote`.

        `num_ctx` is the context they are run with, where that is known. Raises ProviderError.
        """
        tags = [tag for tag in await self._tags() if with_remote or not is_remote(tag.name, tag.remote_host)]
        present = {(tag.name, tag.digest) for tag in tags}
        self._facts = {key: facts for key, facts in self._facts.items() if key in present}
        places = asyncio.Semaphore(_SHOWS_AT_ONCE)
        facts = await asyncio.gather(*(self._facts_of(tag, places) for tag in tags))
        return tuple(_model(tag, fact, num_ctx) for tag, fact in zip(tags, facts, strict=True))

    async def _tags(self) -> tuple[_Tag, ...]:
        return (await self._get("/api/tags", _Tags)).models or ()

    async def _facts_of(self, tag: _Tag, places: asyncio.Semaphore) -> _Facts:
        if tag.capabilities is not None and tag.details is not None and tag.details.context_length:
            return _Facts(tag.details.context_length, tag.capabilities)
        key = (tag.name, tag.digest)
        if key not in self._facts:
            async with places:
                try:
                    shown = await self._post("/api/show", {"model": tag.name}, _Shown)
                except ProviderError as exc:
                    # A model can vanish between two calls, or be damaged: the others are listed all the same.
                    _log.warning("%s: no details of the model %s: %s", self._provider, tag.name, exc.message)
                    return _Facts(None, ())
            self._facts[key] = _Facts(_context_length(shown.model_info or {}), shown.capabilities or ())
        return self._facts[key]

    async def _get(self, path: str, shape: type[_T]) -> _T:
        return await self._call("GET", path, b"", shape)

    async def _post(self, path: str, body: Mapping[str, str], shape: type[_T]) -> _T:
        return await self._call("POST", path, msgspec.json.encode(body), shape)

    async def _call(self, method: str, path: str, body: bytes, shape: type[_T]) -> _T:
        response = await self._http.request(method, path, headers=self._headers, body=body)
        try:
            answer = await response.read_all(_MAX_BYTES)
        finally:
            response.close()
        if response.status != 200:
            raise refusal(self._provider, response.status, without_key(answer, self._headers))
        try:
            return msgspec.json.decode(answer, type=shape)
        except UNREADABLE as exc:
            raise ProviderFailed(
                f"{self._provider}: {path} doesn't answer as an Ollama does",
                hint=f"check providers.{self._provider}.base_url",
            ) from exc


def is_remote(name: str, remote_host: str | None = None) -> bool:
    """Whether Ollama would send a prompt for the model `name` on to ollama.com.

    Such models are tagged `cloud` or `SIZE-cloud`; `/api/tags` has a `remote_host` for them, copies included.
    """
    tag = name.rpartition("/")[2].partition(":")[2]
    return bool(remote_host) or tag == "cloud" or tag.endswith("-cloud")


async def discover(base_url: str = DEFAULT_URL, *, timeout_seconds: float = 1.0) -> Discovery | None:
    """Look for an Ollama at `base_url`: None where none answers in time."""
    http = HttpClient(base_url, connect_timeout=timeout_seconds, read_timeout=timeout_seconds)
    try:
        library = Library(http, "ollama")
        async with asyncio.timeout(timeout_seconds):
            return Discovery(await library.version(), await library.names())
    except (ProviderError, TimeoutError):
        return None
    finally:
        await http.aclose()


def is_loopback(base_url: str) -> bool:
    """Whether `base_url` stays on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_addresses(port: int, tables: Iterable[Path] = _SOCKET_TABLES) -> tuple[str, ...]:
    """Return the addresses beyond loopback on which this machine listens on `port`, as the kernel tells.

    Empty where the kernel has no such tables.
    """
    found = []
    for table in tables:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, _, hex_port = local.partition(":")
            if (
                state == _LISTEN
                and int(hex_port, 16) == port
                and not (ip := _kernel_address(address)).is_loopback
            ):
                found.append(str(ip))
    return tuple(found)


def _kernel_address(text: str) -> IPv4Address | IPv6Address:
    # The kernel prints each 32-bit word in its own byte order.
    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    return ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))


def _model(tag: _Tag, facts: _Facts, num_ctx: int | None) -> ModelInfo:
    context = facts.context_tokens
    if num_ctx is not None:
        context = num_ctx if context is None else min(num_ctx, context)
    return ModelInfo(
        tag.name,
        created=_epoch(tag.modified_at),
        context_tokens=context,
        capabilities=facts.capabilities,
        size_bytes=tag.size,
    )


def _context_length(model_info: Mapping[str, object]) -> int | None:
    # The key opens with the model's architecture: "llama.context_length".
    for key, value in model_info.items():
        if key.endswith(".context_length") and isinstance(value, int):
            return value
    return None


def _epoch(text: str | None) -> int | None:
    try:
        return None if text is None else int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None
