"""Anthropic's streams, turned into OpenAI's."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import ThinkingBlock, ToolCall
from chatvault.core.usage import Usage, UsageBasis
from chatvault.errors import ProviderBroke, ProviderError, ProviderFailed, ProviderOverloaded
from chatvault.providers.anthropic_stream import AnthropicStream
from chatvault.providers.anthropic_wire import Reading
from chatvault.providers.reasoning_memory import Thoughts
from tests.support.answers import FakeAnswer, cut
from tests.support.anthropic_events import PING, block, end, event, start, text, thinking, tool
from tests.support.streams import Heard, hear, read_to_end, read_until_it_breaks

PLAIN = Reading()


def stream_of(
    *pieces: bytes | ProviderError, reading: Reading = PLAIN, include_usage: bool = False
) -> AnthropicStream:
    return AnthropicStream(
        FakeAnswer(*pieces), reading, provider="up", include_usage=include_usage, created=1700000000
    )


def heard(*pieces: bytes, reading: Reading = PLAIN, include_usage: bool = False) -> Heard:
    return hear(asyncio.run(read_to_end(stream_of(*pieces, reading=reading, include_usage=include_usage))))


def broken(*pieces: bytes | ProviderError) -> tuple[bytes, ProviderError, AnthropicStream]:
    stream = stream_of(*pieces)
    whole, error = read_until_it_breaks(stream)
    return whole, error, stream


def test_text_comes_as_it_was_said():
    said = heard(start() + text(0, "Hel", "lo é") + end())
    assert (said.text, said.finish, said.is_done) == ("Hello é", "stop", True)
    assert said.chunks[0] == {
        "id": "msg_1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "claude-x-1",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
    }
    assert said.usage is None


def test_usage_goes_to_who_asked_and_into_the_books():
    stream = stream_of(
        start(cache_read_input_tokens=100) + text(0, "x") + end(output_tokens=7), include_usage=True
    )
    said = hear(asyncio.run(read_to_end(stream)))
    assert said.usage == {
        "prompt_tokens": 112,
        "completion_tokens": 7,
        "total_tokens": 119,
        "prompt_tokens_details": {"cached_tokens": 100},
    }
    assert stream.meter.usage == Usage(input_tokens=112, cached_tokens=100, output_tokens=7)
    assert stream.meter.finish_reason == "stop"
    assert stream.meter.upstream_model == "claude-x-1"
    assert stream.meter.upstream_request_id == "msg_1"


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_every_stop_reason_has_its_finish_reason(told, finish):
    assert heard(start() + text(0, "x") + end(told)).finish == finish


def test_parallel_tool_calls_are_numbered_from_zero():
    said = heard(
        start()
        + text(0, "Let me see.")
        + tool(1, "toolu_a", "f", '{"a', '":1}')
        + block(
            2,
            "server_tool_use",
            {"type": "input_json_delta", "partial_json": "{}"},
            id="s",
            name="web_search",
        )
        + tool(3, "toolu_b", "g", "")
        + end("tool_use")
    )
    assert said.tools == {
        0: {"id": "toolu_a", "name": "f", "arguments": '{"a":1}'},
        1: {"id": "toolu_b", "name": "g", "arguments": "{}"},
    }
    assert (said.text, said.finish) == ("Let me see.", "tool_calls")


def test_a_tool_whose_input_comes_at_once_is_whole():
    said = heard(start() + block(0, "tool_use", id="t", name="f", input={"a": 1}) + end("tool_use"))
    assert json.loads(said.tools[0]["arguments"]) == {"a": 1}


def test_changed_tool_names_are_changed_back():
    reading = Reading(tool_names={"get_weather": "get.weather"})
    said = heard(start() + tool(0, "t", "get_weather", "{}") + end("tool_use"), reading=reading)
    assert said.tools[0]["name"] == "get.weather"


def test_the_tool_that_stands_for_a_schema_is_the_answer():
    reading = Reading(json_tool="json_tool_call")
    said = heard(start() + tool(0, "t", "json_tool_call", '{"a":', "1}") + end("tool_use"), reading=reading)
    assert (said.text, said.tools, said.finish) == ('{"a":1}', {}, "stop")


def test_thinking_is_reasoning_and_is_remembered_with_its_signature():
    kept: list[tuple[tuple[ToolCall, ...], Thoughts]] = []
    reading = Reading(remember=lambda calls, thoughts: kept.append((calls, thoughts)))
    said = heard(
        start()
        + thinking(0, "hm ", "yes", signature="sig==")
        + block(1, "redacted_thinking", data="secret")
        + tool(2, "toolu_a", "f", "{}")
        + end("tool_use"),
        reading=reading,
    )
    assert said.reasoning == "hm yes"
    blocks = (ThinkingBlock("hm yes", "sig=="), ThinkingBlock(redacted="secret"))
    assert kept == [((ToolCall("toolu_a", "f", ""),), Thoughts("hm yes", blocks))]


def test_what_openais_shape_has_no_place_for_is_passed_over():
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "x", "url": "u"}]}
    citation = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "c"}}
    said = heard(
        start()
        + block(0, found.pop("type"), **found)
        + block(1, "text", citation, {"type": "text_delta", "text": "so"}, text="", citations=[])
        + block(2, "compaction", {"type": "compaction_delta", "content": "old"}, content=None)
        + PING
        + event("something_new", value=1)
        + end()
    )
    assert (said.text, said.finish) == ("so", "stop")


def test_an_empty_answer_is_one():
    said = heard(start() + end())
    assert (said.text, said.finish, said.is_done) == ("", "stop", True)


def test_overload_in_place_of_an_answer_may_be_tried_elsewhere():
    whole, error, _ = broken(event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert whole == b""
    assert isinstance(error, ProviderOverloaded)
    assert error.is_retryable


def test_an_error_in_the_middle_comes_after_what_was_said():
    whole, error, stream = broken(
        start()
        + text(0, "Hel")
        + event("error", error={"type": "api_error", "message": "at 10.1.1.1"})
        + end()
    )
    assert hear(whole).text == "Hel"
    assert isinstance(error, ProviderFailed)
    assert "10.1.1.1" not in error.message
    usage = stream.meter.final_usage(input_estimate=99)
    assert (usage.input_tokens, usage.output_tokens, usage.basis) == (12, 1, UsageBasis.ESTIMATED)


@pytest.mark.parametrize("cut_at", ["block", "stop"])
def test_a_stream_without_its_last_event_broke(cut_at):
    sent = start() + text(0, "Hel") + (end() if cut_at == "stop" else b"")
    sent = sent.removesuffix(event("message_stop"))
    whole, error, _ = broken(sent)
    assert hear(whole).text == "Hel"
    assert not hear(whole).is_done
    assert isinstance(error, ProviderBroke)


def test_an_event_that_makes_no_sense_ends_the_answer():
    whole, error, _ = broken(start() + b"data: {oops\n\n")
    assert len(hear(whole).chunks) == 1
    assert isinstance(error, ProviderFailed)


def test_the_last_event_may_lack_its_blank_line():
    assert heard((start() + text(0, "x") + end()).rstrip(b"\n")).is_done


def alive(*pieces: bytes) -> int:
    stream = stream_of(*pieces)
    answer = stream._answer
    asyncio.run(read_to_end(stream))
    assert isinstance(answer, FakeAnswer)
    return answer.payloads_seen


def test_pings_are_no_sign_of_life_while_text_is_due():
    begun = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    assert alive(start(), begun, PING, PING, end()) == 3


def test_pings_are_all_there_is_while_it_thinks_in_silence():
    begun = event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""})
    assert alive(start(), begun, PING, PING, end()) == 5


_PARTS = [
    text(0, "Hi", " é✓"),
    thinking(1, "a", "b"),
    tool(2, "toolu_a", "f", '{"x":', '"\\n"}'),
    PING,
    b": comment\n\n",
    block(3, "redacted_thinking", data="r"),
]


@given(
    st.lists(st.sampled_from(_PARTS), max_size=6), st.lists(st.integers(0, 4000), max_size=12), st.booleans()
)
def test_any_cut_of_the_bytes_gives_the_same_events(parts, cuts, asked):
    sent = start() + b"".join(parts) + end("tool_use")
    whole = asyncio.run(read_to_end(stream_of(sent, include_usage=asked)))
    pieces = asyncio.run(read_to_end(stream_of(*cut(sent, cuts), include_usage=asked)))
    assert pieces == whole
    assert hear(whole).is_done


def test_json_in_place_of_a_stream_is_an_error():
    told = b'{\n  "error": {"message": "m", "type": "rate_limit_error"}\n}'
    whole, error, _ = broken(told[:9], told[9:])
    assert whole == b""
    assert isinstance(error, ProviderOverloaded)


def test_what_was_said_is_measured_in_bytes() -> None:
    # A character can be several tokens; a byte can't.
    stream = stream_of(start() + text(0, "𓀀" * 10) + end())
    asyncio.run(read_to_end(stream))
    assert stream.meter.output_bytes == 40


@pytest.mark.parametrize("told", [{}, {"usage": {}}, {"usage": {"input_tokens": 12}}])
def test_an_end_that_does_not_count_its_output_leaves_it_unknown(told) -> None:
    stopped = event("message_delta", delta={"stop_reason": "end_turn"}, **told)
    stream = stream_of(start() + text(0, "Hello there") + stopped + event("message_stop"))
    asyncio.run(read_to_end(stream))
    usage = stream.meter.final_usage(input_estimate=99)
    assert (usage.input_tokens, usage.output_tokens) == (12, 3)
    assert usage.basis is UsageBasis.ESTIMATED


@pytest.mark.parametrize(
    "odd",
    [
        event("surprise", message="text", delta=5, index="x", usage=[], content_block=[1]),
        event("content_block_delta", index=0, delta={"type": "new_delta", "text": "no", "signature": 5}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": {"a": 1}}),
        event("content_block_delta", index=0, delta="new"),
        block(7, "new", {"type": "new_delta", "data": {"x": 1}}, text={"a": 1}, name=None, data=[1]),
    ],
)
def test_new_kinds_of_events_blocks_and_deltas_are_passed_over(odd) -> None:
    said = heard(start() + text(0, "Hel") + odd + text(1, "lo") + end())
    assert (said.text, said.finish, said.is_done) == ("Hello", "stop", True)


def test_nulls_in_place_of_names_are_no_matter() -> None:
    begun = event("message_start", message={"id": None, "model": None, "content": None, "usage": {}})
    hello = {"type": "text_delta", "text": "Hello"}
    said = heard(begun + block(0, "text", hello, text=None, id=None, name=None) + end())
    assert (said.text, said.is_done) == ("Hello", True)


def test_half_a_character_costs_only_itself() -> None:
    half = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "\ud83d"})
    assert heard(start() + text(0, "Hel") + half + text(1, "lo") + end()).text == "Hel\ufffdlo"


@pytest.mark.parametrize(
    "sent",
    [
        b'event: error\ndata: {"error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        event("error", error={"type": "overloaded_error", "message": "Overloaded"}, message="Overloaded"),
    ],
)
def test_an_error_of_an_odd_shape_is_one(sent) -> None:
    whole, error, _ = broken(start() + text(0, "Hel") + sent)
    assert hear(whole).text == "Hel"
    assert isinstance(error, ProviderOverloaded)


def test_an_answer_may_end_as_openais_do() -> None:
    stopped = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
    said = heard(start() + text(0, "Hello") + stopped + b"data: [DONE]\n\n", include_usage=True)
    assert (said.text, said.finish, said.is_done) == ("Hello", "stop", True)
    assert said.usage is not None
    _, error, _ = broken(start() + text(0, "Hello") + b"data: [DONE]\n\n")
    assert isinstance(error, ProviderError)


@pytest.mark.parametrize("blank", [b"data:\n\n", b"data: \n\n", b"event: ping\ndata:  \n\n"])
def test_an_event_without_content_is_none(blank) -> None:
    said = heard(blank + start() + blank + text(0, "Hello") + blank + end())
    assert (said.text, said.is_done) == ("Hello", True)
    assert alive(start(), blank, blank, text(0, "Hello"), end()) == 3


def test_a_tool_that_is_not_stopped_has_arguments_all_the_same() -> None:
    begun = event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "f"})
    said = heard(start() + begun + end("tool_use"))
    assert said.tools == {0: {"id": "t", "name": "f", "arguments": "{}"}}
