"""OpenAI's requests written, and whole answers read."""

import json

import msgspec
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
from chatvault.core.usage import Usage, UsageBasis
from chatvault.errors import ProviderFailed, ProviderOverloaded, RequestError
from chatvault.providers.openai_usage import usage_of
from chatvault.providers.openai_wire import encode, read_completion, to_json

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
        (
            {"prompt_tokens": -1, "completion_tokens": 2.0},
            Usage(output_tokens=2, basis=UsageBasis.ESTIMATED),
        ),
        ({}, Usage()),
        (
            {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            Usage(output_tokens=0, basis=UsageBasis.ESTIMATED),
        ),
        ({"prompt_tokens": 12.0, "completion_tokens": 7.0}, Usage(input_tokens=12, output_tokens=7)),
        (
            {"prompt_tokens": 19, "completion_tokens": 2, "cached_tokens": 10},
            Usage(input_tokens=19, cached_tokens=10, output_tokens=2),
        ),
        (
            {
                "prompt_tokens": 19,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 10},
            },
            Usage(input_tokens=19, cached_tokens=9, cache_write_tokens=10, output_tokens=2),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cache_write_tokens": 6}},
            Usage(input_tokens=5, output_tokens=2),
        ),
    ],
)
def test_usage_is_what_the_provider_says(told, expected):
    assert usage_of(msgspec.Raw(json.dumps(told).encode())) == expected


ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]%b}'


def test_no_usage_is_not_zero_usage():
    assert read_completion("up", ANSWER % b"").usage is None


@pytest.mark.parametrize(
    "told",
    [
        b'"x"',
        b"[7]",
        b"{}",
        b'{"prompt_tokens":9}',
        b'{"prompt_tokens":"9","completion_tokens":3}',
        b'{"prompt_tokens":-9,"completion_tokens":3}',
        b'{"prompt_tokens":9,"completion_tokens":9007199254740993}',
        b'{"prompt_tokens":9,"completion_tokens":1e400}',
        b'{"prompt_tokens":9,"completion_tokens":true}',
    ],
)
def test_an_answer_whose_usage_is_odd_is_served_and_estimated(told):
    body = ANSWER % (b',"usage":' + told)
    completion = read_completion("up", body)
    assert completion.body == body
    assert completion.usage is None


def test_a_whole_usage_with_an_odd_part_is_kept():
    told = b',"usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":[]}'
    assert read_completion("up", ANSWER % told).usage == Usage(input_tokens=9, output_tokens=3)


@pytest.mark.parametrize("message", [b"null", b"7", b'"hi"', b"[]"])
def test_a_choice_without_a_message_is_the_providers_failure(message):
    body = ANSWER.replace(b'{"role":"assistant","content":"hi"}', message) % b""
    with pytest.raises(ProviderFailed):
        read_completion("up", body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices":[]}', b'{"object":"list"}', b"\xff"])
def test_what_is_no_answer_is_the_providers_failure(body):
    with pytest.raises(ProviderFailed):
        read_completion("up", body)


def test_an_error_under_status_200_is_an_error():
    with pytest.raises(ProviderOverloaded):
        read_completion("up", b'{"error":{"message":"busy","type":"rate_limit_error"}}')


def test_half_a_character_is_refused():
    with pytest.raises(RequestError) as caught:
        to_json({"input": json.loads('{"a": "\\ud800"}')})
    assert (caught.value.status, caught.value.param) == (400, "messages")


@pytest.mark.parametrize(
    ("total", "reasoning", "output"),
    [
        (118, 100, 107),  # xAI: reasoning beside the completion
        (118, None, 107),  # Gemini: in the total alone
        (118, 0, 107),
        (18, 5, 7),
        (18, None, 7),
        (None, 5, 7),
        (None, 100, 107),
        (500, 5, 7),
        ("18", None, 7),
    ],
)
def test_what_was_thought_is_part_of_the_output_wherever_it_is_counted(total, reasoning, output):
    details = {} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    told = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": total, **details}
    usage = usage_of(msgspec.Raw(json.dumps(told).encode()))
    assert usage is not None
    assert usage.output_tokens == output
