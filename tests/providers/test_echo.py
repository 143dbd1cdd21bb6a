"""The echo provider."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import ChatRequest, ImagePart, Message, TextPart
from chatvault.errors import RequestError
from chatvault.providers.base import Resources
from chatvault.providers.echo import Echo, Settings, answer, build, split_words


def _resources() -> Resources:
    def spawn(job: Any, name: str) -> Any:
        raise AssertionError(f"echo started a task: {name}")

    return Resources(
        environ={}, cache_dir=Path("/nonexistent"), spawn=spawn, now_ms=lambda: 1_700_000_000_123
    )


def _echo() -> Echo:
    provider = build("echo", Settings(), _resources())
    assert isinstance(provider, Echo)
    return provider


def _request(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest(model="echo", messages=(Message("user", text),), **fields)


def _streamed(request: ChatRequest) -> tuple[list[Any], Any]:
    async def run() -> tuple[list[Any], Any]:
        stream = await _echo().stream(request, "echo")
        events = []
        while event := await stream.read():
            assert event.startswith(b"data: ") and event.endswith(b"\n\n")
            events.append(event[6:-2])
        assert events[-1] == b"[DONE]"
        return [json.loads(event) for event in events[:-1]], stream.meter

    return asyncio.run(run())


@given(st.text())
def test_the_words_joined_are_the_text(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == text
    assert all(word for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("hello", ("hello",)),
        ("one two", ("one", " two")),
        ("  a \n b  ", ("  a", " \n b  ")),
        (" \t", (" \t",)),
    ],
)
def test_a_word_takes_its_space_along(text: str, words: tuple[str, ...]) -> None:
    assert split_words(text) == words


def test_a_whole_answer_is_openais_object() -> None:
    done = asyncio.run(_echo().complete(_request("Say it  again"), "echo"))
    body = json.loads(done.body)
    assert body.pop("id").startswith("chatcmpl-")
    assert body == {
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Say it  again"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }
    assert done.usage is not None and (done.usage.input_tokens, done.usage.output_tokens) == (3, 3)
    assert (done.finish_reason, done.upstream_model) == ("stop", "echo")


def test_a_stream_has_one_chunk_a_word() -> None:
    chunks, meter = _streamed(_request("über 日本 \n end "))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [delta.get("content") for delta in deltas] == ["", "über", " 日本", " \n end ", None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert (meter.deltas, meter.usage.output_tokens, meter.finish_reason) == (3, 3, "stop")


def test_usage_is_streamed_to_who_asked_and_to_nobody_else() -> None:
    asked, _ = _streamed(_request("a b", include_usage=True))
    silent, meter = _streamed(_request("a b"))
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert not [chunk for chunk in silent if chunk.get("usage")]
    assert meter.usage.input_tokens == 2


@pytest.mark.parametrize(
    ("fields", "text", "finish"),
    [
        ({"max_tokens": 2}, "one two", "length"),
        ({"max_tokens": 3}, "one two three", "stop"),
        ({"max_tokens": 99}, "one two three", "stop"),
        ({"stop": ("three", "two")}, "one ", "stop"),
        ({"stop": ("nowhere",)}, "one two three", "stop"),
        ({"stop": ("three",), "max_tokens": 1}, "one", "length"),
        ({"stop": ("two",), "max_tokens": 1}, "one ", "stop"),
        ({"stop": ("one",)}, "", "stop"),
    ],
)
def test_an_answer_ends_at_a_stop_text_or_at_max_tokens(
    fields: dict[str, Any], text: str, finish: str
) -> None:
    said = answer(_request("one two three", **fields))
    assert ("".join(said.words), said.finish_reason) == (text, finish)
    assert said.usage.output_tokens == len(said.words)


def test_every_message_counts_as_input_and_the_last_one_answers() -> None:
    parts = (TextPart("two "), ImagePart("data:image/png;base64,AA=="), TextPart("parts"))
    request = ChatRequest(model="echo", messages=(Message("system", "be brief"), Message("user", parts)))
    said = answer(request)
    assert ("".join(said.words), said.usage.input_tokens) == ("two parts", 4)


@given(st.text(), st.one_of(st.none(), st.integers(1, 5)))
def test_no_answer_is_longer_than_its_limit(text: str, max_tokens: int | None) -> None:
    request = _request(text, max_tokens=max_tokens)
    limit = _echo().output_limit(request, "echo")
    given_tokens = answer(request).usage.output_tokens
    assert limit is not None and given_tokens is not None and given_tokens <= limit


def test_another_model_is_not_found() -> None:
    with pytest.raises(RequestError) as caught:
        asyncio.run(_echo().complete(_request("hi"), "parrot"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_closed_stream_gives_nothing_more() -> None:
    async def run() -> bytes:
        stream = await _echo().stream(_request("a b c"), "echo")
        await stream.read()
        stream.close()
        return await stream.read()

    assert asyncio.run(run()) == b""
