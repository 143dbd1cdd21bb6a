"""OpenAI's event streams as a client reads them."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatvault.core.sse import EventSplitter
from chatvault.errors import ProviderError
from chatvault.providers.base import Stream


@dataclass
class Heard:
    """What a client makes of a stream."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    reasoning: str = ""
    tools: dict[int, dict[str, str]] = field(default_factory=dict)
    finish: str | None = None
    usage: dict[str, Any] | None = None
    is_done: bool = False


def hear(stream: bytes) -> Heard:
    """Read a stream the way strict client libraries do."""
    heard = Heard()
    for payload in EventSplitter().feed(stream):
        assert not heard.is_done, "something follows [DONE]"
        if payload == b"[DONE]":
            heard.is_done = True
            continue
        chunk = json.loads(payload)
        heard.chunks.append(chunk)
        assert isinstance(chunk["choices"], list)
        if chunk.get("usage"):
            assert chunk["choices"] == [], "usage stands in a chunk of its own"
            heard.usage = chunk["usage"]
        for choice in chunk["choices"]:
            if choice["index"] != 0:
                continue
            _take(heard, choice)
    return heard


def _take(heard: Heard, choice: dict[str, Any]) -> None:
    delta = choice["delta"]
    assert "reasoning" not in delta
    heard.text += delta.get("content") or ""
    heard.reasoning += delta.get("reasoning_content") or ""
    for call in delta.get("tool_calls") or []:
        known = heard.tools.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
        known["id"] += call.get("id") or ""
        known["name"] += call["function"].get("name") or ""
        known["arguments"] += call["function"].get("arguments") or ""
    if choice.get("finish_reason"):
        heard.finish = choice["finish_reason"]


async def read_to_end(stream: Stream) -> bytes:
    """Read a provider's stream until it says that it has ended."""
    whole = b""
    while data := await stream.read():
        assert data.endswith(b"\n\n")
        whole += data
    return whole


def read_until_it_breaks(stream: Stream) -> tuple[bytes, ProviderError]:
    """Read a provider's stream until it raises; return what came before, and the error."""

    async def read() -> tuple[bytes, ProviderError]:
        whole = b""
        with pytest.raises(ProviderError) as caught:
            while data := await stream.read():
                whole += data
        return whole, caught.value

    return asyncio.run(read())
