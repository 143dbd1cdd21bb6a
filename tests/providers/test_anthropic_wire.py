"""Anthropic's whole answers, turned into OpenAI's."""

import json

import pytest

from chatvault.core.chat import ThinkingBlock, ToolCall
from chatvault.core.usage import Usage
from chatvault.errors import ProviderFailed, ProviderOverloaded
from chatvault.providers.anthropic_wire import Reading, read_message
from chatvault.providers.base import Completion
from chatvault.providers.reasoning_memory import Thoughts


def read(
    content: list[dict[str, object]], stop_reason: str = "end_turn", reading: Reading | None = None
) -> Completion:
    told = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-1",
        "content": content,
        "stop_reason": stop_reason,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    body = json.dumps(told).encode()
    return read_message("up", body, reading or Reading(), created=3, request_id="req_1")


def message(completion: Completion) -> dict[str, object]:
    return json.loads(completion.body)["choices"][0]["message"]


def test_text_is_the_content():
    completion = read([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo", "citations": [{}]}])
    assert json.loads(completion.body) == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 3,
        "model": "claude-x-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
    assert completion.usage == Usage(input_tokens=5, output_tokens=2)
    assert completion.upstream_request_id == "req_1"


def test_tools_and_thinking_have_their_places():
    kept: list[tuple[tuple[ToolCall, ...], Thoughts]] = []
    reading = Reading({"a_b": "a.b"}, None, lambda calls, thoughts: kept.append((calls, thoughts)))
    completion = read(
        [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "r"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
            {"type": "tool_use", "id": "toolu_a", "name": "a_b", "input": {"x": 1}},
            {"type": "tool_use", "id": "toolu_b", "name": "g", "input": {}},
        ],
        "tool_use",
        reading,
    )
    calls = [
        {"id": "toolu_a", "type": "function", "function": {"name": "a.b", "arguments": '{"x":1}'}},
        {"id": "toolu_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert message(completion) == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "tool_calls": calls,
    }
    assert completion.finish_reason == "tool_calls"
    assert kept[0][1] == Thoughts("hm", (ThinkingBlock("hm", "s"), ThinkingBlock(redacted="r")))


def test_the_tool_that_stands_for_a_schema_is_the_answer():
    reading = Reading(json_tool="json_tool_call")
    call = {"type": "tool_use", "id": "t", "name": "json_tool_call", "input": {"a": [1]}}
    completion = read([call], "tool_use", reading)
    assert message(completion) == {"role": "assistant", "content": '{"a":[1]}'}
    assert completion.finish_reason == "stop"


def test_an_empty_answer_is_an_empty_text():
    assert message(read([])) == {"role": "assistant", "content": ""}
    assert read([], "refusal").finish_reason == "content_filter"


OPENAIS = b'{"id":"c1","model":"m","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", OPENAIS])
def test_what_is_no_answer_is_the_providers_failure(body):
    with pytest.raises(ProviderFailed):
        read_message("up", body, Reading(), created=0, request_id=None)


def test_an_error_under_status_200_is_an_error():
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    with pytest.raises(ProviderOverloaded):
        read_message("up", body, Reading(), created=0, request_id=None)


@pytest.mark.parametrize(
    "usage", ["x", [], None, {"input_tokens": "5"}, {"input_tokens": 5, "output_tokens": -2}]
)
def test_an_answer_whose_usage_is_odd_is_served_and_estimated(usage):
    told = {
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }
    completion = read_message("up", json.dumps(told).encode(), Reading(), created=3, request_id=None)
    assert message(completion)["content"] == "Hi"
    assert completion.usage is None


def test_an_odd_block_costs_only_itself():
    odd = {"type": "new", "text": {"a": 1}, "name": None, "id": None, "data": [1]}
    completion = read(
        [odd, {"type": "text", "text": "Hel\ud83d"}, {"type": "text", "text": "lo", "id": None}]
    )
    assert message(completion) == {"role": "assistant", "content": "Hel\ufffdlo"}
    assert completion.usage == Usage(input_tokens=5, output_tokens=2)


@pytest.mark.parametrize(
    "odd", [{"content": None}, {"model": None}, {"content": "text"}, {"stop_sequence": 5}]
)
def test_an_odd_field_does_not_lose_the_answer(odd):
    told = {"id": "msg_1", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 5}, **odd}
    completion = read_message("up", json.dumps(told).encode(), Reading(), created=3, request_id=None)
    assert completion.finish_reason == "stop"
