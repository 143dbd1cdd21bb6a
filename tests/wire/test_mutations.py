"""Answers damaged at will: whatever comes, an error of the provider's is the worst that becomes of it."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import ProviderError
from chatvault.providers.anthropic_stream import AnthropicStream
from chatvault.providers.anthropic_wire import Reading, read_message
from chatvault.providers.base import Stream
from chatvault.providers.ollama_answer import LineSplitter, Translator
from chatvault.providers.ollama_answer import read_completion as read_ollama
from chatvault.providers.openai_stream import OpenAIStream
from chatvault.providers.openai_wire import read_completion
from tests.support import anthropic_events as said
from tests.support.answers import FakeAnswer, cut
from tests.support.openai_events import DONE, HI, ROLE, THERE, USAGE_CHUNK, event
from tests.support.streams import read_to_end

CALL = {"index": 0, "id": "c_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
OPENAI = ROLE + HI + THERE + event({"tool_calls": [CALL]}) + event({}, "tool_calls") + USAGE_CHUNK + DONE
ANTHROPIC = said.start() + said.thinking(0, "Hm") + said.tool(2, "t", "f", "{}") + said.end()
OLLAMA = b"".join(
    json.dumps({"message": {"role": "assistant", "content": "Hi", **more}, "done": done}).encode() + b"\n"
    for done, more in ((False, {"tool_calls": [CALL]}), (True, {"thinking": "Hm"}))
)
_VALUES = [b"\n", b"\n\n", b"\r", b"\xff", b"", b"null", b'""', b"[]", b"{}", b"-1", b"1e400", b'"\\ud83d"']
_WORDS = [b"data:", b"data: [DONE]\n\n", b": x\n\n", b"event: error\n", b"{", b'"', b",", b'"error":{},']
_PIECES = st.sampled_from([*_VALUES, *_WORDS])
_EDITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 9), _PIECES), min_size=1, max_size=4)
_CUTS = st.lists(st.integers(0, 5000), max_size=8)


def damaged(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, length, piece in edits:
        start = at % (len(body) + 1)
        body = body[:start] + piece + body[start + length :]
    return body


def read(stream: Stream) -> None:
    try:
        asyncio.run(read_to_end(stream))
    except ProviderError:
        pass
    stream.meter.final_usage(input_estimate=5)


@given(_EDITS, _CUTS)
def test_openais(edits: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    body = damaged(OPENAI, edits)
    read(OpenAIStream(FakeAnswer(*cut(body, cuts)), provider="up", include_usage=True))
    try:
        read_completion("up", body.replace(b"data: ", b""))
    except ProviderError:
        pass


@given(_EDITS, _CUTS)
def test_anthropics(edits: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    body = damaged(ANTHROPIC, edits)
    answer = FakeAnswer(*cut(body, cuts))
    read(AnthropicStream(answer, Reading(), provider="up", include_usage=True, created=1))
    try:
        read_message("up", body.partition(b"data: ")[2], Reading(), created=1, request_id=None)
    except ProviderError:
        pass


@given(_EDITS, _CUTS)
def test_ollamas(edits: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    body = damaged(OLLAMA, edits)
    splitter, translator = LineSplitter(), Translator(model="m", created=1, include_usage=True)
    try:
        for piece in cut(body, cuts):
            for line in splitter.feed(piece):
                translator.translate(line)
        translator.translate(splitter.end())
    except ProviderError:
        pass
    try:
        read_ollama(body.splitlines()[-1] if body.splitlines() else b"", model="m", created=1)
    except ProviderError:
        pass
