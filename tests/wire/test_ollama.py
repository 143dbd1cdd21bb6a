"""Recorded traffic of real Ollama servers, replayed at the provider's address and cut at will."""

import asyncio
import json
import random
from typing import Any

import pytest

from chatvault.core.chat import ChatRequest, Message
from chatvault.errors import ProviderBroke, ProviderError, ProviderRefused
from chatvault.providers.base import Completion
from chatvault.providers.ollama import Ollama, Settings
from tests.support.reading import Reading, arguments, read
from tests.support.recordings import Recording, cases
from tests.support.resources import resources
from tests.support.scripted import Answer, Upstream, cut_up
from tests.support.streams import Heard, hear

CHATS = [*cases("ollama", "chat-"), *cases("ollama-live", "chat-")]
MODELS = [*cases("ollama", "tags"), *cases("ollama-live", "tags")]


def replay(recording: Recording, seed: int) -> tuple[bytes, ProviderError | None, Completion | None]:
    """Call a server that answers with `recording`; return what a client got of it."""

    async def run(url: str) -> tuple[bytes, ProviderError | None, Completion | None]:
        provider = Ollama("ollama", Settings(base_url=url), resources())
        request = ChatRequest(
            model="m", messages=(Message("user", "hi"),), stream=recording.is_stream, include_usage=True
        )
        got = b""
        try:
            if not recording.is_stream:
                done = await provider.complete(request, "m")
                return done.body, None, done
            stream = await provider.stream(request, "m")
            while data := await stream.read():
                got += data
            return got, None, None
        except ProviderError as exc:
            return got, exc, None
        finally:
            await provider.aclose()

    steps = cut_up(recording.body, random.Random(seed))
    with Upstream(lambda seen: Answer(steps, recording.status)) as upstream:
        got, error, done = asyncio.run(run(upstream.url))
    return got, error, done


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("recording", CHATS)
def test_a_client_gets_what_the_model_said(recording: Recording, seed: int) -> None:
    got, error, done = replay(recording, seed)
    if recording.status != 200:
        assert error is not None and not got
        return
    told = read("ollama", recording.body, is_stream=recording.is_stream)
    heard = hear(got) if recording.is_stream else _whole(json.loads(got))
    assert (heard.text, heard.reasoning) == (told.text, told.reasoning)
    assert [(each["name"], arguments(each["arguments"])) for each in heard.tools.values()] == told.tools
    assert all(each["id"] for each in heard.tools.values())
    if told.error is not None:
        assert isinstance(error, ProviderBroke)
        assert told.error["message"] not in error.message
        return
    assert error is None
    assert heard.finish == (told.finish if told.finish in ("length", "tool_calls") else "stop")
    assert heard.usage is not None
    _check_usage(heard, told)
    if done is not None:
        counts = told.runs[0]
        if counts.output is None:
            assert done.usage is None, "what wasn't counted is estimated"
            return
        assert done.usage is not None
        assert (done.usage.input_tokens, done.usage.output_tokens) == (counts.fresh, counts.output)


def _whole(body: Any) -> Heard:
    choice = body["choices"][0]
    message = choice["message"]
    return Heard(
        text=message["content"] or "",
        reasoning=message.get("reasoning_content") or "",
        tools={at: {"id": c["id"], **c["function"]} for at, c in enumerate(message.get("tool_calls") or [])},
        finish=choice["finish_reason"],
        usage=body["usage"],
    )


def _check_usage(heard: Heard, told: Reading) -> None:
    counts = told.runs[0]
    assert heard.usage is not None
    assert heard.usage["prompt_tokens"] == (counts.fresh or 0)
    assert heard.usage["completion_tokens"] == (counts.output or 0)


@pytest.mark.parametrize("recording", cases("ollama-live", "chat-overlong-notruncate"))
def test_an_over_long_prompt_is_an_error(recording: Recording) -> None:
    _, error, _ = replay(recording, 1)
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert "3010 tokens" in error.message and "{" not in error.message


@pytest.mark.parametrize(
    "recording", [*cases("ollama-live", "chat-error-404"), *cases("ollama", "error-404-model")]
)
def test_a_missing_model_is_said_to_be_missing(recording: Recording) -> None:
    _, error, _ = replay(recording, 1)
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    "recording",
    [
        *cases("ollama-live", "chat-error-400-t"),
        *cases("ollama-live", "chat-error-image"),
    ],
)
def test_a_capability_that_lacks_is_said_to_lack(recording: Recording) -> None:
    _, error, _ = replay(recording, 1)
    assert isinstance(error, ProviderRefused)
    assert error.status == 400 and "does not support" in error.message and "{" not in error.message


@pytest.mark.parametrize("recording", MODELS)
def test_a_recorded_list_is_read(recording: Recording) -> None:
    async def ask(url: str) -> list[str]:
        provider = Ollama("ollama", Settings(base_url=url), resources())
        try:
            return [model.id for model in await provider.models()]
        finally:
            await provider.aclose()

    with Upstream() as upstream:
        upstream.lists["/api/tags"] = Answer([recording.body], framing="length")
        names = asyncio.run(ask(upstream.url))
    assert names == [model["name"] for model in json.loads(recording.body)["models"]]
    assert names
