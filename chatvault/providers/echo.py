"""The provider that answers with the last message's own words: no key, no model, no I/O.

`doctor` and the tunnel's outside check walk the whole way with it for free. Its token is a word: a run of
non-space characters with the space before it. Input counts the words of every message, output those given.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chatvault.core.chat import ChatRequest
from chatvault.core.metering import Meter
from chatvault.core.text import utf8_length
from chatvault.core.usage import Usage
from chatvault.errors import RequestError
from chatvault.providers import sse_out
from chatvault.providers.base import (
    Completion,
    Finding,
    ModelInfo,
    Provider,
    ProviderSettings,
    Resources,
    Stream,
)

MODEL = "echo"

# A word takes the space before it along, the last one also the space after it: joined, they are the text.
_WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProviderSettings):
    """Nothing beside what every provider understands."""


def build(name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the echo provider."""
    return Echo(name, resources)


@dataclass(frozen=True, slots=True)
class Answer:
    """The words to give back, and why they end."""

    words: tuple[str, ...]
    finish_reason: str
    usage: Usage


def answer(request: ChatRequest) -> Answer:
    """Return what echo says: the last message's text, up to a stop text or `max_tokens` words."""
    text = request.messages[-1].text if request.messages else ""
    for stop in request.stop:
        # Each cut only shortens the text, so the earliest stop wins whatever their order.
        text = text.partition(stop)[0] if stop else text
    words = split_words(text)
    limit = request.max_tokens
    is_cut = limit is not None and limit < len(words)
    given = words[:limit] if is_cut else words
    asked = sum(len(split_words(message.text)) for message in request.messages)
    return Answer(given, "length" if is_cut else "stop", Usage(input_tokens=asked, output_tokens=len(given)))


def split_words(text: str) -> tuple[str, ...]:
    """Cut `text` into words that keep their space: joined they are the text again."""
    return tuple(_WORD.findall(text))


class Echo:
    """The provider of kind `echo`."""

    kind = "echo"
    is_local = True

    def __init__(self, name: str, resources: Resources) -> None:
        self.name = name
        self._now_ms = resources.now_ms

    async def models(self) -> tuple[ModelInfo, ...]:
        """Return the one model."""
        return (ModelInfo(MODEL, capabilities=("completion",)),)

    def output_limit(self, request: ChatRequest, model: str) -> int | None:
        """Return `max_tokens`, else the words there are: echo can say no more."""
        said = len(split_words(request.messages[-1].text)) if request.messages else 0
        return said if request.max_tokens is None else min(request.max_tokens, said)

    async def complete(self, request: ChatRequest, model: str) -> Completion:
        """Answer whole. Raises RequestError for any model but `echo`."""
        _demand_echo(self.name, model)
        said = answer(request)
        body = sse_out.completion_body(
            id=sse_out.fresh_id(),
            created=self._now_ms() // 1000,
            model=MODEL,
            content="".join(said.words),
            finish_reason=said.finish_reason,
            usage=said.usage,
        )
        return Completion(body, said.usage, finish_reason=said.finish_reason, upstream_model=MODEL)

    async def stream(self, request: ChatRequest, model: str) -> Stream:
        """Begin an answer of one chunk a word. Raises RequestError for any model but `echo`."""
        _demand_echo(self.name, model)
        return EchoStream(answer(request), self._now_ms(), include_usage=request.include_usage)

    async def check(self) -> Finding:
        """Pass: there is nothing that could be down."""
        return Finding("pass", "answers by itself")

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


class EchoStream:
    """An answer, one word a read."""

    def __init__(self, said: Answer, now_ms: int, *, include_usage: bool) -> None:
        self.meter = Meter()
        self.meter.upstream_model = MODEL
        self._said = said
        self._include_usage = include_usage
        self._events = self._all_events(
            sse_out.ChunkWriter(id=sse_out.fresh_id(), created=now_ms // 1000, model=MODEL)
        )

    async def read(self) -> bytes:
        """Return the next event."""
        # The loop gets its turn between two words: a long prompt must not hold up everyone else's answer.
        await asyncio.sleep(0)
        return next(self._events, b"")

    async def pump(self, take: Callable[[bytes], bool]) -> bytes:
        """Hand events to `take`; see `providers.base.Stream`."""
        while (events := await self.read()) and events != sse_out.DONE and take(events):
            pass
        return events

    def close(self) -> None:
        """Give nothing more."""
        self._events = iter(())

    def _all_events(self, write: sse_out.ChunkWriter) -> Iterator[bytes]:
        meter, said = self.meter, self._said
        yield write.role()
        for word in said.words:
            meter.deltas += 1
            meter.output_bytes += utf8_length(word)
            yield write.content(word)
        meter.usage = said.usage
        meter.finish_reason = said.finish_reason
        yield write.finish(said.finish_reason)
        if self._include_usage:
            yield write.usage(said.usage)
        yield sse_out.DONE


def _demand_echo(name: str, model: str) -> None:
    if model != MODEL:
        raise RequestError(
            f"the model {name}/{model} does not exist: {name} has one, {name}/{MODEL}",
            status=404,
            code="model_not_found",
            param="model",
        )
