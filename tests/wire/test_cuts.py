"""Answers of many shapes, cut anywhere: the client and the books get what they get of the whole."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.usage import UsageBasis
from chatvault.errors import ProviderError
from chatvault.providers.anthropic_stream import AnthropicStream
from chatvault.providers.anthropic_wire import Reading
from chatvault.providers.base import Stream
from chatvault.providers.ollama import OllamaStream
from chatvault.providers.ollama_answer import Translator
from chatvault.providers.openai_stream import OpenAIStream
from tests.support import anthropic_events as said
from tests.support.answers import FakeAnswer, cut
from tests.support.openai_events import DONE, HI, ROLE, USAGE, USAGE_CHUNK, event
from tests.support.streams import hear

_MADE_ID = re.compile(rb"call_[0-9a-f]{12}|chatcmpl-[0-9a-f]{24}")
_CUTS = st.lists(st.integers(0, 9999), max_size=8)
_TEXTS = st.sampled_from(
    ["a", "é\n", "", '"reasoning":', "data: [DONE]\n\n", "\r", "😀", '"finish_reason":null']
)


def of_some(**fields: Sequence[object]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of the fields, each with one of its values."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in fields.items()})


_FUNCTIONS = of_some(name=["f", "g", ""], arguments=['{"a"', ":1}", "", {"a": 1}, None])
_CALLS = st.builds(
    lambda call, function: {**call, "function": function},
    of_some(index=[None, 0, 1, 2, "0"], id=["c1", "c2", "", None], type=["function"]),
    _FUNCTIONS,
)
_DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, _TEXTS),
    st.builds(lambda text: {"content": text}, _TEXTS),
    st.builds(lambda text: {"role": "assistant", "reasoning": text}, _TEXTS),
    st.builds(lambda text: {"reasoning_content": text}, _TEXTS),
    st.builds(lambda text: {"reasoning": text, "reasoning_content": None}, _TEXTS),
    st.builds(lambda text: {"content": [{"type": "text", "text": text}]}, _TEXTS),
    st.builds(lambda calls: {"tool_calls": calls}, st.lists(_CALLS, max_size=3)),
    st.builds(lambda function: {"function_call": function}, _FUNCTIONS),
)
_OPENAI_EVENTS = st.one_of(
    st.builds(event, _DELTAS),
    st.builds(event, _DELTAS).map(lambda sent: sent * 7),
    st.builds(event, _DELTAS, st.sampled_from([None, "stop", "tool_calls", "eos", ""])),
    st.builds(lambda delta, usage: event(delta, usage=usage), _DELTAS, st.sampled_from([None, USAGE, {}])),
    st.builds(event, _DELTAS).map(lambda sent: b"event: message\r\nid: 3\r\n" + sent.replace(b"\n", b"\r\n")),
    st.sampled_from([b": ping\n\n", b"\n", b"data:\n\n", USAGE_CHUNK]),
    st.sampled_from(
        [b"event: error\ndata: {}\n\n", b'data: {"error":{"message":"boom"}}\n\n', b"data: {\n\n"]
    ),
)
_OPENAI = st.builds(
    lambda start, sent, end: start + b"".join(sent) + end,
    st.sampled_from([b"", ROLE, ROLE + HI]),
    st.lists(_OPENAI_EVENTS, max_size=12),
    st.sampled_from([DONE, b"", event({}, "stop") + USAGE_CHUNK + DONE, event({}, "stop")[:-1]]),
)

_BLOCKS = st.one_of(
    st.builds(said.text, st.integers(0, 2), _TEXTS, _TEXTS),
    st.builds(said.thinking, st.integers(0, 2), _TEXTS, _TEXTS),
    st.builds(said.tool, st.integers(0, 2), st.just("t"), st.just("f"), _TEXTS),
    st.just(said.PING),
    st.just(said.event("surprise", delta=5)),
    st.just(said.event("error", error={"type": "overloaded_error", "message": "x"})),
)
_ANTHROPIC = st.builds(
    lambda blocks, end: said.start() + b"".join(blocks) + end,
    st.lists(_BLOCKS, max_size=5),
    st.sampled_from([said.end(), said.end("tool_use", input_tokens=0), b"", said.event("message_stop")]),
)
_LINES = st.one_of(
    st.builds(lambda text: {"message": {"content": text}, "done": False}, _TEXTS),
    st.builds(lambda text: {"message": {"thinking": text}, "done": False}, _TEXTS),
    st.builds(lambda function: {"message": {"tool_calls": [{"function": function}]}}, _FUNCTIONS),
)
_OLLAMA = st.builds(
    lambda lines, end: b"".join(json.dumps(line).encode() + b"\n" for line in lines) + end,
    st.lists(_LINES, max_size=8),
    st.sampled_from([b'{"done":true,"eval_count":3,"prompt_eval_count":9}', b'{"error":"x"}\n', b'{"done"']),
)


def openai(pieces: list[bytes]) -> Stream:
    return OpenAIStream(FakeAnswer(*pieces), provider="up", include_usage=True)


def anthropic(pieces: list[bytes]) -> Stream:
    return AnthropicStream(FakeAnswer(*pieces), Reading(), provider="up", include_usage=True, created=1)


def ollama(pieces: list[bytes]) -> Stream:
    return OllamaStream(FakeAnswer(*pieces), Translator(model="m", created=1, include_usage=True))


async def outcome(stream: Stream) -> tuple[object, ...]:
    """All that a client and the books can tell of an answer; what is only estimated may differ."""
    out, broke = b"", ""
    try:
        while events := await stream.read():
            out += events
    except ProviderError as exc:
        broke = f"{type(exc).__name__}: {exc}"
    heard = hear(_MADE_ID.sub(b"made", out))
    usage = stream.meter.final_usage(input_estimate=5)
    counted = None if usage.basis is UsageBasis.ESTIMATED else usage
    told = (heard.text, heard.reasoning, heard.tools, heard.finish, heard.usage, heard.is_done)
    assert not any("function_call" in choice["delta"] for each in heard.chunks for choice in each["choices"])
    return (*told, broke, counted, stream.meter.finish_reason, stream.meter.upstream_model)


@pytest.mark.parametrize(("read", "bodies"), [(openai, _OPENAI), (anthropic, _ANTHROPIC), (ollama, _OLLAMA)])
def test_a_cut_changes_nothing(
    read: Callable[[list[bytes]], Stream], bodies: st.SearchStrategy[bytes]
) -> None:
    @given(bodies, _CUTS)
    def check(body: bytes, cuts: list[int]) -> None:
        whole = asyncio.run(outcome(read([body])))
        assert asyncio.run(outcome(read([body[at : at + 1] for at in range(len(body))]))) == whole
        assert asyncio.run(outcome(read(cut(body, cuts)))) == whole

    check()
