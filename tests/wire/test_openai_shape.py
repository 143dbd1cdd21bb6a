"""Recordings of OpenAI, DeepSeek and Ollama's OpenAI side, passed on: what is heard and what is counted."""

import asyncio
import json
import random

import pytest

from chatvault.core.usage import Usage
from chatvault.errors import ProviderError
from chatvault.providers.openai_stream import OpenAIStream
from chatvault.providers.openai_wire import read_completion
from chatvault.providers.refusals import refusal
from tests.support.answers import FakeAnswer, cut
from tests.support.reading import Reading as Said
from tests.support.reading import arguments, read
from tests.support.recordings import Recording, cases, recordings
from tests.support.streams import hear, read_to_end

_NOT_CHAT = ("models-list", "responses")
_ALL = [
    *recordings("openai"),
    *(one for one in recordings("deepseek") if not one.name.startswith(_NOT_CHAT)),
    *(one for one in recordings("ollama") if one.name.startswith("v1-")),
]


def chosen(*, streamed: bool | None, refused: bool = False) -> list[object]:
    found = [
        pytest.param(one, id=one.name)
        for one in _ALL
        if (one.status != 200) is refused and (streamed is None or one.is_stream is streamed)
    ]
    return found or cases("openai")


def check_usage(usage: Usage | None, said: Said) -> None:
    if not said.runs:
        assert usage is None
        return
    assert usage is not None
    assert usage.input_tokens == said.total("input")
    assert usage.cached_tokens == said.total("cached")
    assert usage.output_tokens == said.total("output")
    assert usage.reasoning_tokens == said.total("reasoning")


@pytest.mark.parametrize("recording", chosen(streamed=True))
@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_cut_anywhere(recording: Recording, asked: bool):
    said = read("openai", recording.body, is_stream=True)
    is_single = "multichoice" not in recording.name
    chance = random.Random(recording.name)
    for pieces in (0, 7, 90):
        cuts = [chance.randrange(len(recording.body)) for _ in range(pieces)]
        stream = OpenAIStream(FakeAnswer(*cut(recording.body, cuts)), provider="up", include_usage=asked)
        heard = hear(asyncio.run(read_to_end(stream)))
        assert heard.is_done
        assert stream.meter.finish_reason == said.finish
        check_usage(stream.meter.usage, said)
        assert (heard.usage is not None) == (asked and bool(said.runs))
        if is_single:
            assert (heard.text, heard.reasoning, heard.finish) == (said.text, said.reasoning, said.finish)
            calls = [call for _, call in sorted(heard.tools.items())]
            assert [(call["name"], arguments(call["arguments"])) for call in calls] == said.tools


@pytest.mark.parametrize("recording", chosen(streamed=False))
def test_a_whole_answer(recording: Recording):
    said = read("openai", recording.body, is_stream=False)
    completion = read_completion("up", recording.body)
    choice = json.loads(completion.body)["choices"][0]
    message = choice["message"]
    assert (message.get("content") or "", message.get("reasoning_content") or "") == (
        said.text,
        said.reasoning,
    )
    assert choice["finish_reason"] == completion.finish_reason == said.finish
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    assert [(call["name"], arguments(call["arguments"])) for call in calls] == said.tools
    check_usage(completion.usage, said)
    if b'"reasoning":' not in recording.body:
        assert completion.body == recording.body


@pytest.mark.parametrize("recording", chosen(streamed=None, refused=True))
def test_a_refusal(recording: Recording):
    error = refusal("up", recording.status, recording.body)
    assert isinstance(error, ProviderError)
    assert error.status == {401: 502}.get(recording.status, recording.status)
    assert ("key" in error.message) == (recording.status == 401)
