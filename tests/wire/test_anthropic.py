"""Recordings of Anthropic, read by the provider: what a client hears and what the books get."""

import asyncio
import json
import random

import pytest

from chatvault.core.usage import Usage
from chatvault.errors import ProviderError, ProviderOverloaded
from chatvault.providers.anthropic_stream import AnthropicStream
from chatvault.providers.anthropic_wire import Reading, read_message
from chatvault.providers.refusals import refusal
from tests.support.answers import FakeAnswer, cut
from tests.support.reading import Reading as Said
from tests.support.reading import arguments, read
from tests.support.recordings import Recording, cases, recordings
from tests.support.streams import hear, read_to_end

_NOT_CHAT = ("count-tokens", "models-list")


def body_of(recording: Recording) -> bytes:
    """Return the body with the framing that a recorder took off."""
    if recording.name.endswith(".jsonl"):
        return b"".join(b"data: " + line + b"\n\n" for line in recording.body.splitlines())
    return recording.body


def is_stream(recording: Recording) -> bool:
    return recording.name.endswith((".sse", ".jsonl"))


def chosen(streamed: bool, *, broken: bool = False) -> list[object]:
    found = [
        pytest.param(one, id=one.name)
        for one in recordings("anthropic")
        if one.status == 200
        and is_stream(one) is streamed
        and one.name.startswith("error") is broken
        and not one.name.startswith(_NOT_CHAT)
    ]
    return found or cases("anthropic")


def check_usage(usage: Usage | None, said: Said) -> None:
    assert usage is not None
    assert usage.input_tokens == said.total("input")
    assert usage.cached_tokens == said.total("cached")
    assert usage.cache_write_tokens == said.total("written")
    assert usage.output_tokens == said.total("output")
    assert usage.reasoning_tokens == said.total("reasoning")
    assert usage.web_searches == sum(run.searches for run in said.runs)
    assert len(usage.passes) == (len(said.runs) if len(said.runs) > 1 else 0)


@pytest.mark.parametrize("recording", chosen(True))
def test_a_stream_cut_anywhere(recording):
    body = body_of(recording)
    said = read("anthropic", body, is_stream=True)
    chance = random.Random(recording.name)
    for pieces in (1, 7, 60):
        cuts = [chance.randrange(len(body)) for _ in range(pieces)]
        stream = AnthropicStream(
            FakeAnswer(*cut(body, cuts)), Reading(), provider="up", include_usage=True, created=1
        )
        heard = hear(asyncio.run(read_to_end(stream)))
        assert heard.is_done
        assert (heard.text, heard.reasoning, heard.finish) == (said.text, said.reasoning, said.finish)
        tools = [(call["name"], arguments(call["arguments"])) for _, call in sorted(heard.tools.items())]
        assert tools == said.tools
        check_usage(stream.meter.usage, said)


@pytest.mark.parametrize("recording", chosen(False))
def test_a_whole_answer(recording):
    said = read("anthropic", recording.body, is_stream=False)
    completion = read_message("up", recording.body, Reading(), created=1, request_id=None)
    choice = json.loads(completion.body)["choices"][0]
    message = choice["message"]
    assert (message["content"] or "", message.get("reasoning_content", "")) == (said.text, said.reasoning)
    assert choice["finish_reason"] == completion.finish_reason == said.finish
    calls = [call["function"] for call in message.get("tool_calls", ())]
    assert [(call["name"], arguments(call["arguments"])) for call in calls] == said.tools
    check_usage(completion.usage, said)


@pytest.mark.parametrize("recording", chosen(True, broken=True))
def test_a_stream_that_broke(recording):
    said = read("anthropic", recording.body, is_stream=True)
    stream = AnthropicStream(
        FakeAnswer(recording.body), Reading(), provider="up", include_usage=True, created=1
    )

    async def listen() -> bytes:
        whole = b""
        with pytest.raises(ProviderOverloaded):
            while data := await stream.read():
                whole += data
        return whole

    heard = hear(asyncio.run(listen()))
    assert (heard.text, heard.reasoning, heard.is_done) == (said.text, said.reasoning, False)
    if said.runs:
        assert stream.meter.usage is not None
        assert stream.meter.usage.input_tokens == said.total("input")


@pytest.mark.parametrize(
    "recording",
    [pytest.param(r, id=r.name) for r in recordings("anthropic") if r.status != 200] or cases("anthropic"),
)
def test_a_refusal(recording):
    error = refusal("up", recording.status, recording.body)
    assert isinstance(error, ProviderError)
    assert error.status == {401: 502, 529: 503}.get(recording.status, recording.status)
    words = json.loads(recording.body)["error"]["message"]
    assert (words in error.message) == (recording.status not in (401, 529))
