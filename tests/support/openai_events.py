"""Streams in OpenAI's format, of our own making, and what becomes of them."""

import asyncio
import json

from chatvault.errors import ProviderError
from chatvault.providers.openai_stream import OpenAIStream
from tests.support.answers import FakeAnswer
from tests.support.streams import read_to_end, read_until_it_breaks


def event(delta: dict, finish: str | None = None, **more: object) -> bytes:
    chunk = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
ROLE = event({"role": "assistant", "content": ""})
HI = event({"content": "Hi"})
THERE = event({"content": " there é\\n"})
STOP = event({}, "stop")
USAGE_CHUNK = b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[]'
USAGE_CHUNK += b',"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
DONE = b"data: [DONE]\n\n"


def pass_on(
    *pieces: bytes | ProviderError, include_usage: bool = False
) -> tuple[bytes, OpenAIStream, FakeAnswer]:
    answer = FakeAnswer(*pieces)
    stream = OpenAIStream(answer, provider="up", include_usage=include_usage)
    return asyncio.run(read_to_end(stream)), stream, answer


def pass_on_until_it_breaks(*pieces: bytes | ProviderError) -> tuple[bytes, ProviderError, OpenAIStream]:
    stream = OpenAIStream(FakeAnswer(*pieces), provider="up", include_usage=False)
    whole, error = read_until_it_breaks(stream)
    return whole, error, stream
