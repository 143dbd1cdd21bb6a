"""OpenAI's requests written, and whole answers read."""

import json

import pytest

from chatvault.core.chat import (
    ChatRequest,
    ImagePart,
    Message,
    NamedTool,
    ResponseFormat,
    TextPart,
    Thinking,
    Tool,
    ToolCall,
)
from chatvault.core.usage import Usage
from chatvault.errors import ProviderFailed, ProviderOverloaded
from chatvault.providers.openai_wire import encode, read_completion

HI = (Message("user", "hi"),)


def sent(request: ChatRequest, **options: object) -> dict[str, object]:
    return json.loads(encode(request, "up-1", stream=False, **options))


def test_only_what_the_client_said_is_sent():
    assert sent(ChatRequest("m", HI)) == {"model": "up-1", "messages": [{"role": "user", "content": "hi"}]}


def test_a_stream_always_asks_for_its_usage():
    body = json.loads(encode(ChatRequest("m", HI, stream=True), "up-1", stream=True))
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_every_field_has_openais_shape():
    request = ChatRequest(
        "m",
        HI,
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        stop=("a", "b"),
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias={"50256": -100.0},
        logprobs=True,
        top_logprobs=2,
        tools=(Tool("f", "does", {"type": "object"}, True), Tool("g")),
        tool_choice=NamedTool("f"),
        parallel_tool_calls=False,
        response_format=ResponseFormat("json_schema", {"type": "object"}, "answer", None, True),
        reasoning_effort="low",
        thinking=Thinking("enabled", 2000),
    )
    assert sent(request, max_tokens=5, max_tokens_field="max_completion_tokens") == {
        "model": "up-1",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "stop": ["a", "b"],
        "seed": 7,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "logit_bias": {"50256": -100.0},
        "logprobs": True,
        "top_logprobs": 2,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "does",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
            },
            {"type": "function", "function": {"name": "g"}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "low",
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }


def test_messages_keep_their_parts():
    messages = (
        Message("developer", "be brief"),
        Message("user", (TextPart("look"), ImagePart("data:image/png;base64,AA==", "low")), name="ann"),
        Message("assistant", None, tool_calls=(ToolCall("c1", "f", '{"a":1}'),), reasoning="hm"),
        Message("tool", (TextPart("4"), TextPart("2")), tool_call_id="c1"),
    )
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    expected = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, picture], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
    ]
    assert sent(ChatRequest("m", messages))["messages"] == expected
    for_others = sent(ChatRequest("m", messages), has_developer_role=False, sends_reasoning=True)["messages"]
    assert for_others[0] == {"role": "system", "content": "be brief"}
    assert for_others[2]["reasoning_content"] == "hm"


BODY = (
    b'{"id":"c1","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,'
    b'"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}'
)


def test_an_answer_goes_out_as_it_came():
    completion = read_completion("up", BODY, request_id="req_1")
    assert completion.body == BODY
    assert completion.usage == Usage(input_tokens=9, cached_tokens=4, output_tokens=3, reasoning_tokens=1)
    assert (completion.finish_reason, completion.upstream_model) == ("stop", "m-1")
    assert completion.upstream_request_id == "req_1"
    assert read_completion("up", BODY).upstream_request_id == "c1"


def test_reasoning_gets_the_name_that_clients_know():
    body = BODY.replace(b'"content":"hi"', b'"content":"say \\"reasoning\\":","reasoning":"hm"')
    message = json.loads(read_completion("up", body).body)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": 'say "reasoning":', "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Usage(input_tokens=5, output_tokens=2)),
        (
            {"prompt_cache_hit_tokens": 256, "prompt_cache_miss_tokens": 97, "completion_tokens": 2},
            Usage(input_tokens=353, cached_tokens=256, output_tokens=2),
        ),
        (
            {"prompt_tokens": 353, "prompt_cache_hit_tokens": 256, "prompt_tokens_details": None},
            Usage(input_tokens=353, cached_tokens=256),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 2.0}, Usage(output_tokens=2)),
        ({}, Usage()),
    ],
)
def test_usage_is_what_the_provider_says(told, expected):
    body = json.dumps({"choices": [{"finish_reason": "stop"}], "usage": told}).encode()
    assert read_completion("up", body).usage == expected


def test_no_usage_is_not_zero_usage():
    assert read_completion("up", b'{"choices":[{"finish_reason":"stop"}]}').usage is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices":[]}', b'{"object":"list"}', b"\xff"])
def test_what_is_no_answer_is_the_providers_failure(body):
    with pytest.raises(ProviderFailed):
        read_completion("up", body)


def test_an_error_under_status_200_is_an_error():
    with pytest.raises(ProviderOverloaded):
        read_completion("up", b'{"error":{"message":"busy","type":"rate_limit_error"}}')
